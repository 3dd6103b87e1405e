package embedded

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Signal implements durable.Engine.
func (e *Engine) Signal(ctx context.Context, id durable.RunID, s durable.Signal) error {
	if len(s.Data) > 0 && !json.Valid(s.Data) {
		return durable.Errorf(durable.CodeInvalid, "signal %s: the data is not JSON", s.Name)
	}
	return e.record(ctx, id, &durable.Entry{Kind: durable.EntrySignal, Name: s.Name, Input: s.Data})
}

// Cancel implements durable.Engine. A run that is paused goes on, to clean up.
func (e *Engine) Cancel(ctx context.Context, id durable.RunID, reason string) error {
	return e.CancelAs(ctx, id, reason, "")
}

// CancelAs is Cancel in somebody's name.
func (e *Engine) CancelAs(ctx context.Context, id durable.RunID, reason, by string) error {
	return e.change(ctx, id, func(l *live, done func(error)) error { return l.cancel(reason, by, done) })
}

func (l *live) cancel(reason, by string, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run.Status == durable.Blocked {
		return durable.Errorf(durable.CodeConflict, "run %s is blocked: %s", l.id, l.run.Reason)
	}
	if l.queued { // it begins, only to find that it is canceled
		l.engine.queues.skip(l.id, l.run.Share)
		l.queued = false
	}
	if err := l.appendLocked(&durable.Entry{Kind: durable.EntryCancel, Reason: reason, By: by}, done); err != nil {
		return err
	}
	if l.paused() {
		l.setState(func(s *store.State) { s.Status, s.Waits = l.engine.onward(), nil })
	}
	return nil
}

// Resolve ends the doubt about an irreversible step. Errors: not_found, conflict
// when the step is not in doubt, invalid when the resolution says nothing.
func (e *Engine) Resolve(ctx context.Context, run durable.RunID, command int, r durable.Resolution) error {
	return e.decide(ctx, run, func(l *live) (*durable.Entry, error) {
		intent, ok := l.doubts[command]
		if !ok || slices.ContainsFunc(l.flight, func(t *try) bool { return t.command == command }) {
			return nil, durable.Errorf(durable.CodeConflict, "step %d of run %s is not in doubt", command, run)
		}
		entry := &durable.Entry{
			Kind: durable.EntryDone, Command: command, Name: intent.Name, Func: intent.Func, InputHash: intent.InputHash,
			Attempt: intent.Attempt, Effect: intent.Effect, Started: intent.Started, Epoch: e.store.Epoch(), Reason: "resolved by an operator",
		}
		switch {
		case r.Done != nil:
			if err := e.steps[cmp.Or(intent.Func, intent.Name)].Check(r.Done); err != nil {
				return nil, fmt.Errorf("resolve step %d (%s): %w", command, intent.Name, err)
			}
			entry.Output = r.Done
		case r.Retry:
			entry.Kind, entry.Error = durable.EntryAttempt, &durable.Failure{Code: durable.CodeUnavailable, Message: "in doubt; an operator ordered a retry"}
		case r.Fail != "":
			entry.Error = &durable.Failure{Code: durable.CodeUnavailable, Message: r.Fail}
		default:
			return nil, durable.Errorf(durable.CodeInvalid, "resolve step %d: say that it is done (with its JSON result), to retry it or to fail it", command)
		}
		delete(l.doubts, command)
		return entry, nil
	})
}

// decide appends an entry that depends on what the run is doing, which is known
// once it is loaded. choose is called under l.mu.
func (e *Engine) decide(ctx context.Context, id durable.RunID, choose func(*live) (*durable.Entry, error)) error {
	l, err := e.acquire(ctx, id)
	if err != nil {
		return e.sure(ctx, id, err)
	}
	defer l.release()
	l.turnHere()
	select {
	case <-l.loaded:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	if err := l.choose(choose, func(err error) { done <- err }); err != nil {
		return e.sure(ctx, id, err)
	}
	l.turnHere()
	return await(ctx, done)
}

func (l *live) choose(choose func(*live) (*durable.Entry, error), done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.over(); err != nil {
		return err
	}
	if l.shelved {
		return errClosing
	}
	entry, err := choose(l)
	if err != nil {
		return err
	}
	return l.appendLocked(entry, done)
}
