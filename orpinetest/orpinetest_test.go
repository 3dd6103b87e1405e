package orpinetest_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
)

// everything is a program that does a little of all there is.
func everything() durable.Program {
	idem := durable.NewFunc("idem", durable.StepOptions{Retry: durable.Retry{Attempts: 3, Backoff: time.Second}},
		func(context.Context, string) (string, error) { return "", errors.New("there is no stub") })
	pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible},
		func(context.Context, int) (string, error) { return "", errors.New("there is no stub") })
	return durable.NewProgram("everything", func(ctx durable.Context, n int) (out []string, err error) {
		saga := durable.NewSaga(ctx)
		got, err := durable.Do(ctx, idem, "one")
		if err != nil {
			return nil, err
		}
		out = append(out, got)
		saga.Add("one", func(ctx durable.Context) error {
			_, err := durable.Do(ctx, idem, "undo one")
			return err
		})
		if err := durable.Sleep(ctx, 30*24*time.Hour); err != nil {
			return nil, err
		}
		yes, err := durable.Ask[bool](ctx, durable.Interrupt{Prompt: "go on?"})
		if err != nil || !yes {
			return nil, saga.Compensate(errors.Join(err, durable.Errorf(durable.CodeDenied, "no")))
		}
		word, err := durable.Receive[string](ctx, "word")
		if err != nil {
			return nil, err
		}
		answer, err := agent.Ask(ctx, agent.Definition{Name: "a", Model: "script/x"}, "say "+word)
		if err != nil {
			return nil, err
		}
		paid, err := durable.Do(ctx, pay, n)
		out = append(out, word, answer.Text, paid)
		return out, err
	}, idem.StepFunc, pay.StepFunc)
}

// config is of everything, with stubs of which one fails at first.
func config() orpinetest.Config {
	var tried atomic.Int64
	return orpinetest.Config{
		Programs: []durable.Program{everything()},
		Script:   "rules:\n  - reply: { text: \"${user}!\" }\n",
		Stubs: map[string]orpinetest.Stub{
			"idem": orpinetest.StubOf(func(_ context.Context, what string) (string, error) {
				if tried.Add(1) == 1 {
					return "", durable.Errorf(durable.CodeUnavailable, "busy")
				}
				return "did " + what, nil
			}),
			"pay": orpinetest.StubOf(func(context.Context, int) (string, error) { return "paid", nil }),
		},
	}
}

// whole plays everything to its end.
func whole(t *testing.T, e *orpinetest.Env) {
	id := e.Start("everything", 7)
	time.Sleep(31 * 24 * time.Hour)
	if err := e.Answer(id, "", true); err != nil {
		t.Fatal(err)
	}
	if err := e.Signal(id, "word", "hello"); err != nil {
		t.Fatal(err)
	}
	if got, want := orpinetest.Output[[]string](e, e.Wait(id)), []string{"did one", "hello", "say hello!", "paid"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRun(t *testing.T) {
	began := time.Now()
	orpinetest.Run(t, config(), func(t *testing.T, e *orpinetest.Env) {
		whole(t, e)
		if e.Calls("idem") != 2 || e.Calls("pay") != 1 || e.Calls("none") != 0 {
			t.Errorf("idem was called %d times, pay %d times", e.Calls("idem"), e.Calls("pay"))
		}
		if got, want := e.Effects(), []string{"idem", "pay"}; !slices.Equal(got, want) {
			t.Errorf("effects %q, want %q", got, want)
		}
		if e.Lives() != 1 || len(e.Steps("run-1")) != 5 {
			t.Errorf("%d lives, steps %+v", e.Lives(), e.Steps("run-1"))
		}
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("31 days took %s", took)
	}
}

// TestCrash: a crash by hand, while the run waits and while a step is under way.
func TestCrash(t *testing.T) {
	cfg := config()
	orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
		id := e.Start("everything", 7)
		e.Crash()
		if r := e.Settle(id); r.Status != durable.Waiting || e.Lives() != 2 {
			t.Errorf("the run is %s in life %d", r.Status, e.Lives())
		}
		time.Sleep(time.Hour)
		e.Crash()
		time.Sleep(30 * 24 * time.Hour)
		if err := e.Answer(id, "", false); err != nil {
			t.Fatal(err)
		}
		if err := e.Answer(id, "", false); !errors.Is(err, durable.ErrConflict) {
			t.Errorf("a second answer: %v", err)
		}
		r := e.Wait(id)
		if r.Status != durable.Failed || r.Error.Code != durable.CodeDenied || r.Error.Message != "no; compensated one" {
			t.Errorf("the run is %s: %v", r.Status, r.Error)
		}
		if got, want := e.Effects(), []string{"idem", "idem"}; !slices.Equal(got, want) {
			t.Errorf("effects %q, want %q", got, want)
		}
	})
}

func TestCrashAfterEveryStep(t *testing.T) {
	orpinetest.CrashAfterEveryStep(t, config, whole)
}

// TestGolden: what was recorded replays as long as the program is what it was.
func TestGolden(t *testing.T) {
	path := t.TempDir() + "/journals/everything.orpine"
	cfg := config()
	cfg.Update = true
	orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
		whole(t, e)
		e.Golden(path, "run-1")
	})
	orpinetest.Run(t, config(), func(_ *testing.T, e *orpinetest.Env) { e.Golden(path, "") })
}
