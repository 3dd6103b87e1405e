package mcp

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// expand fills in the variables of a text. What a variable holds is taken as it is: nothing in
// it is filled in again. Errors: invalid for a variable that is not set, those of Config.Expand.
func (c *Client) expand(ctx context.Context, server, text string) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var b strings.Builder
	for _, p := range pieces(text) {
		switch {
		case p.name == "":
			b.WriteString(p.text)
		case p.secret:
			if c.cfg.Expand == nil {
				return "", durable.Errorf(durable.CodeInvalid, "MCP server %s: %s: no secrets are known here", server, p.text)
			}
			value, err := c.cfg.Expand(ctx, p.text)
			if err != nil {
				return "", &durable.Error{Code: durable.CodeOf(err), Op: "MCP server " + server, Err: err}
			}
			b.WriteString(value)
		default:
			value, ok := c.lookup(p.name)
			switch {
			case ok && (value != "" || !p.hasOther):
				b.WriteString(value)
			case p.hasOther:
				b.WriteString(p.fallback)
			default:
				return "", durable.Errorf(durable.CodeInvalid, "MCP server %s: the variable %s is not set; export it, or write a default as ${%s:-DEFAULT}", server, p.name, p.name)
			}
		}
	}
	return b.String(), nil
}

func (c *Client) lookup(name string) (string, bool) {
	if c.cfg.Env == nil {
		return "", false
	}
	return c.cfg.Env(name)
}

// expandMap fills in the variables of values.
func (c *Client) expandMap(ctx context.Context, server string, in map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		value, err := c.expand(ctx, server, in[name])
		if err != nil {
			return nil, err
		}
		out[name] = value
	}
	return out, nil
}

// expandStdio fills in how a server is started.
func (c *Client) expandStdio(ctx context.Context, server string, s Server) (Stdio, error) {
	out := Stdio{Server: server, Sandbox: s.Sandbox}
	var err error
	if out.Command, err = c.expand(ctx, server, s.Command); err != nil {
		return out, err
	}
	for _, arg := range s.Args {
		value, err := c.expand(ctx, server, arg)
		if err != nil {
			return out, err
		}
		out.Args = append(out.Args, value)
	}
	if out.Dir, err = c.expand(ctx, server, s.Dir); err != nil {
		return out, err
	}
	out.Env, err = c.expandMap(ctx, server, s.Env)
	return out, err
}
