package embedded_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
)

// gate is a step that says when it has begun and ends when it is let.
type gate struct {
	durable.Func[int, int]
	began chan int
	free  chan struct{}
}

func newGate(o durable.StepOptions) *gate {
	g := &gate{began: make(chan int, 10), free: make(chan struct{}, 10)}
	g.Func = durable.NewFunc("gate", o, func(ctx context.Context, n int) (int, error) {
		g.began <- n
		select {
		case <-g.free:
			return n, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	})
	return g
}

// two goes through a gate twice.
func (g *gate) two() durable.Program {
	return durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		for n := range 2 {
			if _, err := durable.Do(ctx, g.Func, n); err != nil {
				return "stopped", err
			}
		}
		return "through", nil
	}, g.StepFunc)
}

func statusIs(t *testing.T, e *embedded.Engine, id durable.RunID, want durable.Status) durable.Run {
	t.Helper()
	r, err := e.Get(t.Context(), id)
	if err != nil || r.Status != want {
		t.Errorf("run %s is %s (%s), error %v; want %s", id, r.Status, r.Reason, err, want)
	}
	return r
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestPause: what is in flight ends, nothing begins, and the run leaves memory; resumed, in
// this process or the next, it goes on where it stood.
func TestPause(t *testing.T) {
	for _, reopen := range []bool{false, true} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			g := newGate(durable.StepOptions{})
			s := openStore(t, dir)
			e := openEngine(t, s, g.two())
			_, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"})
			must(t, err)
			<-g.began
			must(t, e.Pause(t.Context(), "r", "ann"), e.Pause(t.Context(), "r", "bob"))
			statusIs(t, e, "r", durable.Paused)
			g.free <- struct{}{}
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(g.began) > 0 {
				t.Error("a paused run has begun a step")
			}
			steps := stepsOf(t, e, "r")
			if len(steps) != 1 || steps[0].Status != durable.StepDone {
				t.Errorf("what was in flight is not recorded: %+v", steps)
			}
			if reopen {
				closeEngine(t, e, s)
				s = openStore(t, dir)
				e = openEngine(t, s, g.two())
				synctest.Wait()
				statusIs(t, e, "r", durable.Paused)
			}
			must(t, e.Resume(t.Context(), "r"))
			if n := <-g.began; n != 1 {
				t.Errorf("it goes on with step %d", n)
			}
			g.free <- struct{}{}
			if r := waitFor(t, e, "r"); string(r.Output) != `"through"` {
				t.Errorf("it is %s with %s", r.Status, r.Output)
			}
			if err := e.Resume(t.Context(), "r"); !errors.Is(err, durable.ErrConflict) {
				t.Errorf("resumed after its end: %v", err)
			}
			closeEngine(t, e, s)
		})
	}
}

func stepsOf(t *testing.T, e *embedded.Engine, id durable.RunID) []durable.Step {
	t.Helper()
	entries, err := e.Journal().All(t.Context(), id, 0)
	must(t, err)
	return journal.Steps(entries, nil)
}

// TestPauseKeepsWhatComes: timers do not fire, signals and answers are kept for later.
func TestPauseKeepsWhatComes(t *testing.T) {
	dir := t.TempDir()
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		timer := ctx.Timer(time.Minute)
		question := ctx.Ask(durable.Interrupt{Prompt: "who?"})
		var who string
		err := errors.Join(timer.Get(ctx, nil), question.Get(ctx, &who))
		if err != nil {
			return "", err
		}
		word, err := durable.Receive[string](ctx, "word")
		return word + " " + who, err
	})
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir)
		e := openEngine(t, s, p)
		_, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"})
		must(t, err)
		synctest.Wait()
		must(t, e.Pause(t.Context(), "r", ""))
		time.Sleep(day)
		synctest.Wait()
		statusIs(t, e, "r", durable.Paused)
		must(t, e.Signal(t.Context(), "r", durable.Signal{Name: "word", Data: []byte(`"hello"`)}))
		closeEngine(t, e, s)
		s = openStore(t, dir)
		e = openEngine(t, s, p)
		must(t, e.Answer(t.Context(), "r", "", []byte(`"world"`)))
		synctest.Wait()
		statusIs(t, e, "r", durable.Paused)
		must(t, e.Resume(t.Context(), "r"))
		if r := waitFor(t, e, "r"); string(r.Output) != `"hello world"` {
			t.Errorf("it is %s with %s", r.Status, r.Output)
		}
		closeEngine(t, e, s)
	})
}

