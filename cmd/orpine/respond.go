package main

import (
	"context"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

type respondCmd struct {
	Ref      string   `arg:"" help:"The run whose agent wants to make a call."`
	Text     []string `arg:"" help:"What the agent is told in place of a result."`
	deciding `embed:""`
}

// Help implements kong.HelpProvider.
func (respondCmd) Help() string {
	return `The call that waits is not made; the agent gets the text as if the tool had said it.

Examples:
  orpine respond @last "it was paid yesterday"`
}

// Run answers in place of a tool.
func (c *respondCmd) Run(ctx context.Context, a *app) error {
	return a.decide(ctx, c.Ref, c.deciding, durable.Decision{Action: durable.Respond, Text: strings.Join(c.Text, " ")})
}
