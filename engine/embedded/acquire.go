package embedded

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// acquire returns the live of a run, reading it from the store if it is not in memory.
// It does not leave memory before the caller lets go with release. Its journal is
// replayed by the first turn. Errors: not_found, conflict when it has ended or is blocked.
func (e *Engine) acquire(ctx context.Context, id durable.RunID) (*live, error) {
	l, err := e.reach(ctx, id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	blocked, reason := l.run.Status == durable.Blocked, l.run.Reason
	l.mu.Unlock()
	if blocked {
		l.release()
		return nil, durable.Errorf(durable.CodeConflict, "run %s is blocked: %s", id, reason)
	}
	return l, nil
}

// reach is acquire for those who may take up blocked runs too: to end them, to resume
// them, or to tell them of a child's end.
func (e *Engine) reach(ctx context.Context, id durable.RunID) (*live, error) {
	for {
		l, mine, err := e.enter(id)
		if err != nil {
			return nil, err
		}
		if mine {
			e.open(l)
		}
		select {
		case <-l.opened:
		case <-ctx.Done():
			l.release()
			return nil, context.Cause(ctx)
		}
		err = l.fault
		if err == nil {
			l.mu.Lock()
			err = l.over()
			blocked := l.ended && l.run.Status == durable.Blocked
			l.mu.Unlock()
			if !blocked && err == nil {
				return l, nil
			}
			l.release()
			if !blocked {
				return nil, err
			}
			err = errLeaving // its block is on its way to the disk; then it can be read anew
		} else {
			l.release()
		}
		if !errors.Is(err, errLeaving) {
			return nil, err
		}
		select {
		case <-l.left:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// errLeaving means: wait until the live has left memory and look again.
var errLeaving = errors.New("the run is leaving memory")

// enter finds the live of a run or makes room for it, which the caller must then open.
// It is held.
func (e *Engine) enter(id durable.RunID) (l *live, mine bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return nil, false, errClosing
	}
	l = e.live[id]
	if l == nil {
		l, mine = e.newLive(id), true
		e.live[id] = l
	}
	l.hold()
	return l, mine, nil
}

// open reads what the store knows of a run. A run that is running there and not in
// memory was left by a process that died: it is claimed, so that one which kills its
// process again and again is noticed. So is one whose time had come before this process
// was there: the one before may have died of waking it.
func (e *Engine) open(l *live) {
	defer close(l.opened)
	run, err := e.store.Run(e.ctx, l.id)
	if err == nil && run.Status.Final() {
		err = durable.Errorf(durable.CodeConflict, "run %s has ended: %s", l.id, run.Status)
	}
	var head journal.Head
	var last time.Time
	if err == nil {
		head, last, err = e.journal.Tail(e.ctx, l.id)
		if errors.Is(err, durable.ErrNotFound) && run.Shared == 0 {
			head, err = journal.Head{}, nil // its journal is gone: the first turn blocks it for that
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if cause := e.err(); cause != nil {
			err = cause
		}
		l.fault = err
		l.ready()
		return
	}
	l.is(run, head)
	if last.After(l.last) {
		l.last = last // time does not go back, though the clock may have
	}
	l.queued = run.Status == durable.Queued && e.queues.waits(l.id)
	if e.passive {
		return
	}
	if run.Status == durable.Running || (run.Status == durable.Waiting && !run.Wake.IsZero() && run.Wake.Before(e.began)) {
		l.claimed = make(chan error, 1)
		claim := &durable.Entry{Kind: durable.EntryClaimed, Epoch: e.store.Epoch()}
		if err := l.appendLocked(claim, func(err error) { l.claimed <- err }); err != nil {
			l.fault = err // cannot be: it is not over
		}
		l.flush()
	}
}

// enlist makes a live of a run that is about to be created, so that nobody else brings
// it to life. An ID that somebody chose may be taken: that is found out here, because to
// whoever asks for the run meanwhile this live would be it. It is held, and not opened to
// others before the caller says so, when its first entry is appended. Errors: conflict
// when the ID is taken, invalid and exhausted from its queue.
func (e *Engine) enlist(ctx context.Context, run store.Run, chosen bool) (*live, error) {
	l, err := e.makeRoom(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	if chosen {
		if _, err = e.store.Run(ctx, run.ID); err == nil {
			err = taken(run.ID)
		} else if errors.Is(err, durable.ErrNotFound) {
			err = nil
		}
	}
	l.mu.Lock()
	if err == nil {
		l.placed, err = e.queues.admit(&run)
	}
	if err == nil {
		l.queued = !l.placed || e.passive
		if l.queued {
			run.Status = durable.Queued
		}
		l.is(run, journal.Head{})
	} else {
		l.fault = errLeaving
	}
	l.mu.Unlock()
	if err != nil {
		close(l.opened)
		l.release()
		return nil, err
	}
	return l, nil
}

func taken(id durable.RunID) error {
	return durable.Errorf(durable.CodeConflict, "a run %s exists", id)
}

// makeRoom makes room for a new run. Somebody may be finding out that there is none of this
// ID: that one is waited for. Error: conflict when there is one.
func (e *Engine) makeRoom(ctx context.Context, id durable.RunID) (*live, error) {
	for {
		l, mine, err := e.enter(id)
		if err != nil || mine {
			return l, err
		}
		select {
		case <-l.opened:
		case <-ctx.Done():
			l.release()
			return nil, context.Cause(ctx)
		}
		l.release()
		if !errors.Is(l.fault, durable.ErrNotFound) && !errors.Is(l.fault, errLeaving) {
			return nil, taken(id)
		}
		select {
		case <-l.left:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// sure returns err, which may say what a run is or has: no sooner than that is durable.
func (e *Engine) sure(ctx context.Context, id durable.RunID, err error) error {
	if !errors.Is(err, durable.ErrConflict) {
		return err
	}
	e.mu.Lock()
	l := e.live[id]
	var wait chan error
	if l != nil {
		wait = l.written()
	}
	e.mu.Unlock()
	if wait == nil {
		return err
	}
	return errors.Join(await(ctx, wait), err)
}

// written is told when all that was appended so far is durable; nil when it is.
func (l *live) written() chan error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.out
	if b == nil {
		b = l.way
	}
	if b == nil {
		return nil
	}
	done := make(chan error, 1)
	b.done = append(b.done, func(err error) { done <- err })
	return done
}

// birth makes the row and the first entry of a new run.
func (e *Engine) birth(req durable.StartRequest, parent durable.RunID, command int) (store.Run, *durable.Entry) {
	now := stamp(time.Time{})
	definition := ""
	if req.Definition != nil {
		definition = journal.HashOf(req.Definition)
	}
	run := store.Run{
		ID: req.ID, Name: req.Name, Program: req.Program, Definition: definition, Parent: parent, Command: command, Created: now,
		Queue: req.Queue, Priority: req.Priority, Tenant: req.Tenant, Share: cmp.Or(req.Share, req.Tenant),
		State: store.State{Status: durable.Running, Updated: now},
	}
	return run, &durable.Entry{
		Kind: durable.EntryStarted, Name: req.Program, Input: req.Input, InputHash: shortHash(req.Input),
		Definition: definition, Parent: parent, Epoch: e.store.Epoch(),
	}
}

// bear appends the birth of a run; the caller holds l.mu, and begins it afterwards.
func (l *live) bear(started *durable.Entry, definition []byte, done func(error)) error {
	if err := l.appendLocked(started, done); err != nil {
		return err
	}
	l.mail, l.first = nil, started // the first turn begins the program with it
	l.out.create = true
	if definition != nil {
		l.out.blobs = append(l.out.blobs, l.engine.journal.Stage(definition))
		l.engine.keep(l.run.Definition, definition)
	}
	return nil
}
