package main

import (
	"context"
	"strings"

	"github.com/orpine-run/orpine/workflow"
)

type assetsCmd struct {
	Asset string `arg:"" optional:"" help:"Only this asset."`
}

// Help implements kong.HelpProvider.
func (assetsCmd) Help() string {
	return `What the steps of workflows have made, each partition by itself: when, by which run, of which other assets,
what was recorded of it and which of its checks it passes.

Examples:
  orpine assets
  orpine assets monthly_orders -o json`
}

// Run lists the assets.
func (c *assetsCmd) Run(ctx context.Context, a *app) error {
	s, err := a.source(ctx)
	if err != nil {
		return err
	}
	list, err := s.Assets(ctx, "", c.Asset)
	if err != nil {
		return closing(err, s)
	}
	l := listing{head: []string{"ASSET", "PARTITION", "MADE", "RUN", "OF", "CHECKS", "METADATA"}}
	for _, m := range list {
		l.names = append(l.names, m.Asset)
		l.values = append(l.values, m)
		l.rows = append(l.rows, []string{
			m.Asset, orDash(m.Partition), age(m.At) + " ago", string(m.Run), orDash(strings.Join(m.Needs, ", ")), orDash(checks(m.Checks)), orDash(oneLine(string(m.Metadata), 80)),
		})
	}
	return closing(a.print(l), s)
}

// checks says in a few words which checks were met.
func checks(list []workflow.Checked) string {
	var words []string
	for _, c := range list {
		switch {
		case c.Passed:
			words = append(words, c.Name+" ok")
		case c.Warns:
			words = append(words, c.Name+" missed (warns)")
		default:
			words = append(words, c.Name+" MISSED")
		}
	}
	return strings.Join(words, ", ")
}
