package main

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine"
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
	return a.stop(ctx, c.Ref, func(rt *orpine.Runtime, id durable.RunID) error { return rt.Cancel(ctx, id, c.Reason) })
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
	return a.stop(ctx, c.Ref, func(rt *orpine.Runtime, id durable.RunID) error { return rt.Kill(ctx, id, c.Reason) })
}

func (a *app) stop(ctx context.Context, ref string, do func(*orpine.Runtime, durable.RunID) error) error {
	rt, err := a.open(ctx)
	if err != nil {
		return err
	}
	id, err := rt.Find(ctx, ref)
	if err == nil {
		err = do(rt, id)
	}
	if err != nil {
		return closing(err, rt)
	}
	run, err := rt.Wait(ctx, id)
	if err != nil {
		return closing(err, rt)
	}
	fmt.Fprintf(a.stderr, "run %s is %s\n", id, run.Status)
	return rt.Close()
}
