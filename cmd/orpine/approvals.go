package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
)

type approvalsCmd struct {
	To string `help:"Only what is put to this name, or to nobody by name." placeholder:"NAME"`
}

// Help implements kong.HelpProvider.
func (approvalsCmd) Help() string {
	return `Lists what waits for a person: calls that agents want to make, and questions. approve, reject, edit
and respond decide on a call, answer answers a question.

Examples:
  orpine approvals
  orpine approvals --to anna -o json
  orpine approvals -o name`
}

// Run lists what waits for a person.
func (c *approvalsCmd) Run(ctx context.Context, a *app) error {
	l := listing{head: []string{"RUN", "ID", "KIND", "WHAT", "TO", "SINCE", "UNTIL"}}
	s, err := a.source(ctx)
	if errors.Is(err, durable.ErrNotFound) {
		a.tellNoRuns()
		return a.print(l)
	}
	if err != nil {
		return err
	}
	list, err := s.Questions(ctx, durable.Filter{})
	if err = closing(err, s); err != nil {
		return err
	}
	for _, q := range list {
		if c.To != "" && len(q.To) > 0 && !slices.Contains(q.To, c.To) {
			continue
		}
		until := "-"
		if !q.Until.IsZero() {
			until = q.Until.Local().Format(time.DateTime)
		}
		what := wishText(q.Interrupt)
		if a.flags.Output != "wide" {
			what = oneLine(what, waitsWidth)
		}
		l.rows = append(l.rows, []string{string(q.Run), q.ID, q.Kind, oneLine(what, len(what)+1), orDash(strings.Join(q.To, ", ")), age(q.Since), until})
		l.names = append(l.names, string(q.Run))
		l.values = append(l.values, q)
	}
	return a.print(l)
}
