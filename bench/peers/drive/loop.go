package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/stat"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

// crowd is from how many agent runs at once on their first starts are spread over the
// time one of them takes, so that they do not call the model all together.
const crowd = 50

// reported is how many errors of a workload are shown; all are counted.
const reported = 4

// loop is the closed loop: so many drivers, each starts a run, waits for its end and
// starts the next. What happens in the window is measured.
func (w *worker) loop(ctx context.Context) error {
	l := &loop{worker: w}
	running, stop := context.WithCancel(ctx)
	defer stop()
	for i := range w.Runs {
		go l.drive(running, i)
	}
	if err := l.awaitFirst(ctx); err != nil {
		return err
	}
	if err := pause(ctx, w.Warm); err != nil {
		return err
	}
	before, err := w.read()
	if err != nil {
		return err
	}
	begun := time.Now()
	w.load.Measure(true)
	err = pause(ctx, w.Window)
	w.load.Measure(false)
	elapsed := time.Since(begun).Seconds()
	if err != nil {
		return err
	}
	after, err := w.read()
	if err != nil {
		return err
	}
	rss, servers := w.memory()
	// The drivers are not waited for: some engines do not return before their run ends.
	runs := l.latencies()
	figures := map[report.Figure]float64{
		report.Seconds: elapsed, report.Errors: float64(l.errors.Load()),
		report.RSS: mb(rss), report.ServerRSS: mb(servers),
	}
	count, times := int64(len(runs)), runs
	if w.Workload == workload.Steps {
		count, times = w.load.StepsBegun(), w.load.Gaps()
	}
	spent := after.since(before)
	figures[report.Count], figures[report.Rate] = float64(count), float64(count)/elapsed
	if count > 0 {
		figures[report.CPU], figures[report.Disk] = spent.cpuMS(count), spent.diskKB(count)
	}
	addLatency(figures, times)
	if p50, ok := figures[report.P50]; ok && w.Workload == workload.Agent {
		figures[report.Overhead] = p50 - ms(workload.AgentLatency)
	}
	return w.emit(figures)
}

// loop is what the drivers share.
type loop struct {
	*worker
	next   atomic.Int64
	errors atomic.Int64
	ended  atomic.Int64

	mu   sync.Mutex
	runs []time.Duration // those that ended in the window
}

func (l *loop) drive(ctx context.Context, i int) {
	if l.Workload == workload.Agent && l.Runs > crowd {
		if pause(ctx, workload.AgentLatency*time.Duration(i)/time.Duration(l.Runs)) != nil {
			return
		}
	}
	for ctx.Err() == nil {
		begun := time.Now()
		err := l.engine.Run(ctx, l.Workload, l.id(l.next.Add(1)))
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			complain(&l.errors, err)
			_ = pause(ctx, 50*time.Millisecond) // the loop looks at ctx itself
			continue
		}
		l.ended.Add(1)
		if l.load.Measuring() {
			l.mu.Lock()
			l.runs = append(l.runs, time.Since(begun))
			l.mu.Unlock()
		}
	}
}

// awaitFirst waits for the first run to end: some servers take a while to be of use.
func (l *loop) awaitFirst(ctx context.Context) error {
	l.await(ctx, time.Now(), func() bool { return l.ended.Load() > 0 })
	if l.ended.Load() == 0 {
		return errors.Join(fmt.Errorf("no run has ended in %s; %d failed", l.Limit, l.errors.Load()), ctx.Err())
	}
	return nil
}

func (l *loop) latencies() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.runs)
}

// complain counts an error and shows the first few.
func complain(n *atomic.Int64, err error) {
	if n.Add(1) <= reported {
		fmt.Fprintln(os.Stderr, err)
	}
}

func addLatency(figures map[report.Figure]float64, times []time.Duration) {
	if len(times) == 0 {
		return
	}
	v := make([]float64, len(times))
	for i, t := range times {
		v[i] = ms(t)
	}
	slices.Sort(v)
	figures[report.P50], figures[report.P99] = stat.Percentile(v, .5), stat.Percentile(v, .99)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pause sleeps, or returns the error of ctx when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
