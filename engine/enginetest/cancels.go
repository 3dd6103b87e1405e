package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// code is how a future ended, as a word in an output.
func code(ctx durable.Context, f durable.Future) string {
	if err := f.Get(ctx, nil); err != nil {
		return string(durable.CodeOf(err))
	}
	return "done"
}

// hanging is a step that ends only when it is told to: begun hears that it began, ended of
// its end.
func hanging(begun, ended chan<- string) durable.Func[string, string] {
	return durable.NewFunc("hang", durable.StepOptions{Effect: durable.Read}, func(ctx context.Context, in string) (string, error) {
		begun <- in
		<-ctx.Done()
		ended <- in
		return "", ctx.Err()
	})
}

func cancelsStep(t *testing.T, open Open) {
	begun, ended := make(chan string, 1), make(chan string, 1)
	hang := hanging(begun, ended)
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		f := durable.Start(ctx, hang, "it")
		if err := ctx.Inbox("now").Receive(ctx, nil); err != nil {
			return nil, err
		}
		f.Cancel()
		ready := f.Ready()
		f.Cancel() // which changes nothing
		got := []string{code(ctx, f), code(ctx.Shield(), f)}
		if !ready || ctx.Select(ctx.Inbox("never"), f) != 1 {
			return nil, errors.New("a canceled future is not ready")
		}
		// The run itself was not canceled.
		n, err := durable.Do(ctx, double, len(got))
		if n != 4 {
			return nil, err
		}
		return got, err
	}, hang.StepFunc, double.StepFunc))
	id := start(t, e, 0)
	<-begun
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "now"}); err != nil {
		t.Fatal(err)
	}
	succeeded(t, wait(t, e, id), []string{"canceled", "canceled"})
	<-ended
}

func cancelsBefore(t *testing.T, open Open) {
	never := durable.NewFunc("never", durable.StepOptions{Effect: durable.Irreversible}, func(context.Context, int) (int, error) {
		t.Error("a step that was canceled before it began has begun")
		return 0, nil
	})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		f := durable.Start(ctx, never, 0)
		f.Cancel()
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		return code(ctx, f), nil
	}, never.StepFunc))
	succeeded(t, run(t, e, 0), "canceled")
}

func cancelsTimer(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		var got string
		hour := ctx.Timer(time.Hour)
		waits := ctx.Go("waits", func(ctx durable.Context) error {
			got = code(ctx, hour)
			return nil
		})
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return nil, err
		}
		hour.Cancel()
		again := ctx.Timer(time.Hour)
		again.Cancel()
		if err := waits.Get(ctx, nil); err != nil {
			return nil, err
		}
		return []string{got, code(ctx, hour), code(ctx, again)}, ctx.Inbox("end").Receive(ctx, nil)
	}))
	id := start(t, e, 0)
	onlyWaits(t, e, id, durable.WaitSignal)
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "end"}); err != nil {
		t.Fatal(err)
	}
	succeeded(t, wait(t, e, id), []string{"canceled", "canceled", "canceled"})
}

// onlyWaits waits until the run waits for one thing, of this kind.
func onlyWaits(t *testing.T, e durable.Engine, id durable.RunID, kind durable.WaitKind) {
	t.Helper()
	eventually(t, func() error {
		r, err := e.Get(t.Context(), id)
		if err == nil && (len(r.Waits) != 1 || r.Waits[0].Kind != kind) {
			err = durable.Errorf(durable.CodeUnavailable, "the run is %s and waits for %+v", r.Status, r.Waits)
		}
		return err
	})
}

func cancelsQuestion(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		first := ctx.Ask(durable.Interrupt{ID: "first", Prompt: "First?"})
		second := ctx.Ask(durable.Interrupt{ID: "second", Prompt: "Second?", Within: time.Hour})
		unput := ctx.Ask(durable.Interrupt{ID: "unput", Prompt: "Third?"})
		unput.Cancel()
		if err := first.Get(ctx, nil); err != nil {
			return nil, err
		}
		second.Cancel()
		return []string{code(ctx, first), code(ctx, second), code(ctx, unput)}, ctx.Inbox("end").Receive(ctx, nil)
	}))
	id := start(t, e, 0)
	eventually(t, func() error { return e.Answer(t.Context(), id, "first", raw(t, "yes")) })
	onlyWaits(t, e, id, durable.WaitSignal)
	is(t, e.Answer(t.Context(), id, "second", raw(t, "late")), durable.ErrConflict)
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "end"}); err != nil {
		t.Fatal(err)
	}
	succeeded(t, wait(t, e, id), []string{"done", "canceled", "canceled"})
}

