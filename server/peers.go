package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp"
)

// Peers are the MCP servers whose tools agents call; mcp.Client is one.
type Peers interface {
	Inspect(ctx context.Context, d tool.Declaration) (mcp.Found, error)
	Trust(ctx context.Context, changes ...mcp.Change) error
}

// peers are the routes for MCP servers.
func (s *Server) peers() {
	path := client.Version + "/peers"
	add(s, Route{Method: http.MethodPost, Path: path + "/inspect", ID: "inspect-peer", Scope: access.AgentsWrite, Summary: "Connect to a declared MCP server and tell what it has"}, s.inspectPeer)
	add(s, Route{Method: http.MethodPost, Path: path + "/trust", ID: "trust-peer", Scope: access.AgentsWrite, Summary: "Accept tools of an MCP server that are not as they were", Status: http.StatusNoContent}, s.trustPeer)
}

var errNoPeers = durable.Errorf(durable.CodeUnavailable, "this process reaches no MCP servers")

func (s *Server) inspectPeer(ctx context.Context, in *struct{ Body client.Peer }) (*body[json.RawMessage], error) {
	if s.cfg.Peers == nil {
		return nil, errNoPeers
	}
	found, err := s.cfg.Peers.Inspect(ctx, tool.Declaration{Name: in.Body.Name, Kind: mcp.Kind, Config: in.Body.Config})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(found)
	return reply(json.RawMessage(text), err)
}

func (s *Server) trustPeer(ctx context.Context, in *struct{ Body client.Changes }) (*none, error) {
	if s.cfg.Peers == nil {
		return nil, errNoPeers
	}
	var changes []mcp.Change
	if err := json.Unmarshal(in.Body.Changes, &changes); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "changes: %w", err)
	}
	return &none{}, s.cfg.Peers.Trust(ctx, changes...)
}
