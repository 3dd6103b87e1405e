package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

const (
	hooksPath = client.Version + "/hooks"
	hookEvent = "webhook:" // begins the event that a webhook hears; see trigger.Definition.Hears
)

// hook registers the door for requests from outside that triggers hear.
func (s *Server) hook() {
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
	from := addressOf(r.RemoteAddr)
	if !s.failed.may(from, time.Now()) {
		return durable.Errorf(durable.CodeExhausted, "too many requests from %s did not fit: wait", from)
	}
	data, err := io.ReadAll(r.Body) // the door has bounded it
	if err != nil {
		return durable.Errorf(durable.CodeInvalid, "read the body: %w", err)
	}
	ctx, tenant, name := r.Context(), r.URL.Query().Get("tenant"), r.PathValue("name")
	line := client.AuditLine{Who: "webhook " + name, Tenant: tenant, Method: r.Method, Path: r.URL.Path, From: r.RemoteAddr}
	id, fits := s.signed(ctx, tenant, name, r.Header.Get, data)
	if !fits {
		s.failed.count(from, time.Now())
		line.Code = string(durable.CodeDenied)
		_ = s.audit.Append(context.WithoutCancel(ctx), line) // it is refused either way
		return unauthorized("the signature of the request is missing, too old or does not fit, or there is no such webhook")
	}
	note, err := s.audit.Note(line)
	if err != nil {
		return err
	}
	status, err := s.taken(ctx, tenant, name, id, data)
	if unnoted := note.Wait(context.WithoutCancel(ctx)); err == nil {
		err = unnoted
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(client.Delivery{ID: id}) // a client that left needs no answer
	return nil
}

// signed reports whether a request is signed as the trigger says, and names the delivery. For what is
// not there as much is computed as for what is.
func (s *Server) signed(ctx context.Context, tenant, name string, header func(string) string, data []byte) (id string, fits bool) {
	t, err := s.rt.Trigger(ctx, tenant, name)
	hook := t.Definition.On.Webhook
	secret, scheme, there := s.failed.nobody, trigger.Standard, err == nil && hook != nil && s.cfg.Secret != nil
	if there {
		scheme = cmp.Or(hook.Scheme, trigger.Standard)
		if secret, err = s.cfg.Secret(ctx, hook.Secret); err != nil {
			s.log.ErrorContext(ctx, "the secret of a webhook is not there", slog.String("trigger", name), slog.Any("error", err))
			secret, scheme, there = s.failed.nobody, trigger.Standard, false
		}
	}
	id, err = trigger.Verify(secret, scheme, header, data, time.Now())
	if durable.CodeOf(err) == durable.CodeInvalid && there {
		s.log.ErrorContext(ctx, "the secret of a webhook is none", slog.String("trigger", name), slog.Any("error", err))
	}
	return id, there && err == nil
}

// taken tells the trigger of a delivery. One that is sent again is told again too, because the process
// may have died before: the trigger takes it once.
func (s *Server) taken(ctx context.Context, tenant, name, id string, data []byte) (status int, err error) {
	if len(data) > 0 && !json.Valid(data) {
		return 0, durable.Errorf(durable.CodeInvalid, "the body is not JSON")
	}
	_, first, err := s.keys.Once(ctx, tenant, "post-hook "+name, durable.RefOf([]byte(id)).Hash, []byte(id), func() string { return id })
	if err != nil {
		return 0, err
	}
	told, err := s.rt.Emit(ctx, tenant, trigger.Occurred{ID: id, Name: hookEvent + name, Data: data})
	switch {
	case err != nil:
		return 0, err
	case told == 0:
		return 0, durable.Errorf(durable.CodeConflict, "trigger %s is over, or blocked", name)
	case first:
		return http.StatusAccepted, nil
	}
	return http.StatusOK, nil
}

// Bounds of requests that do not fit, for one address.
const (
	failuresAtOnce = 30
	failuresEvery  = 2 * time.Second // one more
	failuresKept   = 10_000          // addresses; those beyond share one bound
)

// failures counts the requests that did not fit, by address.
type failures struct {
	nobody string // the secret of what is not there

	mu sync.Mutex
	by map[string]time.Time // when an address will have none on its account
}

func newFailures() *failures {
	var key [32]byte
	rand.Read(key[:]) // never fails, by its documentation
	return &failures{nobody: base64.StdEncoding.EncodeToString(key[:]), by: map[string]time.Time{}}
}

// may reports whether an address may try.
func (f *failures) may(from string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.by[f.account(from)].Sub(now) <= (failuresAtOnce-1)*failuresEvery
}

// count puts a failure on the account of an address.
func (f *failures) count(from string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.by) >= failuresKept {
		for one, until := range f.by {
			if !until.After(now) {
				delete(f.by, one)
			}
		}
	}
	account := f.account(from)
	f.by[account] = later(f.by[account], now).Add(failuresEvery)
}

// account is where the failures of an address are counted.
func (f *failures) account(from string) string {
	if _, ok := f.by[from]; !ok && len(f.by) >= failuresKept {
		return ""
	}
	return from
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// addressOf is the address that a request has come from; of IPv6 the network, of which one has many
// addresses.
func addressOf(remote string) string {
	const network = 64
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		if prefix, err := addr.Prefix(network); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}
