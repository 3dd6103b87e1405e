package mcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/mcp/transport"
)

// The times of a connection.
const (
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 30 * time.Second
	farewell     = 100 * time.Millisecond
)

// olderProtocol is what a server is spoken to with that does not answer the newest handshake.
const (
	olderProtocol = "2025-11-25"
	newerProtocol = "2026-07-28" // from here on a server does not ask during a call
)

// link is the connection to one server: made when it is needed, made again when it was lost,
// closed when nobody uses it.
type link struct {
	client *Client
	name   string
	server Server
	slots  chan struct{} // one for each call that may be under way
	forget func()        // takes it out of the client

	mu       sync.Mutex
	wire     *wire         // nil = there is none
	dialing  chan struct{} // closed when the attempt under way has ended; nil = there is none
	abort    func()        // ends that attempt
	failed   error         // of the last attempt
	failures int           // without a call that was answered since
	next     time.Time     // when it may be tried again
	older    bool          // it speaks an older protocol only, as we found out
	users    int           // calls under way, also those that are parked
	idle     *time.Timer
	closed   bool
}

// fail names the server in an error. What has a code keeps it.
func (l *link) fail(code durable.Code, err error) *durable.Error {
	if e, ok := errors.AsType[*durable.Error](err); ok {
		code = e.Code
	}
	return &durable.Error{Code: code, Op: "MCP server " + l.name, Err: err}
}

// use takes a connection, making one if there is none; leave gives it back. Errors: unavailable
// with the time after which it may be tried again, and what is wrong with the declaration.
func (l *link) use(ctx context.Context) (w *wire, leave func(), err error) {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return nil, nil, durable.Errorf(durable.CodeUnavailable, "MCP server %s: the client is closed", l.name)
		}
		if l.wire != nil {
			w = l.wire
			l.users++
			if l.idle != nil {
				l.idle.Stop()
			}
			l.mu.Unlock()
			return w, sync.OnceFunc(l.leave), nil
		}
		if wait := time.Until(l.next); wait > 0 && l.dialing == nil {
			err := l.fail(durable.CodeUnavailable, l.failed)
			err.RetryAfter = wait
			l.mu.Unlock()
			return nil, nil, err
		}
		if l.dialing == nil {
			l.dialing = make(chan struct{})
			others, abort := context.WithCancel(context.WithoutCancel(ctx)) // wait for it too
			l.abort = abort
			go l.dial(others)
		}
		dialing := l.dialing
		l.mu.Unlock()
		select {
		case <-dialing:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// leave ends a use.
func (l *link) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users > 0 || l.closed || l.wire == nil {
		return
	}
	w := l.wire
	l.idle = time.AfterFunc(l.client.cfg.Idle, func() {
		l.mu.Lock()
		idle := l.users == 0 && l.wire == w
		if idle {
			l.wire = nil
		}
		l.mu.Unlock()
		if idle {
			w.end()
			l.forget()
		}
	})
}

// dial makes a connection and tells those who wait.
func (l *link) dial(ctx context.Context) {
	w, err := l.connect(ctx)
	l.mu.Lock()
	l.failed = err
	if err == nil && l.closed {
		l.mu.Unlock()
		w.end()
		l.mu.Lock()
	} else if err == nil {
		l.wire = w
		go l.watch(w)
	} else {
		l.penalty()
		l.client.log.WarnContext(ctx, "an MCP server cannot be reached", slog.String("server", l.name), slog.Any("error", err))
	}
	close(l.dialing)
	l.dialing = nil
	if err != nil {
		l.abort()
	}
	l.mu.Unlock()
}

// penalty puts the next attempt off, the longer the more have failed.
func (l *link) penalty() {
	wait := maxBackoff
	if l.failures < 10 {
		wait = min(firstBackoff<<l.failures, maxBackoff)
	}
	l.failures++
	l.next = time.Now().Add(wait)
}

// answered takes note that the server is of use.
func (l *link) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures, l.next = 0, time.Time{}
}

// watch takes the connection away when it is lost.
func (l *link) watch(w *wire) {
	err := w.sdk.Wait()
	if w.pipe != nil {
		select { // what it died of comes a moment later than that it did
		case <-w.pipe.Ended():
		case <-time.After(transport.StopTime):
		}
	}
	l.mu.Lock()
	if l.wire == w {
		l.wire = nil
		if !l.closed {
			l.failed = w.explain(err)
			if l.failures > 0 { // it has died before without having been of use in between
				l.penalty()
			}
			l.failures++
			l.client.log.Warn("the connection to an MCP server was lost", slog.String("server", l.name), slog.Any("error", l.failed))
		}
	}
	l.mu.Unlock()
	w.end()
}

// close ends the connection for good.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	w, dialing := l.wire, l.dialing
	l.wire = nil
	if dialing != nil {
		l.abort()
	}
	if l.idle != nil {
		l.idle.Stop()
	}
	l.mu.Unlock()
	if dialing != nil {
		<-dialing // it ends what it makes
	}
	if w != nil {
		w.end()
	}
}

