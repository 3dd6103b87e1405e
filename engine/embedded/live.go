package embedded

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// live is a run in memory. It has no goroutine of its own: whoever has news for it
// turns it (see turn), one at a time, and that one owns x. Everything that others touch
// is behind mu.
//
// An entry is applied to the program as soon as it is appended, before it is durable:
// what a program computes can be computed again. What leaves the process waits: a step
// begins, a watcher sees an event or a delta and a caller gets an answer once everything
// before it is on the disk. Only a step that reads may begin earlier; its deltas wait.
type live struct {
	engine *Engine
	id     durable.RunID
	opened chan struct{} // closed once it is known what the run is
	fault  error         // why that cannot be known; read after opened

	x       *exec
	applied int64            // seq of the last applied entry
	first   *durable.Entry   // of a run that was just born: the store may not have it yet
	base    int64            // entries before it were there when the live was opened
	told    atomic.Int64     // seq up to which watchers know of it
	late    []*durable.Entry // signals and cancels that came after the program ended its segment
	claimed chan error       // the claim of a run whose process died: durable, or why not
	alarm   *time.Timer      // wakes the run for a wait too short to park

	mu      sync.Mutex
	run     store.Run        // State is what was last appended
	head    journal.Head     // what the next batch follows
	next    int64            // seq of the next entry
	last    time.Time        // time of the newest entry
	mail    []*durable.Entry // appended, not yet applied
	out     *batch           // appended, not yet on its way to the store; nil = nothing
	way     *batch           // the newest one on its way; nil = none
	pending int              // batches on their way
	flight  []*try           // attempts that were issued and have not reported
	holds   int              // callers who are about to append
	doomed  int              // callers who are about to kill it: it starts no children
	stuck   error            // a step found that this machine lacks something
	unsure  []int            // commands that nobody works on any more: their reconcile function could not tell, or they did not begin
	ended   bool             // its end or block was appended: nothing more is
	queued  bool             // it waits in its queue to begin
	placed  bool             // it has a place in its queue, to be given back
	shelved bool             // the engine stops: the next process goes on with it
	turning bool             // somebody turns it
	again   bool             // and has to turn it once more
	gone    bool             // it has left memory
	left    chan struct{}    // closed then

	questions map[string]*question   // by interrupt ID
	doubts    map[int]*durable.Entry // intents without an outcome, by command
	loaded    chan struct{}          // closed once the journal is replayed or the run is over
}

// batch is what a run appends in one transaction.
type batch struct {
	create  bool
	blobs   []journal.Blob
	entries []*durable.Entry
	state   bool      // the state of the run changed
	run     store.Run // as it is then; set when the batch goes on its way
	done    []func(error)
	tries   []*try // to begin once the batch is durable
	early   []*try // have begun, and stream once it is durable
}

func (e *Engine) newLive(id durable.RunID) *live {
	return &live{engine: e, id: id, applied: -1, opened: make(chan struct{}), loaded: make(chan struct{}), left: make(chan struct{})}
}

// is makes a live be a run whose journal ends at head.
func (l *live) is(run store.Run, head journal.Head) {
	l.run, l.head, l.next, l.base, l.last = run, head, head.Next, head.Next, run.Updated
	l.told.Store(head.Next - 1)
}

// over says why nothing more can be appended; nil while it can.
func (l *live) over() error {
	switch {
	case l.ended && l.run.Status == durable.Blocked:
		return durable.Errorf(durable.CodeConflict, "run %s is blocked: %s", l.id, l.run.Reason)
	case l.ended:
		return durable.Errorf(durable.CodeConflict, "run %s has ended", l.id)
	}
	return nil
}

// append adds an entry to the journal: the program sees it with the next turn, the
// store gets it at the end of that. The caller turns the run afterwards. done, which
// may be nil, is told when it is durable. Error: conflict when the run has ended.
func (l *live) append(e *durable.Entry, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appendLocked(e, done)
}

func (l *live) appendLocked(e *durable.Entry, done func(error)) error {
	if err := l.over(); err != nil {
		return err
	}
	l.stamp(e)
	l.mail = append(l.mail, e)
	b := l.batch()
	b.entries = append(b.entries, e)
	if done != nil {
		b.done = append(b.done, done)
	}
	l.ended = l.ended || e.Kind == durable.EntryEnded
	l.rouse()
	return nil
}

// stamp gives an entry its time and its place in the journal.
func (l *live) stamp(e *durable.Entry) {
	e.Time = stamp(l.last)
	l.last = e.Time
	e.Seq = l.next
	l.next++
}

func (l *live) batch() *batch {
	if l.out == nil {
		l.out = &batch{}
	}
	return l.out
}

// rouse notes that a run that was parked or left over is in motion: from here on a
// crash, or the end of this process, must not leave it asleep.
func (l *live) rouse() {
	if l.queued || (l.run.Status != durable.Waiting && l.run.Status != durable.Queued) {
		return
	}
	if to := l.engine.onward(); l.run.Status != to {
		l.setState(func(s *store.State) { s.Status, s.Wake, s.Waits = to, time.Time{}, nil })
	}
}

// onward is the status of a run that is to go on: running, or queued for the next process.
func (e *Engine) onward() durable.Status {
	if e.passive || e.draining.Load() || e.ctx.Err() != nil {
		return durable.Queued
	}
	return durable.Running
}

