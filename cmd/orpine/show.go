package main

import (
	"context"
	"fmt"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
)

type showCmd struct {
	Ref string `arg:"" help:"The run."`
}

// Help implements kong.HelpProvider.
func (showCmd) Help() string {
	return `Examples:
  orpine show @last
  orpine show @last -o json`
}

// shown is a run with its steps, as the JSON and YAML formats print it.
type shown struct {
	durable.Run
	Steps []durable.Step `json:"steps"`
}

// Run shows a run.
func (c *showCmd) Run(ctx context.Context, a *app) error {
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	run, err := r.Get(ctx, id)
	if err != nil {
		return closing(err, r)
	}
	steps, err := r.Steps(ctx, id)
	if err != nil {
		return closing(err, r)
	}
	l := listing{single: true, names: []string{string(id)}, values: []any{shown{run, steps}}}
	add := func(key, value string) {
		if value != "" {
			l.rows = append(l.rows, []string{key, value})
		}
	}
	add("run", string(run.ID))
	add("name", run.Name)
	add("program", run.Program)
	add("status", string(run.Status))
	add("reason", run.Reason)
	add("parent", string(run.Parent))
	if run.Base != "" {
		came, err := origin(ctx, r, id)
		if err != nil {
			return closing(err, r)
		}
		add("fork", came)
	}
	add("created", run.Created.Local().Format(time.DateTime))
	add("changed", run.Updated.Local().Format(time.DateTime)+" ("+age(run.Updated)+" ago)")
	for _, w := range run.Waits {
		if w.Kind == durable.WaitTimer {
			add("waits until", w.Until.Local().Format(time.DateTime))
			continue
		}
		add("waits for", waitsFor(durable.Run{Waits: []durable.Wait{w}}, lastSegment(steps)))
		if w.Interrupt != nil && w.Interrupt.Kind == agent.ApprovalKind {
			add("  call", oneLine(wishText(*w.Interrupt), callWidth))
			add("  decide with", fmt.Sprintf("orpine approve%s %s, or reject, edit, respond", a.where(), run.ID))
		} else if w.Interrupt != nil {
			add("  answer with", fmt.Sprintf("orpine answer%s %s TEXT", a.where(), run.ID))
		}
		if w.Kind == durable.WaitInDoubt {
			add("  resolve with", fmt.Sprintf("orpine resolve%s %s %s --done JSON | --retry | --fail REASON",
				a.where(), run.ID, durable.StepID{Segment: lastSegment(steps), Command: w.Command}))
		}
	}
	for _, s := range steps {
		if s.Status == durable.StepInDoubt && (run.Status.Final() || s.Segment != lastSegment(steps)) {
			add("in doubt", fmt.Sprintf("step %s %s: it may have happened or not, and will not be told any more", s.StepID(), s.Name))
		}
	}
	add("steps", stepCount(steps))
	if run.Error != nil {
		add("error", string(run.Error.Code)+": "+run.Error.Message)
	}
	add("output", oneLine(string(run.Output), 2000))
	return closing(a.print(l), r)
}

func stepCount(steps []durable.Step) string {
	done := 0
	for _, s := range steps {
		if s.Status == durable.StepDone {
			done++
		}
	}
	return fmt.Sprintf("%d done of %d", done, len(steps))
}
