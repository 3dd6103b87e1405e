package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

type psCmd struct {
	Status []string `help:"Only runs with one of these statuses." placeholder:"STATUS" enum:"queued,running,waiting,paused,succeeded,failed,canceled,killed,blocked"`
	All    bool     `short:"a" help:"Child runs too."`
	Limit  int      `help:"How many runs at most, newest first." default:"50"`
}

// Help implements kong.HelpProvider.
func (psCmd) Help() string {
	return `Examples:
  orpine ps
  orpine ps --status waiting -o wide
  orpine ps -o name | head -1`
}

// Run lists runs.
func (c *psCmd) Run(ctx context.Context, a *app) error {
	r, err := a.source(ctx)
	if errors.Is(err, durable.ErrNotFound) { // of a data directory only
		a.tellNoRuns()
		return a.print(runListing(nil))
	}
	if err != nil {
		return err
	}
	filter := durable.Filter{Roots: !c.All, Limit: c.Limit}
	for _, s := range c.Status {
		filter.Statuses = append(filter.Statuses, durable.Status(s))
	}
	runs, err := r.List(ctx, filter)
	if err != nil {
		return closing(err, r)
	}
	l := runListing(runs)
	for i, run := range runs {
		segment, err := doubtSegment(ctx, r, run)
		if err == nil && segment > 0 { // a run that cannot be read is listed all the same
			l.rows[i][waitsColumn] = oneLine(waitsFor(run, segment), waitsWidth)
		}
	}
	if a.flags.Output == "wide" {
		a.addNodes(ctx, r, runs, &l)
	}
	return closing(a.print(l), r)
}

// maxReplayed is how many runs of workflows are replayed for a list.
const maxReplayed = 50

// addNodes adds a column of how many steps of a workflow have ended, of those that are in motion. A
// run that cannot be replayed is listed without.
func (a *app) addNodes(ctx context.Context, r source, runs []durable.Run, l *listing) {
	l.head = append(l.head, "NODES")
	cfg, err := a.config()
	left := maxReplayed
	for i, run := range runs {
		text := "-"
		if run.Program == workflow.Program && !run.Status.Final() && err == nil && left > 0 {
			left--
			if view, err := r.Progress(ctx, cfg, run.ID); err == nil {
				done, all := view.Done()
				text = fmt.Sprintf("%d/%d", done, all)
			}
		}
		l.rows[i] = append(l.rows[i], text)
	}
}

// tellNoRuns says that nothing was ever started here.
func (a *app) tellNoRuns() {
	what := "data directory"
	if _, err := os.Stat(a.flags.Data); err == nil {
		what = "database in"
	}
	fmt.Fprintf(a.stderr, "no runs: there is no %s %s yet\n", what, a.flags.Data)
}

// The column of what a run waits for, and its width.
const (
	waitsColumn = 4
	waitsWidth  = 60
)

func runListing(runs []durable.Run) listing {
	l := listing{head: []string{"RUN", "NAME", "STATUS", "AGE", "WAITS FOR", "PROGRAM", "PARENT", "CREATED"}, wide: 3}
	for _, r := range runs {
		l.rows = append(l.rows, []string{
			string(r.ID), orDash(r.Name), string(r.Status), age(r.Created), orDash(oneLine(waitsFor(r, 0), waitsWidth)),
			r.Program, orDash(string(r.Parent)), r.Created.Local().Format(time.DateTime),
		})
		l.names = append(l.names, string(r.ID))
		l.values = append(l.values, r)
	}
	return l
}

// doubtSegment is the segment of the steps in doubt for which a run waits; 0 if it does
// not wait for any.
func doubtSegment(ctx context.Context, r journals, run durable.Run) (int, error) {
	if !slices.ContainsFunc(run.Waits, func(w durable.Wait) bool { return w.Kind == durable.WaitInDoubt }) {
		return 0, nil
	}
	steps, err := r.Steps(ctx, run.ID)
	return lastSegment(steps), err
}

// lastSegment is that of the last step. A run waits only for what is in it.
func lastSegment(steps []durable.Step) int {
	if len(steps) == 0 {
		return 0
	}
	return steps[len(steps)-1].Segment
}

// waitsFor says in a few words why a run stands still; its steps in doubt are of the segment.
func waitsFor(r durable.Run, segment int) string {
	if r.Reason != "" {
		return r.Reason
	}
	var list []string
	for _, w := range r.Waits {
		switch w.Kind {
		case durable.WaitAnswer:
			list = append(list, "answer: "+w.Interrupt.Prompt)
		case durable.WaitTimer:
			list = append(list, "until "+w.Until.Local().Format(time.DateTime))
		case durable.WaitSignal:
			list = append(list, "signal "+w.Name)
		case durable.WaitChild:
			list = append(list, "child "+string(w.Child))
		case durable.WaitInDoubt:
			list = append(list, fmt.Sprintf("in doubt: step %s %s", durable.StepID{Segment: segment, Command: w.Command}, w.Name))
		}
	}
	return strings.Join(list, "; ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
