package main

import (
	"context"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

type rejectCmd struct {
	Ref      string   `arg:"" help:"The run whose agent wants to make a call."`
	Reason   []string `arg:"" help:"Why, as the agent is told."`
	deciding `embed:""`
}

// Help implements kong.HelpProvider.
func (rejectCmd) Help() string {
	return `The call that waits is not made; the agent is told why, and goes on. What a workflow
shows is rejected, with that comment.

Examples:
  orpine reject @last "too much; ask for less than 100"
  orpine reject @last --question q3 not today`
}

// Run rejects a call.
func (c *rejectCmd) Run(ctx context.Context, a *app) error {
	return a.decide(ctx, c.Ref, c.deciding, durable.Decision{Action: durable.Reject, Reason: strings.Join(c.Reason, " ")})
}
