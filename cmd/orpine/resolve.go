package main

import (
	"context"
	"encoding/json"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/local"
)

type resolveCmd struct {
	Ref    string `arg:"" help:"The run."`
	Step   int    `arg:"" help:"Number of the step, as orpine steps prints it."`
	Done   string `help:"It happened; this is its result." xor:"how" required:"" placeholder:"JSON"`
	Retry  bool   `help:"It did not happen: do it." xor:"how" required:""`
	Fail   string `help:"It did not happen: fail the step with this reason." xor:"how" required:"" placeholder:"REASON"`
	Detach bool   `help:"Only record it; do not drive the run."`
}

// Help implements kong.HelpProvider.
func (resolveCmd) Help() string {
	return `An irreversible step whose process died before it could report is in doubt: it may have
happened or not, and Orpine never repeats it by itself. Look, then say.

Examples:
  orpine resolve @last 4 --done '{"content": "sent"}'
  orpine resolve @last 4 --retry`
}

// Run resolves a step in doubt.
func (c *resolveCmd) Run(ctx context.Context, a *app) error {
	resolution := orpine.Resolution{Retry: c.Retry, Fail: c.Fail}
	if c.Done != "" {
		resolution.Done = json.RawMessage(c.Done)
		if !json.Valid(resolution.Done) {
			return durable.Errorf(durable.CodeInvalid, "--done %s is not JSON; quote a text: '\"…\"'", c.Done)
		}
	}
	return a.give(ctx, c.Ref, c.Detach, func(ctx context.Context, h local.Hands, id durable.RunID) error {
		return h.Resolve(ctx, id, c.Step, resolution)
	})
}

type resumeCmd struct {
	Ref    string `arg:"" help:"The run."`
	Detach bool   `help:"Only unblock it; do not drive the run."`
}

// Help implements kong.HelpProvider.
func (resumeCmd) Help() string {
	return `A run is blocked when it cannot go on by itself: a key is missing, this build lacks its
program or a tool, or its journal does not fit the program. Mend that, then resume it.

Examples:
  orpine resume @last`
}

// Run resumes a blocked run.
func (c *resumeCmd) Run(ctx context.Context, a *app) error {
	return a.give(ctx, c.Ref, c.Detach, func(ctx context.Context, h local.Hands, id durable.RunID) error { return h.Resume(ctx, id) })
}
