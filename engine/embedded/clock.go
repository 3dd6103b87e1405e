package embedded

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// duePage is how many due runs are brought to life at once.
const duePage = 1000

// retryDue is the pause after the store could not say what is due.
const retryDue = time.Second

// clock wakes parked runs whose timer is due. It sleeps until the earliest wake
// time there is and does not poll.
type clock struct {
	engine *Engine
	wake   chan time.Time
	quit   chan struct{}
	once   sync.Once // closes quit
	gone   chan struct{}
}

// newClock makes a clock; it can be told of wake times before its loop runs.
func newClock(e *Engine) *clock {
	return &clock{engine: e, wake: make(chan time.Time, 1), quit: make(chan struct{}), gone: make(chan struct{})}
}

// wakeAt tells the clock of a run that parked; a zero time is nothing to wait for.
func (c *clock) wakeAt(t time.Time) {
	if t.IsZero() {
		return
	}
	for {
		select {
		case c.wake <- t:
			return
		case old := <-c.wake: // keep the earlier of the two
			if old.Before(t) {
				t = old
			}
		}
	}
}

func (c *clock) stop() {
	c.once.Do(func() { close(c.quit) })
	<-c.gone
}

func (c *clock) loop() {
	defer close(c.gone)
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for {
		select {
		case t := <-c.wake:
			if next.IsZero() || t.Before(next) {
				next = t
				timer.Reset(time.Until(t))
			}
		case <-timer.C:
			next = c.ring()
			if !next.IsZero() {
				timer.Reset(time.Until(next))
			}
		case <-c.quit:
			return
		}
	}
}

// ring brings every due run to life and returns when the next one is due, or when those are
// to be tried again that could not be read.
func (c *clock) ring() time.Time {
	e := c.engine
	var missed atomic.Bool
	for last, now := (store.Wakeup{}), time.Now(); ; {
		due, next, err := e.store.Due(e.ctx, now, last, duePage)
		if err != nil {
			if e.ctx.Err() == nil {
				e.log.ErrorContext(e.ctx, "find due runs", slog.Any("error", err))
			}
			return time.Now().Add(retryDue)
		}
		e.each(len(due), func(i int) {
			if err := e.revive(due[i].Run); durable.CodeOf(err) == durable.CodeUnavailable {
				missed.Store(true)
			}
		})
		if len(due) == duePage {
			last = due[len(due)-1]
			continue
		}
		if again := time.Now().Add(retryDue); missed.Load() && (next.IsZero() || again.Before(next)) {
			return again
		}
		return next
	}
}
