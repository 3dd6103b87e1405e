package orpinetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
)

// A reminder that is sent after a week, in a test that takes milliseconds; then with a crash at
// every write of its journal.
func Example() {
	send := durable.NewFunc("send", durable.StepOptions{}, func(context.Context, string) (bool, error) {
		return false, durable.Errorf(durable.CodeUnavailable, "there is no mail here")
	})
	remind := durable.NewProgram("remind", func(ctx durable.Context, whom string) (bool, error) {
		if err := durable.Sleep(ctx, 7*24*time.Hour); err != nil {
			return false, err
		}
		return durable.Do(ctx, send, whom)
	}, send.StepFunc)
	config := func() orpinetest.Config {
		return orpinetest.Config{
			Programs: []durable.Program{remind},
			Stubs:    map[string]orpinetest.Stub{"send": orpinetest.StubOf(func(context.Context, string) (bool, error) { return true, nil })},
		}
	}
	_ = func(t *testing.T) { // TestRemind
		play := func(t *testing.T, e *orpinetest.Env) {
			began := time.Now()
			r := e.Run("remind", "ann@example.com")
			if sent := orpinetest.Output[bool](e, r); !sent || time.Since(began) != 7*24*time.Hour {
				t.Errorf("sent: %v, after %s", sent, time.Since(began))
			}
		}
		orpinetest.Run(t, config(), play)
		orpinetest.CrashAfterEveryStep(t, config, play)
	}
}
