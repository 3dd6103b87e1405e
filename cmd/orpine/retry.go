package main

import (
	"context"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

type retryCmd struct {
	Ref    string `arg:"" help:"The run, which failed, or was canceled or killed."`
	Name   string `help:"Name of the new run; that of the run with -fork behind it when absent." placeholder:"NAME"`
	Model  string `help:"Another model, for an agent." placeholder:"PROVIDER/NAME"`
	From   string `help:"A step of a workflow that is run again too, with all that needs it." placeholder:"STEP"`
	Detach bool   `help:"Start the new run and leave it to the next orpine wait."`
}

// Help implements kong.HelpProvider.
func (retryCmd) Help() string {
	return `Starts a new run that has all results of the run that were good and does again what was not: of a
workflow the steps and items that did not succeed; of an agent or a program, as a fork, everything from the
first step on that did not. Effects of those steps may happen again: look with 'orpine steps'
first.

Examples:
  orpine retry @last
  orpine retry nightly --from load
  orpine retry nightly --model openai/gpt-5-mini --detach`
}

// Run tries a run again.
func (c *retryCmd) Run(ctx context.Context, a *app) error {
	if err := goodName(c.Name); err != nil {
		return err
	}
	if c.Model != "" && !a.far() {
		if err := a.checkModel(c.Model); err != nil {
			return err
		}
	}
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	run, err := r.Get(ctx, id)
	if err = closing(err, r); err != nil {
		return err
	}
	var req orpine.ForkRequest
	if req.Name, req.Model, req.From = c.Name, c.Model, c.From; req.Name == "" && run.Program != workflow.Program {
		req.Name = forkName(run.Name)
	}
	return a.branch(ctx, branching{
		from: id, id: orpine.NewRunID(), what: "retry of " + string(id), shown: -1, detach: c.Detach,
		make: func(h hands, again durable.RunID) (durable.RunID, error) {
			req.ID = again
			return h.Retry(ctx, id, req)
		},
	})
}
