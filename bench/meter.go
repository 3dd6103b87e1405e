package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// meter counts while its window is open.
type meter struct {
	open  atomic.Bool
	began time.Time

	steps, runs       atomic.Int64 // in the window
	allSteps, allRuns atomic.Int64 // since the beginning

	latency latency
	took    time.Duration
	used    usage
}

func newMeter() *meter { return &meter{began: time.Now()} }

// now is the time on the meter's own clock, never zero.
func (m *meter) now() time.Duration { return time.Since(m.began) + 1 }

// step counts the beginning of a step. before, when there is one, is the beginning of
// the step before it in the same run.
func (m *meter) step(before *last) {
	now := m.now()
	m.allSteps.Add(1)
	after, ok := time.Duration(0), false
	if before != nil {
		after, ok = before.since(now)
	}
	if !m.open.Load() {
		return
	}
	m.steps.Add(1)
	if ok {
		m.latency.add(after)
	}
}

// measure lets so many drivers do one run after the other: first to warm up, then in
// the window. It returns when all of them have ended.
func (m *meter) measure(ctx context.Context, drivers int, window time.Duration, one func(ctx context.Context, driver int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var over atomic.Bool
	var wg sync.WaitGroup
	for i := range drivers {
		wg.Go(func() {
			for !over.Load() {
				if err := one(ctx, i); err != nil {
					stop(err)
					return
				}
				m.allRuns.Add(1)
				if m.open.Load() {
					m.runs.Add(1)
				}
			}
		})
	}
	const most = 2 * time.Second
	pause(ctx, min(window/4, most))
	m.window(ctx, window)
	over.Store(true)
	wg.Wait()
	return context.Cause(ctx)
}

// window opens the window for so long.
func (m *meter) window(ctx context.Context, d time.Duration) {
	before, began := usageNow(), time.Now()
	m.open.Store(true)
	pause(ctx, d)
	m.open.Store(false)
	m.took, m.used = time.Since(began), usageNow().less(before)
}

// pause waits, or returns early at the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
