package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

// scheduleCmd is triggerCmd for the triggers whose source is time, and what only these have.
type scheduleCmd struct {
	List     scheduleListCmd     `cmd:"" help:"List the schedules, with when they are due."`
	Show     triggerShowCmd      `cmd:"" help:"Show one, with what became of it."`
	Set      triggerSetCmd       `cmd:"" help:"Set those of a file, without serving it."`
	Pause    triggerPauseCmd     `cmd:"" help:"Have one start nothing until it is resumed."`
	Resume   triggerResumeCmd    `cmd:"" help:"Let one go on."`
	Fire     triggerFireCmd      `cmd:"" help:"Start a run of one now."`
	Backfill scheduleBackfillCmd `cmd:"" help:"Start what was due in a stretch of time and has no run."`
	Next     scheduleNextCmd     `cmd:"" help:"Say when a cron expression is due."`
	Remove   triggerRemoveCmd    `cmd:"" help:"Remove one; what it has started goes on."`
}

type scheduleListCmd struct{}

// Help implements kong.HelpProvider.
func (scheduleListCmd) Help() string {
	return `Examples:
  orpine schedule list`
}

// Run lists the schedules.
func (c *scheduleListCmd) Run(ctx context.Context, a *app) error { return a.listTriggers(ctx, timed) }

type scheduleBackfillCmd struct {
	Name   string `arg:"" help:"The schedule."`
	From   string `required:"" help:"From when on, such as 2026-01-01 or 2026-01-01T07:00:00Z." placeholder:"TIME"`
	To     string `help:"Until when; now when absent." placeholder:"TIME"`
	AtOnce int    `help:"How many runs at once." default:"1"`
}

// Help implements kong.HelpProvider.
func (scheduleBackfillCmd) Help() string {
	return `Due times that have a run already are left out.

Examples:
  orpine schedule backfill nightly --from 2026-01-01 --at-once 2`
}

// Run starts what was due.
func (c *scheduleBackfillCmd) Run(ctx context.Context, a *app) error {
	b := trigger.Backfill{To: time.Now().UTC(), AtOnce: c.AtOnce}
	var err error
	if b.From, err = moment(c.From); err != nil {
		return err
	}
	if c.To != "" {
		if b.To, err = moment(c.To); err != nil {
			return err
		}
	}
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return a.desk(ctx, func(r remote) error { return r.BackfillTrigger(ctx, c.Name, data) })
}

// moment reads a time, or the beginning of a day in UTC.
func moment(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, durable.Errorf(durable.CodeInvalid, "%q is no time such as 2026-01-01 or 2026-01-01T07:00:00Z", text)
}

type scheduleNextCmd struct {
	Cron string `arg:"" help:"Minute, hour, day of the month, month and day of the week, such as '0 7 1 * *'."`
	TZ   string `name:"tz" help:"Time zone; UTC when absent." placeholder:"ZONE"`
	N    int    `short:"n" help:"How many times." default:"5"`
}

// Help implements kong.HelpProvider.
func (scheduleNextCmd) Help() string {
	return `Examples:
  orpine schedule next '30 2 * * *' --tz Europe/Berlin -n 3`
}

// Run says when an expression is due.
func (c *scheduleNextCmd) Run(_ context.Context, a *app) error {
	clock, err := trigger.NewClock(trigger.Cron{Expr: c.Cron, TZ: c.TZ})
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(cmp.Or(c.TZ, "UTC"))
	if err != nil {
		return err // NewClock has found it
	}
	at := time.Now()
	for range c.N {
		var ok bool
		if at, ok = clock.Next(at); !ok {
			break
		}
		if _, err := fmt.Fprintln(a.stdout, at.In(zone).Format("Mon 2006-01-02 15:04:05 MST -07:00")); err != nil {
			return err
		}
	}
	return nil
}