// sleeper is a child that sleeps until it is canceled and cleans up then. It tells its ID
// when it sleeps, and again when it has cleaned up.
func sleeper(slept, cleaned chan<- durable.RunID) durable.Program {
	tell := func(name string, to chan<- durable.RunID) durable.Func[int, int] {
		return durable.NewFunc(name, durable.StepOptions{}, func(ctx context.Context, _ int) (int, error) {
			to <- durable.AttemptOf(ctx).Run
			return 0, nil
		})
	}
	sleeps, cleans := tell("sleeps", slept), tell("cleans", cleaned)
	return durable.NewProgram("sleeper", func(ctx durable.Context, _ int) (string, error) {
		if _, err := durable.Do(ctx.Shield(), sleeps, 0); err != nil { // the cancel may come before its result
			return "", err
		}
		err := durable.Sleep(ctx, time.Hour)
		if _, cleanErr := durable.Do(ctx.Shield(), cleans, 0); cleanErr != nil {
			return "", cleanErr
		}
		return "", err
	}, sleeps.StepFunc, cleans.StepFunc)
}

func cancelsChild(t *testing.T, open Open) { givesUpChild(t, open, false) }

func cancelsAbandoned(t *testing.T, open Open) { givesUpChild(t, open, true) }

// givesUpChild cancels a child that sleeps, and lets its parent end.
func givesUpChild(t *testing.T, open Open, abandon bool) {
	slept, cleaned := make(chan durable.RunID, 1), make(chan durable.RunID, 1)
	e := open(t, sleeper(slept, cleaned), durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		child := ctx.Child(durable.ChildCall{Program: "sleeper", Abandon: abandon})
		if err := ctx.Inbox("now").Receive(ctx, nil); err != nil {
			return "", err
		}
		child.Cancel()
		return code(ctx, child), nil
	}))
	id := start(t, e, 0)
	child := <-slept
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "now"}); err != nil {
		t.Fatal(err)
	}
	succeeded(t, wait(t, e, id), "canceled")
	if r := wait(t, e, child); r.Status != durable.Canceled {
		t.Errorf("the child is %s (%s)", r.Status, r.Reason)
	}
	if who := <-cleaned; who != child {
		t.Errorf("%s cleaned up, want %s", who, child)
	}
}

func cancelsUnborn(t *testing.T, open Open) {
	child := durable.NewProgram("child", func(durable.Context, int) (int, error) {
		t.Error("a child that was canceled before it began has begun")
		return 0, nil
	})
	e := open(t, child, durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		f := ctx.Child(durable.ChildCall{Program: "child"})
		f.Cancel()
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		return code(ctx, f), nil
	}))
	succeeded(t, run(t, e, 0), "canceled")
}

func cancelsCoroutine(t *testing.T, open Open) {
	begun, ended := make(chan string, 2), make(chan string, 2)
	hang := hanging(begun, ended)
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (map[string]any, error) {
		got := map[string]any{}
		outer := ctx.Go("outer", func(ctx durable.Context) error {
			inner := ctx.Go("inner", func(ctx durable.Context) error {
				_, err := durable.Do(ctx, hang, "inner")
				got["inner"] = string(durable.CodeOf(err))
				return nil
			})
			firm := ctx.Shield().Go("firm", func(ctx durable.Context) error {
				n, err := durable.Do(ctx, double, 4)
				got["firm"] = n
				return err
			})
			_, err := durable.Do(ctx, hang, "outer")
			got["outer"] = string(durable.CodeOf(err))
			got["select"] = ctx.Select(ctx.Inbox("never"))
			got["refused"] = code(ctx, ctx.Timer(0))
			clean := ctx.Shield()
			n, cleanErr := durable.Do(clean, double, 21)
			got["clean"] = n
			return errors.Join(cleanErr, inner.Get(clean, nil), firm.Get(clean, nil), durable.Errorf(durable.CodeDenied, "the end of its own"))
		})
		if err := ctx.Inbox("now").Receive(ctx, nil); err != nil {
			return nil, err
		}
		outer.Cancel()
		got["ready"] = outer.Ready()
		outer.Cancel()
		got["end"] = code(ctx, outer)
		n, err := durable.Do(ctx, double, 1)
		got["after"] = n
		return got, err
	}, hang.StepFunc, double.StepFunc))
	id := start(t, e, 0)
	<-begun
	<-begun
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "now"}); err != nil {
		t.Fatal(err)
	}
	succeeded(t, wait(t, e, id), map[string]any{
		"inner": "canceled", "outer": "canceled", "select": -1, "refused": "canceled", "clean": 42, "firm": 8, "ready": false, "end": "denied", "after": 2,
	})
	<-ended
	<-ended
}

