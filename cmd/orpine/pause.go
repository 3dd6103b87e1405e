package main

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine/durable"
)

type pauseCmd struct {
	Ref string `arg:"" help:"The run."`
}

// Help implements kong.HelpProvider.
func (pauseCmd) Help() string {
	return `The run and its children begin nothing more; what is under way ends and is recorded. Answers and
signals are kept until 'orpine resume'.

Examples:
  orpine pause @last`
}

// Run pauses a run.
func (c *pauseCmd) Run(ctx context.Context, a *app) error {
	return a.give(ctx, c.Ref, true, func(ctx context.Context, h hands, id durable.RunID) error {
		err := h.Pause(ctx, id)
		if err == nil {
			fmt.Fprintf(a.stderr, "run %s is paused. Go on with: orpine resume%s %s\n", id, a.where(), id)
		}
		return err
	})
}
