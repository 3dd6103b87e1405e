package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

const (
	starters   = 64  // who start runs at the same time
	resumed    = 100 // runs whose way back to life is measured
	settleTime = 200 * time.Millisecond
	idleMost   = 3 * time.Second
	approve    = "approve" // the signal that parked runs wait for
)

// parkedProgram makes one small step, waits for a signal and makes another one, at
// whose beginning goOn is called.
func parkedProgram(texts *text, size int, goOn func()) durable.Program {
	begin := durable.NewFunc("bench.begin", durable.StepOptions{}, func(context.Context, int) (string, error) { return texts.next(size), nil })
	end := durable.NewFunc("bench.end", durable.StepOptions{}, func(context.Context, int) (int, error) {
		goOn()
		return 0, nil
	})
	return durable.NewProgram("bench.parked", func(ctx durable.Context, in int) (int, error) {
		if _, err := durable.Do(ctx, begin, in); err != nil {
			return 0, err
		}
		if err := ctx.Inbox(approve).Receive(ctx, nil); err != nil {
			return 0, err
		}
		return durable.Do(ctx, end, in)
	}, begin.StepFunc, end.StepFunc)
}

// parkRuns starts runs until so many are parked, and returns some of them.
func parkRuns(ctx context.Context, rt *orpine.Runtime, runs int) ([]durable.RunID, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	some := make([]durable.RunID, min(runs, resumed))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runs, starters) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= runs {
					return
				}
				id, err := parkRun(ctx, rt)
				if err != nil {
					stop(err)
					return
				}
				if i%(runs/len(some)) == 0 && i/(runs/len(some)) < len(some) {
					some[i/(runs/len(some))] = id
				}
			}
		})
	}
	wg.Wait()
	return some, context.Cause(ctx)
}

func parkRun(ctx context.Context, rt *orpine.Runtime) (durable.RunID, error) {
	id, err := rt.Start(ctx, durable.StartRequest{Program: "bench.parked", Input: []byte("0")})
	if err != nil {
		return "", err
	}
	r, err := rt.Settle(ctx, id, time.Time{})
	if err == nil && r.Status != durable.Waiting {
		err = fmt.Errorf("run %s is %s, and was to wait: %s", id, r.Status, r.Reason)
	}
	return id, err
}

// parked: so many runs wait for a signal. What do they take while they wait, and how
// long until one goes on?
func (b *bench) parked(ctx context.Context) (Result, error) {
	const stepsBefore = 1
	res := Result{Runs: b.Runs, Steps: stepsBefore}
	before, err := b.empty(ctx)
	if err != nil {
		return res, err
	}
	b.text.unique.Store(0)
	begun := make(chan time.Time, 1)
	rt, err := b.open(ctx, parkedProgram(b.text, b.Payload, func() { begun <- time.Now() }))
	if err != nil {
		return res, err
	}
	if err := closing(b.parkedIn(ctx, rt, begun, &res), rt); err != nil {
		return res, err
	}
	after, err := sizeOf(b.data())
	res.disk(before, after)
	res.Unique = b.text.unique.Load()
	return res, err
}

func (b *bench) parkedIn(ctx context.Context, rt *orpine.Runtime, begun <-chan time.Time, res *Result) error {
	const mb = 1 << 20
	start := settledRSS(ctx)
	b.Progress(fmt.Sprintf("parking %d runs", b.Runs))
	used, began := usageNow(), time.Now()
	some, err := parkRuns(ctx, rt, b.Runs)
	if err != nil {
		return err
	}
	res.Secs, res.CPU = time.Since(began).Seconds(), usageNow().less(used).cpu.Seconds()
	res.RunsPerS = float64(b.Runs) / res.Secs
	res.StepsPerS, res.StepsTotal, res.RunsTotal = res.RunsPerS, int64(b.Runs), int64(b.Runs)
	res.CPUPerRun = 1000 * res.CPU / float64(b.Runs)
	res.RSS = settledRSS(ctx)
	res.RAMPerRun = (res.RSS - start) * mb / float64(b.Runs)

	b.Progress(fmt.Sprintf("%d runs are parked; how idle is that, and how long until one goes on", b.Runs))
	idle := newMeter()
	idle.window(ctx, min(b.window(), idleMost))
	res.IdleCPU = 100 * idle.used.cpu.Seconds() / idle.took.Seconds()
	var back latency
	for _, id := range some {
		before := time.Now()
		if err := rt.Signal(ctx, id, durable.Signal{Name: approve}); err != nil {
			return err
		}
		select {
		case at := <-begun:
			back.add(at.Sub(before))
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := finished(rt.Wait(ctx, id)); err != nil {
			return err
		}
	}
	res.P50, res.P99 = back.quantile(0.5), back.quantile(0.99)
	return nil
}

// settledRSS is the memory that remains when what is not used has been given back.
func settledRSS(ctx context.Context) float64 {
	debug.FreeOSMemory()
	pause(ctx, settleTime)
	debug.FreeOSMemory()
	return rssMB()
}

var errNoStep = errors.New("the process that was to make a step told of none")
