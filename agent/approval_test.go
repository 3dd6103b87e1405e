package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/tool"
)

// wishes has a model that asks for two bookings and the weather at once.
const wishes = `
rules:
  - when: {turn: 1}
    reply:
      calls:
        - {name: book, args: {city: Paris}}
        - {name: weather, args: {city: Rome}}
        - {name: book, args: {city: Rome}}
  - when: {turn: 2}
    reply: {text: done}
`

// asking starts an agent whose bookings a person decides on.
func (b *bench) asking(t *testing.T, e *embedded.Engine, a agent.Approval) durable.RunID {
	t.Helper()
	req, err := agent.Start(agent.Definition{
		Name: "tester", Model: "script/test", Tools: []string{"*"}, Permissions: tool.Policy{Ask: []string{"book"}, Allow: []string{"*"}}, Approval: a,
	}, "Where to?")
	if err != nil {
		t.Fatal(err)
	}
	id, err := e.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// questions waits until a run rests and returns what it asks, in the order of what that is about.
func questions(t *testing.T, e *embedded.Engine, id durable.RunID, since time.Time) (durable.Run, []durable.Interrupt) {
	t.Helper()
	r, err := e.Settle(t.Context(), id, since)
	if err != nil {
		t.Fatal(err)
	}
	var all []durable.Interrupt
	for _, w := range r.Waits {
		if w.Kind == durable.WaitAnswer {
			all = append(all, *w.Interrupt)
		}
	}
	slices.SortFunc(all, func(a, b durable.Interrupt) int { return strings.Compare(string(a.Value), string(b.Value)) })
	return r, all
}

func decide(t *testing.T, e *embedded.Engine, id durable.RunID, i durable.Interrupt, d durable.Decision) error {
	t.Helper()
	value, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Reply(t.Context(), id, durable.Reply{Interrupt: i.ID, Value: value, Digest: i.Digest})
	return err
}

// results are what the model was told of its calls, in their order.
func results(t *testing.T, e *embedded.Engine, id durable.RunID) []string {
	t.Helper()
	entries, err := e.Journal().All(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for i := range entries {
		if entries[i].Kind != durable.EntryDone || entries[i].Name != "model" {
			continue
		}
		if err := e.Journal().Load(t.Context(), &entries[i]); err != nil {
			t.Fatal(err)
		}
		var in struct {
			Say []struct {
				Parts []struct {
					Text   string `json:"text"`
					Result *struct {
						Content string `json:"content"`
					} `json:"result"`
				} `json:"parts"`
			} `json:"say"`
		}
		if err := json.Unmarshal(entries[i].Input, &in); err != nil {
			t.Fatal(err)
		}
		told = nil
		for _, m := range in.Say {
			for _, p := range m.Parts {
				if p.Result != nil {
					told = append(told, p.Result.Content)
				} else {
					told = append(told, p.Text)
				}
			}
		}
	}
	return told
}

// TestApproval: calls that a person decides on hold up no others; each decision does what it
// says, whichever comes first, also in another process.
func TestApproval(t *testing.T) {
	for _, x := range []struct {
		name          string
		first, second durable.Decision // on the bookings of Paris and Rome
		booked        int64
		told          []string
	}{
		{"accept", durable.Decision{Action: durable.Accept}, durable.Decision{Action: durable.Accept}, 2, []string{"booked Paris", "sunny in Rome", "booked Rome"}},
		{
			"reject and edit",
			durable.Decision{Action: durable.Reject, Reason: "too dear"},
			durable.Decision{Action: durable.Edit, Args: json.RawMessage(`{"city":"Oslo"}`)},
			1,
			[]string{"a person rejected the call: too dear", "sunny in Rome", "booked Oslo", `A person changed the arguments of book to {"city":"Oslo"}.`},
		},
		{
			"respond",
			durable.Decision{Action: durable.Respond, Text: "I did it myself"},
			durable.Decision{Action: durable.Reject},
			0,
			[]string{"I did it myself", "sunny in Rome", "a person rejected the call: no reason was given"},
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := newBench(t, wishes)
			e, s := b.open(0, false)
			id := b.asking(t, e, agent.Approval{To: []string{"ann"}})
			r, open := questions(t, e, id, time.Time{})
			if len(open) != 2 || b.calls.Load() != 1 {
				t.Fatalf("%d questions, %d calls of weather", len(open), b.calls.Load())
			}
			if want := `{"agent":"tester","tool":"book","args":{"city":"Paris"}}`; string(open[0].Value) != want || open[0].Kind != agent.ApprovalKind || open[0].To[0] != "ann" {
				t.Errorf("it asks %s of %s to %s", open[0].Value, open[0].Kind, open[0].To)
			}
			if err := decide(t, e, id, open[1], x.second); err != nil {
				t.Fatal(err)
			}
			_, left := questions(t, e, id, r.Updated)
			if len(left) != 1 || left[0].ID != open[0].ID {
				t.Fatalf("after one decision it asks %+v", left)
			}
			b.close(e, s)
			e, s = b.open(0, false)
			defer b.close(e, s)
			if err := decide(t, e, id, open[0], x.first); err != nil {
				t.Fatal(err)
			}
			if err := decide(t, e, id, open[0], x.second); !errors.Is(err, durable.ErrConflict) {
				t.Errorf("a second decision: %v", err)
			}
			if r, err := e.Wait(t.Context(), id); err != nil || r.Status != durable.Succeeded {
				t.Fatalf("%v: %+v", err, r)
			}
			if b.book.Load() != x.booked {
				t.Errorf("%d bookings, want %d", b.book.Load(), x.booked)
			}
			if got := results(t, e, id); strings.Join(got, "|") != strings.Join(x.told, "|") {
				t.Errorf("the model was told %q, want %q", got, x.told)
			}
		})
	}
}

// TestApprovalRefuses: a decision that does not fit is refused and nothing happens.
func TestApprovalRefuses(t *testing.T) {
	b := newBench(t, wishes)
	e, s := b.open(0, false)
	defer b.close(e, s)
	id := b.asking(t, e, agent.Approval{})
	_, open := questions(t, e, id, time.Time{})
	for name, d := range map[string]durable.Decision{
		"no action": {}, "unknown": {Action: "maybe"}, "edit without arguments": {Action: durable.Edit},
		"wrong arguments": {Action: durable.Edit, Args: json.RawMessage(`{"city":7}`)}, "more arguments": {Action: durable.Edit, Args: json.RawMessage(`{"city":"Oslo","x":1}`)},
	} {
		if err := decide(t, e, id, open[0], d); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	changed := open[0]
	changed.Digest = agent.DigestOf(agent.Wish{Agent: "tester", Tool: "book", Args: json.RawMessage(`{"city":"Rome"}`)}, durable.Ref{})
	if err := decide(t, e, id, changed, durable.Decision{Action: durable.Accept}); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("another digest: %v", err)
	}
	if b.book.Load() != 0 {
		t.Error("it was booked")
	}
}

// TestDigest: it is another for arguments that are not the same, and the same for those that are.
func TestDigest(t *testing.T) {
	of := func(args string) string {
		return agent.DigestOf(agent.Wish{Tool: "pay", Args: json.RawMessage(args)}, durable.Ref{})
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[2]}`, `{"b":[2.0],"a":1e0}`, true},
		{`{"id":9007199254740993}`, `{"id":9007199254740992}`, false},
		{`{"id":123456789012345678901}`, `{"id":123456789012345678902}`, false},
		{`{"id":0.10000000000000000001}`, `{"id":0.10000000000000000002}`, false},
		{`{"id":1e999}`, `{"id":1e998}`, false},
		{`{"id":"1"}`, `{"id":1}`, false},
	} {
		if (of(c.a) == of(c.b)) != c.same {
			t.Errorf("%s and %s: same digest %t, want %t", c.a, c.b, !c.same, c.same)
		}
	}
}

// TestDigestOfFound: an approval is of a tool as its source had it.
func TestDigestOfFound(t *testing.T) {
	digests := map[string]bool{}
	for _, config := range []string{`"one"`, `"another"`, `"one"`} {
		b := newBench(t, `
rules:
  - when: {turn: 1}
    reply: {calls: [{name: stall/x}]}
  - when: {turn: 2}
    reply: {text: done}
`, func(cfg *agent.Config) {
			cfg.Sources = map[string]tool.Source{"shop": func(context.Context, tool.Declaration) ([]tool.Declaration, error) {
				return []tool.Declaration{{Name: "stall/x", Kind: "shop", Config: json.RawMessage(config)}}, nil
			}}
			cfg.Makers = map[string]tool.Maker{"shop": func(d tool.Declaration) (tool.Tool, error) {
				return tool.Func(d.Name, "", func(context.Context, struct{}) (string, error) { return "", nil }), nil
			}}
		})
		e, s := b.open(0, false)
		req, err := agent.Start(agent.Definition{
			Name: "tester", Model: "script/test", Tools: []string{"stall/*"}, Declared: []tool.Declaration{{Name: "stall", Kind: "shop"}}, Permissions: tool.Policy{Default: tool.Ask},
		}, "go")
		if err != nil {
			t.Fatal(err)
		}
		id, err := e.Start(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		_, open := questions(t, e, id, time.Time{})
		digests[open[0].Digest] = true
		b.close(e, s)
	}
	if len(digests) != 2 {
		t.Errorf("%d digests of two declarations", len(digests))
	}
}

// TestApprovalForTheRun: who accepts for the whole run is not asked again.
func TestApprovalForTheRun(t *testing.T) {
	b := newBench(t, `
rules:
  - when: {turn: 1}
    reply: {calls: [{name: book, args: {city: Paris}}]}
  - when: {turn: 2}
    reply: {calls: [{name: book, args: {city: Rome}}]}
  - when: {turn: 3}
    reply: {text: done}
`)
	e, s := b.open(0, false)
	defer b.close(e, s)
	id := b.asking(t, e, agent.Approval{})
	_, open := questions(t, e, id, time.Time{})
	if err := decide(t, e, id, open[0], durable.Decision{Action: durable.Accept, Always: durable.ThisRun}); err != nil {
		t.Fatal(err)
	}
	if r, err := e.Wait(t.Context(), id); err != nil || r.Status != durable.Succeeded || b.book.Load() != 2 {
		t.Errorf("%v: the run is %s after %d bookings", err, r.Status, b.book.Load())
	}
}

// TestDenied: what is denied is not asked, and the model is told.
func TestDenied(t *testing.T) {
	b := newBench(t, `
rules:
  - when: {turn: 1}
    reply: {calls: [{name: book, args: {city: Paris}}]}
  - when: {turn: 2, last_result: may not be called}
    reply: {text: sorry}
`)
	r, _ := b.run(agent.Definition{Tools: []string{"*"}, Permissions: tool.Policy{Deny: []string{"boo*"}, Default: tool.Allow}}, "go")
	if a, err := agent.AnswerOf(r); err != nil || a.Text != "sorry" || b.book.Load() != 0 {
		t.Errorf("%v %+v after %d bookings", err, a, b.book.Load())
	}
}

// TestSteer: what is said to an agent at work reaches the model with its next call; said
// after its last one, it is answered too.
func TestSteer(t *testing.T) {
	b := newBench(t, `
rules:
  - when: {turn: 1}
    reply: {calls: [{name: book, args: {city: Paris}}]}
  - when: {turn: 2, contains: rather Rome}
    reply: {text: "as you like"}
`)
	e, s := b.open(0, false)
	defer b.close(e, s)
	id := b.asking(t, e, agent.Approval{})
	_, open := questions(t, e, id, time.Time{})
	if err := e.Signal(t.Context(), id, durable.Signal{Name: agent.SteerSignal, Data: []byte(`"rather Rome"`)}); err != nil {
		t.Fatal(err)
	}
	if err := decide(t, e, id, open[0], durable.Decision{Action: durable.Reject, Reason: "see below"}); err != nil {
		t.Fatal(err)
	}
	r, err := e.Wait(t.Context(), id)
	if a, err2 := agent.AnswerOf(r); err != nil || err2 != nil || a.Text != "as you like" {
		t.Errorf("%v %v: %+v", err, err2, a)
	}
}

// TestApprovalUntil: a call on which nobody decides for days is rejected, or accepted where
// the definition says so, also if the process was away when the time was up.
func TestApprovalUntil(t *testing.T) {
	for _, x := range []struct {
		byDefault durable.Action
		booked    int64
		told      string
	}{{"", 0, "a person rejected the call: nobody answered in time"}, {durable.Accept, 2, "booked Paris"}} {
		b := newBench(t, wishes)
		synctest.Test(t, func(t *testing.T) {
			b.t = t
			e, s := b.open(0, false)
			id := b.asking(t, e, agent.Approval{Within: 72 * time.Hour, Default: x.byDefault})
			if _, open := questions(t, e, id, time.Time{}); len(open) != 2 {
				t.Fatalf("%d questions", len(open))
			}
			time.Sleep(48 * time.Hour)
			b.close(e, s)
			time.Sleep(48 * time.Hour)
			e, s = b.open(0, false)
			defer b.close(e, s)
			r, err := e.Wait(t.Context(), id)
			if err != nil || r.Status != durable.Succeeded || b.book.Load() != x.booked {
				t.Fatalf("%v: the run is %s after %d bookings", err, r.Status, b.book.Load())
			}
			if got := results(t, e, id); len(got) == 0 || got[0] != x.told {
				t.Errorf("the model was told %q", got)
			}
		})
	}
}
