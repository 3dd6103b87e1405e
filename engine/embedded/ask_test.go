package embedded_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
)

// asker puts one question and returns what it was told, or why it was told nothing.
func asker(i durable.Interrupt) durable.Program {
	return durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		var answer json.RawMessage
		err := ctx.Ask(i).Get(ctx, &answer)
		return string(answer), err
	})
}

// asked opens an engine with a run that waits for an answer, does something, and closes it
// in the middle so that nothing depends on what is in memory.
func asked(t *testing.T, i durable.Interrupt, do, then func(*testing.T, *embedded.Engine)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir)
		e := openEngine(t, s, asker(i))
		_, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"})
		must(t, err)
		synctest.Wait()
		do(t, e)
		closeEngine(t, e, s)
		s = openStore(t, dir)
		e = openEngine(t, s, asker(i))
		synctest.Wait()
		then(t, e)
		closeEngine(t, e, s)
	})
}

func say(t *testing.T, e *embedded.Engine, by, value string) error {
	t.Helper()
	return replied(e.Reply(t.Context(), "r", durable.Reply{Interrupt: "q", By: by, Value: json.RawMessage(value)}))
}

// replied is the error of a reply.
func replied(_ bool, err error) error { return err }

func outputIs(t *testing.T, e *embedded.Engine, want string) {
	t.Helper()
	r, err := e.Wait(t.Context(), "r")
	must(t, err)
	var got string
	if err := json.Unmarshal(r.Output, &got); err != nil || got != want {
		t.Errorf("the run is %s with %s (%v); want %s", r.Status, r.Output, r.Error, want)
	}
}

func refused(t *testing.T, err, kind error, words string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v; want %v with %q", err, kind, words)
	}
}

func TestAskUntil(t *testing.T) {
	for _, x := range []struct {
		name, answer, want string
		byDefault          json.RawMessage
	}{
		{name: "default", byDefault: json.RawMessage(`"no"`), want: `"no"`},
		{name: "answered in time", byDefault: json.RawMessage(`"no"`), answer: `"yes"`, want: `"yes"`},
		{name: "no default"},
	} {
		t.Run(x.name, func(t *testing.T) {
			i := durable.Interrupt{ID: "q", Prompt: "well?", Within: 3 * day, Default: x.byDefault}
			asked(t, i, func(t *testing.T, e *embedded.Engine) {
				r := statusIs(t, e, "r", durable.Waiting)
				if until := r.Waits[0].Until; time.Until(until) != 3*day {
					t.Errorf("it waits until %s", until)
				}
				time.Sleep(2 * day)
			}, func(t *testing.T, e *embedded.Engine) {
				statusIs(t, e, "r", durable.Waiting)
				if x.answer != "" {
					must(t, say(t, e, "", x.answer))
				}
				if x.want != "" {
					outputIs(t, e, x.want)
				} else if r, err := e.Wait(t.Context(), "r"); err != nil || r.Status != durable.Failed || r.Error.Code != durable.CodeExhausted || r.Error.Reason != "unanswered" {
					t.Errorf("the run is %s: %+v", r.Status, r.Error)
				}
			})
		})
	}
}

func TestAskEscalates(t *testing.T) {
	i := durable.Interrupt{
		ID: "q", Prompt: "well?", To: []string{"ann"}, Within: 10 * time.Hour, Default: json.RawMessage(`"late"`),
		Escalate: []durable.Escalation{{After: time.Hour, To: []string{"bob"}}, {After: 4 * time.Hour, To: []string{"eve", "sue"}}},
	}
	to := func(t *testing.T, e *embedded.Engine, want ...string) {
		t.Helper()
		synctest.Wait()
		if got := statusIs(t, e, "r", durable.Waiting).Waits[0].Interrupt.To; !slices.Equal(got, want) {
			t.Errorf("it is put to %q, want %q", got, want)
		}
	}
	asked(t, i, func(t *testing.T, e *embedded.Engine) {
		to(t, e, "ann")
		time.Sleep(2 * time.Hour)
		to(t, e, "ann", "bob")
	}, func(t *testing.T, e *embedded.Engine) {
		to(t, e, "ann", "bob")
		time.Sleep(3 * time.Hour)
		to(t, e, "ann", "bob", "eve", "sue")
		outputIs(t, e, `"late"`)
	})
}

func TestAskQuorum(t *testing.T) {
	i := durable.Interrupt{ID: "q", Prompt: "well?", Quorum: 2}
	t.Run("two agree", func(t *testing.T) {
		asked(t, i, func(t *testing.T, e *embedded.Engine) {
			refused(t, say(t, e, "", `1`), durable.ErrInvalid, "say who you are")
			must(t, say(t, e, "ann", `{"a":1,"b":2}`))
		}, func(t *testing.T, e *embedded.Engine) {
			refused(t, say(t, e, "ann", `{"a":1,"b":2}`), durable.ErrConflict, "ann has answered")
			must(t, say(t, e, "bob", `{"a":2}`))
			statusIs(t, e, "r", durable.Waiting)
			must(t, say(t, e, "sue", `{"b":2,"a":1}`))
			outputIs(t, e, `{"b":2,"a":1}`)
		})
	})
	t.Run("one rejects", func(t *testing.T) {
		asked(t, i, func(t *testing.T, e *embedded.Engine) {
			must(t, say(t, e, "ann", `{"action":"accept"}`))
		}, func(t *testing.T, e *embedded.Engine) {
			must(t, say(t, e, "bob", `{"action":"reject"}`))
			outputIs(t, e, `{"action":"reject"}`)
		})
	})
}

// TestReplyRefused: what does not fit is refused and changes nothing; the first answer wins,
// and who comes second is told who was first.
func TestReplyRefused(t *testing.T) {
	i := durable.Interrupt{
		ID: "q", Prompt: "well?", Digest: "d1", Schema: json.RawMessage(`{"type":"object","properties":{"approve":{"type":"boolean"}},"required":["approve"]}`),
	}
	asked(t, i, func(t *testing.T, e *embedded.Engine) {
		refused(t, say(t, e, "ann", `{"approve":"maybe"}`), durable.ErrInvalid, "does not match")
		refused(t, say(t, e, "ann", `{`), durable.ErrInvalid, "not JSON")
		_, err := e.Reply(t.Context(), "r", durable.Reply{Value: json.RawMessage(`{"approve":true}`), Digest: "d0"})
		refused(t, err, durable.ErrConflict, "something else now")
		refused(t, replied(e.Reply(t.Context(), "r", durable.Reply{Interrupt: "x", Value: json.RawMessage(`1`)})), durable.ErrNotFound, "open: q")
		statusIs(t, e, "r", durable.Waiting)
	}, func(t *testing.T, e *embedded.Engine) {
		must(t, e.Pause(t.Context(), "r", ""))
		must(t, replied(e.Reply(t.Context(), "r", durable.Reply{Value: json.RawMessage(`{"approve":true}`), Digest: "d1", By: "ann"})))
		refused(t, say(t, e, "bob", `{"approve":false}`), durable.ErrConflict, "answered before by ann")
		must(t, e.Resume(t.Context(), "r"))
		outputIs(t, e, `{"approve":true}`)
	})
}
