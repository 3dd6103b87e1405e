package main

import (
	"context"
	"strings"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

type treeCmd struct {
	Ref string `arg:"" help:"The run."`
}

// Help implements kong.HelpProvider.
func (treeCmd) Help() string {
	return `Lists a run with its children, their children and so on.

Examples:
  orpine tree @last
  orpine tree @last -o json`
}

// Run lists a run with its children.
func (c *treeCmd) Run(ctx context.Context, a *app) error {
	s, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	run, err := s.Get(ctx, id)
	if err != nil {
		return closing(err, s)
	}
	l := listing{single: true, head: []string{"RUN", "NAME", "STATUS", "AGE", "WAITS FOR"}}
	root, err := c.grow(ctx, s, run, 0, &l)
	l.values = []any{root}
	if err = closing(err, s); err != nil {
		return err
	}
	return a.print(l)
}

// grow adds a run and all below it to the listing.
func (c *treeCmd) grow(ctx context.Context, s source, run durable.Run, depth int, l *listing) (*client.Node, error) {
	const most = 10_000
	if len(l.rows) == most {
		return nil, durable.Errorf(durable.CodeExhausted, "the tree has more than %d runs; orpine ps -a lists them", most)
	}
	l.rows = append(l.rows, []string{
		strings.Repeat("  ", depth) + string(run.ID), orDash(run.Name), string(run.Status), age(run.Created), orDash(oneLine(waitsFor(run, 0), waitsWidth)),
	})
	l.names = append(l.names, string(run.ID))
	n := &client.Node{Run: run}
	children, err := s.List(ctx, durable.Filter{Parent: run.ID, Oldest: true, Limit: most})
	if err != nil {
		return nil, err
	}
	for _, child := range children {
		below, err := c.grow(ctx, s, child, depth+1, l)
		if err != nil {
			return nil, err
		}
		n.Children = append(n.Children, below)
	}
	return n, nil
}
