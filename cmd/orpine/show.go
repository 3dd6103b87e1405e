package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

type showCmd struct {
	Ref   string    `arg:"" help:"The run; with --graph also FILE[#NAME], a workflow that has not run."`
	Graph graphForm `help:"Draw the steps of the workflow: text, ascii, mermaid or svg." placeholder:"FORM"`
}

// Help implements kong.HelpProvider.
func (showCmd) Help() string {
	return `Of a run of a workflow its steps are listed too. RUN is the run of its own that a step has started,
such as that of an agent: show that one for more.

Examples:
  orpine show @last
  orpine show @last -o json
  orpine show @last --graph
  orpine show shop.yaml#report --graph=svg > report.svg`
}

// shown is a run with its steps, as the JSON and YAML formats print it.
type shown struct {
	durable.Run
	Steps []durable.Step `json:"steps"`
	Nodes []shownNode    `json:"nodes,omitempty"` // of a workflow
}

// Run shows a run.
func (c *showCmd) Run(ctx context.Context, a *app) error {
	if c.Graph != "" {
		return a.graph(ctx, c.Ref, c.Graph)
	}
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	return closing(c.show(ctx, a, r, id), r)
}

func (c *showCmd) show(ctx context.Context, a *app, r source, id durable.RunID) error {
	run, err := r.Get(ctx, id)
	if err != nil {
		return err
	}
	steps, err := r.Steps(ctx, id)
	if err != nil {
		return err
	}
	var flow flow
	if run.Program == workflow.Program {
		if flow, err = a.flowOf(ctx, r, id); err != nil { // the run is shown all the same
			fmt.Fprintln(a.stderr, "orpine: the steps of the workflow cannot be listed:", err)
		}
	}
	l := listing{single: true, names: []string{string(id)}, values: []any{shown{run, steps, flow.nodes()}}}
	if l.rows, err = a.about(ctx, r, run, steps); err != nil {
		return err
	}
	if err := a.print(l); err != nil || a.programs() || len(flow.view.Nodes) == 0 {
		return err
	}
	fmt.Fprintln(a.stdout)
	return a.print(flow.listing(a.flags.Output == "wide"))
}

// programs reports whether the answer is one for programs, not for people.
func (a *app) programs() bool { return a.flags.Output != "table" && a.flags.Output != "wide" }

// about says what there is to know of a run, in rows of a name and a value.
func (a *app) about(ctx context.Context, r source, run durable.Run, steps []durable.Step) (rows [][]string, err error) {
	add := func(key, value string) {
		if value != "" {
			rows = append(rows, []string{key, value})
		}
	}
	add("run", string(run.ID))
	add("name", run.Name)
	add("program", run.Program)
	add("status", string(run.Status))
	add("reason", run.Reason)
	add("parent", string(run.Parent))
	if run.Base != "" {
		came, err := origin(ctx, r, run.ID)
		if err != nil {
			return nil, err
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
		if i := w.Interrupt; i != nil {
			what, text := valueText(*i)
			add("  "+what, oneLine(text, callWidth))
			how, command := a.answerWith(run.ID, *i)
			add("  "+strings.ToLower(how), command)
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
	return rows, nil
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
