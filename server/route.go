package server

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/server/access"
)

// The scopes of routes that take no token.
const (
	Public = "public"
	Signed = "signature" // what is sent is signed, and its handler checks that
)

// open reports whether a route takes no token.
func (r Route) open() bool { return r.Scope == Public || r.Scope == Signed }

// Route is one thing that can be asked of a server.
type Route struct {
	Method  string
	Path    string
	Scope   string // what a token must be good for, Public or Signed
	Summary string
	ID      string // of the operation in the OpenAPI document
	Status  int    // of success; 0 = 200
	Body    int64  // longest body in bytes; 0 = 1 MB
	Asks    bool   // it asks for what it wants at other routes, where that is noted

	Time time.Duration // longest that it takes; 0 = a minute
}

// maxBody bounds the bodies of requests where a route does not say otherwise.
const maxBody = 1 << 20

// maxTime bounds how long a request takes where a route does not say otherwise.
const maxTime = time.Minute

func (r Route) pattern() string { return r.Method + " " + r.Path }

// note takes a route into the table. One without a scope cannot be: nobody would know who
// may use it.
func (s *Server) note(r Route) Route {
	if r.Scope == "" || (!r.open() && !slices.Contains(access.Scopes(), r.Scope)) {
		panic("server: route " + r.pattern() + " has no scope that there is")
	}
	if r.Body == 0 {
		r.Body = maxBody
	}
	r.Time = cmp.Or(r.Time, maxTime)
	s.routes = append(s.routes, r)
	s.table[r.pattern()] = r
	return r
}

// add registers a route with typed input and output.
func add[I, O any](s *Server, r Route, handle func(context.Context, *I) (*O, error)) {
	r = s.note(r)
	op := huma.Operation{
		OperationID: r.ID, Method: r.Method, Path: r.Path, Summary: r.Summary, DefaultStatus: r.Status, MaxBodyBytes: r.Body,
		Tags: []string{tagOf(r.Path)}, Metadata: map[string]any{registryKey: s.api.OpenAPI().Components.Schemas},
	}
	if !r.open() {
		op.Security = []map[string][]string{{"token": {r.Scope}}}
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, r.Time)
		defer cancel()
		out, err := handle(ctx, in)
		if unnoted := noted(ctx); err == nil {
			err = unnoted
		}
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return out, nil
	})
}

// raw registers a route that reads and writes by itself; what the OpenAPI document says of it
// comes with it.
func (s *Server) raw(r Route, op huma.Operation, handle func(http.ResponseWriter, *http.Request) error) {
	r = s.note(r)
	op.OperationID, op.Method, op.Path, op.Summary, op.Tags = r.ID, r.Method, r.Path, r.Summary, []string{tagOf(r.Path)}
	if !r.open() {
		op.Security = []map[string][]string{{"token": {r.Scope}}}
	}
	s.api.OpenAPI().AddOperation(&op)
	s.mux.HandleFunc(r.pattern(), func(w http.ResponseWriter, req *http.Request) {
		err := noted(req.Context()) // it writes its answer itself
		if err == nil {
			err = handle(w, req)
		}
		if err != nil {
			s.refuse(w, req, err)
		}
	})
}

// tagOf is the noun that a path is about.
func tagOf(path string) string {
	rest, ok := strings.CutPrefix(path, client.Version+"/")
	if !ok {
		return "server"
	}
	noun, _, _ := strings.Cut(rest, "/")
	return noun
}

type identityKey struct{}

// who is the identity that a request was let in with.
func who(ctx context.Context) access.Identity {
	id, _ := ctx.Value(identityKey{}).(access.Identity)
	return id
}

// admit decides whether a request is let in, and has it noted where it would change
// something: the line is written while the request is carried out, and is durable before it is
// answered. Where nothing can be noted nothing is done. Errors: a problem with 401, denied.
func (s *Server) admit(r *http.Request, route Route) (access.Identity, *access.Note, error) {
	ctx := r.Context()
	id, err := s.identify(ctx, r.Header.Get("Authorization"))
	if route.open() {
		return id, nil, nil
	}
	if err == nil && !id.May(route.Scope) {
		err = denied(id, route.Scope)
	}
	if (r.Method == http.MethodGet || route.Asks) && err == nil {
		return id, nil, nil
	}
	line := client.AuditLine{Who: id.Name, Tenant: id.Tenant, Method: r.Method, Path: r.URL.Path, From: r.RemoteAddr}
	if err == nil {
		noted, failed := s.audit.Note(line)
		return id, noted, failed
	}
	line.Code = string(s.problemOf(ctx, err).Code)
	_ = s.audit.Append(context.WithoutCancel(ctx), line) // it is refused either way
	return id, nil, err
}

type notedKey struct{}

// noted returns once the line about a request is durable; at once where there is none.
func noted(ctx context.Context) error {
	line, _ := ctx.Value(notedKey{}).(*access.Note)
	if line == nil {
		return nil
	}
	return line.Wait(context.WithoutCancel(ctx)) // the log always tells
}
