package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
)

// Bounds of what is taken from outside.
const (
	maxURL     = 8 << 10 // bytes
	maxNesting = 100     // of arrays and objects in a body
)

// identify finds out who asks. Errors: a problem with 401.
func (s *Server) identify(ctx context.Context, authorization string) (access.Identity, error) {
	if isLocal(ctx) {
		return access.Local(), nil
	}
	secret, ok := strings.CutPrefix(authorization, "Bearer ")
	if ok {
		id, err := s.tokens.Authenticate(ctx, secret)
		if durable.CodeOf(err) == durable.CodeDenied {
			return id, unauthorized(err.Error())
		}
		return id, err
	}
	if authorization != "" {
		return access.Identity{}, unauthorized("the header Authorization must be: Bearer TOKEN")
	}
	if !s.Guarded() {
		return access.Local(), nil
	}
	return access.Identity{}, unauthorized("a token is needed: send Authorization: Bearer TOKEN; orpine token create makes one")
}

func denied(id access.Identity, scope string) error {
	return durable.Errorf(durable.CodeDenied, "token %s may not do this: it takes the scope %s", id.Name, scope)
}

type requestKey struct{}

// requestID names a request in the log and in problems.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	if !tidy(id) {
		var raw [8]byte
		rand.Read(raw[:]) // never fails, by its documentation
		id = hex.EncodeToString(raw[:])
	}
	h := w.Header()
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, id))
	if err := s.pass(w, r); err != nil {
		s.refuse(w, r, err)
		return
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r, err := s.enter(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v) // an answer that must not look whole
		default:
			s.refuse(w, r, durable.Errorf(durable.CodeInternal, "panic: %v", v))
		}
	}()
	s.mux.ServeHTTP(w, r)
}

// tidy reports whether an ID that a client chose may stand in a log.
func tidy(id string) bool {
	const most = 64
	return id != "" && len(id) <= most && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	})
}

// pass holds a request against what no request may be, whatever it asks for.
func (s *Server) pass(w http.ResponseWriter, r *http.Request) error {
	if len(r.RequestURI) > maxURL {
		return durable.Errorf(durable.CodeInvalid, "the URL is longer than %d bytes", maxURL)
	}
	if !isLocal(r.Context()) && !s.known(r.Host) {
		return durable.Errorf(durable.CodeDenied, "this server is not %q: ask for it by its address, or have the name added with --host", r.Host)
	}
	return s.crossOrigin(w, r)
}

// noRoute is the pattern of what the table does not have.
const noRoute = "/"

// enter lets a request in as the table says: whoever asks, for this, with this body. What is
// not in the table is not there.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	_, pattern := s.mux.Handler(r)
	route, ok := s.table[pattern]
	if !ok {
		if pattern == noRoute || pattern == "" {
			return r, nil
		}
		return r, durable.Errorf(durable.CodeNotFound, "there is nothing at %s", r.URL.Path)
	}
	id, line, err := s.admit(r, route)
	if err != nil {
		return r, err
	}
	ctx := context.WithValue(r.Context(), identityKey{}, id)
	if line != nil {
		ctx = context.WithValue(ctx, notedKey{}, line)
	}
	r = r.WithContext(ctx)
	return r, checkBody(w, r, route.Body)
}

// known reports whether a request was meant for this server. A page whose name was bound to
// the address of the server to get at it (DNS rebinding) still asks under that name.
func (s *Server) known(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(strings.ToLower(name), "[]")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || slices.Contains(s.cfg.Hosts, name)
}

// crossOrigin answers for pages of other origins: those that are named may use the server.
func (s *Server) crossOrigin(w http.ResponseWriter, r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || strings.EqualFold(strings.TrimPrefix(strings.TrimPrefix(origin, "https://"), "http://"), r.Host) {
		return nil
	}
	w.Header().Add("Vary", "Origin")
	if !slices.Contains(s.cfg.Origins, origin) && !slices.Contains(s.cfg.Origins, "*") {
		return durable.Errorf(durable.CodeDenied, "pages of %s may not use this server; have the origin added with --origin", origin)
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, Mcp-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name")
	h.Set("Access-Control-Expose-Headers", "ETag, Location, Mcp-Session-Id, X-Request-Id")
	return nil
}

// checkBody reads a body, as far as its route allows, and holds it against what no body may
// be: whoever parses it behind is safe.
func checkBody(w http.ResponseWriter, r *http.Request, most int64) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch kind = strings.TrimSpace(kind); kind {
	case "", "application/json":
	case "application/octet-stream":
		r.Body = http.MaxBytesReader(w, r.Body, most)
		return nil
	default:
		return problemWith(http.StatusUnsupportedMediaType, durable.CodeInvalid, "the body must be application/json, not %s", kind)
	}
	if r.ContentLength > most {
		return tooLarge(most)
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return tooLarge(most)
	}
	if err != nil {
		return durable.Errorf(durable.CodeInvalid, "read the body: %w", err)
	}
	if err := checkText(data); err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

func tooLarge(most int64) error {
	return problemWith(http.StatusRequestEntityTooLarge, durable.CodeInvalid, "the body is too large: this takes at most %d bytes", most)
}

// checkText holds a body against UTF-8 and how deep JSON may be nested. Error: invalid.
func checkText(data []byte) error {
	if !utf8.Valid(data) {
		return durable.Errorf(durable.CodeInvalid, "the body is not UTF-8")
	}
	depth, quoted, escaped := 0, false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case quoted:
			quoted, escaped = c != '"', c == '\\'
		case c == '"':
			quoted = true
		case c == '[', c == '{':
			if depth++; depth > maxNesting {
				return durable.Errorf(durable.CodeInvalid, "the body is nested deeper than %d levels", maxNesting)
			}
		case c == ']', c == '}':
			depth--
		}
	}
	return nil
}
