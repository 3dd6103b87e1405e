package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

type resolveCmd struct {
	Ref    string `arg:"" help:"The run."`
	Step   string `arg:"" help:"The step, as orpine steps prints it; a number alone is one of the last segment."`
	Done   string `help:"It happened; this is its result." xor:"how" placeholder:"JSON"`
	Retry  bool   `help:"It did not happen: do it." xor:"how"`
	Fail   string `help:"It did not happen: fail the step with this reason." xor:"how" placeholder:"REASON"`
	Detach bool   `help:"Only record it; do not drive the run."`
}

// Help implements kong.HelpProvider.
func (resolveCmd) Help() string {
	return `An irreversible step whose process died before it could report is in doubt: it may have
happened or not, and Orpine never repeats it by itself. Look, then say one of --done, --retry
and --fail.

Examples:
  orpine resolve @last 4 --done '{"content": "sent"}'
  orpine resolve @last 1.3 --retry`
}

// Run resolves a step in doubt.
func (c *resolveCmd) Run(ctx context.Context, a *app) error {
	if c.Done == "" && !c.Retry && c.Fail == "" {
		return durable.Errorf(durable.CodeInvalid, "say what became of it: --done JSON, --retry or --fail REASON")
	}
	resolution := durable.Resolution{Retry: c.Retry, Fail: c.Fail}
	if c.Done != "" {
		resolution.Done = json.RawMessage(c.Done)
		if !json.Valid(resolution.Done) {
			return durable.Errorf(durable.CodeInvalid, "--done %s is not JSON; quote a text: '\"…\"'", c.Done)
		}
	}
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	step, err := c.step(ctx, r, id)
	if err = closing(err, r); err != nil {
		return err
	}
	return a.give(ctx, string(id), c.Detach, func(ctx context.Context, h hands, id durable.RunID) error {
		return h.Resolve(ctx, id, step.Command, resolution)
	})
}

// step finds the step that is meant. Only one of the last segment can be in doubt.
func (c *resolveCmd) step(ctx context.Context, r source, id durable.RunID) (durable.StepID, error) {
	step, err := durable.ParseStepID(c.Step)
	if err != nil {
		return step, err
	}
	steps, err := r.Steps(ctx, id)
	if err != nil {
		return step, err
	}
	last := lastSegment(steps)
	if !strings.Contains(c.Step, ".") {
		step.Segment = last
	}
	switch {
	case !slices.ContainsFunc(steps, func(s durable.Step) bool { return s.StepID() == step }):
		return step, durable.Errorf(durable.CodeNotFound, "run %s has no step %s; orpine steps lists them", id, step)
	case step.Segment != last:
		return step, durable.Errorf(durable.CodeConflict, "step %s of run %s is not in doubt: it is of a segment that is over, the run is in segment %d", c.Step, id, last)
	}
	return step, nil
}

type resumeCmd struct {
	Ref    string `arg:"" help:"The run."`
	Detach bool   `help:"Only record it; do not drive the run."`
}

// Help implements kong.HelpProvider.
func (resumeCmd) Help() string {
	return `A run that was paused goes on, with its children. A run is blocked when it cannot go on by itself: a key is missing, this build lacks its
program or a tool, or its journal does not fit the program. Mend that, then resume it.

Examples:
  orpine resume @last`
}

// Run resumes a run.
func (c *resumeCmd) Run(ctx context.Context, a *app) error {
	return a.give(ctx, c.Ref, c.Detach, func(ctx context.Context, h hands, id durable.RunID) error { return h.Resume(ctx, id) })
}
