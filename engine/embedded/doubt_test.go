package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store/storetest"
)

// payer is a program that pays once; what became of it is the whole of its result.
func payer(o durable.StepOptions, pay func(context.Context) (string, error), reconcile func() (durable.Outcome, error)) durable.Program {
	o.Effect = durable.Irreversible
	fn := durable.NewFunc("pay", o, func(ctx context.Context, _ int) (string, error) { return pay(ctx) })
	if reconcile != nil {
		fn.Reconcile = func(context.Context, json.RawMessage) (durable.Outcome, error) { return reconcile() }
	}
	return durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		said, err := durable.Do(ctx, fn, 0)
		if err != nil {
			return "failed: " + err.Error(), nil //nolint:nilerr // a result like any other
		}
		return said, nil
	}, fn.StepFunc)
}

// dieBeforeResult starts the run "payer" in a process that dies before the result of its
// step is durable.
func dieBeforeResult(t *testing.T, dir string, p durable.Program) {
	t.Helper()
	faulty := storetest.NewFaulty(openStore(t, dir), 2, false) // the birth with the intent, then the result
	e := openEngine(t, faulty, p)
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: "payer", Program: "p"}); err != nil {
		t.Fatal(err)
	}
	_, _ = e.Wait(t.Context(), "payer") // it cannot end: its store dies
	closeEngine(t, e, faulty)
}

func inDoubt(r durable.Run) bool {
	return r.Status == durable.Waiting && len(r.Waits) == 1 && r.Waits[0].Kind == durable.WaitInDoubt
}

// TestReconcileComesToNothing: a reconcile function that panics or fails tells nothing, so
// that the step stays in doubt; it is not done again, however often it may be tried.
func TestReconcileComesToNothing(t *testing.T) {
	for name, reconcile := range map[string]func() (durable.Outcome, error){
		"it panics": func() (durable.Outcome, error) { panic("no") },
		"it fails":  func() (durable.Outcome, error) { return durable.Outcome{}, errors.New("no") },
		"it tells no text": func() (durable.Outcome, error) {
			return durable.Outcome{Happened: true, Output: json.RawMessage("5")}, nil
		},
		"it tells no JSON": func() (durable.Outcome, error) {
			return durable.Outcome{Happened: true, Output: json.RawMessage("{")}, nil
		},
		"it takes very long": func() (durable.Outcome, error) { <-time.After(time.Hour); return durable.Outcome{}, errors.New("late") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				paid := 0
				p := payer(durable.StepOptions{Retry: durable.Retry{Attempts: 5}, Timeout: time.Minute}, func(context.Context) (string, error) {
					paid++
					return "paid", nil
				}, reconcile)
				dieBeforeResult(t, dir, p)
				s := openStore(t, dir)
				e := openEngine(t, s, p)
				defer closeEngine(t, e, s)
				<-time.After(3 * time.Hour)
				if r, err := e.Get(t.Context(), "payer"); err != nil || !inDoubt(r) || paid != 1 {
					t.Errorf("the run is %s (%s) with %s and waits for %v; paid %d times, error %v", r.Status, r.Reason, r.Output, r.Waits, paid, err)
				}
			})
		})
	}
}

// TestReconcileAfterTheDeadline: what happened in time counts, however late that is found out.
func TestReconcileAfterTheDeadline(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := payer(durable.StepOptions{Within: time.Hour}, func(context.Context) (string, error) { return "paid", nil },
			func() (durable.Outcome, error) {
				return durable.Outcome{Happened: true, Output: json.RawMessage(`"found"`)}, nil
			})
		dieBeforeResult(t, dir, p)
		<-time.After(2 * time.Hour)
		s := openStore(t, dir)
		e := openEngine(t, s, p)
		defer closeEngine(t, e, s)
		if r := waitLong(t, e, "payer"); string(r.Output) != `"found"` {
			t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
		}
	})
}

// TestTimeIsUp: an irreversible step whose time is up may have happened: it is in doubt. If
// it says itself what became of it, that is believed.
func TestTimeIsUp(t *testing.T) {
	never := func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	refused := func(context.Context) (string, error) {
		return "", durable.Errorf(durable.CodeUnavailable, "connection refused")
	}
	unsure := func(context.Context) (string, error) {
		return "", fmt.Errorf("pay: %w", durable.InDoubt(errors.New("connection reset")))
	}
	for name, c := range map[string]struct {
		options durable.StepOptions
		pay     func(context.Context) (string, error)
		doubt   bool
	}{
		"timeout":      {durable.StepOptions{Timeout: time.Minute}, never, true},
		"within":       {durable.StepOptions{Within: time.Minute}, never, true},
		"heartbeat":    {durable.StepOptions{Heartbeat: time.Minute}, never, true},
		"it says so":   {durable.StepOptions{Timeout: time.Minute}, refused, false},
		"it is unsure": {durable.StepOptions{Timeout: time.Minute, Retry: durable.Retry{Attempts: 5}}, unsure, true},
		"done in time": {durable.StepOptions{Timeout: time.Minute}, func(context.Context) (string, error) { return "paid", nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				p := payer(c.options, c.pay, nil)
				s := openStore(t, dir)
				e := openEngine(t, s, p)
				defer closeEngine(t, e, s)
				if _, err := e.Start(t.Context(), durable.StartRequest{ID: "payer", Program: "p"}); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Hour)
				r, err := e.Get(t.Context(), "payer")
				if err != nil || inDoubt(r) != c.doubt || (!c.doubt && !r.Status.Final()) {
					t.Fatalf("the run is %s with %s and waits for %v, error %v", r.Status, r.Output, r.Waits, err)
				}
				if !c.doubt {
					return
				}
				if err := e.Resolve(t.Context(), "payer", 0, durable.Resolution{Done: json.RawMessage(`"it did"`)}); err != nil {
					t.Fatal(err)
				}
				if r := waitLong(t, e, "payer"); string(r.Output) != `"it did"` {
					t.Errorf("the run is %s with %s", r.Status, r.Output)
				}
			})
		})
	}
}

