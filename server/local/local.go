// Package local is the door of a data directory for other processes on the same
// machine. The process that drives the runs of a directory listens on a Unix socket
// inside it; a command that finds the directory in use sends its order there instead
// of failing. Whoever may write the directory may use the door: the file system is
// its guard.
//
// It carries the API of package server and decides nothing. On the line request -> run -> step -> journal ->
// event -> client it stands between a client and the façade.
package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// socket is the name of the socket in the data directory.
const socket = "door.sock"

// Handler answers who knocks.
type Handler = http.Handler

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
// by a process that died is replaced. The handler is made when somebody knocks: most
// processes are over before that.
func Open(ctx context.Context, dir string, handler func() (Handler, error)) (*Door, error) {
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
	d := &Door{at: at, server: &http.Server{Handler: &late{make: handler}, ReadHeaderTimeout: patience}}
	d.served.Go(func() { _ = d.server.Serve(ln) }) // ends with ErrServerClosed
	return d, nil
}

// Close stops listening and waits for orders that are being carried out.
func (d *Door) Close() error {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := d.server.Shutdown(ctx) // removes the socket too
	if err != nil {
		err = d.server.Close() // who still looks on is cut off
	}
	d.served.Wait()
	return errors.Join(err, d.at.dir.Close())
}

// Dialer reaches the door of a data directory: its Dial is how a client connects.
type Dialer struct{ at *place }

// Dial reaches for the process that owns a data directory; nothing is sent yet.
func Dial(dir string) (*Dialer, error) {
	at, err := reach(dir)
	if err != nil {
		return nil, fmt.Errorf("reach the door of %s: %w", dir, err)
	}
	return &Dialer{at}, nil
}

// Dial connects.
func (d *Dialer) Dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", d.at.path)
}

// Close lets go of the door.
func (d *Dialer) Close() error { return d.at.dir.Close() }

// late is a handler that is made with the first request.
type late struct {
	make    func() (http.Handler, error)
	once    sync.Once
	handler http.Handler
	err     error
}

// ServeHTTP implements http.Handler.
func (l *late) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.once.Do(func() { l.handler, l.err = l.make() })
	if l.err != nil {
		http.Error(w, l.err.Error(), http.StatusServiceUnavailable)
		return
	}
	l.handler.ServeHTTP(w, r)
}
