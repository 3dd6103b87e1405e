package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/tool"
)

// bookings has a model that books what it is told to, once a turn of the thread.
const bookings = `
rules:
  - when: {last_tool: book}
    reply: {text: done}
  - when: {last_user: Paris}
    reply: {calls: [{name: book, args: {city: Paris}}]}
  - when: {last_user: Rome}
    reply: {calls: [{name: book, args: {city: Rome}}]}
`

// TestThreadCrashEverywhere kills a thread with two turns, the second of which waits for the
// first, and each for a person, at every commit. What is said in the end is the same, and
// nothing is booked twice.
func TestThreadCrashEverywhere(t *testing.T) {
	calm := newBench(t, bookings)
	e, s := calm.open(0, false)
	want := calm.converse(t, e)
	calm.close(e, s)
	if want != "2 turns, 8 messages" || calm.book.Load() != 2 {
		t.Fatalf("without a crash: %s, %d bookings", want, calm.book.Load())
	}
	points := 0
	for _, after := range []bool{false, true} {
		for at := 1; at <= s.Commits(); at++ {
			points++
			b := newBench(t, bookings)
			for _, fault := range []int{at, 0} {
				e, s := b.open(fault, after)
				got := b.converse(t, e)
				if fault == 0 && got != want {
					t.Errorf("commit %d, after=%v: %q, want %q", at, after, got, want)
				}
				b.close(e, s)
			}
			if n := b.book.Load(); n > 2 {
				t.Errorf("commit %d, after=%v: %d bookings", at, after, n)
			}
		}
	}
	t.Logf("%d crash points: every commit of a thread, before and after", points)
}

// converse brings the thread as far as it gets; every booking is accepted, and one in doubt
// is looked at and resolved as done. It returns what came of it, or "" after a crash.
func (b *bench) converse(t *testing.T, e *embedded.Engine) string {
	t.Helper()
	req, err := agent.StartThread(agent.Conversation{Title: "trips"}, "trips")
	if err != nil {
		t.Fatal(err)
	}
	req.ID = "talk"
	if _, err := e.Start(t.Context(), req); err != nil && !errors.Is(err, durable.ErrConflict) {
		return ""
	}
	definition, err := json.Marshal(agent.Definition{Name: "tester", Model: "script/test", Tools: []string{"book"}, Permissions: tool.Policy{Ask: []string{"book"}}})
	if err != nil {
		t.Fatal(err)
	}
	for id, text := range map[durable.RunID]string{"turn1": "Paris", "turn2": "Rome"} {
		if _, err := e.Get(t.Context(), id); err == nil {
			continue // it is there already
		}
		data, err := json.Marshal(agent.Turn{Run: id, Definition: definition, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		if e.Signal(t.Context(), "talk", durable.Signal{Name: agent.TurnSignal, Data: data}) != nil {
			return ""
		}
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		ended := 0
		for _, id := range []durable.RunID{"turn1", "turn2"} {
			r, err := e.Get(t.Context(), id)
			switch {
			case errors.Is(err, durable.ErrNotFound) && e.Ready() != nil, err != nil && e.Ready() != nil:
				return ""
			case err != nil:
			case r.Status.Final():
				ended++
			default:
				b.attend(t, e, r)
			}
		}
		if text := told(t, e); ended == 2 && text != "" {
			return text
		}
		if e.Ready() != nil {
			return ""
		}
	}
	t.Error("the thread does not come to its end")
	return ""
}

// attend does what a run that waits needs of a person.
func (b *bench) attend(t *testing.T, e *embedded.Engine, r durable.Run) {
	t.Helper()
	for _, w := range r.Waits {
		switch w.Kind {
		case durable.WaitAnswer:
			_ = decide(t, e, r.ID, *w.Interrupt, durable.Decision{Action: durable.Accept})
		case durable.WaitInDoubt:
			_ = e.Resolve(t.Context(), r.ID, w.Command, durable.Resolution{Done: json.RawMessage(`{"content":"booked"}`)})
		default:
		}
	}
}

// told is what the thread has come to, once both turns are taken in.
func told(t *testing.T, e *embedded.Engine) string {
	t.Helper()
	entries, err := e.Journal().All(t.Context(), "talk", 0)
	if err != nil {
		return ""
	}
	var c agent.Conversation
	good := 0
	for i := range entries {
		if e.Journal().Load(t.Context(), &entries[i]) != nil || c.See(&entries[i]) != nil {
			t.Errorf("entry %d cannot be read", i)
		}
		if entries[i].Kind == durable.EntryChildDone && entries[i].Error == nil {
			good++
		}
	}
	if good < 2 {
		return ""
	}
	return fmt.Sprintf("%d turns, %d messages", good, c.Thread.Messages)
}