// TestResolveWithNonsense: a result that the program cannot read is refused, and says what
// would do; the step stays in doubt.
func TestResolveWithNonsense(t *testing.T) {
	dir := t.TempDir()
	p := payer(durable.StepOptions{}, func(context.Context) (string, error) { return "paid", nil }, nil)
	dieBeforeResult(t, dir, p)
	s := openStore(t, dir)
	e := openEngine(t, s, p)
	defer closeEngine(t, e, s)
	if _, err := e.Settle(t.Context(), "payer", time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, done := range []string{`5`, `null`, `{}`, `[]`, `{"cut`} {
		err := e.Resolve(t.Context(), "payer", 0, durable.Resolution{Done: json.RawMessage(done)})
		if !errors.Is(err, durable.ErrInvalid) || (json.Valid([]byte(done)) && !strings.Contains(err.Error(), `a text, like "this"`)) {
			t.Errorf("%s: %v", done, err)
		}
	}
	if err := e.Resolve(t.Context(), "payer", 0, durable.Resolution{Done: json.RawMessage(`"yes"`)}); err != nil {
		t.Error(err)
	}
	if r := waitLong(t, e, "payer"); string(r.Output) != `"yes"` {
		t.Errorf("the run is %s with %s", r.Status, r.Output)
	}
}

// TestCancelWhileWaitingForATurn: a cancel reaches an irreversible step that has not begun.
func TestCancelWhileWaitingForATurn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		v := &visits{began: time.Now()}
		s := openStore(t, dir)
		e := openWith(t, s, embedded.Config{
			Programs: []durable.Program{visitor(v, time.Hour, durable.Irreversible)}, Limits: map[string]embedded.Limit{"door": {AtOnce: 1}},
		})
		defer closeEngine(t, e, s)
		for _, name := range []string{"first", "second"} {
			if err := visitStart(t, e, name, durable.StartRequest{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := e.Cancel(t.Context(), "second", "enough"); err != nil {
			t.Fatal(err)
		}
		if r := waitLong(t, e, "second"); r.Status != durable.Canceled || time.Since(v.began) > 0 {
			t.Errorf("the run is %s (%s) after %s", r.Status, r.Reason, time.Since(v.began))
		}
		waitLong(t, e, "first")
		if len(v.who) != 1 {
			t.Errorf("%v came in", v.who)
		}
	})
}

// TestStepOfAnotherBuild: a run whose step this build does not have is blocked, and goes on
// with a build that has it.
func TestStepOfAnotherBuild(t *testing.T) {
	for _, effect := range []durable.Effect{durable.Read, durable.Irreversible} {
		t.Run(string(effect), func(t *testing.T) {
			fn := durable.NewFunc("fn", durable.StepOptions{Effect: effect}, func(context.Context, int) (int, error) { return 7, nil })
			main := func(ctx durable.Context, _ int) (int, error) { return durable.Do(ctx, fn, 0) }
			dir := t.TempDir()
			s := openStore(t, dir)
			e := openEngine(t, s, durable.NewProgram("p", main))
			if _, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"}); err != nil {
				t.Fatal(err)
			}
			r, err := e.Settle(t.Context(), "r", time.Time{})
			if err != nil || r.Status != durable.Blocked || !strings.Contains(r.Reason, `no step function "fn"`) {
				t.Errorf("the run is %s (%s), error %v", r.Status, r.Reason, err)
			}
			closeEngine(t, e, s)
			s = openStore(t, dir)
			e = openEngine(t, s, durable.NewProgram("p", main, fn.StepFunc))
			defer closeEngine(t, e, s)
			if err := e.Resume(t.Context(), "r"); err != nil {
				t.Fatal(err)
			}
			if r := waitLong(t, e, "r"); string(r.Output) != "7" {
				t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
			}
		})
	}
}

// TestEndWhileItHappens: what became of an irreversible step that is under way is recorded
// before the run ends.
func TestEndWhileItHappens(t *testing.T) {
	for name, continues := range map[string]bool{"it is canceled": false, "it goes on in a new segment": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, func(context.Context, int) (string, error) {
					<-time.After(time.Minute)
					return "paid", nil
				})
				p := durable.NewProgram("p", func(ctx durable.Context, n int) (string, error) {
					if n > 0 {
						return "later", nil
					}
					promise := durable.Start(ctx, pay, 0)
					if continues {
						if err := durable.Sleep(ctx, time.Millisecond); err != nil {
							return "", err
						}
						return "", durable.Continue(json.RawMessage("1"))
					}
					return promise.Await(ctx)
				}, pay.StepFunc)
				s := openStore(t, dir)
				e := openEngine(t, s, p)
				defer closeEngine(t, e, s)
				if _, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"}); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Second)
				if !continues {
					if err := e.Cancel(t.Context(), "r", "enough"); err != nil {
						t.Fatal(err)
					}
				}
				r := waitLong(t, e, "r")
				if want := map[bool]durable.Status{false: durable.Canceled, true: durable.Succeeded}[continues]; r.Status != want {
					t.Errorf("the run is %s (%s)", r.Status, r.Reason)
				}
				if got := kinds(t, e, "r"); !slices.Contains(got, "done pay") {
					t.Errorf("the journal has %v", got)
				}
			})
		})
	}
}
