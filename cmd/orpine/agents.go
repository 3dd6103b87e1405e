package main

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine/client"
)

type agentsCmd struct {
	List     agentsListCmd     `cmd:"" default:"1" help:"List the agents of a server."`
	Show     agentsShowCmd     `cmd:"" help:"Show an agent with its definition and versions."`
	Rollback agentsRollbackCmd `cmd:"" help:"Make an earlier version the current one."`
}

type agentsListCmd struct{}

// Help implements kong.HelpProvider.
func (agentsListCmd) Help() string {
	return `Examples:
  orpine agents list --server http://127.0.0.1:7420
  orpine agents`
}

// Run lists the agents.
func (*agentsListCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		list, err := r.Agents(ctx)
		if err != nil {
			return err
		}
		l := listing{head: []string{"AGENT", "VERSION", "FROM", "CHANGED"}}
		for _, one := range list {
			l.rows = append(l.rows, []string{one.Name, brief(one.Hash), one.Source, dateOf(one.Updated)})
			l.names = append(l.names, one.Name)
			l.values = append(l.values, one)
		}
		return a.print(l)
	})
}

// brief is as much of a hash as names a version.
func brief(hash string) string { return hash[:min(len(hash), 12)] }

type agentsShowCmd struct {
	Name    string `arg:"" help:"The agent."`
	Version string `help:"The beginning of the hash of a version; the current one when absent." placeholder:"HASH"`
}

// Help implements kong.HelpProvider.
func (agentsShowCmd) Help() string {
	return `Examples:
  orpine agents show reviewer
  orpine agents show reviewer --version 3fb2c1d09a77 -o json`
}

// Run shows an agent.
func (c *agentsShowCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		one, err := r.Agent(ctx, c.Name, c.Version)
		if err != nil {
			return err
		}
		return a.print(agentListing(one))
	})
}

func agentListing(one client.Agent) listing {
	l := listing{single: true, names: []string{one.Hash}, values: []any{one}, rows: [][]string{
		{"agent", one.Name}, {"version", one.Hash}, {"from", one.Source}, {"changed", dateOf(one.Updated)}, {"definition", string(one.Definition)},
	}}
	for _, v := range one.Versions {
		if v != one.Hash {
			l.rows = append(l.rows, []string{"other version", v})
		}
	}
	return l
}

type agentsRollbackCmd struct {
	Name string `arg:"" help:"The agent."`
	Hash string `arg:"" help:"The version: the beginning of its hash, at least 8 digits."`
}

// Help implements kong.HelpProvider.
func (agentsRollbackCmd) Help() string {
	return `Runs under way keep the version they began with. An agent of the server's file is changed until the
file is.

Examples:
  orpine agents rollback reviewer 3fb2c1d09a77`
}

// Run makes an earlier version the current one.
func (c *agentsRollbackCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		one, err := r.RollbackAgent(ctx, c.Name, c.Hash)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "agent %s is version %s now\n", one.Name, brief(one.Hash))
		return a.print(agentListing(one))
	})
}
