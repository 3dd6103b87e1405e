package bench

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/orpine-run/orpine/durable"
)

// stepsInput is what a run of the workload starts with.
type stepsInput struct {
	Driver int `json:"driver"`
	Steps  int `json:"steps"`
}

// steps: each driver starts a run of sequential steps, waits for its end and starts the
// next. A step is the smallest there is: its result is durable before the next begins.
func (b *bench) steps(ctx context.Context) (Result, error) {
	res := Result{Runs: b.Runs, Steps: b.Steps}
	before, err := b.empty(ctx)
	if err != nil {
		return res, err
	}
	b.Progress(fmt.Sprintf("%d runs at once, %d steps of %d bytes each, for %v s", b.Runs, b.Steps, b.Payload, b.Secs))
	m := newMeter()
	b.text.unique.Store(0)
	rt, err := b.open(ctx, b.stepsProgram(m))
	if err != nil {
		return res, err
	}
	err = m.measure(ctx, b.Runs, b.window(), func(ctx context.Context, driver int) error {
		input, err := json.Marshal(stepsInput{driver, b.Steps})
		if err != nil {
			return err
		}
		return drive(ctx, rt, durable.StartRequest{Program: "bench.steps", Input: input})
	})
	res.per(m)
	if err := closing(err, rt); err != nil {
		return res, err
	}
	after, err := sizeOf(b.data())
	res.disk(before, after)
	res.P50, res.P99, res.Unique = m.latency.quantile(0.5), m.latency.quantile(0.99), b.text.unique.Load()
	return res, err
}

// stepsProgram is the program of sequential steps. Each driver has one run at a time, so
// the time between two of its steps is known without a lock.
func (b *bench) stepsProgram(m *meter) durable.Program {
	lasts := make([]last, b.Runs)
	work := durable.NewFunc("bench.step", durable.StepOptions{}, func(_ context.Context, in stepInput) (string, error) {
		if in.Step == 0 {
			lasts[in.Driver].forget()
		}
		m.step(&lasts[in.Driver])
		return b.text.next(b.Payload), nil
	})
	return durable.NewProgram("bench.steps", func(ctx durable.Context, in stepsInput) (int, error) {
		for i := range in.Steps {
			if _, err := durable.Do(ctx, work, stepInput{in.Driver, i}); err != nil {
				return 0, err
			}
		}
		return in.Steps, nil
	}, work.StepFunc)
}

type stepInput struct {
	Driver int `json:"driver"`
	Step   int `json:"step"`
}
