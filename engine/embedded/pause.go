package embedded

import (
	"context"
	"errors"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Pause stops a run and its children: steps in flight end and are recorded, none begins,
// no timer fires, and the program does not end. What comes in meanwhile is kept. Pausing
// twice is not an error. Errors: not_found, conflict when the run has ended or is blocked.
func (e *Engine) Pause(ctx context.Context, id durable.RunID, by string) error {
	pause := func(l *live, done func(error)) error { return l.pause(by, done) }
	if err := e.change(ctx, id, pause); err != nil {
		return err
	}
	return e.descend(ctx, id, pause) // the parent first: it starts no more of them
}

// Resume lets a run go on that is paused, with its children, or one that is blocked, after
// what blocked it was mended. Errors: not_found, conflict when it is neither.
func (e *Engine) Resume(ctx context.Context, id durable.RunID) error { return e.ResumeAs(ctx, id, "") }

// ResumeAs is Resume in somebody's name.
func (e *Engine) ResumeAs(ctx context.Context, id durable.RunID, by string) error {
	err := e.change(ctx, id, func(l *live, done func(error)) error { return l.resume(by, true, done) })
	if err != nil && !errors.Is(err, durable.ErrConflict) {
		return err
	}
	reached := 0 // a resume that was cut short left children behind
	failed := e.descend(ctx, id, func(l *live, done func(error)) error {
		err := l.resume(by, false, done)
		if err == nil {
			reached++
		}
		return err
	})
	if failed != nil || reached > 0 {
		return failed
	}
	return err
}

// change does something to a run and returns once that is durable.
func (e *Engine) change(ctx context.Context, id durable.RunID, do func(*live, func(error)) error) error {
	l, err := e.reach(ctx, id)
	if err != nil {
		return e.sure(ctx, id, err)
	}
	defer l.release()
	done := make(chan error, 1)
	if err := do(l, func(err error) { done <- err }); err != nil {
		return e.sure(ctx, id, err)
	}
	l.turnHere()
	return await(ctx, done)
}

// descend does something to the descendants of a run that it applies to.
func (e *Engine) descend(ctx context.Context, id durable.RunID, do func(*live, func(error)) error) error {
	children, err := e.childrenOf(ctx, id)
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := e.change(ctx, c, do); err != nil && !errors.Is(err, durable.ErrConflict) { // a conflict: it does not apply
			return err
		}
		if err := e.descend(ctx, c, do); err != nil {
			return err
		}
	}
	return nil
}

// paused reports whether the run is to begin nothing; the caller holds l.mu.
func (l *live) paused() bool { return l.run.Status == durable.Paused }

func (l *live) pause(by string, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.over() != nil:
		return l.over()
	case l.run.Status == durable.Blocked:
		return durable.Errorf(durable.CodeConflict, "run %s is blocked: %s", l.id, l.run.Reason)
	case l.paused():
		done(nil)
		return nil
	}
	if l.queued { // it waits to begin no longer
		l.engine.queues.skip(l.id, l.run.Share)
		l.queued = false
	}
	if err := l.appendLocked(&durable.Entry{Kind: durable.EntryPaused, By: by}, done); err != nil {
		return err
	}
	l.setState(func(s *store.State) { s.Status, s.Wake, s.Waits = durable.Paused, time.Time{}, nil })
	return nil
}

// resume lets a run that is paused go on, or one that is blocked.
func (l *live) resume(by string, blocked bool, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := &durable.Entry{By: by, Epoch: l.engine.store.Epoch()}
	switch {
	case l.ended:
		return l.over()
	case l.paused():
		entry.Kind = durable.EntryResumed
	case blocked && l.run.Status == durable.Blocked:
		entry.Kind = durable.EntryUnblocked
		l.loaded = make(chan struct{})
	default:
		return durable.Errorf(durable.CodeConflict, "run %s is %s, neither paused nor blocked", l.id, l.run.Status)
	}
	if err := l.appendLocked(entry, done); err != nil {
		return err
	}
	l.setState(func(s *store.State) { s.Status, s.Reason, s.Waits = l.engine.onward(), "", nil })
	return nil
}
