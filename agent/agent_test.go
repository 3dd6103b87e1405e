package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
	"github.com/orpine-run/orpine/store/storetest"
	"github.com/orpine-run/orpine/tool"
)

type city struct {
	City string `json:"city" jsonschema:"the name of the city"`
}

// bench is an engine with the agent program, a scripted model and counted tools.
type bench struct {
	t        *testing.T
	dir      string
	programs []durable.Program
	engine   atomic.Pointer[embedded.Engine]
	calls    atomic.Int64
	book     atomic.Int64
}

func newBench(t *testing.T, yaml string, more ...func(*agent.Config)) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	scripted, err := script.Parse("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	player := scripted.Model()
	weather := tool.Func("weather", "The weather in a city", func(_ context.Context, in city) (string, error) {
		b.calls.Add(1)
		if in.City == "Atlantis" {
			return "", errors.New("no such city")
		}
		return "sunny in " + in.City, nil
	}, tool.Read)
	book := tool.Func("book", "Books a flight", func(_ context.Context, in city) (string, error) {
		b.book.Add(1)
		return "booked " + in.City, nil
	})
	long := tool.Func("long", "A long text", func(context.Context, struct{}) (string, error) {
		return strings.Repeat("long ", 2000), nil
	}, tool.Read)
	cfg := agent.Config{
		Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return player, nil }},
		Tools:     []tool.Tool{weather, book, long},
		Send: func(ctx context.Context, id durable.RunID, s durable.Signal) error {
			if e := b.engine.Load(); e != nil {
				return e.Signal(ctx, id, s)
			}
			return durable.Errorf(durable.CodeUnavailable, "not yet")
		},
	}
	for _, change := range more {
		change(&cfg)
	}
	b.programs, err = agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) open(at int, after bool) (*embedded.Engine, *storetest.Faulty) {
	b.t.Helper()
	s, err := sqlite.Open(b.t.Context(), sqlite.Config{Dir: b.dir})
	if err != nil {
		b.t.Fatal(err)
	}
	f := storetest.NewFaulty(s, at, after)
	e, err := embedded.New(b.t.Context(), embedded.Config{Store: f, Programs: b.programs})
	if err != nil {
		b.t.Fatal(err)
	}
	b.engine.Store(e)
	return e, f
}

func (b *bench) close(e *embedded.Engine, s store.Store) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(e.Close(ctx), s.Close()); err != nil {
		b.t.Error(err)
	}
}

