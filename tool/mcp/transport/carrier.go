package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Reach is how far one request got. It travels in the context of the request.
type Reach struct {
	Sent     atomic.Bool  // it may have got there
	Answered atomic.Bool  // a response came back (stdio only)
	Status   atomic.Int64 // of the HTTP response; 0 = there was none
	After    atomic.Int64 // nanoseconds that the server asked to wait
}

type reachKey struct{}

// WithReach has what becomes of a request noted.
func WithReach(ctx context.Context, r *Reach) context.Context {
	return context.WithValue(ctx, reachKey{}, r)
}

// ReachOf returns where it is noted; nil = nowhere.
func ReachOf(ctx context.Context) *Reach {
	r, _ := ctx.Value(reachKey{}).(*Reach)
	return r
}

// NewCarrier makes a transport that adds headers to what goes to home, and notes how far a
// request got. Next carries them; nil = the default of net/http.
func NewCarrier(next http.RoundTripper, home *url.URL, headers map[string]string) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return &carrier{next: next, home: home, headers: headers}
}

// carrier sends requests: it adds the headers of the declaration, takes note of how far a request
// got, and bounds what comes back.
type carrier struct {
	next    http.RoundTripper
	home    *url.URL
	headers map[string]string
}

// RoundTrip implements http.RoundTripper.
func (c *carrier) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(c.headers) > 0 && req.URL.Host == c.home.Host && req.URL.Scheme == c.home.Scheme { // a redirect leads elsewhere without them
		req = req.Clone(req.Context())
		for name, value := range c.headers {
			req.Header.Set(name, value)
		}
	}
	resp, err := c.next.RoundTrip(req)
	r := ReachOf(req.Context())
	if err != nil {
		if r != nil && req.Method == http.MethodPost && !unsent(err) {
			r.Sent.Store(true)
		}
		return resp, err
	}
	if r != nil && req.Method == http.MethodPost {
		r.Sent.Store(true)
		if s := r.Status.Load(); s != http.StatusUnauthorized && s != http.StatusForbidden { // else the SDK has tried something else since
			r.Status.Store(int64(resp.StatusCode))
		}
		r.After.Store(int64(retryAfter(resp.Header.Get("Retry-After"))))
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") { // whose events are bounded one by one
		resp.Body = &bounded{ReadCloser: resp.Body, left: MaxMessage}
	}
	return resp, nil
}

// unsent reports whether an error means that nothing was sent: there was no connection, or it was
// refused by whoever guards which there may be.
func unsent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, dns := errors.AsType[*net.DNSError](err)
	return dns || errors.Is(err, durable.ErrDenied)
}

// retryAfter reads the header of that name, in seconds or as a date (RFC 9110).
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// bounded is a body that has an end.
type bounded struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