// TestPauseFamily: pause and resume reach the children, and those they have; a child that
// is resumed alone goes on alone.
func TestPauseFamily(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(durable.StepOptions{})
		leaf := g.two()
		nest := func(name, child string) durable.Program {
			return durable.NewProgram(name, func(ctx durable.Context, _ int) (string, error) {
				var out string
				err := ctx.Child(durable.ChildCall{Program: child, ID: durable.RunID(child + "-run")}).Get(ctx, &out)
				return out, err
			})
		}
		s := openStore(t, dir)
		e := openEngine(t, s, leaf, nest("mid", "p"), nest("top", "mid"))
		_, err := e.Start(t.Context(), durable.StartRequest{ID: "top-run", Program: "top"})
		must(t, err)
		<-g.began
		family := []durable.RunID{"top-run", "mid-run", "p-run"}
		must(t, e.Pause(t.Context(), "top-run", ""))
		g.free <- struct{}{}
		synctest.Wait()
		for _, id := range family {
			statusIs(t, e, id, durable.Paused)
		}
		must(t, e.Resume(t.Context(), "p-run"))
		<-g.began
		g.free <- struct{}{}
		synctest.Wait()
		statusIs(t, e, "p-run", durable.Succeeded)
		statusIs(t, e, "mid-run", durable.Paused)
		must(t, e.Resume(t.Context(), "top-run"))
		if r := waitFor(t, e, "top-run"); string(r.Output) != `"through"` {
			t.Errorf("it is %s with %s", r.Status, r.Output)
		}
		closeEngine(t, e, s)
	})
}

// TestPauseBeforeAnAttempt: an attempt that waits for its turn under a limit when its run is
// paused has not begun, irreversible or not; it begins once the run is resumed.
func TestPauseBeforeAnAttempt(t *testing.T) {
	for _, effect := range []durable.Effect{durable.Read, durable.Idempotent, durable.Irreversible} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			g := newGate(durable.StepOptions{Effect: effect})
			s := openStore(t, dir)
			e := openWith(t, s, embedded.Config{Programs: []durable.Program{g.two()}, Limits: map[string]embedded.Limit{"step:gate": {AtOnce: 1}}})
			for _, id := range []durable.RunID{"a", "b"} {
				_, err := e.Start(t.Context(), durable.StartRequest{ID: id, Program: "p"})
				must(t, err)
				synctest.Wait()
			}
			<-g.began
			must(t, e.Pause(t.Context(), "b", ""))
			for range 2 {
				g.free <- struct{}{}
			}
			if r := waitFor(t, e, "a"); r.Status != durable.Succeeded {
				t.Errorf("a is %s", r.Status)
			}
			<-g.began
			if len(g.began) > 0 {
				t.Error("the paused run has begun")
			}
			must(t, e.Resume(t.Context(), "b"))
			g.free <- struct{}{}
			g.free <- struct{}{}
			if r := waitFor(t, e, "b"); r.Status != durable.Succeeded {
				t.Errorf("b is %s: %s", r.Status, r.Reason)
			}
			closeEngine(t, e, s)
		})
	}
}

// TestPausedEnds: a cancel lets a paused run clean up, a kill ends it, and no run is running
// with nobody running it.
func TestPausedEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cleaned := durable.NewFunc("clean", durable.StepOptions{}, func(context.Context, int) (string, error) { return "clean", nil })
		p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
			if err := durable.Sleep(ctx, time.Hour); err != nil {
				word, _ := durable.Do(ctx.Shield(), cleaned, 0)
				return word, err
			}
			return "", nil
		}, cleaned.StepFunc)
		s := openStore(t, dir)
		e := openEngine(t, s, p)
		for _, id := range []durable.RunID{"a", "b"} {
			_, err := e.Start(t.Context(), durable.StartRequest{ID: id, Program: "p"})
			must(t, err)
			must(t, e.Pause(t.Context(), id, ""))
		}
		synctest.Wait()
		must(t, e.Cancel(t.Context(), "a", "enough"), e.Kill(t.Context(), "b", "now"))
		r := waitFor(t, e, "a")
		if r.Status != durable.Canceled || string(r.Output) != `"clean"` {
			t.Errorf("a is %s with %s", r.Status, r.Output)
		}
		statusIs(t, e, "b", durable.Killed)
		closeEngine(t, e, s)
	})
}
