package webhook_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/webhook"
)

// pipes is a listener in memory, for servers in a bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

// inBubble runs a test with a receiver whose clock is that of a bubble.
func inBubble(t *testing.T, answer func(int, http.ResponseWriter), test func(*testing.T, *house, *receiver)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, answer)
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: r}
		gone := make(chan error)
		go func() { gone <- server.Serve(p) }()
		h := open(t, dir, webhook.Config{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				p.conns <- there
				return here, nil
			},
		}})
		h.register(t, r, client.Webhook{URL: "http://receiver/hook"})
		test(t, h, r)
		h.close(t)
		must(t, server.Close())
		if err := <-gone; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// failing is what is noted of the only webhook.
func failing(t *testing.T, h *house) string {
	t.Helper()
	list, err := h.hooks.List(t.Context(), "")
	must(t, err)
	return list[0].Failing
}

// within wants a wait that the jitter has shortened by up to a fifth.
func within(t *testing.T, from, to time.Time, want time.Duration) {
	t.Helper()
	if d := to.Sub(from); d < want*8/10-time.Millisecond || d > want+time.Millisecond {
		t.Errorf("the next attempt came after %s; want up to a fifth less than %s", d, want)
	}
}

// TestPasses: what passes is tried again, with the same ID, and what was noted of it goes
// away with it.
func TestPasses(t *testing.T) {
	for _, answer := range []int{500, 503, 408, 425, 429, 302} {
		inBubble(t, func(n int, w http.ResponseWriter) {
			if n <= 2 {
				w.Header().Set("Location", "http://elsewhere/")
				w.WriteHeader(answer)
			}
		}, func(t *testing.T, h *house, r *receiver) {
			h.start(t, durable.StartRequest{Program: "echo"})
			first := r.next()
			synctest.Wait()
			if text := failing(t, h); !strings.Contains(text, http.StatusText(answer)) {
				t.Errorf("noted after %d: %q", answer, text)
			}
			second, third := r.next(), r.next()
			within(t, first.at, second.at, 5*time.Second)
			within(t, second.at, third.at, 10*time.Second)
			if first.id != second.id || first.id != third.id {
				t.Errorf("one event has the IDs %s, %s, %s", first.id, second.id, third.id)
			}
			if d := h.deliveries(t); len(d) != 1 || d[0].Status != durable.Succeeded {
				t.Errorf("the deliveries are %+v", d)
			}
			if text := failing(t, h); text != "" {
				t.Errorf("noted after a success: %q", text)
			}
			time.Sleep(3 * time.Hour)
			r.none()
		})
	}
}

// TestTwelveAttempts: after that it is given up, and can be seen.
func TestTwelveAttempts(t *testing.T) {
	inBubble(t, func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, func(t *testing.T, h *house, r *receiver) {
		h.start(t, durable.StartRequest{Program: "echo"})
		last := r.next()
		for _, wait := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600} {
			var g got
			select {
			case g = <-r.taken:
			case <-time.After(2 * time.Hour):
				t.Fatalf("no attempt came for two hours, where one was due after %s", wait*time.Second)
			}
			within(t, last.at, g.at, wait*time.Second)
			last = g
		}
		d := h.deliveries(t)
		if len(d) != 1 || d[0].Status != durable.Failed || d[0].Error.Message != failing(t, h) || !strings.Contains(failing(t, h), "502 Bad Gateway") {
			t.Errorf("the deliveries are %+v; noted: %s", d, failing(t, h))
		}
		time.Sleep(3 * time.Hour)
		r.none()
	})
}

// TestSlow: a receiver has 15 seconds.
func TestSlow(t *testing.T) {
	inBubble(t, func(n int, _ http.ResponseWriter) {
		if n == 1 {
			time.Sleep(16 * time.Second)
		} else {
			time.Sleep(14 * time.Second)
		}
	}, func(t *testing.T, h *house, r *receiver) {
		h.start(t, durable.StartRequest{Program: "echo"})
		first := r.next()
		time.Sleep(15*time.Second + time.Millisecond)
		synctest.Wait()
		if text := failing(t, h); !strings.HasSuffix(text, "no answer within 15s") {
			t.Errorf("noted: %q", text)
		}
		within(t, first.at.Add(15*time.Second), r.next().at, 5*time.Second)
		if d := h.deliveries(t); len(d) != 1 || d[0].Status != durable.Succeeded {
			t.Errorf("the deliveries are %+v", d)
		}
	})
}

// TestRetryAfter: who asks for time gets it, up to an hour.
func TestRetryAfter(t *testing.T) {
	inBubble(t, func(n int, w http.ResponseWriter) {
		after := []string{"90", "86400", "-5", "Fri, 31 Dec 1999 23:59:59 GMT"}
		if n <= len(after) {
			w.Header().Set("Retry-After", after[n-1])
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, func(t *testing.T, h *house, r *receiver) {
		h.start(t, durable.StartRequest{Program: "echo"})
		first, second := r.next(), <-r.taken
		if d := second.at.Sub(first.at); d != 90*time.Second {
			t.Errorf("asked for 90 seconds, got %s", d)
		}
		third := <-r.taken
		if d := third.at.Sub(second.at); d != time.Hour {
			t.Errorf("asked for a day, got %s", d)
		}
		fourth := <-r.taken
		within(t, third.at, fourth.at, 20*time.Second)
		fifth := <-r.taken
		within(t, fourth.at, fifth.at, 40*time.Second)
		h.deliveries(t)
	})
}
