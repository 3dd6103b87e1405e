package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
)

// realm is what the programs of these tests act on: it counts effects, and lets a step
// wait for the test.
type realm struct {
	ledger
	gates map[string]chan struct{} // a step with this input waits until its gate is open
	fail  map[string]bool          // a step with this input fails for good
	note  string                   // what each output ends with
}

func (w *realm) call(ctx context.Context, in string) (string, error) {
	w.mu.Lock()
	gate := w.gates[in]
	w.mu.Unlock()
	w.ran(ctx, in)
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if w.fail[in] {
		return "", durable.Errorf(durable.CodeInvalid, "%s cannot be", in)
	}
	return in + w.note, nil
}

func (w *realm) gate(in string, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gates[in] = c
}

func (w *realm) counted(in string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count[in]
}

func (w *realm) do() durable.Func[string, string] {
	return durable.NewFunc("do", durable.StepOptions{Effect: durable.Idempotent}, w.call)
}

func (w *realm) pay() durable.Func[string, string] {
	return durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, w.call)
}

type forkProgram = func(ctx durable.Context, w *realm, in string) (string, error)

// programs are p, which is the test's own, and kid, whose runs it may start.
func (w *realm) programs(fn forkProgram) []durable.Program {
	do, pay := w.do(), w.pay()
	return []durable.Program{
		durable.NewProgram("p", func(ctx durable.Context, in string) (string, error) { return fn(ctx, w, in) }, do.StepFunc, pay.StepFunc),
		durable.NewProgram("kid", func(ctx durable.Context, in string) (string, error) { return durable.Do(ctx, do, in) }),
	}
}

func (w *realm) a(ctx durable.Context, names ...string) (string, error) {
	var all []string
	for _, name := range names {
		out, err := durable.StartAs(ctx, name, w.do(), name).Await(ctx)
		if err != nil {
			return "", err
		}
		all = append(all, out)
	}
	return strings.Join(all, " "), nil
}

func child(ctx durable.Context, in string) durable.Future {
	data, _ := json.Marshal(in)
	return ctx.Child(durable.ChildCall{Program: "kid", Name: "kid", Input: data})
}

// until waits until the journal of a run ends with these kinds and names.
func until(t *testing.T, e *embedded.Engine, id durable.RunID, last ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		have := kinds(t, e, id)
		if len(have) >= len(last) && slices.Equal(have[len(have)-len(last):], last) {
			return
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the journal of %s is %v and does not come to %v", id, have, last)
		}
	}
}

