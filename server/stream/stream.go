package stream

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine"
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

// Config is what streams are made of.
type Config struct {
	Runtime *orpine.Runtime // required; stays the caller's to close
	Log     *slog.Logger    // required
	Beat    time.Duration   // between the signs of life of a stream; required
}

// Streams are those that a server has open. Make it with New.
type Streams struct {
	rt   *orpine.Runtime
	log  *slog.Logger
	beat time.Duration
	open atomic.Int64    // how many there are
	over context.Context //nolint:containedctx // their life, ended by Close
	stop context.CancelFunc
}

// New makes a place for streams, which are open until Close, whatever becomes of ctx.
func New(ctx context.Context, cfg Config) *Streams {
	s := &Streams{rt: cfg.Runtime, log: cfg.Log, beat: cfg.Beat}
	s.over, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// Close ends all streams; what they watch goes on.
func (s *Streams) Close() { s.stop() }

// request is what a client asks for.
type request struct {
	mode     string
	children bool
	from     position
}

// parse reads a request. Error: invalid.
func parse(query url.Values, lastID string) (request, error) {
	r := request{mode: cmp.Or(query.Get("mode"), modeEvents), children: query.Get("children") != "false", from: start()}
	for name := range query {
		if name != "after" && name != "mode" && name != "children" {
			return r, durable.Errorf(durable.CodeInvalid, "unknown parameter %q: there are after, mode and children", name)
		}
	}
	if !slices.Contains(modes, r.mode) {
		return r, durable.Errorf(durable.CodeInvalid, "mode %q: a stream has %s", r.mode, strings.Join(modes, ", "))
	}
	var err error
	if text := cmp.Or(lastID, query.Get("after")); text != "" {
		r.from, err = parsePosition(text)
	}
	if !r.children {
		r.from.children = map[durable.RunID]event.Cursor{}
	}
	return r, err
}

// Serve sends the events of a run until it ends, the client is gone, the streams are closed, or
// the client may not look on any more: it is asked with each sign of life. Errors, all before
// anything was sent: invalid for what the request asks for.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, run durable.Run, may func() bool) error {
	asked, err := parse(r.URL.Query(), r.Header.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	for id := range asked.from.children {
		if err := s.descends(r.Context(), id, run.ID); err != nil {
			return err
		}
	}
	if over, err := s.seen(r.Context(), run, asked.from); err != nil || over {
		if over {
			w.WriteHeader(http.StatusNoContent) // a browser then does not come back
		}
		return err
	}
	s.open.Add(1)
	defer s.open.Add(-1)
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	defer context.AfterFunc(s.over, stop)()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // of proxies
	w.WriteHeader(http.StatusOK)
	out := &sink{
		w: w, control: http.NewResponseController(w), open: &s.open, mode: asked.mode, children: asked.children, pos: asked.from,
		mend: s.menderOf(ctx, asked.from),
	}
	defer out.beat(s.beat, func() {
		if !may() {
			stop()
		}
	})()
	s.follow(ctx, run.ID, out)
	return nil
}

// deepest is how many generations of runs are looked up.
const deepest = 100

// descends makes sure that a cursor of a child is of one of the run: whoever may see that may
// see the child.
func (s *Streams) descends(ctx context.Context, id, root durable.RunID) error {
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
func (s *Streams) seen(ctx context.Context, run durable.Run, p position) (bool, error) {
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
func (s *Streams) follow(ctx context.Context, id durable.RunID, out *sink) {
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
func (s *Streams) cut(ctx context.Context, id durable.RunID, err error) {
	if ctx.Err() == nil {
		s.log.ErrorContext(ctx, "a stream ends early", slog.String("run", string(id)), slog.Any("error", err))
	}
}

func ended(i *event.Item) bool { return i.Event != nil && i.Event.Kind == durable.EntryEnded }
