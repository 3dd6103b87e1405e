package embedded

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// live is a run in motion. Its goroutine owns x; everything that others touch is
// behind mu.
type live struct {
	engine     *Engine
	claim      bool // taken over from a process that died: record it first
	still      bool // blocked: there without a goroutine, for as long as it is held
	born       bool // new: its journal is what is in the mail
	definition []byte

	// Steps run under one of these. firm is ended by kill alone, so that an
	// irreversible step is not cut when the process is told to stop; ctx ends with
	// the engine too, soft also with a cancel.
	firm, ctx, soft context.Context //nolint:containedctx // the life of the run in this process
	kill, halt      context.CancelFunc

	x       *exec
	applied int64 // seq of the last applied entry

	mu       sync.Mutex
	run      store.Run        // State is what was last appended
	mail     []*durable.Entry // committed, not yet applied
	pending  int              // appended, not yet committed
	inflight int              // attempts running
	holds    int              // callers who are about to append
	stuck    error            // a step found that this machine lacks something
	ended    bool             // its end was appended, or it was given up: nothing more is
	last     time.Time        // time of the newest entry
	wake     chan struct{}    // holds one token while there may be something to do

	questions map[string]*question // by interrupt ID
	doubts    map[int]*doubt       // irreversible steps without an outcome, by command

	loaded chan struct{} // closed once the journal is replayed
	gone   chan struct{} // closed when the goroutine ends
	alarm  *time.Timer   // pokes the run for a wait too short to park; owned by the goroutine
}

// question is an interrupt as the journal knows it.
type question struct {
	interrupt durable.Interrupt
	command   int
	answered  bool
}

// doubt is an irreversible step whose outcome is not known.
type doubt struct {
	intent   *durable.Entry
	resolved bool
}

func (e *Engine) newLive(run store.Run, claim bool) *live {
	l := &live{engine: e, run: run, claim: claim, applied: -1, wake: make(chan struct{}, 1), last: run.Updated, loaded: make(chan struct{}), gone: make(chan struct{})}
	l.firm, l.kill = context.WithCancel(context.WithoutCancel(e.ctx))
	var end context.CancelCauseFunc
	l.ctx, end = context.WithCancelCause(e.ctx)
	context.AfterFunc(l.firm, func() { end(durable.ErrCanceled) })
	l.soft, l.halt = context.WithCancel(l.ctx)
	return l
}

// append commits a change of this run. Its entries are applied once they are
// durable, in seq order with all others; done, which may be nil, is called right
// before. Error: conflict when the run has ended.
func (l *live) append(change *journal.Change, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appendLocked(change, done)
}

func (l *live) appendLocked(change *journal.Change, done func(error)) error {
	if err := l.prepare(change); err != nil {
		return err
	}
	l.engine.journal.Append([]*journal.Change{change}, func(err error) {
		l.committed(change, err)
		if done != nil {
			done(err)
		}
	})
	return nil
}

// appendBoth commits a change of this run together with one of another. The
// engine's tree lock is held, so that two runs never wait for each other's lock.
func (l *live) appendBoth(here *journal.Change, other *live, there *journal.Change, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	if err := errors.Join(l.over(), other.over()); err != nil {
		return err
	}
	if err := errors.Join(l.prepare(here), other.prepare(there)); err != nil {
		return err // cannot be: both are under their locks
	}
	l.engine.journal.Append([]*journal.Change{here, there}, func(err error) {
		other.committed(there, err)
		l.committed(here, err)
		done(err)
	})
	return nil
}

// over says why nothing more can be appended; nil while it can.
func (l *live) over() error {
	switch {
	case l.ended && l.run.Status == durable.Blocked:
		return durable.Errorf(durable.CodeConflict, "run %s is blocked: %s", l.run.ID, l.run.Reason)
	case l.ended:
		return durable.Errorf(durable.CodeConflict, "run %s has ended", l.run.ID)
	}
	return nil
}