// bodies is a run as the store has it, byte for byte.
func bodies(t *testing.T, s store.Store, id durable.RunID) []string {
	t.Helper()
	entries, err := s.Entries(t.Context(), id, -1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{fmt.Sprintf("%+v", r)}
	for _, e := range entries {
		list = append(list, string(e.Body))
	}
	return list
}

// replayed holds a run against its programs, offline.
func replayed(t *testing.T, e *embedded.Engine, s store.Store, id durable.RunID, programs []durable.Program) embedded.Report {
	t.Helper()
	r, err := s.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	report, err := embedded.Replay(t.Context(), embedded.Source{Journal: e.Journal(), Run: r}, programs)
	if err != nil {
		t.Fatalf("replay %s: %v", id, err)
	}
	return report
}

func id(segment, command int) durable.StepID {
	return durable.StepID{Segment: segment, Command: command}
}

func text(s string) json.RawMessage {
	data, _ := json.Marshal(s)
	return data
}

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

// TestFork: a fork has what its base did before the step and goes its own way; the base
// is not touched, both replay, and so does what is forked from the fork.
func TestFork(t *testing.T) {
	for _, c := range forkCases() {
		t.Run(c.name, func(t *testing.T) {
			if c.world == nil {
				c.world = &realm{}
			}
			dir := t.TempDir()
			s := openStore(t, dir)
			e := openEngine(t, s, c.world.programs(c.program)...)
			if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p", Name: "name", Definition: json.RawMessage("1")}); err != nil {
				t.Fatal(err)
			}
			if c.drive != nil {
				c.drive(t, e, c.world)
			}
			waitFor(t, e, base)
			closeEngine(t, e, s)

			now := &realm{note: "!"}
			s = openStore(t, dir)
			e = openEngine(t, s, now.programs(c.program)...)
			defer func() { closeEngine(t, e, s) }()
			before := bodies(t, s, base)
			c.planned(t, e)
			fork, err := e.Fork(t.Context(), base, c.req)
			if err != nil {
				t.Fatal(err)
			}
			if c.fork != nil {
				c.fork(t, e, fork)
			}
			r := waitFor(t, e, fork)
			if r.Status != durable.Succeeded || string(r.Output) != string(text(c.output)) {
				t.Errorf("the fork is %s (%s, %v) with %s, want %q", r.Status, r.Reason, r.Error, r.Output, c.output)
			}
			if r.Base != base || r.Name != "name" || r.Parent != "" || r.ID != fork {
				t.Errorf("the fork is %+v", r)
			}
			if diff := cmp.Diff(c.order(c.journal), c.order(kinds(t, e, fork))); diff != "" {
				t.Errorf("journal of the fork: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(c.runs, now.count); diff != "" {
				t.Errorf("executed: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(before, bodies(t, s, base)); diff != "" {
				t.Errorf("the base was changed:\n%s", diff)
			}
			row, err := s.Run(t.Context(), fork)
			if err != nil || row.Shared != c.shared || row.Base != base {
				t.Errorf("it shares %d entries of %s, want %d (%v)", row.Shared, row.Base, c.shared, err)
			}
			again(t, e, s, fork, now.programs(c.program))
		})
	}
}

// planned holds the plan against what the case expects.
func (c *forkCase) planned(t *testing.T, e *embedded.Engine) {
	t.Helper()
	entries, err := e.Journal().All(t.Context(), base, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Get(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := embedded.PlanFork(r, entries, c.req)
	if err != nil {
		t.Fatal(err)
	}
	var repeats []string
	for _, s := range plan.Repeats() {
		repeats = append(repeats, s.Name)
	}
	if diff := cmp.Diff(c.repeats, repeats); diff != "" {
		t.Errorf("what will repeat: -want +got\n%s", diff)
	}
	if plan.Segment != c.segment {
		t.Errorf("it begins in segment %d, want %d", plan.Segment, c.segment)
	}
}

// again replays a fork and its base, and forks the fork at its last step.
func again(t *testing.T, e *embedded.Engine, s store.Store, fork durable.RunID, programs []durable.Program) {
	t.Helper()
	report := replayed(t, e, s, fork, programs)
	if report.Divergence != nil {
		t.Errorf("the fork does not replay: %s", report.Divergence.Text())
	}
	entries, err := e.Journal().All(t.Context(), fork, 0)
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	segment := 0
	for _, e := range entries {
		switch e.Kind {
		case durable.EntryContinued:
			segment = e.Segment
		case durable.EntryDone:
			last = e.Command
		default:
		}
	}
	if last < 0 || entries[len(entries)-1].Kind != durable.EntryEnded {
		return
	}
	second, err := e.Fork(t.Context(), fork, embedded.ForkRequest{At: id(segment, last), Name: "second"})
	if err != nil {
		t.Errorf("fork the fork at %d.%d: %v", segment, last, err)
		return
	}
	r, err := e.Settle(t.Context(), second, time.Time{})
	if err != nil || r.Status == durable.Blocked || r.Name != "second" || r.Base != fork {
		t.Errorf("the fork of the fork is %+v: %v", r, err)
	}
	if report := replayed(t, e, s, second, programs); report.Divergence != nil {
		t.Errorf("the fork of the fork does not replay: %s", report.Divergence.Text())
	}
}

// TestForkRefused: what cannot be is refused with a word about what can, and nothing is
// written.
func TestForkRefused(t *testing.T) {
	var w realm
	programs := w.programs(func(ctx durable.Context, w *realm, in string) (string, error) {
		if in != "" && in != "1" {
			return w.a(ctx, "else")
		}
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		out, err := w.a(ctx, "a", "b")
		if err != nil || in == "1" {
			return out, err
		}
		return "", durable.Continue(text("1"))
	})
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, programs...)
	defer closeEngine(t, e, s)
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, e, base)
	w.count = nil
	set := func(segment, command int) []embedded.Result {
		return []embedded.Result{{Step: id(segment, command), Output: text("set")}}
	}
	for _, c := range []struct {
		name string
		of   durable.RunID
		req  embedded.ForkRequest
		code error
		says string
	}{
		{"no run", "nobody", embedded.ForkRequest{}, durable.ErrNotFound, "no run nobody"},
		{"no step", base, embedded.ForkRequest{At: id(0, 7)}, durable.ErrNotFound, "has no step 7; segment 0 has 0 to 2"},
		{"no step in a later segment", base, embedded.ForkRequest{At: id(1, 9)}, durable.ErrNotFound, "has no step 1.9; segment 1 has 1.0 to 1.2"},
		{"no segment", base, embedded.ForkRequest{At: id(5, 0)}, durable.ErrNotFound, "its last segment with steps is 1"},
		{"input that is not JSON", base, embedded.ForkRequest{At: id(0, 1), Input: json.RawMessage("{")}, durable.ErrInvalid, "the input is not JSON"},
		{"input too late", base, embedded.ForkRequest{At: id(1, 1), Input: text("x")}, durable.ErrInvalid, "fork at a step of segment 0"},
		{"input with which the program does something else", base, embedded.ForkRequest{At: id(0, 2), Input: text("x")}, durable.ErrConflict, `issues step "else"`},
		{"result of no step", base, embedded.ForkRequest{At: id(1, 1), Results: set(1, 8)}, durable.ErrNotFound, "has no step 1.8"},
		{"result of a timer", base, embedded.ForkRequest{At: id(1, 1), Results: set(1, 0)}, durable.ErrInvalid, "step 1.0 is a timer"},
		{"result that is not JSON", base, embedded.ForkRequest{At: id(0, 1), Results: []embedded.Result{{Step: id(0, 1), Output: json.RawMessage("x")}}}, durable.ErrInvalid, "the result of step 1 is not JSON"},
		{"two results of one step", base, embedded.ForkRequest{At: id(0, 1), Results: append(set(0, 1), set(0, 1)...)}, durable.ErrInvalid, "two results for step 1"},
		{"result too late", base, embedded.ForkRequest{At: id(1, 1), Results: set(0, 1)}, durable.ErrInvalid, "fork at a step of segment 0"},
		{"result too early", base, embedded.ForkRequest{At: id(0, 1), Results: set(1, 1)}, durable.ErrInvalid, "yet to come to"},
		{"result of a step that is not asked for yet", base, embedded.ForkRequest{At: id(0, 1), Results: set(0, 2)}, durable.ErrConflict, "replay mismatch at step 2"},
		{"a taken ID", base, embedded.ForkRequest{At: id(0, 1), ID: base}, durable.ErrConflict, "a run base exists"},
	} {
		_, err := e.Fork(t.Context(), c.of, c.req)
		if !errors.Is(err, c.code) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: got error %v, want %v that says %q", c.name, err, c.code, c.says)
		}
	}
	runs, err := s.List(t.Context(), store.Filter{})
	if err != nil || len(runs) != 1 || len(w.count) != 0 {
		t.Errorf("there are %d runs, executed was %v: %v", len(runs), w.count, err)
	}
}

// TestForkLeavesBehind: what an engine and an operator did to the base is not inherited,
// however it stands, and a base in motion goes on beside its fork.
func TestForkLeavesBehind(t *testing.T) {
	fn := func(ctx durable.Context, w *realm, _ string) (string, error) {
		out, err := w.a(ctx, "a")
		if w.fail["now"] {
			return "", durable.Block(durable.Errorf(durable.CodeUnavailable, "no fax here"))
		}
		more, err2 := w.a(ctx, "b", "c", "d")
		return out + " " + more, errors.Join(err, err2)
	}
	dir := t.TempDir()
	with := func(w *realm, do func(e *embedded.Engine, s store.Store)) {
		s := openStore(t, dir)
		e := openEngine(t, s, w.programs(fn)...)
		do(e, s)
		closeEngine(t, e, s)
	}
	with(&realm{fail: map[string]bool{"now": true}}, func(e *embedded.Engine, _ store.Store) {
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p"}); err != nil {
			t.Fatal(err)
		}
		if r := waitFor(t, e, base); r.Status != durable.Blocked {
			t.Fatalf("the run is %s", r.Status)
		}
	})
	fork := func(e *embedded.Engine, at int, want ...string) {
		t.Helper()
		f, err := e.Fork(t.Context(), base, embedded.ForkRequest{At: id(0, at)})
		if err != nil {
			t.Fatal(err)
		}
		if r := waitFor(t, e, f); r.Status != durable.Succeeded {
			t.Errorf("the fork is %s: %v", r.Status, r.Error)
		}
		if diff := cmp.Diff(want, kinds(t, e, f)); diff != "" {
			t.Errorf("journal of the fork: -want +got\n%s", diff)
		}
	}
	held := &realm{gates: map[string]chan struct{}{"c": make(chan struct{})}}
	with(held, func(e *embedded.Engine, s store.Store) {
		close(held.gates["c"])
		fork(e, 0, "started p", "forked a", "done a", "done b", "done c", "done d", "ended")
		if r, err := e.Get(t.Context(), base); err != nil || r.Status != durable.Blocked {
			t.Errorf("the base is %s: %v", r.Status, err)
		}
		held.gate("c", make(chan struct{}))
		if err := e.Resume(t.Context(), base); err != nil {
			t.Fatal(err)
		}
		until(t, e, base, "done b")
		for held.counted("c") < 2 {
			time.Sleep(time.Millisecond)
		}
		held.gate("c", nil) // the fork does not wait there
		fork(e, 1, "started p", "done a", "forked b", "done b", "done c", "done d", "ended")
		if r, err := e.Get(t.Context(), base); err != nil || r.Status != durable.Running {
			t.Errorf("the base is %s: %v", r.Status, err)
		}
		row, err := s.Run(t.Context(), base)
		if err != nil || row.Shared != 0 {
			t.Errorf("%+v %v", row, err)
		}
	})
	var last realm
	with(&last, func(e *embedded.Engine, _ store.Store) {
		if r := waitFor(t, e, base); r.Status != durable.Succeeded {
			t.Errorf("the base is %s", r.Status)
		}
		if diff := cmp.Diff([]string{"started p", "done a", "blocked", "unblocked", "done b", "done c", "done d", "ended"}, kinds(t, e, base)); diff != "" {
			t.Fatalf("journal of the base: -want +got\n%s", diff)
		}
		fork(e, 2, "started p", "done a", "done b", "forked c", "done c", "done d", "ended")
	})
}

