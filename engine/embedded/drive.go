package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// maxClaims is how often a run may be taken over without getting any further
// before it is blocked.
const maxClaims = 5

// drive is the goroutine of a run: it loads it, then turns the circle until the
// run parks, ends, is blocked or the engine stops.
func (l *live) drive() {
	defer close(l.gone)
	err := l.load()
	if err == nil {
		close(l.loaded)
		err = l.turn()
	}
	if l.x != nil {
		l.x.stop()
	}
	switch {
	case l.engine.ctx.Err() != nil:
		l.shelve()
		return // irreversible steps in flight may still end
	case err != nil && !errors.Is(err, errOver):
		l.block(err)
	}
	l.kill()
}

// shelve leaves a run to the next process when this one is told to stop.
func (l *live) shelve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over() != nil || l.run.Status.Final() {
		return
	}
	state := l.run.State
	state.Status = durable.Queued
	// If the store is what made the engine stop, this is refused, and the run is
	// taken over as after a crash.
	_ = l.appendLocked(&journal.Change{Run: l.run.ID, State: &state}, nil)
}

// errOver ends the goroutine of a run that was ended by somebody else, or never began.
var errOver = errors.New("the run is over")

// load brings the run to where its journal ends.
func (l *live) load() error {
	if l.claim {
		entry := &durable.Entry{Kind: durable.EntryClaimed, Epoch: l.engine.store.Epoch()}
		if err := l.engine.commit(l.engine.ctx, l, &journal.Change{Run: l.run.ID, Entries: []*durable.Entry{entry}}); err != nil {
			return err
		}
	}
	if l.born {
		return l.receive()
	}
	l.mu.Lock()
	start := l.run.Start
	l.mu.Unlock()
	entries, err := l.engine.journal.All(l.ctx, l.run.ID, start)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return durable.Errorf(durable.CodeInternal, "run %s has no journal", l.run.ID)
	}
	if err := poisoned(entries); err != nil {
		return err
	}
	if err := l.begin(&entries[0]); err != nil {
		return err
	}
	l.x.resume()
	for i := range entries[1:] {
		if err := l.see(&entries[i+1]); err != nil {
			return err
		}
	}
	if l.x.canceled {
		l.cancelChildren("the parent was canceled")
	}
	return nil
}

// receive waits for the first entry of a run that is being born.
func (l *live) receive() error {
	for {
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return errOver
		}
		if mail := l.take(); len(mail) > 0 {
			l.putBack(mail[1:])
			if err := l.begin(mail[0]); err != nil {
				return err
			}
			l.x.resume()
			return nil
		}
	}
}

// poisoned counts the take-overs at the end of a journal that led to nothing.
func poisoned(entries []durable.Entry) error {
	claims := 0
	for i := range entries {
		switch entries[i].Kind {
		case durable.EntryClaimed:
			claims++
		case durable.EntryIntent, durable.EntryCancel:
		default:
			claims = 0
		}
	}
	if claims <= maxClaims {
		return nil
	}
	return durable.Errorf(durable.CodeInternal, "taken over %d times without progress: the process probably dies in the step that comes next", claims)
}

// begin starts the program at the entry that opens a segment.
func (l *live) begin(e *durable.Entry) error {
	program, ok := l.engine.programs[l.run.Program]
	if !ok {
		return durable.Errorf(durable.CodeNotFound, "this build has no program %q; it has %s", l.run.Program, strings.Join(l.engine.names(), ", "))
	}
	if l.run.Definition != "" && l.definition == nil {
		data, err := l.engine.journal.Get(l.ctx, durable.Ref{Hash: l.run.Definition})
		if err != nil {
			return fmt.Errorf("load the definition: %w", err)
		}
		l.definition = data
	}
	if err := l.loadValues(e); err != nil {
		return err
	}
	l.mu.Lock()
	l.questions, l.doubts = map[string]*question{}, map[int]*doubt{}
	l.mu.Unlock()
	info := durable.Info{
		Run: l.run.ID, Program: l.run.Program, Parent: l.run.Parent, Segment: e.Segment, Definition: l.definition, Now: e.Time,
	}
	l.x = newExec(info, program, e.Input, l.loadValues)
	l.applied = e.Seq
	if e.Kind != durable.EntryContinued {
		return nil
	}
	return l.carry(e)
}

// carry gives a new segment the signals the old one had not received, and what
// arrived while the old one ended.
func (l *live) carry(e *durable.Entry) error {
	for _, seq := range e.Carry {
		entries, err := l.engine.journal.Entries(l.ctx, l.run.ID, seq-1, 1)
		if err != nil {
			return err
		}
		for i := range entries {
			if err := l.x.apply(&entries[i]); err != nil {
				return err
			}
		}
	}
	between, err := l.engine.journal.Entries(l.ctx, l.run.ID, e.After, int(e.Seq-e.After)-1)
	if err != nil {
		return err
	}
	for i := range between {
		if k := between[i].Kind; k == durable.EntrySignal || k == durable.EntryCancel {
			if err := l.x.apply(&between[i]); err != nil {
				return err
			}
		}
	}
	l.x.info.Now = e.Time
	return nil
}

func (l *live) loadValues(e *durable.Entry) error { return l.engine.journal.Load(l.ctx, e) }

