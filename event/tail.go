package event

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// keptEvents is how many of a run's newest events are kept for all of its watchers.
const keptEvents = 256

// tail is what is new in a run. Its deltas are numbered without a hole, and each says in
// its cursor which entries come before it; that is the order of the two.
type tail struct {
	feed    *Feed
	run     durable.RunID
	reading chan struct{} // holds one token while a watcher reads what all of them want

	mu       sync.Mutex
	deltas   []*Item
	lost     int64            // number of the last delta before them
	events   []*Item          // neighbours by seq
	top      int64            // entries up to here are committed; there may be more until sure
	sure     bool             // whatever is committed is read, or will be told
	flight   map[int]*attempt // those under way, by command
	size     int64            // bytes, about
	evBytes  int64            // those of events
	more     chan struct{}    // closed with what comes next; nil = nobody waits
	watchers int
	ended    bool
	gone     bool      // the feed has forgotten it
	idle     time.Time // when the last watcher left or the run ended
	used     time.Time // when the last delta came
}

// attempt is what a tail knows of an attempt of a step.
type attempt struct {
	step    string
	command int
	number  int
	lost    Cursor // of its last delta that is gone
	over    bool   // an entry says what it came to
}

// newTail makes a tail; the caller holds f.mu. What it counts may have been counted before.
func newTail(f *Feed, run durable.RunID) *tail {
	const rest = 1000 // of a tail, about, beside what is in it
	now := time.Now()
	t := &tail{
		feed: f, run: run, reading: make(chan struct{}, 1), lost: f.used, top: -1, flight: map[int]*attempt{}, idle: now, used: now,
	}
	t.grow(rest)
	return t
}

// last is the number of the newest delta.
func (t *tail) last() int64 { return t.lost + int64(len(t.deltas)) }

// grow counts bytes that come, or go.
func (t *tail) grow(by int64) {
	t.size += by
	if !t.gone {
		t.feed.bytes.Add(by)
	}
}

// wake tells all watchers that there is more.
func (t *tail) wake() {
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
}

// commit takes in that entries are durable.
func (t *tail) commit(entries []*durable.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range entries {
		switch e.Kind {
		case durable.EntryDone, durable.EntryAttempt:
			if a := t.flight[e.Command]; a != nil {
				a.over = true
				delete(t.flight, e.Command)
			}
		case durable.EntryContinued, durable.EntryBlocked, durable.EntryEnded:
			for _, a := range t.flight {
				a.over = true
			}
			clear(t.flight)
		default:
		}
		if e.Kind == durable.EntryEnded {
			t.ended, t.idle = true, time.Now()
		}
	}
	t.top = max(t.top, entries[len(entries)-1].Seq)
	t.wake()
}

// emit takes in a delta that comes after the entry with that seq, or a later one.
func (t *tail) emit(d durable.Delta, after int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.top = max(t.top, after)
	t.used = time.Now()
	a := t.flight[d.Command]
	if a == nil || a.number != d.Attempt || d.Offset == 0 {
		if a != nil {
			a.over = true
		}
		a = &attempt{step: d.Step, command: d.Command, number: d.Attempt}
		t.flight[d.Command] = a
		if d.Offset > 0 { // its first ones were not made
			t.push(&Item{Delta: a.reset(t.run), of: a})
		}
	}
	t.push(&Item{Delta: &d, of: a})
	for len(t.deltas) > t.feed.cfg.Deltas || (t.size > t.feed.cfg.Bytes && len(t.deltas) > 1) {
		t.dropDelta()
	}
	t.wake()
}

// reset is the delta that voids what was seen of an attempt.
func (a *attempt) reset(run durable.RunID) *durable.Delta {
	return &durable.Delta{Run: run, Command: a.command, Step: a.step, Attempt: a.number, Kind: durable.DeltaReset}
}

func (t *tail) push(i *Item) {
	const rest = 300 // of an item, about, beside its data and the text of it
	i.size = rest + 2*int64(len(i.Delta.Data))
	i.Cursor = Cursor{Seq: t.top, Epoch: t.feed.cfg.Epoch, Delta: t.last() + 1}
	t.deltas = append(t.deltas, i)
	t.grow(i.size)
}

// dropDelta drops the oldest delta.
func (t *tail) dropDelta() {
	d := t.deltas[0]
	t.deltas[0] = nil
	t.deltas = t.deltas[1:]
	t.lost = d.Cursor.Delta
	d.of.lost = d.Cursor
	t.grow(-d.size)
}

// keep takes in events that a watcher has read, neighbours by seq; all says that there were
// no more. What is read is committed, and the deltas of the steps that it ends are here.
func (t *tail) keep(events []*Item, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sure = t.sure || all
	if len(events) == 0 {
		return
	}
	newest := events[len(events)-1].Event
	t.ended = t.ended || newest.Kind == durable.EntryEnded
	if newest.Seq > t.top {
		t.top = newest.Seq
		t.wake()
	}
	next := t.nextEvent()
	switch {
	case len(t.events) > 0 && newest.Seq < next:
		return // who comes late reads what is long gone here
	case len(t.events) > 0 && events[0].Event.Seq <= next:
		events = events[next-events[0].Event.Seq:]
	default:
		t.dropEvents(len(t.events))
	}
	for _, i := range events {
		const rest = 600 // of an item, about, beside its values and the text of them
		i.size = rest + 2*int64(len(i.Event.Input)+len(i.Event.Output))
		t.evBytes += i.size
		t.grow(i.size)
	}
	t.events = append(t.events, events...)
	n := max(0, len(t.events)-keptEvents)
	t.dropEvents(n)
	for t.evBytes > t.feed.cfg.Bytes/4 && len(t.events) > 1 {
		t.dropEvents(1)
	}
}

func (t *tail) dropEvents(n int) {
	for _, i := range t.events[:n] {
		t.evBytes -= i.size
		t.grow(-i.size)
	}
	clear(t.events[:n])
	t.events = t.events[n:]
}

// nextEvent is the seq behind the events that are kept; 0 when there are none.
func (t *tail) nextEvent() int64 {
	if len(t.events) == 0 {
		return 0
	}
	return t.events[len(t.events)-1].Event.Seq + 1
}

// evict lets the deltas of the runs that were quiet for longest give way, if all tails
// together are too large: a good part at once, so that it is seldom done.
func (f *Feed) evict() {
	if f.bytes.Load() <= f.cfg.Total {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	used := make(map[*tail]time.Time, len(f.tails))
	for _, t := range f.tails {
		t.mu.Lock()
		used[t] = t.used
		t.mu.Unlock()
	}
	oldest := slices.SortedFunc(maps.Keys(used), func(a, b *tail) int {
		return cmp.Or(used[a].Compare(used[b]), cmp.Compare(a.run, b.run))
	})
	for _, t := range oldest {
		if f.bytes.Load() <= f.cfg.Total/4*3 {
			return
		}
		t.mu.Lock()
		if t.watchers == 0 {
			f.drop(t)
		} else {
			for len(t.deltas) > 0 {
				t.dropDelta()
			}
			t.dropEvents(len(t.events))
		}
		t.mu.Unlock()
	}
}
