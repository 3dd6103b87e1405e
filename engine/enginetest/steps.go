package enginetest

import (
	"context"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
)

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

// beats: a step that beats may take its time, one that stops doing so is told to end.
func beats(t *testing.T, open Open) {
	const every = 300 * time.Millisecond
	beater := durable.NewFunc("beater", durable.StepOptions{Heartbeat: every, Retry: durable.Retry{Attempts: 1}},
		func(ctx context.Context, times int) (int, error) {
			for range times {
				select {
				case <-ctx.Done():
					return 0, ctx.Err()
				case <-time.After(every / 6):
					durable.AttemptOf(ctx).Beat()
				}
			}
			if times == 0 {
				<-ctx.Done()
			}
			return times, ctx.Err()
		})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, times int) (string, error) {
		if _, err := durable.Do(ctx, beater, times); err != nil {
			return string(durable.CodeOf(err)), nil
		}
		return "", nil
	}, beater.StepFunc))
	succeeded(t, run(t, e, 12), "")
	succeeded(t, run(t, e, 0), "unavailable")
}