// see applies one entry and lets the program go on.
func (l *live) see(e *durable.Entry) error {
	if e.Seq <= l.applied {
		return nil
	}
	if l.x.ended {
		return l.x.issued(e)
	}
	l.applied = e.Seq
	if err := l.x.apply(e); err != nil {
		return err
	}
	if l.x.canceled {
		l.halt()
	}
	l.remember(e)
	l.x.resume()
	return nil
}

// turn is the circle of a live run.
func (l *live) turn() error {
	for {
		if l.x.ended {
			again, err := l.finish()
			if err != nil || !again {
				return err
			}
			continue
		}
		switch busy, cause := l.halted(); {
		case cause == nil:
			l.issue()
			if parked, err := l.rest(); parked || err != nil {
				return err
			}
		case !busy:
			return cause
		}
		select {
		case <-l.wake:
		case <-l.engine.ctx.Done():
			return context.Cause(l.engine.ctx)
		}
		for _, e := range l.take() {
			if e.Kind == durable.EntryEnded {
				return errOver
			}
			if err := l.see(e); err != nil {
				return err
			}
			l.entered(e)
		}
	}
}

// entered does what a live run, unlike a replay, does about an entry.
func (l *live) entered(e *durable.Entry) {
	switch e.Kind {
	case durable.EntryIntent:
		if c := l.x.commands[e.Command]; c.busy {
			l.attempt(c)
		}
	case durable.EntryAttempt:
		l.x.commands[e.Command].busy = false
	case durable.EntryCancel:
		l.cancelChildren(e.Reason)
	default:
	}
}

// finish records how the program ended. It returns true when a new segment begins.
func (l *live) finish() (bool, error) {
	err := l.x.err
	if next, ok := errors.AsType[*durable.ContinueError](err); ok && !l.x.canceled {
		return true, l.next(next.State)
	}
	if p, ok := errors.AsType[*programPanic](err); ok {
		return false, p
	}
	if b, ok := errors.AsType[*durable.BlockError](err); ok {
		return false, b
	}
	if err == nil && len(l.x.output) > 0 && !json.Valid(l.x.output) {
		err = durable.Errorf(durable.CodeInvalid, "the output of program %s is not JSON", l.run.Program)
	}
	end := &durable.Entry{Kind: durable.EntryEnded, Status: durable.Succeeded, Output: l.x.output}
	if err != nil {
		end.Status, end.Output, end.Error = durable.Failed, nil, durable.FailureOf(err)
		if l.x.canceled && durable.CodeOf(err) == durable.CodeCanceled {
			end.Status = durable.Canceled
		}
	}
	l.cancelChildren("the parent ended")
	return false, l.end(end)
}

// next begins a new segment.
func (l *live) next(input json.RawMessage) error {
	if len(input) > 0 && !json.Valid(input) {
		return durable.Errorf(durable.CodeInvalid, "the state that program %s continues with is not JSON", l.run.Program)
	}
	entry := &durable.Entry{
		Kind: durable.EntryContinued, Input: input, InputHash: shortHash(input), Segment: l.x.info.Segment + 1,
		After: l.applied, Epoch: l.engine.store.Epoch(), Carry: l.x.unreceived(),
	}
	l.x.stop()
	l.mu.Lock()
	state := l.run.State
	state.Segment, state.Start = entry.Segment, store.ThisChange
	err := l.appendLocked(&journal.Change{Run: l.run.ID, Entries: []*durable.Entry{entry}, State: &state}, nil)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	for {
		mail := l.take()
		for i, e := range mail {
			if e.Kind == durable.EntryEnded {
				return errOver
			}
			if e == entry {
				l.putBack(mail[i+1:])
				l.mu.Lock()
				l.run.Start = e.Seq
				l.mu.Unlock()
				if err := l.begin(e); err != nil {
					return err
				}
				l.x.resume()
				return nil
			}
		}
		select {
		case <-l.wake:
		case <-l.engine.ctx.Done():
			return context.Cause(l.engine.ctx)
		}
	}
}

// end commits the last entry of the run, and tells its parent in the same transaction.
func (l *live) end(entry *durable.Entry) error {
	l.mu.Lock()
	state := l.run.State
	l.mu.Unlock()
	state.Status, state.Reason, state.Wake, state.Waits = entry.Status, l.x.reason, time.Time{}, nil
	here := &journal.Change{Run: l.run.ID, Entries: []*durable.Entry{entry}, State: &state}
	done := make(chan error, 1)
	if err := l.engine.endWithParent(l, here, func(err error) { done <- err }); err != nil {
		return err
	}
	return await(l.engine.ctx, done)
}

// block takes a run that cannot go on by itself out of memory.
func (l *live) block(cause error) {
	e := l.engine
	e.log.WarnContext(e.ctx, "run blocked", slog.String("run", string(l.run.ID)), slog.Any("cause", cause))
	e.mu.Lock()
	defer e.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over() != nil {
		return // somebody ended it meanwhile
	}
	entry := &durable.Entry{Kind: durable.EntryBlocked, Time: stamp(l.last), Reason: cause.Error(), Error: durable.FailureOf(cause)}
	l.run.Status, l.run.Reason, l.run.Updated = durable.Blocked, cause.Error(), entry.Time
	l.run.Wake, l.run.Waits = time.Time{}, nil
	l.leave(entry)
}
