package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/store"
)

// speaker streams words, and stops before the last one until it is let go.
type speaker struct {
	say     durable.Func[int, int]
	hold    chan struct{}
	reached chan struct{} // closed before it stops
}

func newSpeaker() *speaker {
	s := &speaker{hold: make(chan struct{}), reached: make(chan struct{})}
	s.say = durable.NewFunc("say", durable.StepOptions{Effect: durable.Read}, func(ctx context.Context, words int) (int, error) {
		for n := range words {
			if n == words-1 {
				close(s.reached)
				select {
				case <-s.hold:
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			}
			durable.AttemptOf(ctx).Emit("text", json.RawMessage(`"word"`))
		}
		return words, nil
	})
	return s
}

func (s *speaker) program() durable.Program {
	return durable.NewProgram("p", func(ctx durable.Context, words int) (int, error) {
		return durable.Do(ctx, s.say, words)
	}, s.say.StepFunc)
}

func keeping(t *testing.T, s store.Store, p durable.Program) *embedded.Engine {
	t.Helper()
	e, err := embedded.New(t.Context(), embedded.Config{Store: s, Programs: []durable.Program{p}, KeepDeltas: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// streamed takes n items behind a cursor, or all when n is 0, and returns the kinds and the
// cursor behind them.
func streamed(t *testing.T, e *embedded.Engine, id durable.RunID, after event.Cursor, n int) ([]string, event.Cursor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var kinds []string
	for item, err := range e.Feed().Watch(ctx, id, after) {
		if err != nil {
			t.Fatalf("behind %v: %v", kinds, err)
		}
		after = item.Cursor
		if item.Delta != nil {
			kinds = append(kinds, item.Delta.Kind)
		} else {
			kinds = append(kinds, string(item.Event.Kind))
		}
		if len(kinds) == n {
			break
		}
	}
	return kinds, after
}

// TestStreamOverClose: who has seen a part of an attempt gets, from the next process, a reset
// and all of the next one, also when the first process was closed gently and nobody watched
// when the attempt began.
func TestStreamOverClose(t *testing.T) {
	dir := t.TempDir()
	first := newSpeaker()
	s := openStore(t, dir)
	e := keeping(t, s, first.program())
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p", Input: json.RawMessage(`4`)})
	if err != nil {
		t.Fatal(err)
	}
	got, cursor := streamed(t, e, id, event.After(-1), 4)
	if diff := cmp.Diff([]string{"started", "begun", "text", "text"}, got); diff != "" {
		t.Errorf("first process: -want +got\n%s", diff)
	}
	if err := errors.Join(e.Close(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	second := newSpeaker()
	close(second.hold)
	s = openStore(t, dir)
	e = keeping(t, s, second.program())
	defer closeEngine(t, e, s)
	waitFor(t, e, id)
	got, _ = streamed(t, e, id, cursor, 0)
	if diff := cmp.Diff([]string{"reset", "begun", "text", "text", "text", "text", "done", "ended"}, got); diff != "" {
		t.Errorf("second process: -want +got\n%s", diff)
	}
	if cursor.Epoch == 0 || cursor.Delta == 0 {
		t.Errorf("the cursor was %s", cursor)
	}
}

// TestStreamWithoutKeep: an attempt that nobody watched when it began says so.
func TestStreamWithoutKeep(t *testing.T) {
	sp := newSpeaker()
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, sp.program())
	defer closeEngine(t, e, s)
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p", Input: json.RawMessage(`2`)})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-sp.reached:
	case <-time.After(30 * time.Second):
		t.Fatal("the step does not begin")
	}
	watch := e.Feed().Watch(t.Context(), id, event.After(-1))
	close(sp.hold)
	var got []string
	for item, err := range watch {
		if err != nil {
			t.Fatal(err)
		}
		if item.Delta != nil {
			got = append(got, item.Delta.Kind)
		}
	}
	if diff := cmp.Diff([]string{"reset", "text"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
