// Package local is the door of a data directory for other processes on the same
// machine. The process that drives the runs of a directory listens on a Unix socket
// inside it; a command that finds the directory in use sends its order there instead
// of failing. Whoever may write the directory may use the door: the file system is
// its guard.
//
// It translates and decides nothing. On the line request -> run -> step -> journal ->
// event -> client it stands between a client and the façade.
package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

// socket is the name of the socket in the data directory.
const socket = "door.sock"

// maxBody bounds an order in bytes.
const maxBody = 16 << 20

// Hands is what can be done to a run from outside: by the runtime itself, or
// through the door.
type Hands interface {
	Answer(ctx context.Context, id durable.RunID, question string, answer []byte) error
	Resolve(ctx context.Context, id durable.RunID, command int, r durable.Resolution) error
	Resume(ctx context.Context, id durable.RunID) error
	Cancel(ctx context.Context, id durable.RunID, reason string) error
	Kill(ctx context.Context, id durable.RunID, reason string) error
	Fork(ctx context.Context, id durable.RunID, r orpine.ForkRequest) (durable.RunID, error)
}

var (
	_ Hands = (*orpine.Runtime)(nil)
	_ Hands = (*Client)(nil)
)

// order is the body of a request.
type order struct {
	Question   string              `json:"question,omitempty"`
	Answer     json.RawMessage     `json:"answer,omitempty"`
	Step       int                 `json:"step,omitempty"`
	Resolution *durable.Resolution `json:"resolution,omitempty"`
	Reason     string              `json:"reason,omitempty"`
	Fork       *orpine.ForkRequest `json:"fork,omitempty"`
}

// Door is an open door. Close it before the runtime.
type Door struct {
	server *http.Server
	at     *place
	served sync.WaitGroup
}

// place is a path to the socket that is short enough for the kernel however deep
// the directory is: the directory's descriptor under /proc.
type place struct {
	dir  *os.File
	path string
}

func reach(dir string) (*place, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return &place{f, filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd())), socket)}, nil
}

// Open listens in the data directory, which the caller owns. A socket left behind
// by a process that died is replaced.
func Open(ctx context.Context, dir string, h Hands) (*Door, error) {
	at, err := reach(dir)
	if err != nil {
		return nil, fmt.Errorf("open the door of %s: %w", dir, err)
	}
	if err := os.Remove(filepath.Join(dir, socket)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("open the door of %s: %w", dir, err), at.dir.Close())
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", at.path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the door of %s: %w", dir, err), at.dir.Close())
	}
	const patience = 10 * time.Second
	d := &Door{at: at, server: &http.Server{Handler: handler(h), ReadHeaderTimeout: patience}}
	d.served.Go(func() { _ = d.server.Serve(ln) }) // ends with ErrServerClosed
	return d, nil
}

// Close stops listening and waits for orders that are being carried out.
func (d *Door) Close() error {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := d.server.Shutdown(ctx) // removes the socket too
	d.served.Wait()
	return errors.Join(err, d.at.dir.Close())
}

