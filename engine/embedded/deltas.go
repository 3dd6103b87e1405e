package embedded

import (
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// deltas is what an attempt streams. They leave the process: those of an attempt that
// began early are kept until everything before it is durable, else a watcher would see
// the answer to something that, after a crash, was never said.
type deltas struct {
	mu   sync.Mutex
	next int // offset
	kept bool
	list []durable.Delta // while kept
}

// emit gives a delta its offset and streams it, behind the entry with seq after.
func (d *deltas) emit(feed *event.Feed, delta durable.Delta, after int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delta.Offset = d.next
	d.next++
	switch {
	case !feed.Watched():
	case d.kept:
		d.list = append(d.list, delta)
	default:
		feed.Emit(delta, after)
	}
}

// release streams what was kept, behind the entry with seq after. It does not block.
func (d *deltas) release(feed *event.Feed, after int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, delta := range d.list {
		feed.Emit(delta, after)
	}
	d.kept, d.list = false, nil
}
