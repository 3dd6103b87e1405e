package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/store"
)

func (s *Server) admin() {
	path := client.Version + "/tokens"
	add(s, Route{Method: http.MethodPost, Path: path, ID: "create-token", Scope: access.TokensWrite, Summary: "Make a token", Status: http.StatusCreated}, s.createToken)
	add(s, Route{Method: http.MethodGet, Path: path, ID: "list-tokens", Scope: access.TokensWrite, Summary: "List the tokens, without their secrets"},
		func(ctx context.Context, _ *nothing) (*body[[]client.Token], error) {
			list, err := s.tokens.List(ctx)
			return reply(orEmpty(list), err)
		})
	add(s, Route{Method: http.MethodDelete, Path: path + "/{id}", ID: "revoke-token", Scope: access.TokensWrite, Summary: "Make a token worthless at once", Status: http.StatusNoContent},
		func(ctx context.Context, in *item) (*none, error) { return &none{}, s.tokens.Revoke(ctx, in.ID) })
	add(s, Route{Method: http.MethodGet, Path: client.Version + "/audit", ID: "list-audit", Scope: access.AuditRead, Summary: "Read the log of who asked for what"}, s.auditLines)
	add(s, Route{Method: http.MethodGet, Path: client.Version + "/audit/verify", ID: "verify-audit", Scope: access.AuditRead, Summary: "Hold the log against its hashes"},
		func(ctx context.Context, _ *nothing) (*body[access.Report], error) { return reply(s.audit.Verify(ctx)) })
	s.hooks()
}

type tokenRequest struct {
	OnceKey
	Body client.NewToken
}

// createToken makes a token. Sent again, the request finds the one it made, whose secret is not
// shown twice.
func (s *Server) createToken(ctx context.Context, in *tokenRequest) (*body[client.Token], error) {
	return reply(s.guardedBy(ctx, func() (client.Token, error) {
		if in.Key == "" {
			return s.tokens.Create(ctx, in.Body)
		}
		return s.tokens.Once(ctx, s.keys, in.Key, in.Body)
	}))
}

// CreateToken makes a token; from then on every request needs one. Error: invalid.
func (s *Server) CreateToken(ctx context.Context, in client.NewToken) (client.Token, error) {
	return s.guardedBy(ctx, func() (client.Token, error) { return s.tokens.Create(ctx, in) })
}

// guardedBy makes a token, after it is kept that there is one.
func (s *Server) guardedBy(ctx context.Context, create func() (client.Token, error)) (client.Token, error) {
	known := store.RecordChange{Kind: guardKind, Key: guardKind, Expect: store.AnyVersion, Data: []byte("{}")}
	if err := s.rt.Write(ctx, known); err != nil {
		return client.Token{}, err
	}
	t, err := create()
	if err == nil {
		s.guarded.Store(true)
	}
	return t, err
}

// guardKind is the kind, and the key, of the record that says that there was a token once: from
// then on every request needs one, also when the last one is gone.
const guardKind = "guard"

// guardedBefore reports whether there ever was a token.
func guardedBefore(ctx context.Context, rt *orpine.Runtime, tokens *access.Tokens) (bool, error) {
	if there, err := tokens.Any(ctx); err != nil || there {
		return there, err
	}
	_, err := rt.Record(ctx, guardKind, guardKind)
	if errors.Is(err, durable.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

type auditRequest struct {
	After int64 `query:"after" minimum:"0" doc:"Only lines with a higher number"`
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s *Server) auditLines(ctx context.Context, in *auditRequest) (*body[[]client.AuditLine], error) {
	lines, err := s.audit.Lines(ctx, in.After, in.Limit)
	return reply(orEmpty(lines), err)
}

// hooks are the routes of webhooks.
func (s *Server) hooks() {
	path := client.Version + "/webhooks"
	add(s, Route{Method: http.MethodPost, Path: path, ID: "add-webhook", Scope: access.WebhooksWrite, Summary: "Have a URL told when runs change their status", Status: http.StatusCreated},
		s.addWebhook)
	add(s, Route{Method: http.MethodGet, Path: path, ID: "list-webhooks", Scope: access.WebhooksRead, Summary: "List the webhooks, without their secrets"},
		func(ctx context.Context, _ *nothing) (*body[[]client.Webhook], error) {
			if s.cfg.Webhooks == nil {
				return reply([]client.Webhook{}, nil)
			}
			list, err := s.cfg.Webhooks.List(ctx, who(ctx).Tenant)
			return reply(orEmpty(list), err)
		})
	add(s, Route{Method: http.MethodDelete, Path: path + "/{id}", ID: "remove-webhook", Scope: access.WebhooksWrite, Summary: "Forget a webhook", Status: http.StatusNoContent},
		func(ctx context.Context, in *item) (*none, error) {
			if s.cfg.Webhooks == nil {
				return nil, errNoWebhooks
			}
			return &none{}, s.cfg.Webhooks.Remove(ctx, who(ctx).Tenant, in.ID)
		})
}

type webhookRequest struct {
	OnceKey
	Body client.Webhook
}

// addWebhook registers a webhook. Sent again, the request finds the one it made, whose secret
// is not shown twice.
func (s *Server) addWebhook(ctx context.Context, in *webhookRequest) (*body[client.Webhook], error) {
	if s.cfg.Webhooks == nil {
		return nil, errNoWebhooks
	}
	w := in.Body
	var err error
	if w.Tenant, err = tenantFor(ctx, w.Tenant); err != nil {
		return nil, err
	}
	if in.Key != "" && w.ID == "" {
		id, _, err := s.once(ctx, "add-webhook", in.Key, w.Tenant, in.Body, "")
		if err != nil {
			return nil, err
		}
		w.ID = "wh_" + string(id)
	}
	made, err := s.cfg.Webhooks.Register(ctx, w)
	if durable.CodeOf(err) != durable.CodeConflict || in.Key == "" || in.Body.ID != "" {
		return reply(made, err)
	}
	list, err := s.cfg.Webhooks.List(ctx, w.Tenant)
	i := slices.IndexFunc(list, func(there client.Webhook) bool { return there.ID == w.ID })
	if err != nil || i < 0 {
		return nil, cmp.Or(err, error(durable.Errorf(durable.CodeConflict, "webhook %s was removed since", w.ID)))
	}
	return reply(list[i], nil)
}

var errNoWebhooks = durable.Errorf(durable.CodeUnavailable, "this process sends no webhooks; orpine serve does")

// Webhooks are told when runs change their status; webhook.Dispatcher is one.
type Webhooks interface {
	Register(ctx context.Context, w client.Webhook) (client.Webhook, error)
	List(ctx context.Context, tenant string) ([]client.Webhook, error)
	Remove(ctx context.Context, tenant, id string) error
}
