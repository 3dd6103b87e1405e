package orpinetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
)

// TestDoubt: a process that dies during an irreversible step leaves it in doubt, and the test says what
// happened.
func TestDoubt(t *testing.T) {
	pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, func(context.Context, int) (string, error) {
		time.Sleep(time.Hour)
		return "paid", nil
	})
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) { return durable.Do(ctx, pay, 1) }, pay.StepFunc)
	orpinetest.Run(t, orpinetest.Config{Programs: []durable.Program{p}}, func(t *testing.T, e *orpinetest.Env) {
		id := e.StartAs(durable.StartRequest{Program: "p", ID: "mine", Name: "payment"})
		time.Sleep(time.Minute)
		e.Crash()
		r := e.Settle(id)
		if id != "mine" || r.Name != "payment" || len(r.Waits) != 1 || r.Waits[0].Kind != durable.WaitInDoubt {
			t.Fatalf("run %s is %+v", id, r)
		}
		if err := e.Resolve(id, r.Waits[0].Command, durable.Resolution{Done: []byte(`"found out"`)}); err != nil {
			t.Fatal(err)
		}
		if got := orpinetest.Output[string](e, e.Wait(id)); got != "found out" || e.Calls("pay") != 1 {
			t.Errorf("got %q, pay was called %d times", got, e.Calls("pay"))
		}
	})
}

// TestCancel: a cancel is one, also where a crash cuts the order short.
func TestCancel(t *testing.T) {
	step := note()
	config := func() orpinetest.Config {
		return orpinetest.Config{Programs: []durable.Program{durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
			err := durable.Sleep(ctx, time.Hour)
			_, cleaned := durable.Do(ctx.Shield(), step, "clean up")
			return 0, errors.Join(err, cleaned)
		}, step.StepFunc)}}
	}
	orpinetest.CrashAfterEveryStep(t, config, func(t *testing.T, e *orpinetest.Env) {
		id := e.Start("p", nil)
		e.Settle(id)
		time.Sleep(time.Minute)
		if err := e.Cancel(id, "enough"); err != nil {
			t.Fatal(err)
		}
		if r := e.Wait(id); r.Status != durable.Canceled || r.Reason != "enough" {
			t.Errorf("the run is %s because %q", r.Status, r.Reason)
		}
		if err := e.Cancel(id, "again"); !errors.Is(err, durable.ErrConflict) {
			t.Errorf("a cancel of what has ended: %v", err)
		}
	})
}

// TestAnyOrder: steps that race are the same, in whatever order.
func TestAnyOrder(t *testing.T) {
	step := note()
	config := func() orpinetest.Config {
		return orpinetest.Config{AnyOrder: true, Programs: []durable.Program{
			durable.NewProgram("p", func(ctx durable.Context, names []string) ([]string, error) {
				return durable.Each(ctx, names, 3, func(ctx durable.Context, _ int, name string) (string, error) {
					if _, err := durable.Do(ctx, step, name); err != nil {
						return "", err
					}
					return durable.Do(ctx, step, name+" again")
				})
			}, step.StepFunc),
		}}
	}
	orpinetest.CrashAfterEveryStep(t, config, func(t *testing.T, e *orpinetest.Env) {
		if got := orpinetest.Output[[]string](e, e.Run("p", []string{"a", "b", "c", "d", "e"})); len(got) != 5 || got[4] != "e again" {
			t.Errorf("got %q", got)
		}
	})
}
