package embedded

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

// together appends to two runs what fill appends to them, in one transaction. The tree
// lock sees to it that two runs never wait for each other's lock. What fill refuses is
// not appended to either.
func (e *Engine) together(a, b *live, fill func() error) error {
	e.tree.Lock()
	defer e.tree.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(a.over(), b.over()); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err // nothing was appended: neither is over
	}
	e.sendAll(a, b)
	return nil
}

// sendAll sends what was appended to several runs as one group; their locks are held.
func (e *Engine) sendAll(lives ...*live) {
	var changes []*journal.Change
	var sent []*live
	var batches []*batch
	for _, l := range lives {
		if change, b := l.pack(); b != nil {
			changes, sent, batches = append(changes, change), append(sent, l), append(batches, b)
		}
	}
	if len(changes) > 0 {
		e.send(changes, sent, batches)
	}
}

// Kill implements durable.Engine. The run and all its descendants end in one transaction,
// in which a parent that goes on learns of it; their journals are not replayed.
func (e *Engine) Kill(ctx context.Context, id durable.RunID, reason string) error {
	lives, err := e.family(ctx, id)
	defer func() {
		for _, l := range lives {
			l.spare()
			l.release()
		}
	}()
	if err != nil {
		return e.sure(ctx, id, err)
	}
	parent, err := e.parentOf(ctx, lives[0])
	if err != nil {
		return err
	}
	if parent != nil {
		defer parent.release()
	}
	done := make(chan error, 1)
	if err := e.killAll(lives, parent, reason, func(err error) { done <- err }); err != nil {
		return e.sure(ctx, id, err)
	}
	if parent != nil {
		parent.wake()
	}
	for _, l := range lives {
		l.cutShort(true)
		l.wake()
	}
	return await(ctx, done)
}

// family brings a run and its living descendants into memory, parents first. They start no
// more children until they are spared.
func (e *Engine) family(ctx context.Context, id durable.RunID) ([]*live, error) {
	l, err := e.reach(ctx, id)
	if err != nil {
		return nil, err
	}
	l.doom()
	lives := []*live{l}
	children, err := e.childrenOf(ctx, id)
	if err != nil {
		return lives, err
	}
	for _, c := range children {
		more, err := e.family(ctx, c)
		lives = append(lives, more...)
		if err != nil && !errors.Is(err, durable.ErrConflict) { // a conflict: it has ended meanwhile
			return lives, err
		}
	}
	return lives, nil
}

// doom keeps a run from starting children, once none is on its way into the journal.
func (l *live) doom() {
	l.engine.tree.Lock()
	defer l.engine.tree.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doomed++
}

// spare lets it start children again, if it has not ended.
func (l *live) spare() {
	l.mu.Lock()
	l.doomed--
	l.mu.Unlock()
	l.wake()
}