// TestForkSurvives: a fork whose process dies goes on like any other run, and one that
// finds no room waits in its queue.
func TestForkSurvives(t *testing.T) {
	dir := t.TempDir()
	fn := func(ctx durable.Context, w *realm, _ string) (string, error) { return w.a(ctx, "a", "b") }
	w := &realm{gates: map[string]chan struct{}{}}
	s := openStore(t, dir)
	open := func(w *realm) *embedded.Engine {
		e, err := embedded.New(t.Context(), embedded.Config{Store: s, Programs: w.programs(fn), Queues: map[string]embedded.Queue{"one": {AtOnce: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := open(w)
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p", Queue: "one"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, e, base)
	w.gate("b", make(chan struct{}))
	first, err := e.Fork(t.Context(), base, embedded.ForkRequest{At: id(0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	second, err := e.Fork(t.Context(), base, embedded.ForkRequest{At: id(0, 0), ID: "second"})
	if err != nil || second != "second" {
		t.Fatal(second, err)
	}
	if r, err := e.Get(t.Context(), second); err != nil || r.Status != durable.Queued {
		t.Errorf("the second fork is %s: %v", r.Status, err)
	}
	closeEngine(t, e, s)
	var now realm
	s = openStore(t, dir)
	e = open(&now)
	defer func() { closeEngine(t, e, s) }()
	for _, f := range []durable.RunID{first, second} {
		if r := waitFor(t, e, f); r.Status != durable.Succeeded || string(r.Output) != `"a b"` {
			t.Errorf("fork %s is %s with %s", f, r.Status, r.Output)
		}
	}
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 2}, now.count); diff != "" {
		t.Errorf("executed: -want +got\n%s", diff)
	}
}