// run runs an agent to its end and returns the run and its entries.
func (b *bench) run(d agent.Definition, text string) (durable.Run, []durable.Entry) {
	b.t.Helper()
	e, s := b.open(0, false)
	defer b.close(e, s)
	d.Name, d.Model = "tester", "script/test"
	req, err := agent.Start(d, text)
	if err != nil {
		b.t.Fatal(err)
	}
	id, err := e.Start(b.t.Context(), req)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := e.Wait(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	entries, err := e.Journal().All(b.t.Context(), id, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return r, entries
}

func steps(entries []durable.Entry) []string {
	var names []string
	for _, e := range entries {
		if e.Kind == durable.EntryDone {
			names = append(names, e.Name)
		}
	}
	return names
}

const travel = `
rules:
  - when: {turn: 1}
    reply:
      text: let me look
      calls:
        - {name: weather, args: {city: Paris}}
        - {name: weather, args: {city: Rome}}
  - when: {turn: 2, contains: sunny in Paris, last_result: sunny in Rome}
    reply: {calls: [{name: book, args: {city: Paris}}]}
  - when: {turn: 3, last_tool: book, last_result: booked Paris}
    reply: {text: "Paris it is.", usage: {input: 100, output: 10}}
`

func TestLoop(t *testing.T) {
	b := newBench(t, travel)
	r, entries := b.run(agent.Definition{Tools: []string{"weather", "book"}, Instructions: "You plan trips."}, "Where to?")
	answer, err := agent.AnswerOf(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Text != "Paris it is." || answer.Stop != agent.StopDone || answer.Turns != 3 {
		t.Errorf("answer: %+v", answer)
	}
	if diff := cmp.Diff([]string{"model", "weather", "weather", "model", "book", "model"}, steps(entries)); diff != "" {
		t.Errorf("steps: -want +got\n%s", diff)
	}
	if b.calls.Load() != 2 || b.book.Load() != 1 {
		t.Errorf("%d weather calls, %d bookings", b.calls.Load(), b.book.Load())
	}
}

func TestStops(t *testing.T) {
	const again = `
rules:
  - reply: {calls: [{name: weather, args: {city: "city ${turn}"}}], usage: {input: 900, output: 100}}
`
	const same = `
rules:
  - reply: {calls: [{name: weather, args: {city: Paris}}]}
`
	for _, c := range []struct {
		name   string
		script string
		budget agent.Budget
		price  *agent.Price
		code   durable.Code
		reason string
		calls  int64
	}{
		{"turns", again, agent.Budget{Turns: 3}, nil, durable.CodeExhausted, agent.StopMaxTurns, 3},
		{"the default bounds turns", again, agent.Budget{}, nil, durable.CodeExhausted, agent.StopMaxTurns, 50},
		{"tokens", again, agent.Budget{Tokens: 1500}, nil, durable.CodeExhausted, agent.StopBudget, 2},
		{"cost", again, agent.Budget{Cost: 0.001}, &agent.Price{Input: 1, Output: 1}, durable.CodeExhausted, agent.StopBudget, 1},
		{"cost without a price", again, agent.Budget{Cost: 1}, nil, durable.CodeInvalid, agent.StopBudget, 0},
		{"loop", same, agent.Budget{}, nil, durable.CodeExhausted, agent.StopLoop, 2},
		{"refusal", "rules: [{reply: {text: no, stop: refusal}}]", agent.Budget{}, nil, durable.CodeDenied, agent.StopRefused, 0},
		{"length", "rules: [{reply: {text: I was, stop: length}}]", agent.Budget{}, nil, durable.CodeExhausted, agent.StopLength, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.script)
			r, _ := b.run(agent.Definition{Tools: []string{"weather"}, Budget: c.budget, Price: c.price}, "go")
			if r.Status != durable.Failed || r.Error.Code != c.code || r.Error.Reason != c.reason {
				t.Errorf("the run is %s with %+v", r.Status, r.Error)
			}
			if b.calls.Load() != c.calls {
				t.Errorf("%d tool calls, want %d", b.calls.Load(), c.calls)
			}
		})
	}
}

func TestToolErrorsGoBackToTheModel(t *testing.T) {
	for _, c := range []struct{ name, call, result string }{
		{"unknown tool", `{name: fly, args: {}}`, "there is no tool"},
		{"a tool of others", `{name: book, args: {city: Paris}}`, "there is no tool"},
		{"malformed arguments", `{name: weather, malformed: '{"city'}`, "are not JSON"},
		{"missing argument", `{name: weather, args: {}}`, "do not match its schema"},
		{"wrong type", `{name: weather, args: {city: 7}}`, "do not match its schema"},
		{"the tool says no", `{name: weather, args: {city: Atlantis}}`, "no such city"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, fmt.Sprintf(`
rules:
  - when: {turn: 1}
    reply: {calls: [%s]}
  - when: {turn: 2, last_result: %q}
    reply: {text: understood}
`, c.call, c.result))
			r, _ := b.run(agent.Definition{Tools: []string{"weather"}}, "go")
			if a, err := agent.AnswerOf(r); err != nil || a.Text != "understood" {
				t.Errorf("answer %+v, error %v", a, err)
			}
		})
	}
}

func TestStructuredOutput(t *testing.T) {
	schema := json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}`)
	for _, c := range []struct {
		name, script, want string
		reason             string
	}{
		{"right at once", "rules: [{reply: {text: '{\"n\": 7}'}}]", `{"n":7}`, ""},
		{"fenced", "rules: [{reply: {text: \"```json\\n{\\\"n\\\": 7}\\n```\"}}]", `{"n":7}`, ""},
		{"repaired", `
rules:
  - when: {turn: 1}
    reply: {text: seven}
  - when: {turn: 2, last_user: does not match}
    reply: {text: '{"n": 7}'}
`, `{"n":7}`, ""},
		{"never right", "rules: [{reply: {text: '{\"n\": \"seven\"}'}}]", "", agent.StopOutput},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.script)
			r, entries := b.run(agent.Definition{Output: schema}, "a number")
			if c.reason != "" {
				if r.Error == nil || r.Error.Reason != c.reason || len(steps(entries)) != 3 {
					t.Errorf("the run is %s with %+v after %v", r.Status, r.Error, steps(entries))
				}
				return
			}
			a, err := agent.AnswerOf(r)
			if err != nil || string(a.Value) != c.want {
				t.Errorf("value %s, want %s, error %v", a.Value, c.want, err)
			}
		})
	}
}

