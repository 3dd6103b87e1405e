package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/orpine-run/orpine/durable"
)

type rulesCmd struct {
	List   rulesListCmd   `cmd:"" help:"List the decisions that stand."`
	Revoke rulesRevokeCmd `cmd:"" help:"Take one back."`
}

type rulesListCmd struct{}

// Help implements kong.HelpProvider.
func (rulesListCmd) Help() string {
	return `orpine approve --always makes a decision that stands: calls of that tool are accepted from then on.

Examples:
  orpine rules list
  orpine rules list -o json`
}

// Run lists the decisions that stand.
func (*rulesListCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		list, err := r.Rules(ctx)
		if err != nil {
			return err
		}
		l := listing{head: []string{"RULE", "TOOL", "AGENT", "BY", "TENANT", "RUN", "SINCE"}, wide: 2}
		for _, s := range list {
			l.rows = append(l.rows, []string{s.ID, s.Tool, cmp.Or(s.Agent, "(all)"), orDash(s.By), orDash(s.Tenant), s.Run, dateOf(s.Time)})
			l.names = append(l.names, s.ID)
			l.values = append(l.values, s)
		}
		return a.print(l)
	})
}

type rulesRevokeCmd struct {
	ID string `arg:"" help:"ID of the rule, as orpine rules list prints it."`
}

// Help implements kong.HelpProvider.
func (rulesRevokeCmd) Help() string {
	return `From then on a person is asked again; what was accepted before stays so.

Examples:
  orpine rules revoke 9f86d081884c7d65`
}

// Run takes a decision back.
func (c *rulesRevokeCmd) Run(ctx context.Context, a *app) error {
	if c.ID == "" {
		return durable.Errorf(durable.CodeInvalid, "name a rule: orpine rules list names them")
	}
	return a.desk(ctx, func(r remote) error {
		err := r.RevokeRule(ctx, c.ID)
		if err == nil {
			fmt.Fprintf(a.stderr, "rule %s no longer stands\n", c.ID)
		}
		return err
	})
}
