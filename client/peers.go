package client

import (
	"context"
	"encoding/json"
)

// Peer is a declared MCP server.
type Peer struct {
	Name   string          `json:"name" minLength:"1" maxLength:"64"`
	Config json.RawMessage `json:"config" doc:"The config of its declaration: {\"server\": {…}}"`
}

// Changes are tools of an MCP server that are not as they were trusted.
type Changes struct {
	Changes json.RawMessage `json:"changes" doc:"A list of what inspect-peer said has changed"`
}

// InspectPeer has the server connect to an MCP server, and returns what it found as the JSON of a
// mcp.Found. Errors: invalid, unavailable.
func (c *Client) InspectPeer(ctx context.Context, p Peer) (json.RawMessage, error) {
	var found json.RawMessage
	return found, c.post(ctx, at("peers", "inspect"), p, &found)
}

// TrustPeer accepts changes as InspectPeer told them. Error: conflict where nothing was trusted.
func (c *Client) TrustPeer(ctx context.Context, changes json.RawMessage) error {
	return c.post(ctx, at("peers", "trust"), Changes{changes}, nil)
}
