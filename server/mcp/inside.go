package mcp

import (
	"io"
	"net/http"
	"sync"

	"github.com/orpine-run/orpine/client"
)

// Inside makes clients that ask a handler of this process in place of a server elsewhere. What
// they send passes it as what comes from outside does.
func Inside(api http.Handler) func(token string) (*client.Client, error) {
	return func(token string) (*client.Client, error) {
		return client.New(client.Config{URL: "http://localhost", Token: token, Agent: "orpine-mcp", HTTP: &http.Client{Transport: inside{api}}})
	}
}

// inside carries a request to a handler.
type inside struct{ api http.Handler }

// RoundTrip implements http.RoundTripper.
func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "mcp", r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	a := &answer{header: http.Header{}, body: writer, begun: make(chan struct{})}
	go func() {
		defer func() {
			if v := recover(); v != nil { // an answer that must not look whole
				a.WriteHeader(http.StatusInternalServerError)
				_ = writer.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			a.WriteHeader(http.StatusOK)
			_ = writer.Close()
		}()
		i.api.ServeHTTP(a, in)
	}()
	select {
	case <-a.begun:
	case <-r.Context().Done():
		_ = reader.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: reader, ContentLength: -1, Request: r,
	}, nil
}

// answer is the answer to a request, as it is written.
type answer struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed when there are status and sent
	status int
	sent   http.Header
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	})
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Flush implements http.Flusher: nothing is held back.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }
