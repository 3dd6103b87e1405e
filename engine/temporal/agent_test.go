package temporal

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/store/sqlite"
	"github.com/orpine-run/orpine/tool"
)

const travel = `
rules:
  - when: {turn: 1}
    reply:
      text: let me look
      calls:
        - {name: weather, args: {city: Paris}}
        - {name: weather, args: {city: Rome}}
        - {name: guide, args: {city: Rome}}
  - when: {turn: 2, contains: sunny in Paris}
    reply: {calls: [{name: book, args: {city: Paris}}]}
  - when: {turn: 3, last_tool: book, last_result: booked Paris}
    reply: {text: "Paris it is.", usage: {input: 100, output: 10}}
`

// instructions and chapter are what may not be seen in Temporal's history.
const (
	instructions = "You plan trips with great care."
	chapter      = "a long chapter about the city "
)

type city struct {
	City string `json:"city"`
}

func newAgent(t *testing.T) durable.Program {
	t.Helper()
	scripted, err := script.Parse("travel.yaml", []byte(travel))
	if err != nil {
		t.Fatal(err)
	}
	say := func(format string) func(context.Context, city) (string, error) {
		return func(_ context.Context, in city) (string, error) {
			return strings.ReplaceAll(format, "CITY", in.City), nil
		}
	}
	programs, err := agent.New(agent.Config{
		Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return scripted.Model(), nil }},
		Tools: []tool.Tool{
			tool.Func("weather", "The weather in a city", say("sunny in CITY"), tool.Read),
			tool.Func("guide", "A book about a city", say(strings.Repeat(chapter, 500)), tool.Read),
			tool.Func("book", "Books a flight", say("booked CITY")),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return programs[0]
}

// did is a step as its step function saw it.
type did struct {
	Command string // segment/command, the rest of the idempotency key
	Step    string
	Effect  durable.Effect
	Output  string
}

// recorder is a program that remembers which steps were executed.
type recorder struct {
	durable.Program

	mu  sync.Mutex
	did []did
}

func (r *recorder) Steps() []durable.StepFunc {
	steps := slices.Clone(r.Program.Steps())
	for i, fn := range steps {
		steps[i].Call = func(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
			out, err := fn.Call(ctx, in)
			a := durable.AttemptOf(ctx)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.did = append(r.did, did{Command: strings.TrimPrefix(a.Key, string(a.Run)), Step: a.Step, Effect: fn.Options.Effect, Output: string(out)})
			return out, err
		}
	}
	return steps
}

// travelOn runs the agent to its end and says what it did, in the order of commands.
func travelOn(t *testing.T, open func(*testing.T, ...durable.Program) durable.Engine) (durable.RunID, agent.Answer, []did) {
	t.Helper()
	r := &recorder{Program: newAgent(t)}
	e := open(t, r)
	req, err := agent.Start(agent.Definition{
		Name: "traveller", Model: "script/travel", Instructions: instructions, Tools: []string{"weather", "guide", "book"},
	}, "Where to?")
	if err != nil {
		t.Fatal(err)
	}
	id, err := e.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	run, err := e.Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := agent.AnswerOf(run)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(r.did, func(a, b did) int { return strings.Compare(a.Command, b.Command) })
	return id, answer, r.did
}

func openEmbedded(t *testing.T, programs ...durable.Program) durable.Engine {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	e, err := embedded.New(t.Context(), embedded.Config{Store: s, Programs: programs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// TestAgent runs the agent program, unchanged, on every engine: the same commands,
// the same outputs, down to the hash of the conversation.
func TestAgent(t *testing.T) {
	_, wantAnswer, want := travelOn(t, openEmbedded)
	if wantAnswer.Text != "Paris it is." || wantAnswer.Turns != 3 || len(want) != 7 {
		t.Fatalf("embedded: %+v with %d steps", wantAnswer, len(want))
	}
	for _, c := range []struct {
		name string
		open func(*testing.T, ...durable.Program) durable.Engine
	}{{"environment", openInEnvironment}, {"server", openOnServer}} {
		t.Run(c.name, func(t *testing.T) {
			id, answer, got := travelOn(t, c.open)
			if diff := cmp.Diff(wantAnswer, answer); diff != "" {
				t.Errorf("answer: -embedded +temporal\n%s", diff)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("steps: -embedded +temporal\n%s", diff)
			}
			if c.name == "server" {
				for _, secret := range []string{instructions, chapter} {
					if n := inHistory(t, id, secret); n != 0 {
						t.Errorf("%d events of the history hold %q", n, secret)
					}
				}
				if n := inHistory(t, id, "sunny in Rome"); n == 0 {
					t.Error("the history does not hold what is small: it cannot be looked for like this")
				}
			}
		})
	}
}

// inHistory counts the events of a run's last segment that hold a text.
func inHistory(t *testing.T, run durable.RunID, text string) int {
	t.Helper()
	n := 0
	events := devClient(t).GetWorkflowHistory(t.Context(), string(run), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		ev, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(ev.String(), text) {
			n++
		}
	}
	return n
}
