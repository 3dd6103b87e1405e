package durable_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
)

// diary notes what steps were called with, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
	note  durable.Func[string, string]
}

func newDiary() *diary {
	d := &diary{}
	d.note = durable.NewFunc("note", durable.StepOptions{Retry: durable.Retry{Attempts: 1}}, func(_ context.Context, line string) (string, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lines = append(d.lines, line)
		if strings.HasSuffix(line, "!") {
			return "", &durable.Error{Code: durable.CodeDenied, Reason: "loud", Err: errors.New(line)}
		}
		return line, nil
	})
	return d
}

func (d *diary) undo(line string) func(durable.Context) error {
	return func(ctx durable.Context) error {
		_, err := durable.Do(ctx, d.note, "undo "+line)
		return err
	}
}

// trip notes each word and undoes all of it when one fails; at "wait" it waits an hour.
func (d *diary) trip(ctx durable.Context, words []string) (string, error) {
	saga := durable.NewSaga(ctx)
	out := ""
	for _, w := range words {
		var err error
		switch w {
		case "wait":
			err = durable.Sleep(ctx, time.Hour)
		case "block":
			err = durable.Block(errors.New("no key"))
		default:
			_, err = durable.Do(ctx, d.note, w)
		}
		if err != nil {
			return out, saga.Compensate(err)
		}
		saga.Add(w, d.undo(w))
		out += w
	}
	return out, saga.Compensate(nil)
}

func TestSaga(t *testing.T) {
	for _, c := range []struct {
		name, input, message string
		status               durable.Status
		code                 durable.Code
		reason               string
		lines                []string
	}{
		{name: "all went well", input: `["a","b"]`, status: durable.Succeeded, lines: []string{"a", "b"}},
		{
			name: "the last fails", input: `["a","b","c!"]`, status: durable.Failed, code: durable.CodeDenied, reason: "loud",
			message: "c!; compensated b; compensated a", lines: []string{"a", "b", "c!", "undo b", "undo a"},
		},
		{name: "the first fails", input: `["c!","a"]`, status: durable.Failed, code: durable.CodeDenied, reason: "loud", message: "c!", lines: []string{"c!"}},
		{name: "nothing is undone for a block", input: `["a","block"]`, status: durable.Blocked, lines: []string{"a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDiary()
			inEngine(t, func(t *testing.T, e *embedded.Engine) {
				r := runTo(t, e, "trip", c.input, c.status)
				if !slices.Equal(d.lines, c.lines) {
					t.Errorf("did %q, want %q", d.lines, c.lines)
				}
				if c.code != "" && (r.Error.Code != c.code || r.Error.Reason != c.reason || r.Error.Message != c.message) {
					t.Errorf("got %+v", r.Error)
				}
			}, durable.NewProgram("trip", d.trip, d.note.StepFunc))
		})
	}
}

// TestSagaCanceled: after a cancel everything is undone, and the run is canceled.
func TestSagaCanceled(t *testing.T) {
	d := newDiary()
	inEngine(t, func(t *testing.T, e *embedded.Engine) {
		id, err := e.Start(t.Context(), durable.StartRequest{Program: "trip", Input: []byte(`["a","b","wait"]`)})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if err := e.Cancel(t.Context(), id, "enough"); err != nil {
			t.Fatal(err)
		}
		r, err := e.Wait(t.Context(), id)
		if err != nil || r.Status != durable.Canceled || r.Error == nil || r.Error.Message != "canceled; compensated b; compensated a" {
			t.Errorf("the run is %s (%v), error %v", r.Status, r.Error, err)
		}
		if want := []string{"a", "b", "undo b", "undo a"}; !slices.Equal(d.lines, want) {
			t.Errorf("did %q, want %q", d.lines, want)
		}
	}, durable.NewProgram("trip", d.trip, d.note.StepFunc))
}

// TestSagaErrors: the error holds the cause and what went wrong behind it, under the code of the
// cause, and a compensation is called once.
func TestSagaErrors(t *testing.T) {
	d := newDiary()
	cause := &durable.Failure{Code: durable.CodeUnavailable, Reason: "down", Message: "the shop is closed"}
	undo := durable.Errorf(durable.CodeConflict, "sold meanwhile")
	var err, again error
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		s := durable.NewSaga(ctx)
		s.Add("book", d.undo("book"))
		s.Add("hold", func(durable.Context) error { return undo })
		err = s.Compensate(cause)
		again = s.Compensate(cause)
		return 0, nil
	}, d.note.StepFunc)
	inEngine(t, func(t *testing.T, e *embedded.Engine) { runTo(t, e, "p", "", durable.Succeeded) }, p)
	if !errors.Is(err, error(cause)) || !errors.Is(err, error(undo)) || durable.CodeOf(err) != durable.CodeUnavailable || durable.FailureOf(err).Reason != "down" {
		t.Errorf("got %v with code %s", err, durable.CodeOf(err))
	}
	if want := "the shop is closed; compensate hold: sold meanwhile; compensated book"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if again.Error() != cause.Message || !slices.Equal(d.lines, []string{"undo book"}) {
		t.Errorf("a second time it came to %v, with %q", again, d.lines)
	}
}
