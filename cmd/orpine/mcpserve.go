package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/mcp"
)

type mcpServeCmd struct {
	File string `help:"YAML file whose agents are published first." placeholder:"FILE" type:"path"`
}

// Help implements kong.HelpProvider.
func (mcpServeCmd) Help() string {
	return `Speaks the Model Context Protocol over standard input and output: each agent is a tool, and a call of it is a run,
which goes on when the client is gone. The agents are those of --file and those that were published before;
with --server those of that server. Where nobody owns the data directory this process drives the runs.

In the .mcp.json of a client:
  {"mcpServers": {"agents": {"command": "orpine", "args": ["mcp", "serve", "--file", "orpine.yaml", "--data", "/srv/agents"]}}}

Examples:
  orpine mcp serve --file orpine.yaml
  orpine mcp serve --server https://agents.example.com`
}

// Run serves until the client closes standard input.
func (c *mcpServeCmd) Run(ctx context.Context, a *app) error {
	if a.far() {
		far, err := a.dial()
		if err != nil {
			return err
		}
		return closing(c.serve(ctx, a, far), far)
	}
	o, err := a.open(ctx)
	if err != nil && !errors.Is(err, durable.ErrConflict) {
		return err
	}
	door, err := a.knock()
	if err == nil {
		err = closing(c.serve(ctx, a, door), door)
	}
	if o != nil {
		err = closing(err, o)
	}
	return err
}

// serve offers the agents of a server.
func (c *mcpServeCmd) serve(ctx context.Context, a *app, to remote) error {
	if err := c.publish(ctx, a, to); err != nil {
		return err
	}
	s := mcp.New(mcp.Config{Client: func(string) (*client.Client, error) { return to.Client, nil }, URL: a.flags.Server, Version: version})
	defer s.Close()
	return s.Serve(ctx, io.NopCloser(a.stdin), unclosed{a.stdout}, a.flags.Token)
}

// publish makes the agents of the file known.
func (c *mcpServeCmd) publish(ctx context.Context, a *app, to remote) error {
	if c.File == "" {
		return nil
	}
	if _, err := os.Stat(c.File); err != nil {
		return durable.Errorf(durable.CodeNotFound, "%w", err)
	}
	f, err := config.Load(c.File, a.env)
	if err != nil {
		return err
	}
	gear, err := a.outfit()
	if err != nil {
		return err
	}
	for _, name := range f.AgentNames() {
		d, err := gear.Definition(f, name)
		if err != nil {
			return err
		}
		text, err := json.Marshal(d)
		if err != nil {
			return err
		}
		if _, err := to.PutAgent(ctx, name, text); err != nil {
			return err
		}
	}
	return nil
}

// unclosed is standard output, which outlives the client.
type unclosed struct{ io.Writer }

// Close implements io.Closer.
func (unclosed) Close() error { return nil }
