package stream

import (
	"context"
	"slices"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// family merges the streams of a run and its descendants. Each comes in its own order, and
// what one causes comes behind it: a child begins behind the entry of its parent that started
// it, and has ended before the one that says so.
type family struct {
	s       *Streams
	ctx     context.Context //nolint:containedctx // the life of the stream
	root    durable.RunID
	out     *sink
	news    chan news
	listens map[durable.RunID]bool          // whose stream is open
	held    map[durable.RunID][]*event.Item // what has to wait until a child has ended
}

// news is what came of one run; no items say that its stream is over.
type news struct {
	of    durable.RunID
	items []*event.Item
}

// listen opens the stream of a run.
func (f *family) listen(id durable.RunID, after event.Cursor) {
	if f.listens[id] {
		return
	}
	f.listens[id] = true
	go func() {
		for batch, err := range f.s.rt.Batches(f.ctx, id, after) {
			if err != nil {
				f.s.cut(f.ctx, id, err)
				break
			}
			if !f.tell(news{id, slices.Clone(batch)}) {
				break
			}
		}
		f.tell(news{of: id})
	}()
}

func (f *family) tell(n news) bool {
	select {
	case f.news <- n:
		return true
	case <-f.ctx.Done():
		return false
	}
}

// run sends everything until the root has ended or the client is gone.
func (f *family) run() {
	f.listen(f.root, f.out.pos.at)
	for id, at := range f.out.pos.children {
		f.listen(id, at)
	}
	for {
		select {
		case n := <-f.news:
			if !f.take(n) {
				return
			}
			f.out.pause()
		case <-f.ctx.Done():
			return
		}
	}
}

// take sends what came of one run, as far as it may be sent; false when it is over.
func (f *family) take(n news) bool {
	if len(n.items) > 0 {
		f.held[n.of] = append(f.held[n.of], n.items...)
		return f.release(n.of)
	}
	delete(f.listens, n.of)
	if n.of == f.root {
		return false
	}
	for id := range f.held { // somebody may have waited for its end
		if !f.release(id) {
			return false
		}
	}
	return true
}

// release sends what is held of a run, up to the end of a child that is still listened to.
func (f *family) release(id durable.RunID) bool {
	items := f.held[id]
	for i, item := range items {
		e := item.Event
		if e == nil {
			continue
		}
		if e.Kind == durable.EntryChildDone && f.listens[e.Child] {
			f.held[id] = slices.Clone(items[i:])
			return f.out.send(items[:i], id, f.root) == nil
		}
		if e.Kind == durable.EntryChild {
			if err := f.out.send(items[:i+1], id, f.root); err != nil {
				return false
			}
			f.listen(e.Child, event.After(-1))
			f.held[id] = items[i+1:]
			return f.release(id)
		}
	}
	delete(f.held, id)
	over := id == f.root && len(items) > 0 && ended(items[len(items)-1])
	return f.out.send(items, id, f.root) == nil && !over
}
