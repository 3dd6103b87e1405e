package mcp

import (
	"context"
	"net/url"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/mcp/transport"
)

// remote is the transport to a remote server.
func (l *link) remote(ctx context.Context) (sdk.Transport, error) {
	c := l.client
	if c.cfg.HTTP == nil {
		return nil, durable.Errorf(durable.CodeDenied, "no remote servers may be reached here")
	}
	address, err := c.expand(ctx, l.name, l.server.URL)
	if err != nil {
		return nil, err
	}
	if !isURL(address) {
		return nil, durable.Errorf(durable.CodeInvalid, "url %q; want one that begins with https:// or http://", l.server.URL)
	}
	home, err := url.Parse(address)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "url: %w", err)
	}
	headers, err := c.expandMap(ctx, l.name, l.server.Headers)
	if err != nil {
		return nil, err
	}
	client := *c.cfg.HTTP
	client.Timeout = 0 // calls have their own, and streams have none
	client.Transport = transport.NewCarrier(client.Transport, home, headers)
	if l.server.transport() == sse {
		return &sdk.SSEClientTransport{Endpoint: address, HTTPClient: &client, MaxEventSize: transport.MaxMessage}, nil
	}
	t := &sdk.StreamableClientTransport{Endpoint: address, HTTPClient: &client, MaxEventSize: transport.MaxMessage}
	if !hasHeader(headers, "Authorization") {
		who, err := c.whoAsks(ctx, l.name, l.server)
		if err != nil {
			return nil, err
		}
		if t.OAuthHandler, err = c.logins.Unattended(ctx, who); err != nil {
			return nil, l.fail(durable.CodeUnavailable, err)
		}
	}
	return t, nil
}

func hasHeader(headers map[string]string, name string) bool {
	for h := range headers {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}
