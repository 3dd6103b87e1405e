package main

import (
	"context"

	"github.com/orpine-run/orpine/durable"
)

type editCmd struct {
	Ref      string `arg:"" help:"The run whose agent wants to make a call."`
	Args     string `arg:"" help:"All arguments of the call as a JSON object, or what a workflow shows as it is to be; @FILE reads a file." placeholder:"JSON"`
	deciding `embed:""`
}

// Help implements kong.HelpProvider.
func (editCmd) Help() string {
	return `The call that waits is made with other arguments, and the agent is told so. They must fit the
tool. Where a workflow shows a plan, or something else that may be edited, it goes on with what is
given.

Examples:
  orpine edit @last '{"amount": 5}'
  orpine edit @last @args.json --detach
  orpine edit @last @plan.json`
}

// Run accepts a call with other arguments.
func (c *editCmd) Run(ctx context.Context, a *app) error {
	value, err := readValue(c.Args)
	if err != nil {
		return err
	}
	return a.decide(ctx, c.Ref, c.deciding, durable.Decision{Action: durable.Edit, Args: value})
}
