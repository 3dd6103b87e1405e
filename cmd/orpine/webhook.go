package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

type webhookCmd struct {
	Add    webhookAddCmd    `cmd:"" help:"Have a URL told when runs change their status."`
	List   webhookListCmd   `cmd:"" help:"List the webhooks, without their secrets."`
	Remove webhookRemoveCmd `cmd:"" help:"Forget a webhook."`
}

type webhookAddCmd struct {
	URL    string   `arg:"" help:"Where it is told."`
	Status []string `help:"Only of changes to these; may be repeated." placeholder:"STATUS" enum:"queued,running,waiting,paused,succeeded,failed,canceled,killed,blocked"`
	Tenant string   `help:"Only of the runs of this tenant." placeholder:"NAME"`
}

// Help implements kong.HelpProvider.
func (webhookAddCmd) Help() string {
	return `What is sent is signed with a secret that the server makes; it is the answer, and is shown once.

Examples:
  orpine webhook add https://example.com/orpine
  orpine webhook add https://example.com/orpine --status failed,blocked`
}

// Run adds a webhook.
func (c *webhookAddCmd) Run(ctx context.Context, a *app) error {
	in := client.Webhook{URL: c.URL, Tenant: c.Tenant}
	for _, s := range c.Status {
		in.Statuses = append(in.Statuses, durable.Status(s))
	}
	return a.desk(ctx, func(r remote) error {
		w, err := r.AddWebhook(ctx, in)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "webhook %s; its secret is not shown again\n", w.ID)
		return a.print(listing{single: true, rows: [][]string{{w.Secret}}, names: []string{w.ID}, values: []any{w}})
	})
}

type webhookListCmd struct{}

// Help implements kong.HelpProvider.
func (webhookListCmd) Help() string {
	return `Examples:
  orpine webhook list
  orpine webhook list -o json`
}

// Run lists the webhooks.
func (*webhookListCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		list, err := r.Webhooks(ctx)
		if err != nil {
			return err
		}
		l := listing{head: []string{"WEBHOOK", "URL", "STATUSES", "TENANT", "FAILING"}}
		for _, w := range list {
			var statuses []string
			for _, s := range w.Statuses {
				statuses = append(statuses, string(s))
			}
			l.rows = append(l.rows, []string{w.ID, w.URL, orDash(strings.Join(statuses, " ")), orDash(w.Tenant), orDash(oneLine(w.Failing, waitsWidth))})
			l.names = append(l.names, w.ID)
			l.values = append(l.values, w)
		}
		return a.print(l)
	})
}

type webhookRemoveCmd struct {
	ID string `arg:"" help:"ID of the webhook, as orpine webhook list prints it."`
}

// Help implements kong.HelpProvider.
func (webhookRemoveCmd) Help() string {
	return `Examples:
  orpine webhook remove wh_38g7k53qtrboftkr`
}

// Run removes a webhook.
func (c *webhookRemoveCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		err := r.RemoveWebhook(ctx, c.ID)
		if err == nil {
			fmt.Fprintf(a.stderr, "webhook %s is told nothing more\n", c.ID)
		}
		return err
	})
}
