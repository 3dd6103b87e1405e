package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/hook"
)

const hooksPath = client.Version + "/hooks"

// webhooksIn registers the door for requests from outside that triggers hear.
func (s *Server) webhooksIn() {
	text := func(name, in, doc string) *huma.Param {
		return &huma.Param{Name: name, In: in, Required: in == "path", Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	delivery := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[client.Delivery](), true, "Delivery")
	answer := func(doc string) *huma.Response {
		return &huma.Response{Description: doc, Content: map[string]*huma.MediaType{"application/json": {Schema: delivery}}}
	}
	s.raw(Route{Method: http.MethodPost, Path: hooksPath + "/{name}", ID: "post-hook", Scope: Signed, Summary: "Deliver to a webhook what a trigger waits for"}, huma.Operation{
		Description: "Takes no token: the request is signed with the secret that the trigger names, in the scheme that it names. " +
			"The answer to a signature that does not fit is the same as for a trigger that there is not, and too many of them from one address are put off.",
		Parameters:  []*huma.Param{text("name", "path", "Name of the trigger"), text("tenant", "query", "Whose trigger it is")},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Description: "Whatever the sender has to say"}}}},
		Responses:   map[string]*huma.Response{"202": answer("It was taken"), "200": answer("It was taken before"), "401": {Description: "The signature does not fit, or nothing is there"}},
	}, s.deliver)
}

// deliver lets a request in whose signature fits, and tells the trigger.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request) error {
	for other := range r.URL.Query() {
		if other != "tenant" {
			return durable.Errorf(durable.CodeInvalid, "unknown parameter %q: there is tenant", other)
		}
	}
	if r.Header.Get("Content-Type") == "application/octet-stream" {
		return problemWith(http.StatusUnsupportedMediaType, durable.CodeInvalid, "the body must be application/json")
	}
	from := hook.AddressOf(r.RemoteAddr)
	if !s.failed.May(from, time.Now()) {
		return durable.Errorf(durable.CodeExhausted, "too many requests from %s did not fit: wait", from)
	}
	data, err := io.ReadAll(r.Body) // the door has bounded it
	if err != nil {
		return durable.Errorf(durable.CodeInvalid, "read the body: %w", err)
	}
	ctx, tenant, name := r.Context(), r.URL.Query().Get("tenant"), r.PathValue("name")
	line := client.AuditLine{Who: "webhook " + name, Tenant: tenant, Method: r.Method, Path: r.URL.Path, From: r.RemoteAddr}
	id, fits := s.inbound.Signed(ctx, tenant, name, r.Header.Get, data)
	if !fits {
		s.failed.Count(from, time.Now())
		line.Code = string(durable.CodeDenied)
		_ = s.audit.Append(context.WithoutCancel(ctx), line) // it is refused either way
		return unauthorized("the signature of the request is missing, too old or does not fit, or there is no such webhook")
	}
	note, err := s.audit.Note(line)
	if err != nil {
		return err
	}
	first, err := s.inbound.Take(ctx, tenant, name, id, data)
	if unnoted := note.Wait(context.WithoutCancel(ctx)); err == nil {
		err = unnoted
	}
	if err != nil {
		return err
	}
	status := http.StatusOK
	if first {
		status = http.StatusAccepted
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(client.Delivery{ID: id}) // a client that left needs no answer
	return nil
}

// firstOf reports whether a delivery is new; see hook.Config.
func (s *Server) firstOf(ctx context.Context, tenant, what, key string) (bool, error) {
	_, first, err := s.keys.Once(ctx, tenant, what, durable.RefOf([]byte(key)).Hash, []byte(key), func() string { return key })
	return first, err
}
