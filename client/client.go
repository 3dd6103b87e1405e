package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Config says where a server is.
type Config struct {
	URL    string                                      // of the server, such as http://127.0.0.1:7420; or unix:PATH of a socket
	Token  string                                      // "" = none
	HTTP   *http.Client                                // nil = one of its own, without a timeout: requests end with their context
	Agent  string                                      // User-Agent; "" = orpine-go
	Retry  int                                         // how often a request that did not arrive is tried again; 0 = 5, negative = never
	Socket func(ctx context.Context) (net.Conn, error) // instead of a URL: how the server is reached
}

// Client talks to one server. Its methods are safe for concurrent use. Their errors carry the
// code of the server's; unavailable when it cannot be reached.
type Client struct {
	cfg  Config
	base string
	http *http.Client
}

// maxReply bounds what is read of an answer, in bytes.
const maxReply = 256 << 20

// New makes a client; nothing is sent yet. Error: invalid for a URL that is none.
func New(cfg Config) (*Client, error) {
	c := &Client{cfg: cfg, base: strings.TrimRight(cfg.URL, "/"), http: cfg.HTTP}
	if path, ok := strings.CutPrefix(cfg.URL, "unix:"); ok {
		c.cfg.Socket = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	}
	if c.cfg.Socket != nil {
		c.base = "http://local"
		c.http = &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.cfg.Socket(ctx) },
		}}
	}
	u, err := url.Parse(c.base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, durable.Errorf(durable.CodeInvalid, "%q is no URL of a server: write it as http://HOST:PORT or https://HOST", cfg.URL)
	}
	if c.http == nil {
		c.http = &http.Client{}
	}
	switch {
	case c.cfg.Retry == 0:
		c.cfg.Retry = 5
	case c.cfg.Retry < 0:
		c.cfg.Retry = 0
	}
	return c, nil
}

// Close lets go of connections that are not in use.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// call is a request on its way.
type call struct {
	method string
	path   string
	query  url.Values
	in     any               // nil = no body
	raw    io.Reader         // a body that is not JSON
	header map[string]string // besides those that every request has
}

// Error makes a problem usable as an error.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Detail
}

// do sends a request and decodes the answer into out, which may be nil.
func (c *Client) do(ctx context.Context, r call, out any) error {
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(out); err != nil {
		return durable.Errorf(durable.CodeUnavailable, "%s %s: read the answer: %w", r.method, r.path, err)
	}
	return nil
}

// send sends a request until it arrives, for a while, where it may be sent again. An answer
// that is a problem is an error.
func (c *Client) send(ctx context.Context, r call) (*http.Response, error) {
	var body []byte
	if r.in != nil {
		var err error
		if body, err = json.Marshal(r.in); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "%s %s: %w", r.method, r.path, err)
		}
	}
	again := r.raw == nil && (r.method != http.MethodPost || r.header["Idempotency-Key"] != "")
	for try := 0; ; try++ {
		resp, err := c.once(ctx, r, body)
		if err == nil && resp.StatusCode < http.StatusBadRequest {
			return resp, nil
		}
		var wait time.Duration
		if err == nil {
			wait = retryAfter(resp)
			err = problemOf(resp)
		} else {
			err = durable.Errorf(durable.CodeUnavailable, "the server at %s does not answer: %w", c.base, err)
		}
		if ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), err)
		}
		if !again || try >= c.cfg.Retry || !errors.Is(err, durable.ErrUnavailable) {
			return nil, err
		}
		if err := nap(ctx, max(wait, time.Duration(1<<try)*50*time.Millisecond)); err != nil {
			return nil, err
		}
	}
}

func nap(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Client) once(ctx context.Context, r call, body []byte) (*http.Response, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var reader io.Reader
	switch {
	case r.raw != nil:
		reader = r.raw
	case body != nil:
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, reader)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "orpine-go")
	if c.cfg.Agent != "" {
		req.Header.Set("User-Agent", c.cfg.Agent)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.raw != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	for name, value := range r.header {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	return c.http.Do(req)
}

// problemOf reads an answer that is a problem, and closes it.
func problemOf(resp *http.Response) error {
	defer resp.Body.Close() //nolint:errcheck // it was only read
	const most = 1 << 20
	data, err := io.ReadAll(io.LimitReader(resp.Body, most))
	p := &Problem{}
	if err == nil && json.Unmarshal(data, p) == nil && p.Code != "" {
		return &durable.Error{Code: p.Code, Err: p, Reason: p.Reason}
	}
	code := durable.CodeInternal
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = durable.CodeUnavailable
	case http.StatusNotFound:
		code = durable.CodeNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		code = durable.CodeDenied
	}
	return durable.Errorf(code, "the server answered with status %s, and not as Orpine does", resp.Status)
}

func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	const most = 60
	return time.Duration(min(seconds, most)) * time.Second
}

// newKey makes a key under which a request can be sent again.
func newKey() string {
	var raw [16]byte
	rand.Read(raw[:]) // never fails, by its documentation
	return hex.EncodeToString(raw[:])
}

// create sends a request that makes something, which is made once however often it is sent.
func (c *Client) create(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, call{method: http.MethodPost, path: path, in: in, header: map[string]string{"Idempotency-Key": newKey()}}, out)
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.do(ctx, call{method: http.MethodGet, path: path, query: query}, out)
}

func (c *Client) post(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, call{method: http.MethodPost, path: path, in: in}, out)
}

// at joins the parts of a path, each of which may be anything.
func at(noun string, parts ...string) string {
	path := []string{Version, noun}
	for _, p := range parts {
		path = append(path, url.PathEscape(p))
	}
	return strings.Join(path, "/")
}
