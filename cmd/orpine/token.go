package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token; its secret is printed once."`
	List   tokenListCmd   `cmd:"" help:"List the tokens, without their secrets."`
	Revoke tokenRevokeCmd `cmd:"" help:"Make a token worthless at once."`
}

// desk does something that only a server does: the one that was named, or the one behind the
// door of the data directory. Where nobody owns that, this process does for a moment.
func (a *app) desk(ctx context.Context, do func(r remote) error) error {
	if a.far() {
		far, err := a.dial()
		if err != nil {
			return err
		}
		return closing(do(far), far)
	}
	o, err := a.openTo(ctx, true)
	if err != nil && !errors.Is(err, durable.ErrConflict) {
		return err
	}
	door, err := a.knock()
	if err == nil {
		err = closing(do(door), door)
	}
	if o != nil {
		err = closing(err, o)
	}
	return err
}

type tokenCreateCmd struct {
	Name   string   `arg:"" help:"Who uses it: what is done with it is recorded under this name."`
	Scope  []string `help:"What it may be used for, such as runs:read, runs:* or *; may be repeated." required:"" placeholder:"SCOPE"`
	Tenant string   `help:"The only tenant whose runs it reaches; all when absent." placeholder:"NAME"`
	TTL    string   `name:"ttl" help:"How long it is good for; 90 days when absent." placeholder:"TIME"`
}

// Help implements kong.HelpProvider.
func (tokenCreateCmd) Help() string {
	return `The secret is the answer, and is kept nowhere: who loses it makes another one. From the first token
on every request to a server on this data directory needs one.

Examples:
  orpine token create ci --scope runs:write --scope runs:read --ttl 24h
  ORPINE_TOKEN=$(orpine token create me --scope '*') orpine ps --server http://127.0.0.1:7420`
}

// Run makes a token.
func (c *tokenCreateCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		t, err := r.CreateToken(ctx, client.NewToken{Name: c.Name, Scopes: c.Scope, Tenant: c.Tenant, TTL: c.TTL})
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "token %s of %s, good until %s; its secret is not shown again\n", t.ID, t.Name, dateOf(t.Expires))
		return a.print(listing{single: true, rows: [][]string{{t.Secret}}, names: []string{t.ID}, values: []any{t}})
	})
}

// dateOf is a moment for a person; a dash for none.
func dateOf(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

type tokenListCmd struct{}

// Help implements kong.HelpProvider.
func (tokenListCmd) Help() string {
	return `Those that have expired are listed too.

Examples:
  orpine token list
  orpine token list -o json`
}

// Run lists the tokens.
func (*tokenListCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		list, err := r.Tokens(ctx)
		if err != nil {
			return err
		}
		l := listing{head: []string{"TOKEN", "NAME", "SCOPES", "TENANT", "EXPIRES", "CREATED"}, wide: 1}
		for _, t := range list {
			l.rows = append(l.rows, []string{t.ID, t.Name, strings.Join(t.Scopes, " "), orDash(t.Tenant), dateOf(t.Expires), dateOf(t.Created)})
			l.names = append(l.names, t.ID)
			l.values = append(l.values, t)
		}
		return a.print(l)
	})
}

type tokenRevokeCmd struct {
	ID string `arg:"" help:"ID of the token, as orpine token list prints it."`
}

// Help implements kong.HelpProvider.
func (tokenRevokeCmd) Help() string {
	return `Examples:
  orpine token revoke 38g7k53qtrboftkr`
}

// Run revokes a token.
func (c *tokenRevokeCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		err := r.RevokeToken(ctx, c.ID)
		if err == nil {
			fmt.Fprintf(a.stderr, "token %s is worthless now\n", c.ID)
		}
		return err
	})
}
