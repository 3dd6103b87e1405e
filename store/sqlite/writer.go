package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"slices"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Bounds of one transaction. Within them a batch is whatever was queued while
// the one before it committed.
const (
	maxRows  = 512
	maxBytes = 1 << 20
)

var errClosed = durable.Errorf(durable.CodeUnavailable, "the data directory is closed")

// group is the changes of one Commit.
type group struct {
	changes []*store.Change
	done    func(error)
	err     error // why this group alone was refused
}

// later reports whether a group may wait for another.
func (g *group) later() bool {
	return len(g.changes) > 0 && !slices.ContainsFunc(g.changes, func(c *store.Change) bool { return c.Later == nil })
}

// empty reports whether there is nothing in a batch.
func empty(batch []*group) bool {
	return !slices.ContainsFunc(batch, func(g *group) bool { return len(g.changes) > 0 })
}

// writer owns the write connection. Its queue is not bounded: callers are.
type writer struct {
	mu      sync.Mutex
	queue   []*group
	failed  error // set once: the store refuses everything from then on
	stopped bool
	wake    chan struct{} // holds one token while the queue may be non-empty
	ended   chan struct{}
	taken   []*group // out of the queue and in no batch yet; of the loop alone

	path string
	file os.FileInfo // what was at path when it was opened

	tx          *transaction
	checkpoints *checkpointer
	written     int // bytes since the checkpointer was asked

	reports  chan report // what was committed, to be reported in order
	reported chan struct{}
}

// report is a batch that was committed, or failed with err.
type report struct {
	batch []*group
	err   error
}

func startWriter(ctx context.Context, db *sql.DB, path string, recent *recent) (*writer, error) {
	tx, err := newTransaction(ctx, db, recent)
	if err != nil {
		return nil, err
	}
	w := &writer{
		wake: make(chan struct{}, 1), ended: make(chan struct{}), tx: tx,
		reports: make(chan report, reportsMax), reported: make(chan struct{}), path: path,
	}
	if w.file, err = os.Stat(path); err != nil {
		return nil, errors.Join(unusable(err), tx.close())
	}
	if w.checkpoints, err = startCheckpointer(path); err != nil {
		return nil, errors.Join(err, tx.close())
	}
	go w.loop()
	go w.report()
	return w, nil
}

// reportsMax is how many batches may be committed before the first is reported.
const reportsMax = 4

// report tells who waits, beside the next commit.
func (w *writer) report() {
	defer close(w.reported)
	for r := range w.reports {
		for _, g := range r.batch {
			g.done(errors.Join(r.err, g.err))
		}
	}
}

func (w *writer) commit(changes []*store.Change, done func(error)) {
	if err := w.enqueue(&group{changes: changes, done: done}); err != nil {
		go done(err) // never from within the caller, who may hold a lock that done takes
	}
}

func (w *writer) enqueue(g *group) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.failed != nil:
		return w.failed
	case w.stopped:
		return errClosed
	}
	w.queue = append(w.queue, g)
	if g.later() {
		return nil // it goes with the next, or when it is hurried
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
}

// stop commits what is queued, then ends the goroutine.
func (w *writer) stop() error {
	w.mu.Lock()
	if !w.stopped {
		w.stopped = true
		close(w.wake)
	}
	w.mu.Unlock()
	<-w.ended
	<-w.reported
	return w.endCheckpoints(w.tx.close())
}

func (w *writer) loop() {
	defer close(w.ended)
	for range w.wake {
		w.drain()
	}
	w.drain()
	close(w.reports)
}

func (w *writer) drain() {
	for {
		batch, bytes := w.take()
		if len(batch) == 0 {
			return
		}
		w.run(batch, bytes)
	}
}

// take removes the next batch from the queue, and says how many bytes it is: at least one
// group, more while the bounds allow. What may be later is asked for here, without the lock that
// those who queue something take.
func (w *writer) take() (batch []*group, bytes int) {
	w.mu.Lock()
	w.taken, w.queue = append(w.taken, w.queue...), nil
	w.mu.Unlock()
	rows := 0
	for i, g := range w.taken {
		before := bytes
		for _, c := range g.changes {
			if c.Later != nil {
				c.Records, c.Later = append(c.Records, c.Later()...), nil
			}
			rows += len(c.Entries) + len(c.Blobs) + len(c.Records) + 1
			for _, e := range c.Entries {
				bytes += len(e.Body)
			}
			for _, b := range c.Blobs {
				bytes += len(b.Data)
			}
			for i := range c.Records {
				bytes += len(c.Records[i].Data)
			}
		}
		if i > 0 && (rows > maxRows || bytes > maxBytes) {
			batch, w.taken = w.taken[:i:i], w.taken[i:]
			return batch, before
		}
	}
	batch, w.taken = w.taken, nil
	return batch, bytes
}

// run commits one batch and has every group of it reported, in order.
func (w *writer) run(batch []*group, bytes int) {
	err := w.failure()
	if err == nil && !empty(batch) {
		if err = w.present(); err == nil {
			err = w.tx.apply(batch)
		}
		if err != nil {
			err = w.fail(err)
		}
	}
	w.reports <- report{batch, err}
	if err != nil {
		return
	}
	if err := w.tidy(bytes); err != nil {
		_ = w.fail(err) // the next commit says so
	}
}

// present finds out whether the database is still where it was opened: what is written to
// one that was removed would be acknowledged and lost.
func (w *writer) present() error {
	info, err := os.Stat(w.path)
	if err == nil && os.SameFile(info, w.file) {
		return nil
	}
	return durable.Errorf(durable.CodeUnavailable,
		"%s was removed or replaced while it was in use: put the data directory back, if you moved it, and start again", w.path)
}

func (w *writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// fail stops the store: whether the batch is on the disk is not known, so nothing
// after it may be acknowledged.
func (w *writer) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = explain(err)
	if durable.CodeOf(w.failed) == durable.CodeInternal {
		w.failed = durable.Errorf(durable.CodeUnavailable, "the store stopped after a write error (%w): start again, nothing acknowledged is lost", err)
	}
	return w.failed
}
