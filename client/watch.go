package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Item is what happens to a run: an event or a delta. Cursor is where to go on behind it.
type Item struct {
	Event  *durable.Event
	Delta  *durable.Delta
	Cursor string
}

// Watch is what [Client.Watch] is asked for.
type Watch struct {
	After   string // the cursor of the last item that was seen; "" = from the beginning
	Mode    string // events (when empty), updates, messages or values
	Alone   bool   // without the children of the run
	Retries int    // how often in a row the server may be away; 0 = 20, about a minute
}

// maxItem bounds one item in bytes.
const maxItem = 64 << 20

// longestPause is the longest wait between two tries to come back.
const longestPause = 5 * time.Second

// Watch yields what happens to a run and its children until the run ends. Where the
// connection is cut it comes back and goes on behind the last item: nothing is missed and
// nothing comes twice. An attempt of a step that died with its server begins anew with a
// delta of the kind durable.DeltaReset, which makes void what that step has streamed; Settle
// does that for a list of items. Errors: not_found, denied, invalid, and unavailable when the
// server stays away.
func (c *Client) Watch(ctx context.Context, id durable.RunID, w Watch) iter.Seq2[Item, error] {
	if w.Retries == 0 {
		w.Retries = 20
	}
	return func(yield func(Item, error) bool) {
		for away := 0; ; away++ {
			before := w.After
			began := time.Now()
			items := 0
			over, err := c.listen(ctx, id, &w, func(item Item, err error) bool {
				items++
				return yield(item, err)
			})
			if over {
				return
			}
			switch {
			case items > 0, time.Since(began) > longestPause: // the server is there, whatever cuts the line
				away = 0
			case err == nil:
				err = durable.Errorf(durable.CodeUnavailable, "the stream of run %s ends without an event", id)
			}
			if ctx.Err() != nil {
				yield(Item{}, context.Cause(ctx))
				return
			}
			if err != nil && (!errors.Is(err, durable.ErrUnavailable) || away >= w.Retries) {
				yield(Item{}, err)
				return
			}
			if err != nil || w.After == before {
				if err := nap(ctx, min(longestPause, time.Duration(1<<min(away, 10))*20*time.Millisecond)); err != nil {
					yield(Item{}, err)
					return
				}
			}
		}
	}
}

// listen yields the items of one connection; over says that there are no more.
func (c *Client) listen(ctx context.Context, id durable.RunID, w *Watch, yield func(Item, error) bool) (over bool, err error) {
	q := url.Values{}
	set(q, "mode", w.Mode)
	if w.Alone {
		q.Set("children", "false")
	}
	header := map[string]string{"Last-Event-ID": w.After} // it may be too long for a URL
	resp, err := c.once(ctx, call{method: http.MethodGet, path: at("runs", string(id), "events"), query: q, header: header}, nil)
	if err != nil {
		return false, durable.Errorf(durable.CodeUnavailable, "the server at %s does not answer: %w", c.base, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return false, problemOf(resp)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode == http.StatusNoContent {
		return true, nil
	}
	for item, err := range read(resp.Body) {
		if err != nil {
			return false, durable.Errorf(durable.CodeUnavailable, "the stream was cut: %w", err)
		}
		w.After = item.Cursor
		if !yield(item, nil) {
			return true, nil
		}
	}
	return false, nil // asked again, the server says whether that was the end
}

// read reads the items of a stream of server-sent events, as
// https://html.spec.whatwg.org/multipage/server-sent-events.html has them.
func read(r io.Reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		lines := bufio.NewReaderSize(r, 64<<10)
		var next raw
		for {
			line, err := readLine(lines, maxItem-len(next.data))
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(Item{}, err)
				}
				return
			}
			if !next.take(line) {
				continue
			}
			item, err := next.item()
			if !yield(item, err) || err != nil {
				return
			}
			next = raw{id: next.id}
		}
	}
}

// raw is an item as it comes, line by line.
type raw struct {
	kind, id string
	data     []byte
}

// take takes a line in; true when the item is whole.
func (r *raw) take(line []byte) bool {
	if len(line) == 0 {
		return r.data != nil
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		r.id = string(value)
	case "event":
		r.kind = string(value)
	case "data":
		if r.data != nil {
			r.data = append(r.data, '\n')
		}
		r.data = append(r.data, value...)
	}
	return false // a comment says nothing
}

func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > most {
			return nil, durable.Errorf(durable.CodeExhausted, "an item is longer than %d bytes", maxItem)
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err // a line that is cut does not count
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
}

func (r *raw) item() (Item, error) {
	item := Item{Cursor: r.id}
	var into any
	switch r.kind {
	case "event":
		item.Event = &durable.Event{}
		into = item.Event
	case "delta":
		item.Delta = &durable.Delta{}
		into = item.Delta
	default:
		return item, durable.Errorf(durable.CodeInternal, "the stream has an item of the unknown kind %q", r.kind)
	}
	if err := json.Unmarshal(r.data, into); err != nil {
		return item, durable.Errorf(durable.CodeInternal, "the stream has an item that cannot be read: %w", err)
	}
	return item, nil
}

// Settle leaves out of a list of items what a later reset has made void: the deltas of the
// attempts that died, and the resets themselves.
func Settle(items []Item) []Item {
	type step struct {
		run     durable.RunID
		command int
	}
	voided := map[step]bool{} // a reset of the step comes later
	kept := make([]Item, 0, len(items))
	for _, item := range slices.Backward(items) {
		d := item.Delta
		switch {
		case d == nil:
			if e := item.Event; e.Kind == durable.EntryDone || e.Kind == durable.EntryContinued {
				delete(voided, step{e.Run, e.Command}) // what came before is of another step of that number, or has ended
			}
			kept = append(kept, item)
		case d.Kind == durable.DeltaReset:
			voided[step{d.Run, d.Command}] = true
		case !voided[step{d.Run, d.Command}]:
			kept = append(kept, item)
		}
	}
	slices.Reverse(kept)
	return kept
}
