package embedded_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
)

// TestSettled: who asked for it is told of every status in which a run stands still, of the
// children too, once it is what others read, and of none in which it moves.
func TestSettled(t *testing.T) {
	kid := durable.NewProgram("kid", func(ctx durable.Context, ask bool) (string, error) {
		if !ask {
			return "played", nil
		}
		return "", ctx.Ask(durable.Interrupt{ID: "q"}).Get(ctx, nil)
	})
	parent := durable.NewProgram("parent", func(ctx durable.Context, ask bool) (string, error) {
		input := "false"
		if ask {
			input = "true"
		}
		err := ctx.Child(durable.ChildCall{Program: "kid", Input: []byte(input), ID: "kid"}).Get(ctx, nil)
		return "home", err
	})
	ends := durable.NewProgram("ends", func(_ durable.Context, how string) (string, error) {
		switch how {
		case "fail":
			return "", durable.Errorf(durable.CodeInvalid, "no")
		case "block":
			return "", durable.Block(errors.New("a key is missing"))
		}
		return how, nil
	})
	tests := []struct {
		name, program, input string
		do                   func(context.Context, *embedded.Engine) error
		want                 string
	}{
		{name: "succeed", program: "ends", input: `"done"`, want: "r:succeeded"},
		{name: "fail", program: "ends", input: `"fail"`, want: "r:failed"},
		{name: "block", program: "ends", input: `"block"`, want: "r:blocked"},
		{name: "a child ends", program: "parent", input: "false", want: "kid:succeeded r:waiting r:succeeded"},
		{
			name: "a family is killed", program: "parent", input: "true", want: "kid:waiting r:waiting kid:killed r:killed",
			do: func(ctx context.Context, e *embedded.Engine) error { return e.Kill(ctx, "r", "now") },
		},
		{
			name: "a family is canceled", program: "parent", input: "true", want: "kid:waiting r:waiting kid:canceled r:canceled",
			do: func(ctx context.Context, e *embedded.Engine) error { return e.Cancel(ctx, "r", "enough") },
		},
		{
			name: "a family is paused and resumed", program: "parent", input: "true",
			want: "kid:waiting r:waiting kid:paused r:paused kid:waiting r:waiting",
			do: func(ctx context.Context, e *embedded.Engine) error {
				if err := errors.Join(e.Pause(ctx, "r", ""), e.Pause(ctx, "r", "")); err != nil {
					return err
				}
				time.Sleep(time.Second)
				return e.Resume(ctx, "r")
			},
		},
		{
			name: "a run is answered", program: "kid", input: "true", want: "r:waiting r:succeeded",
			do: func(ctx context.Context, e *embedded.Engine) error { return e.Answer(ctx, "r", "q", []byte(`"yes"`)) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var seen []durable.Run
				s := openStore(t, dir)
				e, err := embedded.New(t.Context(), embedded.Config{
					Store: s, Programs: []durable.Program{kid, parent, ends},
					Settled: func(r durable.Run) {
						stored, err := s.Run(t.Context(), r.ID) // reads beside the writer
						if err != nil || stored.Updated.Before(r.Updated) {
							t.Errorf("told of run %s (%s) before it is durable: %v", r.ID, r.Status, err)
						}
						mu.Lock()
						defer mu.Unlock()
						seen = append(seen, r)
					},
				})
				must(t, err)
				_, err = e.Start(t.Context(), durable.StartRequest{ID: "r", Program: tt.program, Input: []byte(tt.input)})
				must(t, err)
				synctest.Wait()
				if tt.do != nil {
					time.Sleep(time.Second)
					must(t, tt.do(t.Context(), e))
					synctest.Wait()
				}
				if got := inOrder(seen); got != tt.want {
					t.Errorf("told of %s; want %s", got, tt.want)
				}
				for _, r := range seen {
					if r.Status == durable.Succeeded && r.Output == nil || (r.Status == durable.Failed) && r.Error == nil {
						t.Errorf("%s came with output %s, error %v", r.Status, r.Output, r.Error)
					}
				}
				closeEngine(t, e, s)
			})
		})
	}
}

// inOrder writes down who came to stand still how: those of one moment by their names.
func inOrder(seen []durable.Run) string {
	slices.SortStableFunc(seen, func(a, b durable.Run) int {
		if a.Updated.Equal(b.Updated) {
			return strings.Compare(string(a.ID), string(b.ID))
		}
		return a.Updated.Compare(b.Updated)
	})
	words := make([]string, len(seen))
	for i, r := range seen {
		words[i] = string(r.ID) + ":" + string(r.Status)
	}
	return strings.Join(words, " ")
}

// TestRunIDOf: the same time and reason make the same ID, in the form and the order of others.
func TestRunIDOf(t *testing.T) {
	now := time.Now()
	a, again, other := embedded.RunIDOf(now, [5]byte{1}), embedded.RunIDOf(now, [5]byte{1}), embedded.RunIDOf(now, [5]byte{2})
	if a != again || a == other {
		t.Errorf("IDs of one reason: %s, %s; of another: %s", a, again, other)
	}
	if len(a) != len(embedded.NewRunID(now)) || a[:8] != embedded.NewRunID(now)[:8] {
		t.Errorf("%s has not the form of %s", a, embedded.NewRunID(now))
	}
	mine := embedded.NewRunID(now)
	if one := embedded.Sibling(mine, 1); one != embedded.Sibling(mine, 1) || one == embedded.Sibling(mine, 2) || len(one) != len(mine) || one[:8] != mine[:8] {
		t.Errorf("the siblings of %s: %s, %s", mine, one, embedded.Sibling(mine, 2))
	}
	if later := embedded.RunIDOf(now.Add(time.Second), [5]byte{}); later <= other {
		t.Errorf("%s, a second later, does not come behind %s", later, other)
	}
}