// cancelsCoroutineChild: what a canceled coroutine asked for is canceled, and its clean-up
// code can still hear how that ended.
func cancelsCoroutineChild(t *testing.T, open Open) {
	slept, cleaned := make(chan durable.RunID, 1), make(chan durable.RunID, 1)
	e := open(t, sleeper(slept, cleaned), durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		var got []string
		f := ctx.Go("it", func(ctx durable.Context) error {
			child := ctx.Child(durable.ChildCall{Program: "sleeper"})
			got = append(got, code(ctx, child), code(ctx.Shield(), child))
			return nil
		})
		if err := ctx.Inbox("now").Receive(ctx, nil); err != nil {
			return nil, err
		}
		f.Cancel()
		err := f.Get(ctx, nil)
		return got, err
	}))
	id := start(t, e, 0)
	child := <-slept
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "now"}); err != nil {
		t.Fatal(err)
	}
	succeeded(t, wait(t, e, id), []string{"canceled", "canceled"})
	if r, err := e.Get(t.Context(), child); err != nil || r.Status != durable.Canceled {
		t.Errorf("the child is %s, error %v, when who waited for it has ended", r.Status, err)
	}
	<-cleaned
}

// firstWins: a step, a child, a coroutine, a timer and a question race; the first that
// succeeds has the others canceled and goes on.
func firstWins(t *testing.T, open Open) {
	begun, ended := make(chan string, 2), make(chan string, 2)
	slept, cleaned := make(chan durable.RunID, 1), make(chan durable.RunID, 1)
	hang := hanging(begun, ended)
	wins := durable.NewFunc("wins", durable.StepOptions{Effect: durable.Read}, func(context.Context, int) (string, error) {
		<-begun
		<-begun
		<-slept // all of them are under way
		return "won", nil
	})
	e := open(t, sleeper(slept, cleaned), durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		racers := []durable.Future{
			durable.Start(ctx, hang, "step"), ctx.Timer(time.Hour), ctx.Ask(durable.Interrupt{ID: "q", Prompt: "?"}),
			ctx.Child(durable.ChildCall{Program: "sleeper"}),
			ctx.Go("coroutine", func(ctx durable.Context) error {
				_, err := durable.Do(ctx, hang, "coroutine")
				return err
			}),
			durable.Start(ctx, wins, 0),
		}
		var ready []durable.Ready
		for _, r := range racers {
			ready = append(ready, r)
		}
		winner := ctx.Select(ready...)
		var got []string
		for i, r := range racers {
			if i != winner {
				r.Cancel()
			}
		}
		for _, r := range racers {
			got = append(got, code(ctx, r))
		}
		_, err := durable.Do(ctx, double, winner)
		return got, err
	}, hang.StepFunc, wins.StepFunc, double.StepFunc))
	succeeded(t, run(t, e, 0), []string{"canceled", "canceled", "canceled", "canceled", "canceled", "done"})
	<-cleaned
	<-ended
	<-ended
}

// cancelsIrreversible: the program goes on at once, the effect happens to its end, and the
// run ends behind it.
func cancelsIrreversible(t *testing.T, open Open) {
	begun, goOn, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, func(ctx context.Context, _ int) (int, error) {
		close(begun)
		select {
		case <-goOn:
		case <-ctx.Done():
			t.Error("an irreversible step was cut short")
		}
		close(over)
		return 1, nil
	})
	lets := durable.NewFunc("lets", durable.StepOptions{}, func(context.Context, int) (int, error) {
		close(goOn)
		return 0, nil
	})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		paid := durable.Start(ctx, pay, 0)
		if err := ctx.Inbox("now").Receive(ctx, nil); err != nil {
			return nil, err
		}
		paid.Cancel()
		got := []string{code(ctx, paid)}
		if _, err := durable.Do(ctx, lets, 0); err != nil { // which it would wait for in vain
			return nil, err
		}
		return append(got, code(ctx, paid)), nil
	}, pay.StepFunc, lets.StepFunc))
	id := start(t, e, 0)
	<-begun
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "now"}); err != nil {
		t.Fatal(err)
	}
	succeeded(t, wait(t, e, id), []string{"canceled", "canceled"})
	select {
	case <-over:
	default:
		t.Error("the run ended before its irreversible step")
	}
}

func cancelsReady(t *testing.T, open Open) {
	child := durable.NewProgram("child", func(durable.Context, int) (int, error) { return 5, nil })
	e := open(t, child, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]int, error) {
		step, timer := durable.Start(ctx, double, 2), ctx.Timer(0)
		kid := durable.Promise[int]{Future: ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage(`0`)})}
		routine := ctx.Go("r", func(durable.Context) error { return nil })
		var got []int
		for range 2 {
			n, errStep := step.Await(ctx)
			k, errKid := kid.Await(ctx)
			if err := errors.Join(errStep, errKid, timer.Get(ctx, nil), routine.Get(ctx, nil)); err != nil {
				return nil, err
			}
			got = append(got, n, k)
			for _, f := range []durable.Future{step, timer, kid, routine} {
				f.Cancel()
			}
		}
		return got, nil
	}, double.StepFunc))
	succeeded(t, run(t, e, 0), []int{4, 5, 4, 5})
}
