package embedded

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

// settled hands a run that stands still, by a batch that is durable, to everybody who
// waits for that, and tells the clock when it wants to be woken. Nobody waits for a run
// that an operator stopped, but who asked to be told of all is.
func (e *Engine) settled(b *batch) {
	run := journal.View(b.run)
	switch {
	case run.Status.Final(), run.Status == durable.Blocked:
		last := b.entries[len(b.entries)-1]
		run.Output, run.Error = last.Output, last.Error
	case run.Status == durable.Waiting:
		e.clock.wakeAt(b.run.Wake)
	case run.Status == durable.Paused:
	default:
		return
	}
	if e.told != nil {
		e.told(run)
	}
	if run.Status == durable.Paused {
		return
	}
	e.mu.Lock()
	list := e.waiters[run.ID]
	delete(e.waiters, run.ID)
	e.mu.Unlock()
	for _, c := range list {
		c <- run
	}
}

// Settle returns the run once nothing drives it any more: it is final, blocked,
// or waits and has changed after since (zero = however long ago).
func (e *Engine) Settle(ctx context.Context, id durable.RunID, since time.Time) (durable.Run, error) {
	still := func(r durable.Run) bool {
		return r.Status.Final() || r.Status == durable.Blocked || (r.Status == durable.Waiting && r.Updated.After(since))
	}
	for {
		c := make(chan durable.Run, 1)
		e.mu.Lock()
		e.waiters[id] = append(e.waiters[id], c)
		e.mu.Unlock()
		var run durable.Run
		if !e.moving(id) { // else it is told when it stands still
			var err error
			if run, err = e.Get(ctx, id); err != nil || still(run) {
				e.unwait(id, c)
				return run, err
			}
		}
		select {
		case run := <-c:
			if still(run) {
				return run, nil
			}
		case <-ctx.Done():
			e.unwait(id, c)
			return run, ctx.Err()
		case <-e.ctx.Done():
			e.unwait(id, c)
			return run, fmt.Errorf("wait for run %s: %w", id, e.err())
		}
	}
}

// moving reports whether a run is in motion here: not every batch of it that says it
// stands still has been reported.
func (e *Engine) moving(id durable.RunID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.live[id]
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next > 0 && !l.ended && !l.shelved && l.run.Status == durable.Running
}

func (e *Engine) unwait(id durable.RunID, c chan durable.Run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiters[id] = slices.DeleteFunc(e.waiters[id], func(o chan durable.Run) bool { return o == c })
	if len(e.waiters[id]) == 0 {
		delete(e.waiters, id)
	}
}

// Wait implements durable.Engine.
func (e *Engine) Wait(ctx context.Context, id durable.RunID) (durable.Run, error) {
	var since time.Time
	for {
		run, err := e.Settle(ctx, id, since)
		if err != nil || run.Status != durable.Waiting {
			return run, err
		}
		since = run.Updated
	}
}
