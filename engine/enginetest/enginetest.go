// Package enginetest is the law every engine obeys: the same programs give the
// same results on each. An engine calls [Run] from its tests, or [Core] where it
// drives runs on a peer that cannot do everything; a bug found in one engine becomes
// a case here. Cases of steps are in steps.go, those of whole runs in runs.go, those of what a
// program cancels in cancels.go.
//
// It knows durable.Engine and nothing of any engine. On the line request -> run -> step ->
// journal -> event -> client it stands beside the engines and holds them to their part.
package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
)

// Open opens an engine with these programs over new, empty data.
type Open func(t *testing.T, programs ...durable.Program) durable.Engine

// Run runs the whole suite: what every engine does, and what only one that owns its
// journal can do.
func Run(t *testing.T, open Open) {
	t.Helper()
	Core(t, open)
	for _, c := range beyond() {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// Core runs what every engine does, whatever drives the runs underneath. Cases named
// in except are left out: each must be one of these, and the caller says why.
func Core(t *testing.T, open Open, except ...string) {
	t.Helper()
	for _, c := range core() {
		if i := slices.Index(except, c.name); i >= 0 {
			except = slices.Delete(except, i, i+1)
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
	if len(except) > 0 {
		t.Errorf("excepted, but no case of the suite: %q", except)
	}
}

type testCase struct {
	name string
	test func(t *testing.T, open Open)
}

func core() []testCase {
	return []testCase{
		{"steps in a row", stepsInARow},
		{"steps at once", stepsAtOnce},
		{"a failing step is retried", retried},
		{"an error that cannot mend is not retried", notRetried},
		{"a step that panics fails", panics},
		{"a step that is too slow times out", timesOut},
		{"a step that gives no sign of life is stopped", beats},
		{"a timer fires", timer},
		{"a timer does not wait for a step", timerBesideStep},
		{"signals arrive in order", inbox},
		{"select takes what is ready first", selects},
		{"a child's output and error reach the parent", children},
		{"children are of the tenant of their parent", tenants},
		{"coroutines take turns", coroutines},
		{"coroutines and crowds have results", crowds},
		{"sagas undo in reverse", sagas},
		{"a question has a type", asksTyped},
		{"continue keeps state and signals", continues},
		{"a cancel stops waiting and lets clean-up run", cancels},
		{"a cancel reaches the children", cancelsChildren},
		{"a kill runs no code", kills},
		{"a canceled future cuts its step short", cancelsStep},
		{"a step canceled before it begins never begins", cancelsBefore},
		{"a canceled timer is dropped", cancelsTimer},
		{"a canceled question is withdrawn", cancelsQuestion},
		{"a canceled child cleans up", cancelsChild},
		{"a canceled child is canceled though it is abandoned", cancelsAbandoned},
		{"a canceled coroutine takes those it started with it", cancelsCoroutine},
		{"a canceled coroutine waits for its children under shield", cancelsCoroutineChild},
		{"the first success wins", firstWins},
		{"an irreversible step under way is not cut short", cancelsIrreversible},
		{"a future that is ready stays ready", cancelsReady},
		{"the first answer wins", asks},
		{"a question that nobody answers has its default", asksUntil},
		{"start refuses what cannot be", starts},
		{"a program's error is the run's error", fails},
	}
}

// beyond lists what an engine on a peer may rightly do in another way; each says why.
func beyond() []testCase {
	return []testCase{
		// The journal's order decides only where entries are applied one at a time. A
		// peer may hand a program several signals at once, and then the order of the
		// arguments decides, on every replay alike.
		{"select follows the journal", selectsInOrder},
		// Temporal begins a child that was asked for and given up in one turn, and cancels it then.
		{"a child canceled before it begins never begins", cancelsUnborn},
	}
}

// patience is how long a test waits for something that should take milliseconds.
const patience = 30 * time.Second

func run(t *testing.T, e durable.Engine, input any) durable.Run {
	t.Helper()
	return wait(t, e, start(t, e, input))
}

func start(t *testing.T, e durable.Engine, input any) durable.RunID {
	t.Helper()
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p", Input: raw(t, input)})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wait(t *testing.T, e durable.Engine, id durable.RunID) durable.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := e.Wait(ctx, id)
	if err != nil {
		t.Fatalf("wait for %s: %v", id, err)
	}
	return r
}

func raw(t *testing.T, v any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func succeeded(t *testing.T, r durable.Run, want any) {
	t.Helper()
	if r.Status != durable.Succeeded {
		t.Fatalf("the run is %s (%s): %v", r.Status, r.Reason, r.Error)
	}
	if diff := cmp.Diff(string(raw(t, want)), string(r.Output)); diff != "" {
		t.Errorf("output: -want +got\n%s", diff)
	}
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// eventually retries until the engine accepts; a run needs a moment to get where
// it can be spoken to.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.After(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

var double = durable.NewFunc("double", durable.StepOptions{Effect: durable.Read},
	func(_ context.Context, n int) (int, error) { return 2 * n, nil })

func timer(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (bool, error) {
		before := durable.Now(ctx)
		if err := durable.Sleep(ctx, 20*time.Millisecond); err != nil {
			return false, err
		}
		return durable.Now(ctx).Sub(before) >= 20*time.Millisecond, nil
	}))
	succeeded(t, run(t, e, 0), true)
}

// timerBesideStep: a step may be bounded by a timer, also one that never ends by itself.
func timerBesideStep(t *testing.T, open Open) {
	begun, ended := make(chan string, 1), make(chan string, 1)
	hang := hanging(begun, ended)
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		f := durable.Start(ctx, hang, "it")
		first := ctx.Select(f, ctx.Timer(time.Millisecond))
		f.Cancel()
		return first, nil
	}, hang.StepFunc))
	succeeded(t, run(t, e, 0), 1)
}

func inbox(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, n int) ([]int, error) {
		var got []int
		for range n {
			v, err := durable.Receive[int](ctx, "numbers")
			if err != nil {
				return nil, err
			}
			got = append(got, v)
		}
		return got, nil
	}))
	id := start(t, e, 3)
	for i := range 3 {
		if err := e.Signal(t.Context(), id, durable.Signal{Name: "numbers", Data: raw(t, i)}); err != nil {
			t.Fatal(err)
		}
	}
	succeeded(t, wait(t, e, id), []int{0, 1, 2})
	is(t, e.Signal(t.Context(), id, durable.Signal{Name: "numbers"}), durable.ErrConflict)
	is(t, e.Signal(t.Context(), "none", durable.Signal{Name: "numbers"}), durable.ErrNotFound)
}

func selects(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]int, error) {
		box := ctx.Inbox("go")
		first := ctx.Select(box, ctx.Timer(time.Hour))
		second := ctx.Select(ctx.Inbox("never"), ctx.Timer(time.Millisecond))
		return []int{first, second}, box.Receive(ctx, nil)
	}))
	id := start(t, e, 0)
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "go"}); err != nil {
		t.Fatal(err)
	}
	succeeded(t, wait(t, e, id), []int{0, 1})
}

func selectsInOrder(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]int, error) {
		a, b := ctx.Inbox("a"), ctx.Inbox("b")
		first := ctx.Select(a, b)
		if err := b.Receive(ctx, nil); err != nil {
			return nil, err
		}
		return []int{first, ctx.Select(a, b)}, nil
	}))
	id := start(t, e, 0)
	for _, name := range []string{"b", "a"} {
		if err := e.Signal(t.Context(), id, durable.Signal{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	succeeded(t, wait(t, e, id), []int{1, 0})
}