// prepare stamps a change and counts it as pending; the caller holds l.mu and
// appends it before letting go.
func (l *live) prepare(change *journal.Change) error {
	if err := l.over(); err != nil {
		return err
	}
	for _, e := range change.Entries {
		e.Time = stamp(l.last)
		l.last = e.Time
		l.ended = l.ended || e.Kind == durable.EntryEnded
	}
	switch {
	case change.State != nil:
		change.State.Updated = stamp(l.run.Updated)
		start := l.run.Start // known once the change is committed
		l.run.State = *change.State
		l.run.Start = start
	case change.Create == nil && (l.run.Status == durable.Waiting || l.run.Status == durable.Queued):
		// It was parked or left over: from here on a crash, or the end of this process,
		// must not leave it asleep.
		l.run.Status, l.run.Updated, l.run.Wake, l.run.Waits = durable.Running, stamp(l.run.Updated), time.Time{}, nil
		if l.engine.ctx.Err() != nil {
			l.run.Status = durable.Queued // nobody drives it here any more
		}
		state := l.run.State
		change.State = &state
	}
	l.pending++
	return nil
}

// committed runs on the writer: it puts durable entries into the mail.
func (l *live) committed(own *journal.Change, err error) {
	l.mu.Lock()
	l.pending--
	if err == nil {
		l.mail = append(l.mail, own.Entries...)
	}
	l.mu.Unlock()
	switch n := len(own.Entries); {
	case err != nil && !refused(err):
		l.engine.fail(err)
	case err == nil && n > 0:
		last := own.Entries[n-1]
		l.engine.feed.Committed(l.run.ID, last.Seq)
		if last.Kind == durable.EntryEnded {
			l.engine.ended(l, last)
		}
	}
	l.poke()
}

// refused reports whether the store turned down one group and goes on with others.
func refused(err error) bool {
	return errors.Is(err, durable.ErrConflict) || errors.Is(err, durable.ErrNotFound) || errors.Is(err, durable.ErrInvalid)
}

func (l *live) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// halted says why the run must be blocked, once all that is on its way is applied;
// busy is true while something still is.
func (l *live) halted() (busy bool, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inflight > 0 || l.pending > 0 || len(l.mail) > 0, l.stuck
}

// hold keeps the run in memory until release.
func (l *live) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds++
}

func (l *live) release() {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds--
	l.poke() // it may park now
	if l.still && l.holds == 0 && l.engine.live[l.run.ID] == l {
		delete(l.engine.live, l.run.ID)
	}
}

// abandon gives up a run that was never created.
func (l *live) abandon() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.kill()
	l.poke()
}

// take empties the mail.
func (l *live) take() []*durable.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	mail := l.mail
	l.mail = nil
	return mail
}

// putBack returns mail that was taken but belongs to what comes next.
func (l *live) putBack(mail []*durable.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mail = append(slices.Clip(mail), l.mail...)
	if len(l.mail) > 0 {
		l.poke()
	}
}

// park lets the run leave memory if nothing is on its way. The caller is the
// run's goroutine, which ends when park returns true.
func (l *live) park(waits []durable.Wait, wake time.Time) bool {
	e := l.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mail) > 0 || l.pending > 0 || l.inflight > 0 || l.holds > 0 || l.ended || e.ctx.Err() != nil {
		return false
	}
	l.run.Status, l.run.Waits, l.run.Wake, l.run.Updated = durable.Waiting, waits, wake, stamp(l.run.Updated)
	l.leave()
	return true
}

// leave takes the run out of memory with the state it has, and records why if there
// is more to say; the caller holds e.mu and l.mu. Whoever comes next brings up
// another live, whose changes commit after this one.
func (l *live) leave(why ...*durable.Entry) {
	e := l.engine
	l.ended = true
	delete(e.live, l.run.ID)
	run := l.run
	e.journal.Append([]*journal.Change{{Run: run.ID, State: &run.State, Entries: why}}, func(err error) {
		if err != nil {
			e.fail(err)
			return
		}
		view := journal.View(run)
		for _, entry := range why {
			view.Error = entry.Error
			e.feed.Committed(run.ID, entry.Seq)
		}
		e.clock.wakeAt(run.Wake)
		e.settled(view)
	})
}