// childrenOf lists the children of a run that have not ended, also those the store does not
// have yet. Those come first: one that leaves memory meanwhile is in the store.
func (e *Engine) childrenOf(ctx context.Context, id durable.RunID) ([]durable.RunID, error) {
	var ids []durable.RunID
	e.mu.Lock()
	for _, l := range e.live {
		l.mu.Lock()
		if l.run.Parent == id && !l.ended {
			ids = append(ids, l.id)
		}
		l.mu.Unlock()
	}
	e.mu.Unlock()
	stored, err := e.store.List(ctx, durable.Filter{Parent: id, Limit: familyLimit})
	for _, c := range stored {
		if !c.Status.Final() && c.Fault == nil {
			ids = append(ids, c.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), err
}

// parentOf brings the parent of a run into memory; nil when there is none that goes on.
func (e *Engine) parentOf(ctx context.Context, l *live) (*live, error) {
	if l.run.Parent == "" {
		return nil, nil
	}
	parent, err := e.reach(ctx, l.run.Parent)
	if errors.Is(err, durable.ErrConflict) || errors.Is(err, durable.ErrNotFound) {
		return nil, nil // it has ended
	}
	return parent, err
}

// familyLimit bounds how many children of one run are looked at.
const familyLimit = 1_000_000

func (e *Engine) killAll(lives []*live, parent *live, reason string, done func(error)) error {
	e.tree.Lock()
	defer e.tree.Unlock()
	all := lives
	if parent != nil {
		all = append(slices.Clone(lives), parent)
	}
	for _, l := range all {
		l.mu.Lock()
		defer l.mu.Unlock()
	}
	if err := lives[0].over(); err != nil {
		return err
	}
	for i, l := range lives {
		tell := done
		if i > 0 {
			tell = nil // all of them are durable, or none
		}
		entry := &durable.Entry{Kind: durable.EntryEnded, Status: durable.Killed, Reason: reason}
		_ = l.endLocked(entry, reason, tell) // one that has ended stays as it is
	}
	if parent != nil {
		l := lives[0]
		there := &durable.Entry{
			Kind: durable.EntryChildDone, Command: l.run.Command, Name: l.run.Name, Child: l.id,
			Error: &durable.Failure{Code: durable.CodeCanceled, Message: "it was killed: " + reason},
		}
		_ = parent.appendLocked(there, nil) // one that has ended meanwhile does not wait
	}
	e.sendAll(all...)
	for _, l := range lives {
		e.queues.skip(l.id, l.run.Share)
	}
	return nil
}

// endWithParent appends the end of a run; if its parent lives, the parent learns of it
// in the same transaction.
func (e *Engine) endWithParent(l *live, end *durable.Entry, reason string) error {
	alone := func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.endLocked(end, reason, nil)
	}
	if l.run.Parent == "" {
		return alone()
	}
	parent, err := e.reach(e.ctx, l.run.Parent)
	switch {
	case errors.Is(err, durable.ErrConflict), errors.Is(err, durable.ErrNotFound):
		return alone() // it has ended: nobody waits
	case err != nil:
		return err
	}
	defer parent.release()
	there := &durable.Entry{Kind: durable.EntryChildDone, Command: l.run.Command, Name: l.run.Name, Child: l.id, Output: end.Output, Error: end.Error}
	err = e.together(l, parent, func() error {
		return errors.Join(l.endLocked(end, reason, nil), parent.appendLocked(there, nil))
	})
	if errors.Is(err, durable.ErrConflict) {
		return alone() // the parent ended just now, or this run was killed
	}
	if err == nil {
		parent.wake()
	}
	return err
}

// isBlocked reports whether a run is blocked by what the store says.
func (e *Engine) isBlocked(id durable.RunID) bool {
	run, err := e.store.Run(e.ctx, id)
	return err == nil && run.Status == durable.Blocked
}

// cancelChildren passes a cancel on to the children this run waits for, or to those of the
// given commands.
func (l *live) cancelChildren(reason string, of ...*command) {
	if of == nil {
		of = l.x.open
	}
	of = slices.DeleteFunc(slices.Clone(of), func(c *command) bool {
		return c.kind != durable.CommandChild || !c.recorded || c.shield || c.child.Abandon
	})
	l.passOn(reason, of)
}

// passOn cancels children and returns once that is durable: no sooner than why it is done,
// or a crash in between would leave a parent that knows nothing of it. Those it returns
// were told so; the others have ended.
func (l *live) passOn(reason string, to []*command) []*command {
	if len(to) == 0 {
		return nil
	}
	l.mu.Lock()
	l.flush()
	l.mu.Unlock()
	told := make([]*command, len(to))
	var all sync.WaitGroup
	for i, c := range to {
		all.Go(func() {
			err := l.engine.Cancel(l.engine.ctx, c.childID, reason)
			if errors.Is(err, durable.ErrConflict) && l.engine.isBlocked(c.childID) { // it cannot clean up
				err = l.engine.Kill(l.engine.ctx, c.childID, reason)
			}
			if err != nil && !errors.Is(err, durable.ErrConflict) && l.engine.ctx.Err() == nil {
				l.engine.log.WarnContext(l.engine.ctx, "a child was not canceled", slog.String("run", string(c.childID)), slog.Any("error", err))
			}
			if err == nil {
				told[i] = c
			}
		})
	}
	all.Wait()
	return slices.DeleteFunc(told, func(c *command) bool { return c == nil })
}
