package embedded_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
)

// TestDrainHasAnEnd: a step that does not stop holds nobody up for ever.
func TestDrainHasAnEnd(t *testing.T) {
	for _, effect := range []durable.Effect{durable.Idempotent, durable.Irreversible} {
		t.Run(string(effect), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				free := make(chan struct{})
				deaf := durable.NewFunc("deaf", durable.StepOptions{Effect: effect}, func(context.Context, int) (int, error) {
					<-free
					return 0, nil
				})
				s := openStore(t, dir)
				e := openEngine(t, s, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) { return durable.Do(ctx, deaf, 0) }, deaf.StepFunc))
				if _, err := e.Start(t.Context(), durable.StartRequest{Program: "p"}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				err := e.Drain(ctx)
				if took := time.Since(began); !errors.Is(err, durable.ErrUnavailable) || took < time.Minute || took > 2*time.Minute {
					t.Errorf("after %s: %v", took, err)
				}
				close(free)
				synctest.Wait()
				closeEngine(t, e, s) // a second time
			})
		})
	}
}

// TestPassive: a passive engine records what it is told, and does nothing about it.
func TestPassive(t *testing.T) {
	ran := 0
	step := durable.NewFunc("step", durable.StepOptions{}, func(context.Context, int) (int, error) { ran++; return ran, nil })
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		if _, err := durable.Do(ctx, step, 0); err != nil {
			return "", err
		}
		var said string
		err := ctx.Ask(durable.Interrupt{Prompt: "well?"}).Get(ctx, &said)
		if err == nil {
			_, err = durable.Do(ctx, step, 0)
		}
		return said, err
	}, step.StepFunc)
	dir := t.TempDir()
	with := func(passive bool, do func(*embedded.Engine)) {
		s := openStore(t, dir)
		e := openWith(t, s, embedded.Config{Programs: []durable.Program{p}, Passive: passive})
		do(e)
		closeEngine(t, e, s)
	}
	is := func(e *embedded.Engine, want durable.Status, steps int) {
		t.Helper()
		if r, err := e.Get(t.Context(), "r"); err != nil || r.Status != want || ran != steps {
			t.Errorf("the run is %s, %d steps ran, error %v; want %s and %d", r.Status, ran, err, want, steps)
		}
	}
	with(true, func(e *embedded.Engine) {
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(20 * time.Millisecond)
		is(e, durable.Queued, 0)
	})
	with(false, func(e *embedded.Engine) {
		if _, err := e.Settle(t.Context(), "r", time.Time{}); err != nil {
			t.Fatal(err)
		}
		is(e, durable.Waiting, 1)
	})
	with(true, func(e *embedded.Engine) {
		if err := e.Answer(t.Context(), "r", "", []byte(`"yes"`)); err != nil {
			t.Fatal(err)
		}
		if err := e.Answer(t.Context(), "r", "", []byte(`"no"`)); !errors.Is(err, durable.ErrConflict) {
			t.Errorf("a second answer: %v", err)
		}
		<-time.After(20 * time.Millisecond)
		is(e, durable.Queued, 1)
	})
	with(false, func(e *embedded.Engine) {
		if r := waitFor(t, e, "r"); string(r.Output) != `"yes"` {
			t.Errorf("the run is %s with %s", r.Status, r.Output)
		}
		is(e, durable.Succeeded, 2)
	})
}