func handler(h Hands) http.Handler {
	mux := http.NewServeMux()
	handle := func(verb string, do func(context.Context, durable.RunID, order) error) {
		mux.HandleFunc("POST /runs/{id}/"+verb, func(w http.ResponseWriter, r *http.Request) {
			var o order
			err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&o)
			if err != nil {
				err = durable.Errorf(durable.CodeInvalid, "read the order: %w", err)
			} else {
				err = do(r.Context(), durable.RunID(r.PathValue("id")), o)
			}
			reply(w, err)
		})
	}
	handle("answer", func(ctx context.Context, id durable.RunID, o order) error {
		return h.Answer(ctx, id, o.Question, o.Answer)
	})
	handle("resume", func(ctx context.Context, id durable.RunID, _ order) error { return h.Resume(ctx, id) })
	handle("cancel", func(ctx context.Context, id durable.RunID, o order) error { return h.Cancel(ctx, id, o.Reason) })
	handle("kill", func(ctx context.Context, id durable.RunID, o order) error { return h.Kill(ctx, id, o.Reason) })
	handle("resolve", func(ctx context.Context, id durable.RunID, o order) error {
		if o.Resolution == nil {
			return durable.Errorf(durable.CodeInvalid, "the order has no resolution")
		}
		if !single(*o.Resolution) {
			return durable.Errorf(durable.CodeInvalid, "resolve step %d: say one thing of it: that it is done, to retry it or to fail it", o.Step)
		}
		return h.Resolve(ctx, id, o.Step, *o.Resolution)
	})
	handle("fork", func(ctx context.Context, id durable.RunID, o order) error {
		if o.Fork == nil || o.Fork.ID == "" {
			return durable.Errorf(durable.CodeInvalid, "the order does not say what to fork as which run")
		}
		_, err := h.Fork(ctx, id, *o.Fork)
		return err
	})
	return mux
}

// single reports whether a resolution says one thing only. An older command sends a
// result that is null with all that it says.
func single(r durable.Resolution) bool {
	said := 0
	for _, is := range []bool{r.Done != nil, r.Retry, r.Fail != ""} {
		if is {
			said++
		}
	}
	return said == 1
}

// reply writes the outcome: nothing, or the failure as JSON. The code travels in the
// body; the status only says that there is one.
func reply(w http.ResponseWriter, err error) {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(durable.FailureOf(err)) // a client that left needs no answer
}

// Client sends orders to the process that owns a data directory.
type Client struct {
	at   *place
	http *http.Client
}

// Dial reaches the door of a data directory; nothing is sent yet.
func Dial(dir string) (*Client, error) {
	at, err := reach(dir)
	if err != nil {
		return nil, fmt.Errorf("reach the door of %s: %w", dir, err)
	}
	var dialer net.Dialer
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", at.path)
	}}
	return &Client{at: at, http: &http.Client{Transport: transport}}, nil
}

// Close lets go of the door.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.at.dir.Close()
}

// Answer implements Hands.
func (c *Client) Answer(ctx context.Context, id durable.RunID, question string, answer []byte) error {
	return c.send(ctx, id, "answer", order{Question: question, Answer: answer})
}

// Resolve implements Hands.
func (c *Client) Resolve(ctx context.Context, id durable.RunID, command int, r durable.Resolution) error {
	return c.send(ctx, id, "resolve", order{Step: command, Resolution: &r})
}

// Resume implements Hands.
func (c *Client) Resume(ctx context.Context, id durable.RunID) error {
	return c.send(ctx, id, "resume", order{})
}

// Cancel implements Hands.
func (c *Client) Cancel(ctx context.Context, id durable.RunID, reason string) error {
	return c.send(ctx, id, "cancel", order{Reason: reason})
}

// Kill implements Hands.
func (c *Client) Kill(ctx context.Context, id durable.RunID, reason string) error {
	return c.send(ctx, id, "kill", order{Reason: reason})
}

// Fork implements Hands. Where the request has no ID, this side chooses one.
func (c *Client) Fork(ctx context.Context, id durable.RunID, r orpine.ForkRequest) (durable.RunID, error) {
	if r.ID == "" {
		r.ID = orpine.NewRunID()
	}
	return r.ID, c.send(ctx, id, "fork", order{Fork: &r})
}

func (c *Client) send(ctx context.Context, id durable.RunID, verb string, o order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return durable.Errorf(durable.CodeInvalid, "%s: %w", verb, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://local/runs/"+string(id)+"/"+verb, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return durable.Errorf(durable.CodeConflict, "the data directory is in use, and its owner does not answer: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	var f durable.Failure
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&f); err != nil {
		return durable.Errorf(durable.CodeUnavailable, "%s: the owner of the data directory answered with status %d", verb, resp.StatusCode)
	}
	return &f
}
