package server

import (
	"context"
	"net/http"

	"github.com/orpine-run/orpine/durable"
)

// Health is the answer of the routes that say how the server is.
type Health struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
}

func (s *Server) health() {
	add(s, Route{Method: http.MethodGet, Path: "/livez", ID: "livez", Scope: Public, Summary: "Whether the process answers"},
		func(context.Context, *nothing) (*body[Health], error) { return reply(Health{"ok", s.cfg.Version}, nil) })
	add(s, Route{Method: http.MethodGet, Path: "/readyz", ID: "readyz", Scope: Public, Summary: "Whether it takes work"},
		func(ctx context.Context, _ *nothing) (*body[Health], error) {
			if err := s.rt.Ready(ctx); err != nil {
				return nil, durable.Errorf(durable.CodeUnavailable, "not ready: %w", err)
			}
			return reply(Health{"ok", s.cfg.Version}, nil)
		})
}
