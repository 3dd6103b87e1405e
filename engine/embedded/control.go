package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// Signal implements durable.Engine.
func (e *Engine) Signal(ctx context.Context, id durable.RunID, s durable.Signal) error {
	if len(s.Data) > 0 && !json.Valid(s.Data) {
		return durable.Errorf(durable.CodeInvalid, "signal %s: the data is not JSON", s.Name)
	}
	return e.record(ctx, id, &durable.Entry{Kind: durable.EntrySignal, Name: s.Name, Input: s.Data})
}

// Cancel implements durable.Engine.
func (e *Engine) Cancel(ctx context.Context, id durable.RunID, reason string) error {
	return e.record(ctx, id, &durable.Entry{Kind: durable.EntryCancel, Reason: reason})
}

// Answer implements durable.Engine.
func (e *Engine) Answer(ctx context.Context, run durable.RunID, id string, answer json.RawMessage) error {
	if !json.Valid(answer) {
		return durable.Errorf(durable.CodeInvalid, "answer %s: the answer is not JSON", run)
	}
	return e.decide(ctx, run, func(l *live) (*durable.Entry, error) {
		q, err := l.question(id)
		if err != nil {
			return nil, err
		}
		q.answered = true
		return &durable.Entry{Kind: durable.EntryAnswered, Command: q.command, Name: q.interrupt.ID, Output: answer}, nil
	})
}

// question finds the open question with this id, or the only one; the caller holds l.mu.
func (l *live) question(id string) (*question, error) {
	if q, ok := l.questions[id]; ok {
		if q.answered {
			return nil, durable.Errorf(durable.CodeConflict, "question %s of run %s was answered before", id, l.run.ID)
		}
		return q, nil
	}
	var open []string
	for key, q := range l.questions {
		if !q.answered {
			open = append(open, key)
		}
	}
	slices.Sort(open)
	switch {
	case id != "":
		return nil, durable.Errorf(durable.CodeNotFound, "run %s has no question %s; open: %s", l.run.ID, id, list(open))
	case len(open) == 1:
		return l.questions[open[0]], nil
	}
	return nil, durable.Errorf(durable.CodeConflict, "run %s has %d open questions (%s), name the one you mean", l.run.ID, len(open), list(open))
}