func (l *live) setState(change func(*store.State)) {
	change(&l.run.State)
	l.run.Updated = stamp(l.run.Updated)
	l.batch().state = true
}

// flush sends what was appended to the store; the caller holds l.mu.
func (l *live) flush() {
	if change, b := l.pack(); b != nil {
		l.engine.send([]*journal.Change{change}, []*live{l}, []*batch{b})
	}
}

// pack takes what was appended as one change; nil when there is nothing to write. What
// only waits to begin then goes with the batch before it.
func (l *live) pack() (*journal.Change, *batch) {
	b := l.out
	l.out = nil
	switch {
	case b == nil:
		return nil, nil
	case !b.create && !b.state && len(b.entries) == 0:
		if l.way == nil {
			l.engine.released(b)
			for _, done := range b.done {
				done(nil)
			}
		} else {
			l.way.tries = append(l.way.tries, b.tries...)
			l.way.early = append(l.way.early, b.early...)
			l.way.done = append(l.way.done, b.done...)
		}
		return nil, nil
	}
	b.run = l.run
	change := &journal.Change{Run: l.id, Head: &l.head, Entries: b.entries, Blobs: b.blobs}
	switch {
	case b.create:
		change.Create = &b.run
	case b.state:
		change.State = &b.run.State
	}
	l.way = b
	l.pending++
	return change, b
}

// send hands the changes of one or more runs to the store as one group; the caller
// holds the locks of all of them.
func (e *Engine) send(changes []*journal.Change, lives []*live, batches []*batch) {
	done := func(err error) {
		for i, l := range lives {
			l.committed(batches[i], err)
		}
	}
	if err := e.journal.Append(changes, done); err != nil {
		e.crew.Go(func() { // an entry of ours that cannot be encoded: a fault, found before anything was written
			e.fail(err)
			done(err)
		})
	}
}

// committed is called in the order of the journal once a batch is durable, or refused.
// It must not block: it runs where the store reports.
func (l *live) committed(b *batch, err error) {
	e := l.engine
	if err != nil && (!b.create || !refused(err)) {
		e.fail(err)
	}
	l.mu.Lock()
	l.pending--
	if l.way == b {
		l.way = nil
	}
	if err != nil {
		l.ended = l.ended || b.create // it never began
		for _, t := range b.tries {
			l.landed(t)
		}
	}
	l.mu.Unlock()
	if err == nil {
		if n := len(b.entries); n > 0 {
			l.told.Store(b.entries[n-1].Seq)
			e.feed.Committed(l.id, b.entries)
		}
		e.released(b)
	}
	for _, done := range b.done {
		done(err)
	}
	if err == nil && (b.state || b.create) {
		e.settled(b)
	}
	e.sweep(l)
}

// released lets go of what had to wait until a batch is durable.
func (e *Engine) released(b *batch) {
	for _, t := range b.early {
		t.deltas.release(e.feed, t.l.told.Load())
	}
	e.begin(b.tries)
}

// refused reports whether the store turned down one group and goes on with others.
func refused(err error) bool {
	return errors.Is(err, durable.ErrConflict) || errors.Is(err, durable.ErrNotFound) || errors.Is(err, durable.ErrInvalid)
}

// hold keeps the run in memory until release.
func (l *live) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds++
}

func (l *live) release() {
	l.mu.Lock()
	l.holds--
	l.mu.Unlock()
	l.engine.sweep(l)
}

// idle reports whether the run can leave memory; the caller holds l.mu.
func (l *live) idle() bool {
	if l.turning || l.pending > 0 || l.holds > 0 || l.out != nil || len(l.flight) > 0 || l.gone {
		return false
	}
	return l.asleep() || (len(l.mail) == 0 && (l.run.Status == durable.Waiting || l.run.Status == durable.Queued || l.paused()))
}

// asleep reports whether nobody is to turn the run: it is over, blocked, left to the
// next process, has not begun, or could not be opened. The caller holds l.mu.
func (l *live) asleep() bool {
	return l.ended || l.shelved || l.queued || l.fault != nil || l.run.Status == durable.Blocked
}

// sweep takes a run out of memory if nothing keeps it there. Whoever comes next reads
// it from the store, which has all of it.
func (e *Engine) sweep(l *live) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.idle() {
		return
	}
	l.gone = true
	close(l.left)
	if e.live[l.id] == l {
		delete(e.live, l.id)
	}
	if l.alarm != nil {
		l.alarm.Stop()
	}
	if l.placed {
		if next := e.queues.leave(l.run.Queue); next != "" {
			e.crew.Go(func() { e.start(next, l.run.Queue) })
		}
	}
	if l.x != nil && l.x.stoppable() {
		e.crew.Go(l.x.stop) // deferred functions of the program run there
	}
	if len(e.live) == 0 {
		e.empty.Broadcast()
	}
}

// take empties the mail.
func (l *live) take() []*durable.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	mail := l.mail
	l.mail = nil
	return mail
}

// landed removes a try that has reported; the caller holds l.mu.
func (l *live) landed(t *try) {
	if i := slices.Index(l.flight, t); i >= 0 {
		l.flight = slices.Delete(l.flight, i, i+1)
	}
}

// cutShort ends the contexts of attempts in flight: all of them, or those that a cancel
// reaches. It does not reach an irreversible step that has been promised.
func (l *live) cutShort(all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.flight {
		if all || (!t.promised && !t.reconcile && !t.shield) {
			t.cancel(durable.ErrCanceled)
		}
	}
}
