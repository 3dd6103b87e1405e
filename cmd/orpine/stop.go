package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/orpine-run/orpine/durable"
)

type cancelCmd struct {
	Ref    string `arg:"" help:"The run."`
	Reason string `help:"Why; it is kept with the run." default:"canceled by an operator"`
}

// Help implements kong.HelpProvider.
func (cancelCmd) Help() string {
	return `The program is told and may clean up; children are canceled too. The command waits until
the run has ended.

Examples:
  orpine cancel @last
  orpine cancel @last --reason "wrong input"`
}

// Run cancels a run.
func (c *cancelCmd) Run(ctx context.Context, a *app) error {
	return a.stop(ctx, c.Ref, func(ctx context.Context, h hands, id durable.RunID) error { return h.Cancel(ctx, id, c.Reason) })
}

type killCmd struct {
	Ref    string `arg:"" help:"The run."`
	Reason string `help:"Why; it is kept with the run." default:"killed by an operator"`
}

// Help implements kong.HelpProvider.
func (killCmd) Help() string {
	return `The run and all its children end at once; no clean-up runs and steps in flight are cut.

Examples:
  orpine kill @last`
}

// Run kills a run.
func (c *killCmd) Run(ctx context.Context, a *app) error {
	return a.stop(ctx, c.Ref, func(ctx context.Context, h hands, id durable.RunID) error { return h.Kill(ctx, id, c.Reason) })
}

// stop carries out an order that ends a run. That the run then did not succeed is
// what was asked for.
func (a *app) stop(ctx context.Context, ref string, do order) error {
	err := a.give(ctx, ref, false, do)
	e, ok := errors.AsType[*runError](err)
	if ok && (e.run.Status == durable.Canceled || e.run.Status == durable.Killed) {
		fmt.Fprintf(a.stderr, "run %s is %s\n", e.run.ID, e.run.Status)
		return nil
	}
	return err
}