func list(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

// Resolution is what an operator says of a step in doubt.
type Resolution struct {
	Done  json.RawMessage // it happened, with this result
	Retry bool            // it did not happen: do it
	Fail  string          // it did not happen: fail the step with this reason
}

// Resolve ends the doubt about an irreversible step. Errors: not_found, conflict
// when the step is not in doubt, invalid when the resolution says nothing.
func (e *Engine) Resolve(ctx context.Context, run durable.RunID, command int, r Resolution) error {
	return e.decide(ctx, run, func(l *live) (*durable.Entry, error) {
		d, ok := l.doubts[command]
		if !ok || d.resolved || l.inflight > 0 {
			return nil, durable.Errorf(durable.CodeConflict, "step %d of run %s is not in doubt", command, run)
		}
		intent := d.intent
		entry := &durable.Entry{
			Kind: durable.EntryDone, Command: command, Name: intent.Name, Func: intent.Func, InputHash: intent.InputHash,
			Attempt: intent.Attempt, Effect: intent.Effect, Started: intent.Started, Epoch: e.store.Epoch(), Reason: "resolved by an operator",
		}
		switch {
		case r.Done != nil && json.Valid(r.Done):
			entry.Output = r.Done
		case r.Retry:
			entry.Kind, entry.Error = durable.EntryAttempt, &durable.Failure{Code: durable.CodeUnavailable, Message: "in doubt; an operator ordered a retry"}
		case r.Fail != "":
			entry.Error = &durable.Failure{Code: durable.CodeUnavailable, Message: r.Fail}
		default:
			return nil, durable.Errorf(durable.CodeInvalid, "resolve step %d: say that it is done (with its JSON result), to retry it or to fail it", command)
		}
		d.resolved = true
		return entry, nil
	})
}

// decide appends an entry that depends on what the run is doing, which is known
// once it is loaded. choose is called under l.mu.
func (e *Engine) decide(ctx context.Context, id durable.RunID, choose func(*live) (*durable.Entry, error)) error {
	l, err := e.acquire(ctx, id)
	if err != nil {
		return err
	}
	defer l.release()
	select {
	case <-l.loaded:
	case <-l.gone:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	if err := l.choose(choose, func(err error) { done <- err }); err != nil {
		return err
	}
	return await(ctx, done)
}

func (l *live) choose(choose func(*live) (*durable.Entry, error), done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.over(); err != nil {
		return err
	}
	entry, err := choose(l)
	if err != nil {
		return err
	}
	return l.appendLocked(&journal.Change{Run: l.run.ID, Entries: []*durable.Entry{entry}}, done)
}

// Resume lets a blocked run try again, after what blocked it was mended. Errors:
// not_found, conflict when the run is not blocked.
func (e *Engine) Resume(ctx context.Context, id durable.RunID) error {
	done := make(chan error, 1)
	if err := e.unblock(ctx, id, func(err error) { done <- err }); err != nil {
		return err
	}
	if err := await(ctx, done); err != nil {
		return err
	}
	l, err := e.acquire(ctx, id)
	if err != nil {
		return err
	}
	l.release()
	return nil
}

func (e *Engine) unblock(ctx context.Context, id durable.RunID, done func(error)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	run, err := e.store.Run(ctx, id)
	if err != nil {
		return err
	}
	if run.Status != durable.Blocked || e.live[id] != nil {
		return durable.Errorf(durable.CodeConflict, "run %s is %s, not blocked, or is being ended", id, run.Status)
	}
	state := run.State
	state.Status, state.Reason, state.Updated = durable.Queued, "", stamp(run.Updated)
	entry := &durable.Entry{Kind: durable.EntryUnblocked, Time: stamp(run.Updated), Epoch: e.store.Epoch()}
	e.journal.Append([]*journal.Change{{Run: id, Entries: []*durable.Entry{entry}, State: &state}}, func(err error) {
		if err == nil {
			e.feed.Committed(id, entry.Seq)
		}
		done(err)
	})
	return nil
}

// Kill implements durable.Engine. The run and all its descendants end in one transaction.
func (e *Engine) Kill(ctx context.Context, id durable.RunID, reason string) error {
	lives, err := e.family(ctx, id)
	defer func() {
		for _, l := range lives {
			l.release()
		}
	}()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	if err := e.killAll(lives, reason, func(err error) { done <- err }); err != nil {
		return err
	}
	return await(ctx, done)
}

// family brings a run and its living descendants to life, parents first.
func (e *Engine) family(ctx context.Context, id durable.RunID) ([]*live, error) {
	l, err := e.revive(ctx, id, true)
	if err != nil {
		return nil, err
	}
	lives := []*live{l}
	children, err := e.store.List(ctx, store.Filter{Parent: id, Limit: familyLimit})
	if err != nil {
		return lives, err
	}
	for _, c := range children {
		if c.Status.Final() {
			continue
		}
		more, err := e.family(ctx, c.ID)
		lives = append(lives, more...)
		if err != nil && !errors.Is(err, durable.ErrConflict) { // a conflict: it has ended meanwhile
			return lives, err
		}
	}
	return lives, nil
}

// familyLimit bounds how many children of one run are looked at.
const familyLimit = 1_000_000

func (e *Engine) killAll(lives []*live, reason string, done func(error)) error {
	e.tree.Lock()
	defer e.tree.Unlock()
	for _, l := range lives {
		l.mu.Lock()
		defer l.mu.Unlock()
	}
	if err := lives[0].over(); err != nil {
		return err
	}
	var changes []*journal.Change
	var killed []*live
	for _, l := range lives {
		state := l.run.State
		state.Status, state.Reason, state.Wake, state.Waits = durable.Killed, reason, time.Time{}, nil
		entry := &durable.Entry{Kind: durable.EntryEnded, Status: durable.Killed, Reason: reason}
		change := &journal.Change{Run: l.run.ID, Entries: []*durable.Entry{entry}, State: &state}
		if l.prepare(change) == nil {
			changes, killed = append(changes, change), append(killed, l)
			l.kill()
		}
	}
	e.journal.Append(changes, func(err error) {
		for i, l := range killed {
			l.committed(changes[i], err)
		}
		done(err)
	})
	return nil
}

// endWithParent appends the end of a run; if its parent lives, the parent learns
// of it in the same transaction.
func (e *Engine) endWithParent(l *live, here *journal.Change, done func(error)) error {
	if l.run.Parent == "" {
		return l.append(here, done)
	}
	parent, err := e.revive(e.ctx, l.run.Parent, true)
	switch {
	case errors.Is(err, durable.ErrConflict), errors.Is(err, durable.ErrNotFound):
		return l.append(here, done) // it has ended: nobody waits
	case err != nil:
		return err // the engine stops: the child ends again in the next process
	}
	defer parent.release()
	end := here.Entries[0]
	there := &durable.Entry{Kind: durable.EntryChildDone, Command: l.run.Command, Name: l.run.Name, Child: l.run.ID, Output: end.Output, Error: end.Error}
	e.tree.Lock()
	err = l.appendBoth(here, parent, &journal.Change{Run: l.run.Parent, Entries: []*durable.Entry{there}}, done)
	e.tree.Unlock()
	if errors.Is(err, durable.ErrConflict) {
		return l.append(here, done) // the parent ended just now
	}
	return err
}

// ended takes a run whose end is durable out of memory and tells who waits.
func (e *Engine) ended(l *live, end *durable.Entry) {
	e.mu.Lock()
	if e.live[l.run.ID] == l {
		delete(e.live, l.run.ID)
	}
	e.mu.Unlock()
	l.mu.Lock()
	run := journal.View(l.run)
	l.mu.Unlock()
	run.Output, run.Error = end.Output, end.Error
	e.settled(run)
}

// cancelChildren passes a cancel on to the children this run waits for.
func (l *live) cancelChildren(reason string) {
	for _, c := range l.x.open {
		if c.kind != durable.CommandChild || !c.recorded || c.shield || c.child.Abandon {
			continue
		}
		err := l.engine.Cancel(l.engine.ctx, c.childID, reason)
		if err != nil && !errors.Is(err, durable.ErrConflict) {
			l.engine.log.WarnContext(l.engine.ctx, "a child was not canceled", slog.String("run", string(c.childID)), slog.Any("error", err))
		}
	}
}

// settled hands a run that stands still to everybody who waits for that.
func (e *Engine) settled(run durable.Run) {
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
		run, err := e.Get(ctx, id)
		if err != nil || still(run) {
			e.unwait(id, c)
			return run, err
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
