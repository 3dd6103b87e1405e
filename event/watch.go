package event

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// How many items a watcher takes at once, and how many entries it reads at once.
const (
	batchSize = 256
	pageSize  = 256
)

// watcher is a position in a tail: behind the entries up to seq and the deltas up to delta.
type watcher struct {
	tail  *tail
	seq   int64
	delta int64
	past  int64   // attempts that have ended are not shown up to this delta
	page  []*Item // events that were read and are not shown yet
	known bool    // the entry with seq is in the journal
	over  bool    // the last event is shown
}

// Watch yields the items of run behind a cursor, one by one; see Batches.
func (f *Feed) Watch(ctx context.Context, run durable.RunID, after Cursor) iter.Seq2[*Item, error] {
	batches := f.Batches(ctx, run, after)
	return func(yield func(*Item, error) bool) {
		for batch, err := range batches {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range batch {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// Batches yields the events of run behind a cursor and live deltas between them, all that
// is there at once, until the run's last event, an error, or the end of ctx. It listens from
// the moment of the call, so that nothing is missed of a run that is started right after. The
// sequence may be ranged over once. A batch is never empty; its array is used again for the
// next one.
func (f *Feed) Batches(ctx context.Context, run durable.RunID, after Cursor) iter.Seq2[[]*Item, error] {
	w := f.join(run, after)
	leave := sync.OnceFunc(func() { f.leave(w.tail) })
	stop := context.AfterFunc(ctx, leave) // if it is never ranged over
	return func(yield func([]*Item, error) bool) {
		defer leave()
		defer stop()
		var batch []*Item
		for !w.over {
			clear(batch)
			var need bool
			var more <-chan struct{}
			batch, need, more = w.tail.gather(w, batch[:0])
			switch {
			case len(batch) == 0 && w.over:
			case len(batch) > 0:
				if !yield(batch, nil) {
					return
				}
			case need:
				if err := f.read(ctx, w); err != nil {
					yield(nil, err)
					return
				}
			default:
				select {
				case <-more:
				case <-ctx.Done():
					yield(nil, ctx.Err())
					return
				}
			}
		}
	}
}

// join makes a watcher of a run, which must leave.
func (f *Feed) join(run durable.RunID, after Cursor) *watcher {
	f.sweep()
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.make(run)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers++
	w := &watcher{tail: t, seq: max(after.Seq, -1), known: after.Seq < 0}
	switch {
	case after.Delta > 0 && after.Epoch == f.cfg.Epoch && after.Delta <= t.last():
		w.delta = after.Delta
	case after.Seq < 0:
		w.past = t.last()
	}
	return w
}

// leave lets a tail go in a while, or at once when it is of no use to who comes back.
func (f *Feed) leave(t *tail) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers--
	t.idle = time.Now()
	if t.watchers == 0 && t.ended && len(t.deltas) == 0 {
		f.drop(t)
	}
}

// gather adds to a batch what is there for a watcher. If that is nothing: need says that it
// must read, else it waits for more.
func (t *tail) gather(w *watcher, batch []*Item) (items []*Item, need bool, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	batch = t.mend(w, batch)
	for len(batch) < batchSize {
		d := t.nextDelta(w)
		to := t.top
		if d != nil {
			to = d.Cursor.Seq
		}
		switch {
		case w.seq < to:
			e := t.eventAfter(w)
			if e == nil {
				return batch, true, nil
			}
			batch = append(batch, e)
			w.seq, w.known = e.Event.Seq, true
			if e.Event.Kind == durable.EntryEnded {
				w.over = true
				return batch, false, nil
			}
		case d != nil:
			w.delta = d.Cursor.Delta
			if !d.of.over || w.delta > w.past {
				batch = append(batch, d)
			}
		case !t.sure || !w.known:
			return batch, true, nil
		case t.ended: // before it came
			w.over = true
			return batch, false, nil
		default:
			if t.more == nil {
				t.more = make(chan struct{})
			}
			return batch, false, t.more
		}
	}
	return batch, false, nil
}

// mend tells a watcher which attempts have lost deltas that it has not seen: those under way,
// and those of which more is to come before the entry that ends them. Only behind all of that
// it is past the loss.
func (t *tail) mend(w *watcher, batch []*Item) []*Item {
	if w.delta >= t.lost {
		return batch
	}
	var torn []*attempt
	look := func(a *attempt) {
		if a.lost.Delta > w.delta && a.lost.Seq >= w.seq && !slices.Contains(torn, a) {
			torn = append(torn, a)
		}
	}
	for _, a := range t.flight {
		look(a)
	}
	for _, d := range t.deltas {
		look(d.of)
	}
	slices.SortFunc(torn, func(a, b *attempt) int {
		return cmp.Or(cmp.Compare(a.command, b.command), cmp.Compare(a.number, b.number))
	})
	for i, a := range torn {
		at := After(w.seq)
		switch {
		case i == len(torn)-1:
			at.Epoch, at.Delta = t.feed.cfg.Epoch, t.lost
		case w.delta > 0:
			at.Epoch, at.Delta = t.feed.cfg.Epoch, w.delta
		}
		batch = append(batch, &Item{Delta: a.reset(t.run), Cursor: at})
	}
	w.delta = t.lost
	return batch
}

// nextDelta is the first one that a watcher has not seen; nil when there is none. It may
// have read entries that came behind some: those are stale.
func (t *tail) nextDelta(w *watcher) *Item {
	rest := t.deltas[w.delta-t.lost:]
	if len(rest) == 0 || rest[0].Cursor.Seq < w.seq {
		n := sort.Search(len(rest), func(i int) bool { return rest[i].Cursor.Seq >= w.seq })
		w.delta += int64(n)
		rest = rest[n:]
	}
	if len(rest) == 0 {
		return nil
	}
	return rest[0]
}

// eventAfter is the next event of a watcher; nil when it is not here.
func (t *tail) eventAfter(w *watcher) *Item {
	if len(t.events) > 0 {
		if i := w.seq + 1 - t.events[0].Event.Seq; i >= 0 && i < int64(len(t.events)) {
			return t.events[i]
		}
	}
	for len(w.page) > 0 && w.page[0].Event.Seq <= w.seq {
		w.page = w.page[1:]
	}
	if len(w.page) == 0 {
		w.page = nil
		return nil
	}
	return w.page[0]
}

// read reads the entries behind a watcher. Of those that stand at the end of the tail, one
// reads for all.
func (f *Feed) read(ctx context.Context, w *watcher) error {
	t := w.tail
	t.mu.Lock()
	together := w.seq+1 >= t.nextEvent()
	t.mu.Unlock()
	if together {
		select {
		case t.reading <- struct{}{}:
			defer func() { <-t.reading }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t.mu.Lock()
	top := t.top
	here := t.eventAfter(w) != nil || (t.sure && w.known && top <= w.seq)
	t.mu.Unlock()
	if here {
		return nil
	}
	entries, err := f.source.Entries(ctx, t.run, w.seq, pageSize)
	if err != nil {
		return err
	}
	if len(entries) == 0 && w.seq < top {
		return durable.Errorf(durable.CodeInternal, "run %s: entries after %d up to %d are committed and cannot be read", t.run, w.seq, top)
	}
	if len(entries) == 0 && !w.known {
		if err := f.confirm(ctx, w); err != nil {
			return err
		}
	}
	w.page = make([]*Item, len(entries))
	for i, e := range entries {
		w.page[i] = &Item{Event: &durable.Event{Run: t.run, Entry: e}, Cursor: After(e.Seq)}
	}
	t.keep(w.page, len(entries) < pageSize)
	return nil
}

// confirm looks for the entry that a watcher stands behind at the end of the journal: it may
// be the last one, or of another journal.
func (f *Feed) confirm(ctx context.Context, w *watcher) error {
	t := w.tail
	last, err := f.source.Entries(ctx, t.run, w.seq-1, 1)
	if err != nil {
		return err
	}
	if len(last) == 0 || last[0].Seq != w.seq {
		return durable.Errorf(durable.CodeNotFound, "run %s has no entry %d: the cursor is of another run or data directory", t.run, w.seq)
	}
	w.known = true
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = t.ended || last[0].Kind == durable.EntryEnded
	return nil
}
