package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/store/sqlite"
)

// askPrograms are the programs of agents whose model follows a script, and one more.
func askPrograms(yaml string, p durable.Program) ([]durable.Program, error) {
	played, err := script.Parse("ask.yaml", []byte(yaml))
	if err != nil {
		return nil, err
	}
	programs, err := agent.New(agent.Config{
		Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return played.Model(), nil }},
	})
	return append(programs, p), err
}

type triage struct {
	Urgent bool     `json:"urgent"`
	Tags   []string `json:"tags"`
}

// TestAsk: a program asks agents and goes on with what they say; an answer with a type is asked for again
// until it fits.
func TestAsk(t *testing.T) {
	triager := agent.Definition{Name: "triager", Model: "script/ask", Instructions: "Sort tickets."}
	type result struct {
		Text            string
		Typed           triage
		Failed, Refused string
		Stop            string
	}
	p := durable.NewProgram("desk", func(ctx durable.Context, _ int) (result, error) {
		answer, err := agent.Ask(ctx, triager, "hello")
		if err != nil {
			return result{}, err
		}
		typed, err := agent.AskFor[triage](ctx, triager, "the printer burns")
		if err != nil {
			return result{}, err
		}
		_, failed := agent.AskFor[int](ctx, triager, "how many?")
		counter := triager
		counter.Output = []byte(`{"type":"integer"}`)
		sofar, _ := agent.Ask(ctx, counter, "how many?")
		_, refused := agent.AskFor[any](ctx, triager, "anything")
		return result{Text: answer.Text, Typed: typed, Failed: fmt.Sprint(failed), Refused: fmt.Sprint(refused), Stop: sofar.Stop}, nil
	})
	programs, err := askPrograms(`
rules:
  - when: { last_user: "printer", output: true, turn: 1 }
    reply: { text: "It burns!" }
  - when: { contains: "the printer burns", output: true }
    reply: { json: { urgent: true, tags: [fire] } }
  - when: { contains: "how many", output: true }
    reply: { text: "many" }
  - reply: { text: "Hello." }
`, p)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir(), ProcessDurability: true})
	if err != nil {
		t.Fatal(err)
	}
	e, err := embedded.New(t.Context(), embedded.Config{Store: s, Programs: programs})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(e.Close(context.Background()), s.Close()); err != nil {
			t.Error(err)
		}
	}()
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "desk"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Wait(t.Context(), id)
	if err != nil || r.Status != durable.Succeeded {
		t.Fatalf("the run is %s (%s), %v, %v", r.Status, r.Reason, r.Error, err)
	}
	var got result
	if err := json.Unmarshal(r.Output, &got); err != nil {
		t.Fatal(err)
	}
	if got.Text != "Hello." || !got.Typed.Urgent || len(got.Typed.Tags) != 1 || !strings.Contains(got.Failed, "no answer that matches") ||
		!strings.Contains(got.Refused, "may be anything") || got.Stop != agent.StopOutput {
		t.Errorf("got %+v", got)
	}
	children, err := s.List(t.Context(), durable.Filter{Parent: id, Limit: 10})
	if err != nil || len(children) != 4 {
		t.Errorf("there are %d children, error %v; want one for each question that was put", len(children), err)
	}
}

// A program has an agent decide, in an answer with a type.
func ExampleAskFor() {
	clerk := agent.Definition{Name: "clerk", Model: "script/ask", Instructions: "Judge expense reports."}
	program := durable.NewProgram("expense", func(ctx durable.Context, report string) (string, error) {
		verdict, err := agent.AskFor[struct {
			Approve bool   `json:"approve"`
			Why     string `json:"why"`
		}](ctx, clerk, report)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("approved: %v, %s", verdict.Approve, verdict.Why), nil
	})
	programs, err := askPrograms(`
rules:
  - when: { last_user: champagne }
    reply: { json: { approve: false, why: "it was no birthday" } }
`, program)
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err := runAll(context.Background(), programs, durable.StartRequest{Program: "expense", Input: []byte(`"12 bottles of champagne"`)})
	fmt.Println(string(run.Output), err)
	// Output: "approved: false, it was no birthday" <nil>
}
