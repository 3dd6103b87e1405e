package main

import (
	"context"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

type steerCmd struct {
	Ref  string   `arg:"" help:"The run of an agent."`
	Text []string `arg:"" help:"What the agent is told."`
}

// Help implements kong.HelpProvider.
func (steerCmd) Help() string {
	return `The agent reads the text before its next model call. The command records it and does not wait.

Examples:
  orpine steer @last "look at last week only"`
}

// Run tells an agent something.
func (c *steerCmd) Run(ctx context.Context, a *app) error {
	return a.give(ctx, c.Ref, true, func(ctx context.Context, h hands, id durable.RunID) error {
		return h.Steer(ctx, id, strings.Join(c.Text, " "))
	})
}
