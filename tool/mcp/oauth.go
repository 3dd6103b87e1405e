package mcp

import (
	"context"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp/login"
)

// Logins keeps logins to remote servers.
type Logins = login.Logins

// whoAsks says who asks a remote server.
func (c *Client) whoAsks(ctx context.Context, name string, s Server) (login.Server, error) {
	out := login.Server{Name: name}
	if o := s.OAuth; o != nil {
		out.ClientID, out.Grant, out.Scopes = o.ClientID, o.Grant, o.Scopes
		var err error
		if out.Secret, err = c.expand(ctx, name, o.ClientSecret); err != nil {
			return out, err
		}
	}
	var err error
	out.URL, err = c.expand(ctx, name, s.URL)
	return out, err
}

// Login has a person log in to a remote server: show is given the address to visit, and the login
// is kept once the browser has come back to a port of this machine. Errors: invalid for a server
// that is not remote or brings a token itself, denied when it was refused, conflict when it wants no
// login, and the end of ctx.
func (c *Client) Login(ctx context.Context, d tool.Declaration, show func(url string) error) error {
	name, config, err := parse(d)
	if err != nil {
		return err
	}
	s := config.Server
	if s.transport() == stdio || c.cfg.HTTP == nil {
		return durable.Errorf(durable.CodeInvalid, "MCP server %s is not remote: there is nothing to log in to", name)
	}
	if s.OAuth != nil && s.OAuth.Grant == login.GrantClient || hasHeader(s.Headers, "Authorization") {
		return durable.Errorf(durable.CodeInvalid, "MCP server %s is told who asks by its declaration: nobody logs in", name)
	}
	who, err := c.whoAsks(ctx, name, s)
	if err != nil {
		return err
	}
	if err := c.logins.Login(ctx, who, show); err != nil {
		return err
	}
	c.reconnect(name)
	return nil
}

// reconnect has connections to a server made again, with what is known now.
func (c *Client) reconnect(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, l := range c.links {
		if l.name == name {
			delete(c.links, key)
			go l.close()
		}
	}
}
