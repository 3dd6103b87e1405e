package main

import (
	"context"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/durable"
)

type stepsCmd struct {
	Ref string `arg:"" help:"The run."`
}

// Help implements kong.HelpProvider.
func (stepsCmd) Help() string {
	return `Each step is listed with its kind, status, attempt, times and the content hashes of its
input and output; -o json has all of it.

Examples:
  orpine steps @last
  orpine steps @last -o json`
}

// Run lists the steps of a run.
func (c *stepsCmd) Run(ctx context.Context, a *app) error {
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	steps, err := r.Steps(ctx, id)
	if err != nil {
		return closing(err, r)
	}
	l := listing{head: []string{"STEP", "NAME", "KIND", "STATUS", "ATTEMPT", "TOOK", "ERROR", "STARTED", "ENDED", "INPUT", "OUTPUT"}, wide: 4}
	for _, s := range steps {
		message := ""
		if s.Error != nil {
			message = oneLine(s.Error.Message, 60)
		}
		l.rows = append(l.rows, []string{
			s.StepID().String(), s.Name, string(s.Kind), string(s.Status), strconv.Itoa(s.Attempt), took(s), orDash(message),
			timeOfDay(s.Started), timeOfDay(s.Ended), short(s.Input), short(s.Output),
		})
		l.names = append(l.names, s.Name)
		l.values = append(l.values, s)
	}
	return closing(a.print(l), r)
}

func took(s durable.Step) string {
	if s.Ended.IsZero() {
		return "-"
	}
	return span(s.Ended.Sub(s.Started))
}

func timeOfDay(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("15:04:05.000")
}

func short(ref *durable.Ref) string {
	if ref == nil {
		return "-"
	}
	return ref.Hash[:12]
}
