// Package enginetest is the law every engine obeys: the same programs give the
// same results on each. An engine calls [Run] from its tests, or [Core] where it
// drives runs on a peer that cannot do everything; a bug found in one engine becomes
// a case here.
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
		{"a timer fires", timer},
		{"signals arrive in order", inbox},
		{"select takes what is ready first", selects},
		{"a child's output and error reach the parent", children},
		{"coroutines take turns", coroutines},
		{"continue keeps state and signals", continues},
		{"a cancel stops waiting and lets clean-up run", cancels},
		{"a cancel reaches the children", cancelsChildren},
		{"a kill runs no code", kills},
		{"the first answer wins", asks},
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

func stepsInARow(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, n int) (int, error) {
		for range 10 {
			var err error
			if n, err = durable.Do(ctx, double, n); err != nil {
				return 0, err
			}
		}
		return n, nil
	}, double.StepFunc))
	succeeded(t, run(t, e, 1), 1024)
}

func stepsAtOnce(t *testing.T, open Open) {
	const n = 3
	arrived, all := make(chan struct{}, n), make(chan struct{})
	together := durable.NewFunc("together", durable.StepOptions{}, func(ctx context.Context, i int) (int, error) {
		arrived <- struct{}{}
		if len(arrived) == n {
			close(all)
		}
		select {
		case <-all:
			return i * i, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]int, error) {
		var started []durable.Promise[int]
		for i := range n {
			started = append(started, durable.Start(ctx, together, i))
		}
		var got []int
		for _, p := range started {
			v, err := p.Await(ctx)
			if err != nil {
				return nil, err
			}
			got = append(got, v)
		}
		return got, nil
	}, together.StepFunc))
	succeeded(t, run(t, e, 0), []int{0, 1, 4})
}

func retried(t *testing.T, open Open) {
	keys := make(chan string, 3)
	flaky := durable.NewFunc("flaky", durable.StepOptions{Retry: durable.Retry{Attempts: 3, Backoff: time.Millisecond}},
		func(ctx context.Context, _ int) (int, error) {
			a := durable.AttemptOf(ctx)
			keys <- a.Key
			if a.Number < 3 {
				return 0, durable.Errorf(durable.CodeUnavailable, "not yet")
			}
			return a.Number, nil
		})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		return durable.Do(ctx, flaky, 0)
	}, flaky.StepFunc))
	succeeded(t, run(t, e, 0), 3)
	first := <-keys
	if second, third := <-keys, <-keys; first == "" || first != second || second != third {
		t.Errorf("idempotency keys differ: %q %q %q", first, second, third)
	}
}

func notRetried(t *testing.T, open Open) {
	calls := make(chan struct{}, 10)
	wrong := durable.NewFunc("wrong", durable.StepOptions{Retry: durable.Retry{Attempts: 5, Backoff: time.Millisecond}},
		func(context.Context, int) (int, error) {
			calls <- struct{}{}
			return 0, durable.Errorf(durable.CodeInvalid, "no such thing")
		})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		_, err := durable.Do(ctx, wrong, 0)
		return string(durable.CodeOf(err)), nil
	}, wrong.StepFunc))
	succeeded(t, run(t, e, 0), "invalid")
	if len(calls) != 1 {
		t.Errorf("%d attempts", len(calls))
	}
}

func panics(t *testing.T, open Open) {
	bad := durable.NewFunc("bad", durable.StepOptions{Retry: durable.Retry{Attempts: 1}},
		func(context.Context, int) (int, error) { panic("oh no") })
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		_, err := durable.Do(ctx, bad, 0)
		return string(durable.CodeOf(err)), nil
	}, bad.StepFunc))
	succeeded(t, run(t, e, 0), "internal")
}

func timesOut(t *testing.T, open Open) {
	slow := durable.NewFunc("slow", durable.StepOptions{Timeout: 10 * time.Millisecond, Retry: durable.Retry{Attempts: 1}},
		func(ctx context.Context, _ int) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		_, err := durable.Do(ctx, slow, 0)
		return string(durable.CodeOf(err)), nil
	}, slow.StepFunc))
	succeeded(t, run(t, e, 0), "unavailable")
}

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

