package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// The modes of a stream: what of the events it has.
const (
	modeEvents   = "events"   // every entry and every delta
	modeUpdates  = "updates"  // the ends of steps, and of the run
	modeMessages = "messages" // what models say: deltas, and the ends of model calls
	modeValues   = "values"   // the output of each step that has one, whole, and that of the run
)

var modes = []string{modeEvents, modeUpdates, modeMessages, modeValues}

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

// streamOperation describes the stream, which the framework does not write.
func streamOperation() huma.Operation {
	text := func(name, in, doc string) *huma.Param {
		return &huma.Param{Name: name, In: in, Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	id := text("id", "path", "ID of the run; without a tenant also a unique prefix, a name, or @last")
	id.Required = true
	return huma.Operation{
		Description: "Server-sent events: `event` with an entry of a journal, `delta` with a streamed piece, which a delta of the kind `reset` makes void for its step. " +
			"The `id` of each is where to go on behind it. The stream ends with the run; asked again then, it answers 204.",
		Parameters: []*huma.Param{
			id, text("after", "query", "The id of the last event that arrived"), text("Last-Event-ID", "header", "The same, as browsers send it"),
			text("mode", "query", "events (default), updates, messages or values"), text("children", "query", "false leaves out the children of the run"),
		},
		Responses: map[string]*huma.Response{"200": {Description: "The stream", Content: map[string]*huma.MediaType{"text/event-stream": {}}}, "204": {Description: "All of it was sent"}},
	}
}

// stream serves the events of a run.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for name := range query {
		if name != "after" && name != "mode" && name != "children" {
			return durable.Errorf(durable.CodeInvalid, "unknown parameter %q: there are after, mode and children", name)
		}
	}
	mode := cmp.Or(query.Get("mode"), modeEvents)
	if !slices.Contains(modes, mode) {
		return durable.Errorf(durable.CodeInvalid, "mode %q: a stream has %s", mode, strings.Join(modes, ", "))
	}
	run, err := s.mine(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	from := start()
	if text := cmp.Or(r.Header.Get("Last-Event-ID"), query.Get("after")); text != "" {
		if from, err = parsePosition(text); err != nil {
			return err
		}
	}
	if query.Get("children") == "false" {
		from.children = map[durable.RunID]event.Cursor{}
	}
	for id := range from.children {
		if err := s.descends(r.Context(), id, run.ID); err != nil {
			return err
		}
	}
	if over, err := s.seen(r.Context(), run, from); err != nil || over {
		if over {
			w.WriteHeader(http.StatusNoContent) // a browser then does not come back
		}
		return err
	}
	out := &sink{w: w, control: http.NewResponseController(w), open: &s.streams, mode: mode, pos: from, children: query.Get("children") != "false"}
	out.mend = s.menderOf(r.Context(), from)
	s.streams.Add(1)
	defer s.streams.Add(-1)
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	defer context.AfterFunc(s.over, stop)()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // of proxies
	w.WriteHeader(http.StatusOK)
	defer out.beat(s.cfg.Beat, func() {
		if _, err := s.identify(r.Context(), r.Header.Get("Authorization")); err != nil {
			stop() // its token has expired, or was revoked
		}
	})()
	s.follow(ctx, run.ID, out)
	return nil
}

// deepest is how many generations of runs are looked up.
const deepest = 100

// descends makes sure that a cursor of a child is of one of the run: whoever may see that may
// see the child.
func (s *Server) descends(ctx context.Context, id, root durable.RunID) error {
	at := id
	for range deepest {
		run, err := s.rt.Get(ctx, at)
		if err != nil && !errors.Is(err, durable.ErrNotFound) {
			return err
		}
		if err != nil || run.Parent == "" {
			break
		}
		if at = run.Parent; at == root {
			return nil
		}
	}
	return durable.Errorf(durable.CodeInvalid, "the cursor has run %s, which is no child of run %s", id, root)
}

// seen reports whether a client has all events of a run that has ended.
func (s *Server) seen(ctx context.Context, run durable.Run, p position) (bool, error) {
	if p.at.Seq < 0 {
		return false, nil
	}
	last, err := s.rt.LastSeq(ctx, run.ID)
	if err != nil {
		return false, err
	}
	if p.at.Seq > last {
		return false, durable.Errorf(durable.CodeInvalid, "the cursor %s is behind the last event of run %s, %d: it is of another run", p, run.ID, last)
	}
	return run.Status.Final() && p.at.Seq == last, nil
}

// follow sends what happens to a run, and to its children, until it ends, the client is gone
// or the server stops.
func (s *Server) follow(ctx context.Context, id durable.RunID, out *sink) {
	if len(out.pos.children) == 0 {
		for batch, err := range s.rt.Batches(ctx, id, out.pos.at) {
			if err != nil {
				s.cut(ctx, id, err)
				return
			}
			n := out.alone(batch)
			if out.send(batch[:n], id, id) != nil {
				return
			}
			if n < len(batch) {
				break // it has a child: there is more than one to listen to
			}
			if ended(batch[n-1]) {
				return
			}
			out.pause()
		}
		if ctx.Err() != nil {
			return
		}
	}
	f := &family{s: s, ctx: ctx, root: id, out: out, news: make(chan news), listens: map[durable.RunID]bool{}, held: map[durable.RunID][]*event.Item{}}
	f.run()
}

// cut notes why a stream ends before its run; a client that went away is no reason.
func (s *Server) cut(ctx context.Context, id durable.RunID, err error) {
	if ctx.Err() == nil {
		s.log.ErrorContext(ctx, "a stream ends early", slog.String("run", string(id)), slog.Any("error", err))
	}
}

func ended(i *event.Item) bool { return i.Event != nil && i.Event.Kind == durable.EntryEnded }

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

// wants reports whether an item is of the mode of the stream.
func (o *sink) wants(item *event.Item) bool {
	if item.Delta != nil {
		return o.mode == modeEvents || o.mode == modeMessages
	}
	e := item.Event
	ends := e.Kind == durable.EntryDone || e.Kind == durable.EntryAnswered || e.Kind == durable.EntryFired || e.Kind == durable.EntryChildDone
	switch {
	case o.mode == modeEvents, e.Kind == durable.EntryEnded:
		return true
	case o.mode == modeUpdates:
		return ends
	case o.mode == modeMessages:
		return e.Kind == durable.EntryDone && e.Func == agent.ModelFunc
	}
	return ends && (len(e.Output) > 0 || e.OutputRef != nil)
}

// encodeItem is an item as it is sent, the same for all clients without children; the others
// have another line with the id.
func encodeItem(item *event.Item) []byte {
	id := "id: " + item.Cursor.String()
	if item.Delta != nil {
		return append([]byte(id), encode("delta", item.Delta)...)
	}
	return append([]byte(id), encode("event", item.Event)...)
}

// encode is what is sent of an event or a delta, behind its id.
func encode(kind string, v any) []byte {
	var b bytes.Buffer
	b.WriteString("\nevent: " + kind + "\ndata: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // ends the line; JSON has no other
		return []byte("\nevent: damaged\ndata: {}\n\n")
	}
	b.WriteByte('\n')
	return b.Bytes()
}
