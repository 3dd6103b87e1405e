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
			over, err := c.listen(ctx, id, &w, yield)
			if over {
				return
			}
			if w.After != before {
				away = 0
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
	set(q, "after", w.After)
	if w.Alone {
		q.Set("children", "false")
	}
	resp, err := c.once(ctx, call{method: http.MethodGet, path: at("runs", string(id), "events"), query: q}, nil)
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
		var kind, id string
		var data []byte
		for {
			line, err := readLine(lines, maxItem-len(data))
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(Item{}, err)
				}
				return
			}
			name, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "id":
				id = string(value)
			case "event":
				kind = string(value)
			case "data":
				if data != nil {
					data = append(data, '\n')
				}
				data = append(data, value...)
			case "": // a comment, or the end of an item
				if len(line) > 0 || data == nil {
					continue
				}
				item, err := itemOf(kind, id, data)
				if !yield(item, err) || err != nil {
					return
				}
				kind, data = "", nil
			}
		}
	}
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

func itemOf(kind, id string, data []byte) (Item, error) {
	item := Item{Cursor: id}
	var into any
	switch kind {
	case "event":
		item.Event = &durable.Event{}
		into = item.Event
	case "delta":
		item.Delta = &durable.Delta{}
		into = item.Delta
	default:
		return item, durable.Errorf(durable.CodeInternal, "the stream has an item of the unknown kind %q", kind)
	}
	if err := json.Unmarshal(data, into); err != nil {
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
	for i := len(items) - 1; i >= 0; i-- {
		d := items[i].Delta
		switch {
		case d == nil:
			if e := items[i].Event; e.Kind == durable.EntryDone || e.Kind == durable.EntryContinued {
				delete(voided, step{e.Run, e.Command}) // what came before is of another step of that number, or has ended
			}
			kept = append(kept, items[i])
		case d.Kind == durable.DeltaReset:
			voided[step{d.Run, d.Command}] = true
		case !voided[step{d.Run, d.Command}]:
			kept = append(kept, items[i])
		}
	}
	for i, k := 0, len(kept)-1; i < k; i, k = i+1, k-1 {
		kept[i], kept[k] = kept[k], kept[i]
	}
	return kept
}
