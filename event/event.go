// Package event feeds watchers: committed entries in order with a cursor, and
// deltas, the streamed pieces that are never stored. Watchers that join late get
// the entries they missed from the journal and then go on live, without a gap and
// without a repeat.
//
// On the line request -> run -> step -> journal -> event -> client it stands
// behind the commit: an event is a pure function of a committed entry. It never
// writes, and a slow watcher never slows a run: it re-reads from the journal.
package event

import (
	"context"
	"iter"
	"math"
	"sync"
	"sync/atomic"

	"github.com/orpine-run/orpine/durable"
)

// Source reads committed entries of a run, in order of seq; journal implements it.
type Source interface {
	Entries(ctx context.Context, run durable.RunID, after int64, limit int) ([]durable.Entry, error)
}

// deltaBuffer is how many deltas wait for a slow watcher before the oldest are
// dropped; entries are never dropped.
const deltaBuffer = 1024

// Item is what a watcher receives: either an event or a delta.
type Item struct {
	Event *durable.Event
	Delta *durable.Delta
}

// Feed hands events and deltas to watchers. The zero value is not usable; see New.
type Feed struct {
	source Source
	mu     sync.Mutex
	watch  map[durable.RunID]map[*watcher]struct{}
	count  atomic.Int64 // of watchers
}

// New makes a feed that reads missed entries from source.
func New(source Source) *Feed {
	return &Feed{source: source, watch: map[durable.RunID]map[*watcher]struct{}{}}
}

// watcher is one Watch under way. Its queue holds deltas and, between them, marks
// that say up to which seq the journal may be read before the deltas behind them. Two
// marks are never neighbours, so that it is bounded by its deltas.
type watcher struct {
	queue  []mark
	deltas int
	wake   chan struct{} // holds one token while the queue is not empty
}

type mark struct {
	delta *durable.Delta // nil: entries up to seq are committed
	seq   int64
}

// Watched reports whether anybody watches at all; who does not need to know more may
// spare the making of deltas.
func (f *Feed) Watched() bool { return f.count.Load() > 0 }

// Committed tells the feed that the entries of run up to seq are durable.
func (f *Feed) Committed(run durable.RunID, seq int64) {
	f.each(run, func(w *watcher) {
		if n := len(w.queue); n > 0 && w.queue[n-1].delta == nil {
			w.queue[n-1].seq = seq
			return
		}
		w.queue = append(w.queue, mark{seq: seq})
	})
}

// Emit hands a delta to whoever watches its run now.
func (f *Feed) Emit(d durable.Delta) {
	f.each(d.Run, func(w *watcher) {
		if w.deltas == deltaBuffer {
			w.dropOldest()
		}
		w.deltas++
		w.queue = append(w.queue, mark{delta: &d})
	})
}

// dropOldest drops the first delta, which at most one mark precedes; of the two marks that
// are neighbours then the later one says it all.
func (w *watcher) dropOldest() {
	q := w.queue
	w.deltas--
	switch {
	case q[0].delta != nil:
		w.queue = q[1:]
	case len(q) > 2 && q[2].delta == nil:
		w.queue = q[2:]
	default:
		q[1] = q[0]
		w.queue = q[1:]
	}
}

func (f *Feed) each(run durable.RunID, do func(*watcher)) {
	if !f.Watched() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watch[run] {
		do(w)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Watch yields the events of run with seq > after, and live deltas between them,
// until the run's last event, an error, or the end of ctx. It listens from the moment
// of the call, so that nothing is missed of a run that is started right after. The
// sequence may be ranged over once.
func (f *Feed) Watch(ctx context.Context, run durable.RunID, after int64) iter.Seq2[Item, error] {
	w := &watcher{wake: make(chan struct{}, 1), queue: []mark{{seq: math.MaxInt64}}}
	f.add(run, w)
	leave := context.AfterFunc(ctx, func() { f.remove(run, w) }) // if it is never ranged over
	return func(yield func(Item, error) bool) {
		defer leave()
		defer f.remove(run, w)
		for {
			next, more := f.deliver(ctx, run, after, f.take(w), yield)
			if !more {
				return
			}
			after = next
			select {
			case <-w.wake:
			case <-ctx.Done():
				yield(Item{}, ctx.Err())
				return
			}
		}
	}
}

// deliver yields what a queue holds; more is false when the watch is over.
func (f *Feed) deliver(ctx context.Context, run durable.RunID, after int64, queue []mark, yield func(Item, error) bool) (next int64, more bool) {
	for i, m := range queue {
		switch {
		case m.delta == nil:
			if after, more = f.drain(ctx, run, after, m.seq, yield); !more {
				return after, false
			}
		case stale(queue[i:], after):
		case !yield(Item{Delta: m.delta}, nil):
			return after, false
		}
	}
	return after, true
}

// stale reports whether entries committed after the first delta of queue were read
// before it, as happens to who has just joined: its step may have ended already.
func stale(queue []mark, after int64) bool {
	for _, m := range queue {
		if m.delta == nil {
			return m.seq <= after
		}
	}
	return false
}

// drain yields the entries after a cursor up to seq to; more is false when the
// watch is over.
func (f *Feed) drain(ctx context.Context, run durable.RunID, after, to int64, yield func(Item, error) bool) (next int64, more bool) {
	const page = 256
	for after < to {
		entries, err := f.source.Entries(ctx, run, after, page)
		if err != nil {
			yield(Item{}, err)
			return after, false
		}
		for _, e := range entries {
			if e.Seq > to {
				return after, true
			}
			if !yield(Item{Event: &durable.Event{Run: run, Entry: e}}, nil) || e.Kind == durable.EntryEnded {
				return after, false
			}
			after = e.Seq
		}
		if len(entries) < page {
			break
		}
	}
	return after, true
}

func (f *Feed) take(w *watcher) []mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	queue := w.queue
	w.queue, w.deltas = nil, 0
	return queue
}

func (f *Feed) add(run durable.RunID, w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watch[run] == nil {
		f.watch[run] = map[*watcher]struct{}{}
	}
	f.watch[run][w] = struct{}{}
	f.count.Add(1)
}

func (f *Feed) remove(run durable.RunID, w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.watch[run][w]; ok {
		delete(f.watch[run], w)
		f.count.Add(-1)
	}
	if len(f.watch[run]) == 0 {
		delete(f.watch, run)
	}
}
