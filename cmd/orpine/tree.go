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
	root, err := s.Tree(ctx, id)
	if err = closing(err, s); err != nil {
		return err
	}
	l := listing{single: true, head: []string{"RUN", "NAME", "STATUS", "AGE", "WAITS FOR"}, values: []any{root}}
	c.list(root, 0, &l)
	return a.print(l)
}

// list adds a run and all below it to the listing.
func (c *treeCmd) list(n *client.Node, depth int, l *listing) {
	l.rows = append(l.rows, []string{
		strings.Repeat("  ", depth) + string(n.ID), orDash(n.Name), string(n.Status), age(n.Created), orDash(oneLine(waitsFor(n.Run, 0), waitsWidth)),
	})
	l.names = append(l.names, string(n.ID))
	for _, child := range n.Children {
		c.list(child, depth+1, l)
	}
}

// maxNodes bounds a tree, here as on a server.
const maxNodes = 10_000

// Tree implements source. Error: exhausted for more than 10,000 runs.
func (h here) Tree(ctx context.Context, id durable.RunID) (*client.Node, error) {
	run, err := h.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	left := maxNodes
	return h.grow(ctx, run, &left)
}

func (h here) grow(ctx context.Context, run durable.Run, left *int) (*client.Node, error) {
	if *left--; *left < 0 {
		return nil, durable.Errorf(durable.CodeExhausted, "the tree has more than %d runs; orpine ps -a lists them", maxNodes)
	}
	n := &client.Node{Run: run}
	children, err := h.List(ctx, durable.Filter{Parent: run.ID, Oldest: true, Limit: maxNodes})
	if err != nil {
		return nil, err
	}
	for _, child := range children {
		below, err := h.grow(ctx, child, left)
		if err != nil {
			return nil, err
		}
		n.Children = append(n.Children, below)
	}
	return n, nil
}