func children(t *testing.T, open Open) {
	child := durable.NewProgram("child", func(_ durable.Context, n int) (int, error) {
		if n < 0 {
			return 0, durable.Errorf(durable.CodeDenied, "negative")
		}
		return n + 1, nil
	})
	e := open(t, child, durable.NewProgram("p", func(ctx durable.Context, _ int) (map[string]string, error) {
		good := ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage(`41`)})
		bad := ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage(`-1`)})
		none := ctx.Child(durable.ChildCall{Program: "none"})
		var n json.RawMessage
		if err := good.Get(ctx, &n); err != nil {
			return nil, err
		}
		return map[string]string{
			"good": string(n),
			"bad":  string(durable.CodeOf(bad.Get(ctx, nil))),
			"none": string(durable.CodeOf(none.Get(ctx, nil))),
		}, nil
	}))
	succeeded(t, run(t, e, 0), map[string]string{"good": "42", "bad": "denied", "none": "invalid"})
}

func coroutines(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]int, error) {
		var got []int
		var ends []durable.Future
		for i := range 3 {
			ends = append(ends, ctx.Go("worker", func(ctx durable.Context) error {
				v, err := durable.Do(ctx, double, i)
				if err != nil {
					return err
				}
				got = append(got, v)
				if i == 1 {
					return durable.Errorf(durable.CodeInvalid, "one is odd")
				}
				return nil
			}))
		}
		var failed int
		for _, end := range ends {
			if end.Get(ctx, nil) != nil {
				failed++
			}
		}
		sum := 0
		for _, v := range got {
			sum += v
		}
		return []int{len(got), sum, failed}, nil
	}, double.StepFunc))
	succeeded(t, run(t, e, 0), []int{3, 6, 1})
}

func continues(t *testing.T, open Open) {
	type state struct {
		Turn int
		Got  []string
	}
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, s state) ([]string, error) {
		v, err := durable.Receive[string](ctx, "words")
		if err != nil {
			return nil, err
		}
		if _, err := durable.Do(ctx, double, s.Turn); err != nil {
			return nil, err
		}
		s = state{Turn: s.Turn + 1, Got: append(s.Got, v)}
		if s.Turn == 3 {
			return s.Got, nil
		}
		return nil, durable.Continue(mustJSON(s))
	}, double.StepFunc))
	id := start(t, e, state{})
	for _, w := range []string{"a", "b", "c"} {
		if err := e.Signal(t.Context(), id, durable.Signal{Name: "words", Data: raw(t, w)}); err != nil {
			t.Fatal(err)
		}
	}
	succeeded(t, wait(t, e, id), []string{"a", "b", "c"})
}

func mustJSON(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

func cancels(t *testing.T, open Open) {
	cleaned := make(chan string, 1)
	clean := durable.NewFunc("clean", durable.StepOptions{}, func(_ context.Context, why string) (int, error) {
		cleaned <- why
		return 0, nil
	})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		err := durable.Sleep(ctx, time.Hour)
		if _, cleanErr := durable.Do(ctx.Shield(), clean, "slept"); cleanErr != nil {
			return 0, cleanErr
		}
		return 0, err
	}, clean.StepFunc))
	id := start(t, e, 0)
	if err := e.Cancel(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	r := wait(t, e, id)
	if r.Status != durable.Canceled || r.Reason != "enough" {
		t.Errorf("the run is %s because %q", r.Status, r.Reason)
	}
	if why := <-cleaned; why != "slept" {
		t.Errorf("cleaned %q", why)
	}
	is(t, e.Cancel(t.Context(), id, "again"), durable.ErrConflict)
}

