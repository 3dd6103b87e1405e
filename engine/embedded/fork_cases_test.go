package embedded_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
)

const base = durable.RunID("base")

type forkCase struct {
	name    string
	program forkProgram
	world   *realm // gates and failures of the base; nil = none
	drive   func(t *testing.T, e *embedded.Engine, w *realm)
	req     embedded.ForkRequest
	fork    func(t *testing.T, e *embedded.Engine, id durable.RunID) // what the fork needs to come to its end

	journal []string // of the fork
	shared  int64
	runs    map[string]int // effects of the fork
	output  string
	repeats []string
	segment int
	races   bool // the order of what comes behind the cut is left to chance
}

// order sorts what a fork adds where that is left to chance.
func (c *forkCase) order(journal []string) []string {
	if i := slices.IndexFunc(journal, func(s string) bool { return strings.HasPrefix(s, "forked") }); c.races && i >= 0 {
		journal = slices.Clone(journal)
		slices.Sort(journal[i+1:])
	}
	return journal
}

func forkCases() []forkCase {
	answer := func(who durable.RunID, what string) func(t *testing.T, e *embedded.Engine, id durable.RunID) {
		return func(t *testing.T, e *embedded.Engine, id durable.RunID) {
			if who != "" {
				id = who
			}
			if err := e.Answer(t.Context(), id, "", text(what)); err != nil {
				t.Error(err)
			}
		}
	}
	row := func(ctx durable.Context, w *realm, _ string) (string, error) { return w.a(ctx, "a", "b", "c") }
	atOnce := func(ctx durable.Context, w *realm, _ string) (string, error) {
		a, b, c := durable.StartAs(ctx, "a", w.do(), "a"), durable.StartAs(ctx, "pay", w.pay(), "pay"), durable.StartAs(ctx, "c", w.do(), "c")
		return "all", errors.Join(a.Get(ctx, nil), b.Get(ctx, nil), c.Get(ctx, nil))
	}
	gates := func(names ...string) *realm {
		w := &realm{gates: map[string]chan struct{}{}}
		for _, n := range names {
			w.gates[n] = make(chan struct{})
		}
		return w
	}
	// c ends first, then a, then pay.
	inTurn := func(t *testing.T, e *embedded.Engine, w *realm) {
		until(t, e, base, "started p", "intent pay", "done c")
		close(w.gates["a"])
		until(t, e, base, "done c", "done a")
		close(w.gates["pay"])
	}
	return []forkCase{
		{
			name: "in a row", program: row, req: embedded.ForkRequest{At: id(0, 1)},
			journal: []string{"started p", "done a", "forked b", "done b", "done c", "ended"}, shared: 2,
			runs: map[string]int{"b": 1, "c": 1}, output: "a b! c!", repeats: []string{"b", "c"},
		},
		{
			name: "at the first step", program: row, req: embedded.ForkRequest{At: id(0, 0)},
			journal: []string{"started p", "forked a", "done a", "done b", "done c", "ended"}, shared: 1,
			runs: map[string]int{"a": 1, "b": 1, "c": 1}, output: "a! b! c!", repeats: []string{"a", "b", "c"},
		},
		{
			races: true, name: "what was beside it and done stays done, what was not begins anew", program: atOnce, world: gates("a", "pay"), drive: inTurn,
			req:     embedded.ForkRequest{At: id(0, 0)},
			journal: []string{"started p", "done c", "forked a", "intent pay", "done a", "done pay", "ended"}, shared: 1,
			runs: map[string]int{"a": 1, "pay": 1}, output: "all", repeats: []string{"a", "pay"},
		},
		{
			races: true, name: "an intent belongs to its step", program: atOnce, world: gates("a", "pay"), drive: inTurn,
			req:     embedded.ForkRequest{At: id(0, 1)},
			journal: []string{"started p", "forked pay", "intent pay", "done a", "done c", "done pay", "ended"}, shared: 1,
			runs: map[string]int{"a": 1, "c": 1, "pay": 1}, output: "all", repeats: []string{"a", "pay", "c"},
		},
		{
			races: true, name: "a child that was not done is started anew",
			program: func(ctx durable.Context, w *realm, _ string) (string, error) {
				kid := child(ctx, "kid")
				_, err := w.a(ctx, "a", "b")
				return "all", errors.Join(err, kid.Get(ctx, nil))
			},
			world: gates("kid"),
			drive: func(t *testing.T, e *embedded.Engine, w *realm) {
				until(t, e, base, "child kid", "done a", "done b")
				close(w.gates["kid"])
			},
			req:     embedded.ForkRequest{At: id(0, 2)},
			journal: []string{"started p", "done a", "forked b", "child kid", "done b", "childdone kid", "ended"}, shared: 1,
			runs: map[string]int{"b": 1, "kid": 1}, output: "all", repeats: []string{"kid", "b"},
		},
		{
			name: "a child that was done stays done",
			program: func(ctx durable.Context, w *realm, _ string) (string, error) {
				var out string
				err := child(ctx, "kid").Get(ctx, &out)
				more, err2 := w.a(ctx, "a")
				return out + " " + more, errors.Join(err, err2)
			},
			req:     embedded.ForkRequest{At: id(0, 1)},
			journal: []string{"started p", "child kid", "childdone kid", "forked a", "done a", "ended"}, shared: 3,
			runs: map[string]int{"a": 1}, output: "kid a!", repeats: []string{"a"},
		},
		{
			name: "a cancel is not inherited",
			program: func(ctx durable.Context, w *realm, _ string) (string, error) {
				_, err := w.a(ctx, "a")
				var said string
				err = errors.Join(err, ctx.Ask(durable.Interrupt{Prompt: "go on?"}).Get(ctx, &said))
				if errors.Is(err, durable.ErrCanceled) {
					_, _ = w.a(ctx.Shield(), "clean")
				}
				return said, err
			},
			drive: func(t *testing.T, e *embedded.Engine, _ *realm) {
				until(t, e, base, "done a", "asked question")
				if err := e.Cancel(t.Context(), base, "enough"); err != nil {
					t.Error(err)
				}
			},
			req: embedded.ForkRequest{At: id(0, 2)}, fork: answer("", "yes"),
			journal: []string{"started p", "done a", "asked question", "forked clean", "answered 0.1", "ended"}, shared: 3,
			output: "yes", repeats: []string{"clean"},
		},
		{
			races: true, name: "questions, timers and signals are inherited",
			program: func(ctx durable.Context, w *realm, _ string) (string, error) {
				q, timer := ctx.Ask(durable.Interrupt{Prompt: "who?"}), ctx.Timer(time.Hour)
				_, err := w.a(ctx, "a", "b")
				word, err2 := durable.Receive[string](ctx, "word")
				var who string
				err3 := q.Get(ctx, &who)
				if timer.Ready() {
					return "", errors.New("the hour is over")
				}
				return who + " " + word, errors.Join(err, err2, err3)
			},
			world: gates("b"),
			drive: func(t *testing.T, e *embedded.Engine, w *realm) {
				until(t, e, base, "done a")
				if err := e.Signal(t.Context(), base, durable.Signal{Name: "word", Data: text("hi")}); err != nil {
					t.Error(err)
				}
				close(w.gates["b"])
				until(t, e, base, "done b")
				answer(base, "me")(t, e, base)
			},
			req: embedded.ForkRequest{At: id(0, 3)}, fork: answer("", "you"),
			journal: []string{"started p", "asked question", "timer timer", "done a", "signal word", "forked b", "done b", "answered 0.0", "ended"}, shared: 5,
			runs: map[string]int{"b": 1}, output: "you hi", repeats: []string{"b"},
		},
		{
			name: "an ask is put again where the fork begins at it",
			program: func(ctx durable.Context, w *realm, _ string) (string, error) {
				var who string
				_, err := w.a(ctx, "a")
				err = errors.Join(err, ctx.Ask(durable.Interrupt{Prompt: "who?"}).Get(ctx, &who))
				return who, err
			},
			drive: func(t *testing.T, e *embedded.Engine, _ *realm) {
				until(t, e, base, "asked question")
				answer(base, "me")(t, e, base)
			},
			req: embedded.ForkRequest{At: id(0, 1)},
			fork: func(t *testing.T, e *embedded.Engine, id durable.RunID) {
				until(t, e, id, "asked question")
				answer("", "you")(t, e, id)
			},
			journal: []string{"started p", "done a", "forked question", "asked question", "answered 0.1", "ended"}, shared: 2, output: "you",
		},
		{
			name: "an earlier segment",
			program: func(ctx durable.Context, w *realm, in string) (string, error) {
				if in == "" {
					in = "0"
				}
				out, err := w.a(ctx, "a"+in)
				if err != nil || in == "2" {
					return out, err
				}
				return "", durable.Continue(text(string(in[0] + 1)))
			},
			req:     embedded.ForkRequest{At: id(1, 0)},
			journal: []string{"started p", "done a0", "continued", "forked a1", "done a1", "continued", "done a2", "ended"}, shared: 3,
			runs: map[string]int{"a1": 1, "a2": 1}, output: "a2!", segment: 1, repeats: []string{"a1", "a2"},
		},
		{
			name: "a failed run", program: row, world: &realm{fail: map[string]bool{"b": true}}, req: embedded.ForkRequest{At: id(0, 1)},
			journal: []string{"started p", "done a", "forked b", "done b", "done c", "ended"}, shared: 2,
			runs: map[string]int{"b": 1, "c": 1}, output: "a b! c!", repeats: []string{"b"},
		},
		{
			name: "the result of the step is set", program: row,
			req:     embedded.ForkRequest{At: id(0, 1), Results: []embedded.Result{{Step: id(0, 1), Output: text("set")}}},
			journal: []string{"started p", "done a", "forked b", "done b", "done c", "ended"}, shared: 2,
			runs: map[string]int{"c": 1}, output: "a set c!", repeats: []string{"c"},
		},
		{
			name: "the result of an earlier step is set",
			program: func(ctx durable.Context, w *realm, _ string) (string, error) {
				a, err := w.a(ctx, "a")
				b, err2 := durable.StartAs(ctx, "b", w.do(), "b of "+a).Await(ctx)
				c, err3 := durable.StartAs(ctx, "c", w.do(), "c of "+a).Await(ctx)
				return b + ", " + c, errors.Join(err, err2, err3)
			},
			req:     embedded.ForkRequest{At: id(0, 2), Results: []embedded.Result{{Step: id(0, 0), Output: text("x")}}},
			journal: []string{"started p", "done a", "done b", "forked c", "done c", "ended"}, shared: 1,
			runs: map[string]int{"c of x": 1}, output: "b of a, c of x!", repeats: []string{"c"},
		},
		{
			races: true, name: "results of steps at once are set", program: atOnce, world: gates("a", "pay"), drive: inTurn,
			req: embedded.ForkRequest{At: id(0, 0), Results: []embedded.Result{{Step: id(0, 0), Output: text("x")}, {Step: id(0, 1), Output: text("y")}}},
			// The intent of pay is not taken over: its result is known.
			journal: []string{"started p", "done c", "forked a", "done a", "done pay", "ended"}, shared: 1, output: "all",
		},
		{
			name: "an answer and the output of a child are set",
			program: func(ctx durable.Context, _ *realm, _ string) (string, error) {
				var who, what string
				err := ctx.Ask(durable.Interrupt{Prompt: "who?"}).Get(ctx, &who)
				err = errors.Join(err, child(ctx, "kid").Get(ctx, &what))
				return who + " " + what, err
			},
			drive: func(t *testing.T, e *embedded.Engine, _ *realm) {
				until(t, e, base, "asked question")
				answer(base, "me")(t, e, base)
			},
			req:     embedded.ForkRequest{At: id(0, 0), Results: []embedded.Result{{Step: id(0, 0), Output: text("you")}}},
			journal: []string{"started p", "forked question", "asked question", "answered 0.0", "child kid", "childdone kid", "ended"}, shared: 1,
			runs: map[string]int{"kid": 1}, output: "you kid!", repeats: []string{"kid"},
		},
		{
			name: "the output of a child is set",
			program: func(ctx durable.Context, w *realm, _ string) (string, error) {
				var what string
				err := child(ctx, "kid").Get(ctx, &what)
				more, err2 := w.a(ctx, "a")
				return what + " " + more, errors.Join(err, err2)
			},
			req:     embedded.ForkRequest{At: id(0, 0), Results: []embedded.Result{{Step: id(0, 0), Output: text("mine")}}},
			journal: []string{"started p", "forked kid", "childdone kid", "done a", "ended"}, shared: 1,
			runs: map[string]int{"a": 1}, output: "mine a!", repeats: []string{"a"},
		},
		{
			name: "another input",
			program: func(ctx durable.Context, w *realm, in string) (string, error) {
				a, err := durable.StartAs(ctx, "a", w.do(), "a"+in).Await(ctx)
				b, err2 := durable.StartAs(ctx, "b", w.do(), "b"+in).Await(ctx)
				return a + " " + b, errors.Join(err, err2)
			},
			req:     embedded.ForkRequest{At: id(0, 1), Input: text("9")},
			journal: []string{"started p", "done a", "forked b", "done b", "ended"},
			runs:    map[string]int{"b9": 1}, output: "a b9!", repeats: []string{"b"},
		},
		{
			name: "another definition in a later segment",
			program: func(ctx durable.Context, w *realm, in string) (string, error) {
				d := string(ctx.Info().Definition)
				a, err := durable.StartAs(ctx, "a", w.do(), "a"+d).Await(ctx)
				b, err2 := durable.StartAs(ctx, "b", w.do(), "b"+d).Await(ctx)
				if err := errors.Join(err, err2); err != nil || in == "1" {
					return a + " " + b, err
				}
				return "", durable.Continue(text("1"))
			},
			req:     embedded.ForkRequest{At: id(1, 1), Definition: json.RawMessage("2")},
			journal: []string{"started p", "done a", "done b", "continued", "done a", "forked b", "done b", "ended"}, shared: 4,
			runs: map[string]int{"b2": 1}, output: "a1 b2!", repeats: []string{"b"}, segment: 1,
		},
		{
			name: "inputs that hold the ID of the run",
			program: func(ctx durable.Context, w *realm, _ string) (string, error) {
				for _, name := range []string{"a", "b"} {
					if _, err := durable.StartAs(ctx, name, w.do(), string(ctx.Info().Run)+name).Await(ctx); err != nil {
						return "", err
					}
				}
				return w.a(ctx, "c")
			},
			req:     embedded.ForkRequest{ID: "fork", At: id(0, 1)},
			journal: []string{"started p", "done a", "forked b", "done b", "done c", "ended"}, shared: 1,
			runs: map[string]int{"forkb": 1, "c": 1}, output: "c!", repeats: []string{"b", "c"},
		},
		{
			name: "another definition",
			program: func(ctx durable.Context, w *realm, _ string) (string, error) {
				d := string(ctx.Info().Definition)
				a, err := durable.StartAs(ctx, "a", w.do(), "a"+d).Await(ctx)
				b, err2 := durable.StartAs(ctx, "b", w.do(), "b"+d).Await(ctx)
				return a + " " + b, errors.Join(err, err2)
			},
			req:     embedded.ForkRequest{At: id(0, 1), Definition: json.RawMessage("2")},
			journal: []string{"started p", "done a", "forked b", "done b", "ended"}, shared: 1,
			runs: map[string]int{"b2": 1}, output: "a1 b2!", repeats: []string{"b"},
		},
	}
}
