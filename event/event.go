package event

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Source reads committed entries of a run, in order of seq; journal implements it.
type Source interface {
	Entries(ctx context.Context, run durable.RunID, after int64, limit int) ([]durable.Entry, error)
}

// Config says how much a feed keeps. The zero value of every field is usable.
type Config struct {
	Epoch int64 // of the data directory, in cursors; 0 = 1
	// Keep keeps deltas from the moment they are emitted until their run has ended, or Total
	// is reached; else they are kept while somebody watches the run. Both Linger longer.
	Keep   bool
	Deltas int           // of one run that are kept; 0 = 8192
	Bytes  int64         // of one run that are kept, about; 0 = 4 MB
	Total  int64         // bytes of all runs, about: those that were quiet for longest give way; 0 = 64 MB
	Linger time.Duration // how long a run is kept once nobody watches it or, with Keep, it has ended; 0 = 2 minutes
}

// Item is what a watcher receives: either an event or a delta. All watchers of a run share
// it; it must not be changed.
type Item struct {
	Event  *durable.Event
	Delta  *durable.Delta
	Cursor Cursor // where to go on behind this item

	of   *attempt // of a delta
	size int64
	once sync.Once
	text []byte
}

// Once returns what encode makes of the item, which is called for the first watcher alone:
// the others get the same bytes. There is one form of an item: every caller of a feed must
// encode in the same way.
func (i *Item) Once(encode func(*Item) []byte) []byte {
	i.once.Do(func() { i.text = encode(i) })
	return i.text
}

// Feed hands events and deltas to watchers. The zero value is not usable; see New. It has no
// goroutine of its own: what is no longer needed goes with the next call.
type Feed struct {
	source Source
	cfg    Config

	mu    sync.RWMutex // taken before that of a tail
	tails map[durable.RunID]*tail
	used  int64        // no tail that is gone had a delta of a higher number
	swept atomic.Int64 // when tails were last looked through, in nanoseconds of Unix time
	count atomic.Int64 // of tails
	bytes atomic.Int64 // in all tails
}

// New makes a feed that reads missed entries from source.
func New(source Source, cfg Config) *Feed {
	if cfg.Epoch == 0 {
		cfg.Epoch = 1
	}
	if cfg.Deltas == 0 {
		cfg.Deltas = 8192
	}
	if cfg.Bytes == 0 {
		cfg.Bytes = 4 << 20
	}
	if cfg.Total == 0 {
		cfg.Total = 64 << 20
	}
	if cfg.Linger == 0 {
		cfg.Linger = 2 * time.Minute
	}
	return &Feed{source: source, cfg: cfg, tails: map[durable.RunID]*tail{}}
}

// Watched reports whether anybody may want deltas at all; who does not need to know more
// may spare the making of them.
func (f *Feed) Watched() bool { return f.cfg.Keep || f.count.Load() > 0 }

// Committed tells the feed that entries of a run, the newest ones, are durable. It must be
// called in their order, and does not block.
func (f *Feed) Committed(run durable.RunID, entries []*durable.Entry) {
	if len(entries) == 0 || f.count.Load() == 0 {
		return
	}
	if t := f.find(run); t != nil {
		t.commit(entries)
	}
	f.sweep()
}

// Emit hands a delta to who watches its run, and keeps it for those who come back. The
// entries of the run up to seq after were reported before the delta was made. It does not
// block.
func (f *Feed) Emit(d durable.Delta, after int64) {
	if !f.Watched() {
		return
	}
	t := f.find(d.Run)
	if t == nil && f.cfg.Keep {
		f.mu.Lock()
		t = f.make(d.Run)
		f.mu.Unlock()
	}
	if t != nil {
		t.emit(d, after)
		f.evict()
	}
	f.sweep()
}

func (f *Feed) find(run durable.RunID) *tail {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.tails[run]
}

// make finds the tail of a run or makes it; the caller holds f.mu.
func (f *Feed) make(run durable.RunID) *tail {
	t := f.tails[run]
	if t == nil {
		t = newTail(f, run)
		f.tails[run] = t
		f.count.Add(1)
	}
	return t
}

// drop forgets a tail; the caller holds f.mu and t.mu. Who comes back with a cursor in it is
// told that its deltas are gone: their numbers are not given again.
func (f *Feed) drop(t *tail) {
	t.grow(-t.size)
	t.gone = true
	f.used = max(f.used, t.last())
	delete(f.tails, t.run)
	f.count.Add(-1)
}

// sweep forgets the tails whose time is over. It looks for them now and then.
func (f *Feed) sweep() {
	now := time.Now()
	before := f.swept.Load()
	if now.UnixNano()-before < int64(f.cfg.Linger/8) || !f.swept.CompareAndSwap(before, now.UnixNano()) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tails {
		t.mu.Lock()
		if t.watchers == 0 && now.Sub(t.idle) >= f.cfg.Linger && (!f.cfg.Keep || t.ended || len(t.deltas) == 0) {
			f.drop(t)
		}
		t.mu.Unlock()
	}
}
