package stream

import (
	"bytes"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// patience is how long a write to a client may take, about. One that takes longer is cut off;
// it comes back with its cursor and goes on.
const patience = 30 * time.Second

// What a stream waits between two writes, for each stream that is open: about what a write takes.
// One that is alone does not wait; of many, each has what came meanwhile in one write.
const (
	perStream  = 15 * time.Microsecond
	longestGap = 50 * time.Millisecond
)

// longestBuffer is what a stream keeps of the room for its writes, in bytes.
const longestBuffer = 256 << 10

// sink writes a stream to a client.
type sink struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	open     *atomic.Int64 // how many streams the server has
	mode     string
	children bool
	mend     *mender // nil = nothing was missed

	mu      sync.Mutex // a sign of life may come between two writes
	pos     position
	parents map[durable.RunID]durable.RunID // of the children in pos whose start was sent
	buf     bytes.Buffer
	last    time.Time // of the last write
	limited time.Time // when writes were last given their time
}

// beat sends a comment when there was nothing else for a while, so that both sides notice a
// connection that is gone, and has it checked each time whether the client may still look on.
// What it returns ends that.
func (o *sink) beat(every time.Duration, check func()) (stop func()) {
	done := make(chan struct{})
	var timer *time.Timer
	timer = time.AfterFunc(every, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		select {
		case <-done:
			return
		default:
		}
		check()
		if time.Since(o.last) >= every {
			o.buf.Reset()
			o.buf.WriteString(": alive\n\n")
			_ = o.flush() // who is gone is noticed by the next item too
		}
		timer.Reset(every)
	})
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		close(done)
		timer.Stop()
	}
}

// alone counts the items of a batch before the first that begins a child.
func (o *sink) alone(batch []*event.Item) int {
	for i, item := range batch {
		if o.children && item.Event != nil && item.Event.Kind == durable.EntryChild {
			return i
		}
	}
	return len(batch)
}

// send writes items of one run of the family.
func (o *sink) send(items []*event.Item, of, root durable.RunID) error {
	if len(items) == 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Reset(); o.buf.Cap() > longestBuffer {
		o.buf = bytes.Buffer{}
	}
	for _, item := range items {
		for _, d := range o.mend.before(item) {
			if o.mode == modeEvents || o.mode == modeMessages { // behind the same id: they may come again
				o.buf.WriteString("id: " + o.pos.String())
				o.buf.Write(encode("delta", d))
			}
		}
		o.step(item, of, root)
		if !o.wants(item) {
			continue
		}
		text := item.Once(encodeItem)
		if of != root || len(o.pos.children) > 0 {
			o.buf.WriteString("id: ")
			o.buf.WriteString(o.pos.String())
			text = text[bytes.IndexByte(text, '\n'):]
		}
		o.buf.Write(text)
	}
	if o.buf.Len() == 0 {
		return nil
	}
	return o.flush()
}

// pause waits until the next write is due. A client that goes meanwhile is noticed so much
// later: to listen for that too costs more than there is to it.
func (o *sink) pause() {
	o.mu.Lock()
	last := o.last
	o.mu.Unlock()
	time.Sleep(min(time.Duration(o.open.Load())*perStream, longestGap) - time.Since(last))
}

// step moves the position behind an item.
func (o *sink) step(item *event.Item, of, root durable.RunID) {
	e := item.Event
	if of == root {
		o.pos.at = item.Cursor
	} else {
		o.pos.children[of] = item.Cursor // also of one that has ended, until its parent has said so too
	}
	if e == nil || !o.children {
		return
	}
	switch e.Kind {
	case durable.EntryChild:
		if o.parents == nil {
			o.parents = map[durable.RunID]durable.RunID{}
		}
		o.parents[e.Child] = of
		if _, there := o.pos.children[e.Child]; !there {
			o.pos.children[e.Child] = event.After(-1)
		}
	case durable.EntryChildDone:
		o.leave(e.Child)
	default:
	}
}

// leave forgets a child that has ended, and those of its own that were still told of.
func (o *sink) leave(child durable.RunID) {
	delete(o.pos.children, child)
	delete(o.parents, child)
	for id, parent := range o.parents {
		if parent == child {
			o.leave(id)
		}
	}
}

// flush writes what is in the buffer; the caller holds o.mu.
func (o *sink) flush() error {
	o.last = time.Now()
	if o.last.Sub(o.limited) > patience/4 { // it is not free, and a write has three quarters of it at least
		_ = o.control.SetWriteDeadline(o.last.Add(patience)) // a writer that has none is one of a test
		o.limited = o.last
	}
	if _, err := o.w.Write(o.buf.Bytes()); err != nil {
		return err
	}
	return o.control.Flush()
}