func TestModelFaultsAreRetried(t *testing.T) {
	b := newBench(t, `
rules:
  - error: {status: 429, retry_after: 10ms, times: 2}
    reply: {text: here I am}
`)
	r, entries := b.run(agent.Definition{}, "hello")
	if a, err := agent.AnswerOf(r); err != nil || a.Text != "here I am" {
		t.Fatalf("answer %+v, error %v", a, err)
	}
	last := entries[len(entries)-2]
	if last.Kind != durable.EntryDone || last.Attempt != 3 {
		t.Errorf("the model step ended as %s at attempt %d", last.Kind, last.Attempt)
	}
}

// TestJournalIsLinear checks that a long conversation is not written again and
// again: the entries of its steps do not grow.
func TestJournalIsLinear(t *testing.T) {
	b := newBench(t, `
rules:
  - when: {turn: "..30"}
    reply: {calls: [{name: long, args: {}}, {name: weather, args: {city: "city ${turn}"}}]}
  - reply: {text: done}
`)
	r, entries := b.run(agent.Definition{Tools: []string{"long", "weather"}}, "go")
	if r.Status != durable.Succeeded {
		t.Fatal(r.Status, r.Error)
	}
	most, segments := 0, 0
	for _, e := range entries {
		most = max(most, len(e.Input)+len(e.Output))
		if e.Kind == durable.EntryContinued {
			segments++
		}
		if e.InputRef != nil || e.OutputRef != nil {
			t.Errorf("entry %d holds a large value", e.Seq)
		}
	}
	if most > 2000 || segments == 0 {
		t.Errorf("the largest entry has %d bytes of values, %d new segments", most, segments)
	}
}

// TestCrashEverywhere kills an agent's run at every commit, before and after it
// lands. The answer and the number of bookings must not change.
func TestCrashEverywhere(t *testing.T) {
	calm := newBench(t, travel)
	e, s := calm.open(0, false)
	want := calm.play(e)
	calm.close(e, s)
	points := 0
	for _, after := range []bool{false, true} {
		for at := 1; at <= s.Commits(); at++ {
			points++
			b := newBench(t, travel)
			for _, fault := range []int{at, 0} {
				e, s := b.open(fault, after)
				got := b.play(e)
				if fault == 0 && got != want {
					t.Errorf("commit %d, after=%v: %q, want %q", at, after, got, want)
				}
				b.close(e, s)
			}
			if n := b.book.Load(); n > 1 {
				t.Errorf("commit %d, after=%v: %d bookings", at, after, n)
			}
		}
	}
	t.Logf("%d crash points: every commit of an agent, before and after", points)
}

// play brings the travel agent as far as it gets; a step in doubt is looked at and
// resolved as done. It returns the answer, or "" after a crash.
func (b *bench) play(e *embedded.Engine) string {
	b.t.Helper()
	req, err := agent.Start(agent.Definition{Name: "tester", Model: "script/test", Tools: []string{"weather", "book"}}, "Where to?")
	if err != nil {
		b.t.Fatal(err)
	}
	req.ID = "trip"
	if _, err := e.Start(b.t.Context(), req); err != nil && !errors.Is(err, durable.ErrConflict) {
		return ""
	}
	var since time.Time
	for {
		r, err := e.Settle(b.t.Context(), req.ID, since)
		if err != nil {
			return ""
		}
		if r.Status != durable.Waiting {
			a, err := agent.AnswerOf(r)
			if err != nil {
				b.t.Error(err)
			}
			return a.Text
		}
		since = r.Updated
		for _, w := range r.Waits {
			if w.Kind == durable.WaitInDoubt {
				_ = e.Resolve(b.t.Context(), req.ID, w.Command, durable.Resolution{Done: json.RawMessage(`{"content":"booked Paris"}`)})
			}
		}
	}
}
