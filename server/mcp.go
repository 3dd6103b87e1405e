package server

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/server/mcp"
)

// mcpPath is where clients of the Model Context Protocol find the agents and workflows of the server.
const mcpPath = "/mcp"

// mcpDoors are two, so that what was begun on the socket of the data directory, where no token
// is needed, is not gone on with from elsewhere.
type mcpDoors struct{ web, local *mcp.Server }

func (m *mcpDoors) close() {
	m.web.Close()
	m.local.Close()
}

// agentsOverMCP registers the door for clients of MCP. What comes in through it is asked of the
// server itself, with the token of whoever asks, and is let in and noted there.
func (s *Server) agentsOverMCP() {
	door := func(api http.Handler) *mcp.Server {
		return mcp.New(mcp.Config{Client: mcp.Inside(api), URL: s.cfg.URL, Version: s.cfg.Version, Log: s.log})
	}
	s.mcp = &mcpDoors{web: door(s), local: door(s.Local())}
	for _, way := range []struct{ method, summary string }{
		{http.MethodPost, "Speak MCP: every agent and every workflow is a tool"},
		{http.MethodGet, "Listen to the server, with an older revision of MCP"},
		{http.MethodDelete, "End what an older revision of MCP began"},
	} {
		r := Route{Method: way.method, Path: mcpPath, ID: strings.ToLower(way.method) + "-mcp", Scope: access.AgentsRead, Summary: way.summary, Body: 16 << 20, Asks: true}
		s.raw(r, huma.Operation{Description: "The streamable HTTP transport of the Model Context Protocol, 2026-07-28 and before."}, func(w http.ResponseWriter, r *http.Request) error {
			door := s.mcp.web
			if isLocal(r.Context()) {
				door = s.mcp.local
			}
			out := &refusals{ResponseWriter: w}
			door.ServeHTTP(out, r)
			if out.status > 0 {
				return problemWith(out.status, durable.CodeInvalid, "%s", strings.TrimSpace(out.text.String()))
			}
			return nil
		})
	}
}

// refusals keeps back what is refused in plain text, so that it is told as a problem, as all that
// this server refuses.
type refusals struct {
	http.ResponseWriter
	status int // of a refusal that was kept back; 0 = there is none
	text   strings.Builder
}

// WriteHeader implements http.ResponseWriter.
func (r *refusals) WriteHeader(status int) {
	if status >= http.StatusBadRequest && strings.HasPrefix(r.Header().Get("Content-Type"), "text/plain") {
		r.status = status
		return
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *refusals) Write(p []byte) (int, error) {
	if r.status > 0 {
		return r.text.Write(p)
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (r *refusals) Unwrap() http.ResponseWriter { return r.ResponseWriter }