func cancelsChildren(t *testing.T, open Open) {
	born := make(chan durable.RunID, 1)
	tell := durable.NewFunc("tell", durable.StepOptions{}, func(ctx context.Context, _ int) (int, error) {
		born <- durable.AttemptOf(ctx).Run
		return 0, nil
	})
	child := durable.NewProgram("child", func(ctx durable.Context, _ int) (int, error) {
		if _, err := durable.Do(ctx, tell, 0); err != nil {
			return 0, err
		}
		return 0, durable.Sleep(ctx, time.Hour)
	}, tell.StepFunc)
	e := open(t, child, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		return 0, ctx.Child(durable.ChildCall{Program: "child"}).Get(ctx, nil)
	}))
	id := start(t, e, 0)
	childID := <-born
	if err := e.Cancel(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []durable.RunID{id, childID} {
		if r := wait(t, e, id); r.Status != durable.Canceled {
			t.Errorf("run %s is %s", id, r.Status)
		}
	}
}

func kills(t *testing.T, open Open) {
	begun := make(chan struct{})
	stuck := durable.NewFunc("stuck", durable.StepOptions{}, func(ctx context.Context, _ int) (int, error) {
		close(begun)
		<-ctx.Done()
		return 0, ctx.Err()
	})
	clean := durable.NewFunc("clean", durable.StepOptions{}, func(context.Context, int) (int, error) {
		t.Error("a killed run ran clean-up")
		return 0, nil
	})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		_, err := durable.Do(ctx, stuck, 0)
		if _, cleanErr := durable.Do(ctx.Shield(), clean, 0); cleanErr != nil {
			return 0, cleanErr
		}
		return 0, err
	}, stuck.StepFunc, clean.StepFunc))
	id := start(t, e, 0)
	<-begun
	if err := e.Kill(t.Context(), id, "now"); err != nil {
		t.Fatal(err)
	}
	if r := wait(t, e, id); r.Status != durable.Killed || r.Reason != "now" {
		t.Errorf("the run is %s because %q", r.Status, r.Reason)
	}
	is(t, e.Kill(t.Context(), id, "again"), durable.ErrConflict)
}

func asks(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		first := ctx.Ask(durable.Interrupt{ID: "first", Prompt: "First?"})
		second := ctx.Ask(durable.Interrupt{ID: "second", Prompt: "Second?", Options: []string{"yes"}})
		var a, b string
		if err := errors.Join(first.Get(ctx, &a), second.Get(ctx, &b)); err != nil {
			return nil, err
		}
		return []string{a, b}, nil
	}))
	id := start(t, e, 0)
	eventually(t, func() error { return e.Answer(t.Context(), id, "second", raw(t, "two")) })
	is(t, e.Answer(t.Context(), id, "second", raw(t, "three")), durable.ErrConflict)
	is(t, e.Answer(t.Context(), id, "third", raw(t, "x")), durable.ErrNotFound)
	eventually(t, func() error { return e.Answer(t.Context(), id, "", raw(t, "one")) })
	succeeded(t, wait(t, e, id), []string{"one", "two"})
	is(t, e.Answer(t.Context(), id, "", raw(t, "late")), durable.ErrConflict)
}

func starts(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(_ durable.Context, n int) (int, error) { return n, nil }))
	_, err := e.Start(t.Context(), durable.StartRequest{Program: "q"})
	is(t, err, durable.ErrInvalid)
	_, err = e.Start(t.Context(), durable.StartRequest{Program: "p", Input: json.RawMessage(`{`)})
	is(t, err, durable.ErrInvalid)
	id := start(t, e, 7)
	succeeded(t, wait(t, e, id), 7)
	_, err = e.Start(t.Context(), durable.StartRequest{Program: "p", ID: id})
	is(t, err, durable.ErrConflict)
	_, err = e.Get(t.Context(), "none")
	is(t, err, durable.ErrNotFound)
}

func fails(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(durable.Context, int) (int, error) {
		return 0, durable.Errorf(durable.CodeExhausted, "no money left")
	}))
	r := run(t, e, 0)
	if r.Status != durable.Failed || r.Error == nil || r.Error.Code != durable.CodeExhausted || r.Error.Message != "no money left" {
		t.Errorf("the run is %s with %v", r.Status, r.Error)
	}
}