// connect starts or reaches the server and shakes hands with it.
func (l *link) connect(ctx context.Context) (*wire, error) {
	began := time.Now()
	limit := l.client.cfg.Connect
	protocol := l.server.Protocol
	guess := protocol == "" && l.server.transport() == stdio
	if protocol == "" && l.older {
		protocol, guess = olderProtocol, false
	}
	if guess {
		limit /= 2 // some older servers never answer what they do not know
	}
	w, err := l.shake(ctx, protocol, limit)
	if err != nil && guess && time.Since(began) >= limit {
		if w, err = l.shake(ctx, olderProtocol, l.client.cfg.Connect-limit); err == nil {
			l.older = true
		}
	}
	return w, err
}

func (l *link) shake(ctx context.Context, protocol string, limit time.Duration) (*wire, error) {
	ctx, cancel := context.WithCancelCause(ctx) // some transports live as long as it
	late := time.AfterFunc(limit, func() { cancel(durable.Errorf(durable.CodeUnavailable, "it did not answer within %s", limit)) })
	w := &wire{
		link: l, lost: make(chan struct{}), flights: map[string]*flight{}, turn: make(chan struct{}, 1),
		release: func() { late.Stop(); cancel(nil) },
	}
	way, err := l.transport(ctx, w)
	if err != nil {
		w.release()
		return nil, err
	}
	version := l.client.cfg.Version
	if version == "" {
		version = "dev"
	}
	r := &transport.Reach{} // of the handshake: what the server said to it
	client := sdk.NewClient(&sdk.Implementation{Name: "orpine", Version: version}, w.options())
	client.AddReceivingMiddleware(guard)
	w.sdk, err = client.Connect(transport.WithReach(ctx, r), way, &sdk.ClientSessionOptions{ProtocolVersion: protocol})
	if err == nil && !late.Stop() {
		_ = w.sdk.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		w.release()
		if w.pipe != nil {
			w.pipe.Kill()
			_ = w.pipe.Close() // it always ends
		}
		return nil, w.explain(l.refused(r, err))
	}
	w.older = w.sdk.InitializeResult().ProtocolVersion < newerProtocol
	return w, nil
}

// refused says what a status of a remote server means.
func (l *link) refused(r *transport.Reach, err error) error {
	switch status := int(r.Status.Load()); status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return durable.Errorf(durable.CodeDenied, "it refuses us (%d): %w; log in with: orpine mcp login %s, or have headers carry a token", status, err, l.name)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return durable.Errorf(durable.CodeInvalid, "there is no MCP server at its url (%d): %w; look at the path of the url, and at type: http or sse", status, err)
	}
	return err
}

// transport is how the server is reached.
func (l *link) transport(ctx context.Context, w *wire) (sdk.Transport, error) {
	if l.server.transport() != stdio {
		return l.remote(ctx)
	}
	if l.client.cfg.Spawn == nil {
		return nil, durable.Errorf(durable.CodeDenied, "no processes may be started here; use a remote server")
	}
	how, err := l.client.expandStdio(ctx, l.name, l.server)
	if err != nil {
		return nil, err
	}
	process, err := l.client.cfg.Spawn(ctx, how)
	if err != nil {
		code := durable.CodeInvalid // it will not be there the next time either
		if _, ok := errors.AsType[*durable.Error](err); ok {
			code = durable.CodeOf(err)
		}
		return nil, durable.Errorf(code, "start %q: %w; is it installed, and is command right?", how.Command, err)
	}
	w.pipe = transport.NewPipe(process)
	return w.pipe, nil
}

// wire is one connection, as long as it lasts.
type wire struct {
	link  *link
	sdk   *sdk.ClientSession
	pipe  *transport.Pipe // to a process; nil = the server is remote
	older bool            // it speaks a protocol in which servers ask during a call
	lost  chan struct{}   // closed when it is over
	once  sync.Once
	turn  chan struct{} // holds one call when they go one at a time

	release func() // ends the context it was made in

	mu      sync.Mutex
	tools   map[string]*sdk.Tool // by name; nil = they are to be listed
	hashes  map[*sdk.Tool]string // of those that were called
	listed  int                  // how often they changed
	flights map[string]*flight   // by progress token
	solo    bool                 // calls go one at a time: it is not clear who is asked
}

// end lets go of the connection: calls under way fail, and its process is told to end. It returns
// when that is gone.
func (w *wire) end() {
	w.once.Do(func() {
		close(w.lost)
		w.mu.Lock()
		flights := w.flights
		w.flights = map[string]*flight{}
		w.mu.Unlock()
		for _, f := range flights {
			if f.answer(nil) {
				time.Sleep(farewell) // a server that is told that nobody answers can end what it does
			}
		}
		for _, f := range flights {
			f.cancel()
		}
		if w.pipe != nil {
			_ = w.pipe.Close() // it always ends
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_ = w.sdk.Close() // there is nobody to tell
		}()
		select {
		case <-closed:
		case <-time.After(transport.DeadTime):
		}
		w.release()
	})
}

// explain adds what is known of the process to an error.
func (w *wire) explain(err error) error {
	if w.pipe == nil {
		if err == nil {
			return durable.Errorf(durable.CodeUnavailable, "the connection was closed")
		}
		return err
	}
	said := w.pipe.Obituary()
	switch {
	case said == "" && err == nil:
		return durable.Errorf(durable.CodeUnavailable, "the connection was closed")
	case said == "":
		return err
	case err == nil:
		return durable.Errorf(durable.CodeUnavailable, "%s", said)
	}
	if e, ok := errors.AsType[*durable.Error](err); ok {
		return durable.Errorf(e.Code, "%w; %s", err, said)
	}
	return fmt.Errorf("%s (%w)", said, err)
}
