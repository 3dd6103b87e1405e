package main_test

import (
	"cmp"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// serving is a server in a process of its own, which is killed and started again on the
// same port.
type serving struct {
	t    *testing.T
	p    *place
	args []string // of the command; the address comes behind them
	addr string   // HOST:PORT, the same from the first start on
	pr   *process
}

// serve starts a command that serves: it takes its address as the last argument and prints
// its URL first. It is killed when the test ends.
func (p *place) serve(args ...string) *serving {
	p.t.Helper()
	s := &serving{t: p.t, p: p, args: args}
	s.start()
	p.t.Cleanup(s.kill)
	return s
}

// url is where the server is, also while it is away.
func (s *serving) url() string { return "http://" + s.addr }

// start starts a process and waits until it serves.
func (s *serving) start() {
	s.t.Helper()
	url := make(chan string, 1)
	s.pr = s.p.start(func(_ *process, line string) { url <- line }, nil, append(slices.Clone(s.args), cmp.Or(s.addr, "127.0.0.1:0"))...)
	select {
	case line := <-url:
		s.addr = line[len("http://"):]
	case <-time.After(time.Minute):
		s.kill()
		s.t.Fatalf("the server does not start: %s", s.pr.err)
	}
}

// kill ends the process at once, and waits until it is gone.
func (s *serving) kill() {
	if s.pr == nil {
		return
	}
	s.pr.kill()
	if o := s.pr.wait(); !o.killed {
		s.t.Errorf("the server ended with exit code %d before it was killed\n%s", o.code, o.err)
	}
	s.pr = nil
}

// restart kills the server and starts it again.
func (s *serving) restart() {
	s.t.Helper()
	s.kill()
	s.start()
}

// relay stands between a client and a server, and cuts connections.
type relay struct {
	to string // the address of the server
	ln *net.TCPListener

	mu     sync.Mutex
	next   func() int64 // how many bytes of the server the next connection lives for; nil = any
	left   int          // how many connections are still to be cut
	cut    int          // how many were
	passed int64        // bytes of the server that came through
	marks  []int64      // at so many of them there is something due, lowest first
	due    chan struct{}
}

// newRelay makes a relay to a server, which ends with the test.
func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, ok := listener.(*net.TCPListener)
	if !ok {
		t.Fatalf("%T is no listener of TCP", listener)
	}
	r := &relay{to: to, ln: ln}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			down, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			all.Go(func() { r.hand(down) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		all.Wait()
	})
	return r
}

func (r *relay) url() string { return "http://" + r.ln.Addr().String() }

// hand hands on one connection until it is over or to be cut.
func (r *relay) hand(down *net.TCPConn) {
	defer down.Close() //nolint:errcheck // it may be closed already
	up, err := net.Dial("tcp", r.to)
	if err != nil {
		return // the server is away
	}
	defer up.Close() //nolint:errcheck // as above
	go func() {
		_, _ = io.Copy(up, down)
		_ = up.Close() // the client is gone
	}()
	life := int64(-1)
	r.mu.Lock()
	if r.left > 0 {
		life = r.next()
	}
	r.mu.Unlock()
	buf := make([]byte, 4<<10)
	for life != 0 {
		most := int64(len(buf))
		if life > 0 {
			most = min(most, life)
		}
		n, err := up.Read(buf[:most])
		if n > 0 {
			if _, err := down.Write(buf[:n]); err != nil {
				return
			}
			r.count(int64(n))
			if life > 0 {
				life -= int64(n)
			}
		}
		if err != nil {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left--
	if r.cut++; r.cut%2 == 0 {
		_ = down.SetLinger(0) // every other one is cut with a reset: what is under way is lost
	}
}

func (r *relay) count(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed += n
	for len(r.marks) > 0 && r.passed >= r.marks[0] {
		r.marks = r.marks[1:]
		r.due <- struct{}{}
	}
}
