package main

import (
	"context"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
)

// deciding is what all verbs take that decide on a call.
type deciding struct {
	Question string `help:"ID of the approval, when there are several." placeholder:"ID"`
	Detach   bool   `help:"Only record the decision; do not drive the run."`
}

type approveCmd struct {
	Ref      string `arg:"" help:"The run whose agent wants to make a call."`
	Always   string `help:"Decide so for calls of the same tool to come: in this run, for agents of this name, or for all agents of the tenant." enum:",run,agent,tenant" default:"" placeholder:"run|agent|tenant"`
	deciding `embed:""`
}

// Help implements kong.HelpProvider.
func (approveCmd) Help() string {
	return `The call that waits is made, as 'orpine approvals' shows it: a call that is another one by then is
not. What a workflow shows, such as a plan, is accepted. It may also be one of a child that the run waits for. The first decision wins. Then the
run is followed as 'orpine wait' does, unless --detach.

Examples:
  orpine approve @last
  orpine approve @last --always run
  orpine approve nightly --question q3 --detach`
}

// Run accepts a call.
func (c *approveCmd) Run(ctx context.Context, a *app) error {
	return a.decide(ctx, c.Ref, c.deciding, durable.Decision{Action: durable.Accept, Always: durable.Scope(c.Always)})
}

// decide decides on the call that waits, or on what a workflow shows, and follows the run.
func (a *app) decide(ctx context.Context, ref string, d deciding, what durable.Decision) error {
	r, id, err := a.read(ctx, ref)
	if err != nil {
		return err
	}
	q, err := a.choose(ctx, r, id, d.Question, what.Action)
	if err = closing(err, r); err != nil {
		return err
	}
	if what.Always != durable.Once && q.ID != "" && q.Kind != agent.ApprovalKind {
		return durable.Errorf(durable.CodeInvalid, "--always goes with calls of tools, and run %s asks %q", id, q.Prompt)
	}
	if what.Args != nil {
		if what.Args, err = editOf(q.Interrupt, what.Args); err != nil {
			return err
		}
	}
	return a.give(ctx, string(id), d.Detach, func(ctx context.Context, h hands, _ durable.RunID) error {
		return h.Approve(ctx, q.Run, orpine.Approval{Decision: what, Interrupt: q.ID, Digest: q.Digest})
	})
}
