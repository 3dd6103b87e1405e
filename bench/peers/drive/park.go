package drive

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

const (
	idleWindow   = 3 * time.Second       // of the look at the processor with all parked
	resumeLimit  = 20 * time.Second      // for one signal to resume one run
	recoverLimit = 2 * time.Minute       // for the first signal after a kill
	tick         = 20 * time.Millisecond // between two looks at a counter
	retryEvery   = 10 * time.Millisecond // of the first signal after a kill
)

// park starts the runs, looks at what they cost while they wait, and resumes some one
// after the other. Then it stays until it is killed.
func (w *worker) park(ctx context.Context) error {
	rss0, _ := w.collected()
	before, err := w.read()
	if err != nil {
		return err
	}
	begun := time.Now()
	var errs atomic.Int64
	w.spread(ctx, 0, &errs, w.engine.Park)
	w.await(ctx, begun, func() bool { return w.load.Parked() >= int64(w.Runs)-errs.Load() })
	elapsed, n := time.Since(begun).Seconds(), w.load.Parked()
	after, err := w.read()
	if err != nil {
		return err
	}
	spent := after.since(before)
	if err := pause(ctx, w.Settle); err != nil {
		return err
	}
	raw, _ := w.memory()
	rss, servers := w.collected()
	settled, err := w.read()
	if err != nil {
		return err
	}
	if err := pause(ctx, idleWindow); err != nil {
		return err
	}
	idle, err := w.read()
	if err != nil {
		return err
	}
	figures := map[report.Figure]float64{
		report.Seconds: elapsed, report.Count: float64(n), report.Rate: float64(n) / elapsed,
		report.CPU: spent.cpuMS(n), report.Disk: settled.since(before).diskKB(n),
		report.RSS: mb(rss), report.ServerRSS: mb(servers),
		report.RunRSS: per(float64(rss-rss0)/(1<<10), n), report.RunRSSRaw: per(float64(raw-rss0)/(1<<10), n),
		report.IdleCPU: 100 * float64(idle.since(settled).cpu) / float64(idleWindow),
	}
	addLatency(figures, w.resume(ctx, &errs))
	figures[report.Errors] = float64(errs.Load())
	if err := w.emit(figures); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// resume signals the first runs one after the other and returns how long each took.
func (w *worker) resume(ctx context.Context, errs *atomic.Int64) []time.Duration {
	var times []time.Duration
	for k := range min(workload.Resumed, int64(w.Runs)) {
		resumed, begun := w.load.Watch(w.id(k)), time.Now()
		if err := w.engine.Signal(ctx, w.id(k)); err != nil {
			complain(errs, err)
			continue
		}
		select {
		case <-resumed:
			times = append(times, time.Since(begun))
		case <-time.After(resumeLimit):
			complain(errs, fmt.Errorf("run %s was not resumed", w.id(k)))
		case <-ctx.Done():
			return times
		}
	}
	return times
}

// recover runs in a new worker over what park left behind when it was killed: the first
// runs have been resumed, all others wait.
func (w *worker) recover(ctx context.Context) error {
	if w.Runs <= workload.Resumed {
		return fmt.Errorf("%d parked runs leave none to recover; at least %d are needed", w.Runs, workload.Resumed+1)
	}
	id := w.id(workload.Resumed)
	resumed := w.load.Watch(id)
	deadline := w.Begun.Add(recoverLimit)
	for {
		err := w.engine.Signal(ctx, id)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("signal the first run after the kill: %w", err)
		}
		if err := pause(ctx, retryEvery); err != nil {
			return err
		}
	}
	select {
	case <-resumed:
	case <-time.After(time.Until(deadline)):
		return fmt.Errorf("run %s was not resumed after the kill", id)
	case <-ctx.Done():
		return ctx.Err()
	}
	first := time.Since(w.Begun)
	begun := time.Now()
	var errs atomic.Int64
	w.spread(ctx, workload.Resumed+1, &errs, w.engine.Signal)
	w.await(ctx, begun, func() bool { return w.load.Resumed() >= int64(w.Runs)-workload.Resumed-errs.Load() })
	drain, n := time.Since(begun).Seconds(), w.load.Resumed()
	rss, servers := w.memory()
	return w.emit(map[report.Figure]float64{
		report.FirstAfter: first.Seconds(), report.Drain: drain,
		report.Count: float64(n), report.Rate: float64(n-1) / drain, report.Errors: float64(errs.Load()),
		report.RSS: mb(rss), report.ServerRSS: mb(servers),
	})
}

// spread calls do for the runs from number k on, by as many goroutines as there are
// starters, until the limit.
func (w *worker) spread(ctx context.Context, k int64, errs *atomic.Int64, do func(context.Context, string) error) {
	begun := time.Now()
	var next atomic.Int64
	next.Store(k)
	var wg sync.WaitGroup
	for range w.Starters {
		wg.Go(func() {
			for ctx.Err() == nil && time.Since(begun) < w.Limit {
				k := next.Add(1) - 1
				if k >= int64(w.Runs) {
					return
				}
				if err := do(ctx, w.id(k)); err != nil {
					complain(errs, err)
				}
			}
		})
	}
	wg.Wait()
}

// await looks at done until it is true, the limit or the end of ctx.
func (w *worker) await(ctx context.Context, begun time.Time, done func() bool) {
	for !done() && time.Since(begun) < w.Limit {
		if pause(ctx, tick) != nil {
			return
		}
	}
}
