package mcp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
)

// remote is the transport to a remote server.
func (l *link) remote(ctx context.Context) (sdk.Transport, error) {
	c := l.client
	if c.cfg.HTTP == nil {
		return nil, durable.Errorf(durable.CodeDenied, "no remote servers may be reached here")
	}
	address, err := c.expand(ctx, l.name, l.server.URL)
	if err != nil {
		return nil, err
	}
	if !isURL(address) {
		return nil, durable.Errorf(durable.CodeInvalid, "url %q; want one that begins with https:// or http://", l.server.URL)
	}
	home, err := url.Parse(address)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "url: %w", err)
	}
	headers, err := c.expandMap(ctx, l.name, l.server.Headers)
	if err != nil {
		return nil, err
	}
	client := *c.cfg.HTTP
	client.Timeout = 0 // calls have their own, and streams have none
	client.Transport = &carrier{next: orDefault(client.Transport), home: home, headers: headers}
	if l.server.transport() == sse {
		return &sdk.SSEClientTransport{Endpoint: address, HTTPClient: &client, MaxEventSize: maxMessage}, nil
	}
	t := &sdk.StreamableClientTransport{Endpoint: address, HTTPClient: &client, MaxEventSize: maxMessage}
	if !hasHeader(headers, "Authorization") {
		if t.OAuthHandler, err = c.unattended(ctx, l.name, l.server); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func orDefault(t http.RoundTripper) http.RoundTripper {
	if t == nil {
		return http.DefaultTransport
	}
	return t
}

func hasHeader(headers map[string]string, name string) bool {
	for h := range headers {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
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
	r := reachOf(req.Context())
	if err != nil {
		if r != nil && req.Method == http.MethodPost && !unsent(err) {
			r.sent.Store(true)
		}
		return resp, err
	}
	if r != nil && req.Method == http.MethodPost {
		r.sent.Store(true)
		if s := r.status.Load(); s != http.StatusUnauthorized && s != http.StatusForbidden { // else the SDK has tried something else since
			r.status.Store(int64(resp.StatusCode))
		}
		r.after.Store(int64(retryAfter(resp.Header.Get("Retry-After"))))
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") { // whose events are bounded one by one
		resp.Body = &bounded{ReadCloser: resp.Body, left: maxMessage}
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
