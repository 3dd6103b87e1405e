package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

type triggerCmd struct {
	List   triggerListCmd   `cmd:"" help:"List the triggers and schedules."`
	Show   triggerShowCmd   `cmd:"" help:"Show one, with what became of it."`
	Set    triggerSetCmd    `cmd:"" help:"Set those of a file, without serving it."`
	Pause  triggerPauseCmd  `cmd:"" help:"Have one start nothing until it is resumed."`
	Resume triggerResumeCmd `cmd:"" help:"Let one go on."`
	Fire   triggerFireCmd   `cmd:"" help:"Start a run of one now."`
	Emit   triggerEmitCmd   `cmd:"" help:"Tell the triggers that hear it of an event."`
	Remove triggerRemoveCmd `cmd:"" help:"Remove one; what it has started goes on."`
}

type triggerListCmd struct{}

// Help implements kong.HelpProvider.
func (triggerListCmd) Help() string {
	return `Examples:
  orpine trigger list
  orpine trigger list -o json`
}

// Run lists the triggers.
func (c *triggerListCmd) Run(ctx context.Context, a *app) error {
	return a.listTriggers(ctx, func(orpine.Trigger) bool { return true })
}

// listTriggers lists those that are wanted.
func (a *app) listTriggers(ctx context.Context, want func(orpine.Trigger) bool) error {
	return a.desk(ctx, func(r remote) error {
		text, err := r.Triggers(ctx)
		if err != nil {
			return err
		}
		var list []orpine.Trigger
		if err := json.Unmarshal(text, &list); err != nil {
			return durable.Errorf(durable.CodeUnavailable, "read the triggers: %w", err)
		}
		l := listing{head: []string{"NAME", "ON", "STARTS", "STATUS", "NEXT", "STARTED", "SKIPPED", "MISSED", "LAST RUN", "TROUBLE"}}
		for _, t := range list {
			if !want(t) {
				continue
			}
			l.names, l.values = append(l.names, t.Name), append(l.values, t)
			l.rows = append(l.rows, []string{
				t.Name, onText(t.Definition.On), t.Definition.Start.Name, triggerStatus(t), nextText(t.Next),
				fmt.Sprint(t.State.Started), fmt.Sprint(t.State.Skipped), fmt.Sprint(t.State.Missed), orDash(string(t.State.Last)),
				orDash(oneLine(t.Reason+t.State.Trouble, waitsWidth)),
			})
		}
		return a.print(l)
	})
}

// timed reports whether a trigger is a schedule.
func timed(t orpine.Trigger) bool {
	on := t.Definition.On
	return on.Cron != nil || on.Every != 0 || !on.At.IsZero()
}

func triggerStatus(t orpine.Trigger) string {
	switch t.Status { //nolint:exhaustive // the others are said as they are
	case durable.Waiting, durable.Running, durable.Queued:
		if t.State.Paused {
			return "paused"
		}
		return "on"
	case durable.Succeeded:
		return "over"
	}
	return string(t.Status)
}

func nextText(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Local().Format(time.DateTime)
}

// onText says in a few words what a trigger waits for.
func onText(on trigger.On) string {
	switch {
	case on.Cron != nil:
		return strings.TrimSpace(on.Cron.Expr + " " + on.Cron.TZ)
	case on.Every != 0:
		return "every " + on.Every.String()
	case !on.At.IsZero():
		return "at " + on.At.Format(time.RFC3339)
	case on.Event != nil:
		return "event " + strings.Join(on.Event.Names, ", ")
	case on.Webhook != nil:
		return "webhook"
	case on.Files != nil:
		return "files " + on.Files.Glob
	case on.Run != nil:
		return strings.TrimSpace("run " + on.Run.Name)
	case on.Poll != nil:
		return "poll"
	}
	return "-"
}

type triggerShowCmd struct {
	Name string `arg:"" help:"The trigger or schedule."`
}

// Help implements kong.HelpProvider.
func (triggerShowCmd) Help() string {
	return `Examples:
  orpine schedule show nightly
  orpine trigger show upload`
}

// Run shows a trigger.
func (c *triggerShowCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		text, err := r.Trigger(ctx, c.Name)
		if err != nil {
			return err
		}
		var t orpine.Trigger
		if err := json.Unmarshal(text, &t); err != nil {
			return durable.Errorf(durable.CodeUnavailable, "read the trigger: %w", err)
		}
		l := listing{single: true, names: []string{t.Name}, values: []any{t}}
		for _, row := range [][2]string{
			{"trigger", t.Name},
			{"on", onText(t.Definition.On)},
			{"starts", t.Definition.Start.Name},
			{"overlap", string(t.Definition.Overlap)},
			{"run", string(t.Run)},
			{"status", triggerStatus(t)},
			{"reason", t.Reason},
			{"next", nextText(t.Next)},
			{"started", fmt.Sprint(t.State.Started)},
			{"skipped", fmt.Sprint(t.State.Skipped)},
			{"missed", fmt.Sprint(t.State.Missed)},
			{"failed", fmt.Sprint(t.State.Failed)},
			{"waiting", fmt.Sprint(len(t.State.Waiting))},
			{"last run", string(t.State.Last)},
			{"trouble", t.State.Trouble},
		} {
			if row[1] != "" {
				l.rows = append(l.rows, []string{row[0], row[1]})
			}
		}
		return a.print(l)
	})
}

type triggerSetCmd struct {
	File string `arg:"" help:"YAML file, with #NAME for one of its schedules and triggers." placeholder:"FILE[#NAME]"`
}

// Help implements kong.HelpProvider.
func (triggerSetCmd) Help() string {
	return `'orpine serve FILE' sets the schedules and triggers of its file by itself; this sets them in a data
directory, or on a server, without that. One that is there goes on by what the file says now, and keeps
its counts. They start something while a process drives the data directory.

Examples:
  orpine trigger set report.yaml
  orpine schedule set report.yaml#monthly`
}

// Run sets triggers.
func (c *triggerSetCmd) Run(ctx context.Context, a *app) error {
	path, name, named := strings.Cut(c.File, "#")
	f, err := config.Load(path, a.env)
	if err != nil {
		return err
	}
	gear, err := a.outfit()
	if err != nil {
		return err
	}
	names := f.TriggerNames()
	if named {
		names = []string{name}
	}
	if len(names) == 0 {
		return durable.Errorf(durable.CodeInvalid, "%s has no schedules and no triggers", path)
	}
	return a.desk(ctx, func(r remote) error {
		for _, name := range names {
			d, err := gear.Trigger(f, name)
			if err != nil {
				return err
			}
			data, err := json.Marshal(d)
			if err != nil {
				return err
			}
			if _, err := r.SetTrigger(ctx, name, data); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "%s: %s starts %s\n", name, onText(d.On), d.Start.Name)
		}
		return nil
	})
}

type triggerPauseCmd struct {
	Name string `arg:"" help:"The trigger or schedule."`
}

// Help implements kong.HelpProvider.
func (triggerPauseCmd) Help() string {
	return `Examples:
  orpine schedule pause nightly
  orpine trigger pause upload`
}

// Run pauses a trigger.
func (c *triggerPauseCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error { return r.PauseTrigger(ctx, c.Name) })
}

type triggerResumeCmd struct {
	Name string `arg:"" help:"The trigger or schedule."`
}

// Help implements kong.HelpProvider.
func (triggerResumeCmd) Help() string {
	return `What was due meanwhile is not made up for; see orpine schedule backfill.

Examples:
  orpine schedule resume nightly
  orpine trigger resume upload`
}

// Run resumes a trigger.
func (c *triggerResumeCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error { return r.ResumeTrigger(ctx, c.Name) })
}

type triggerFireCmd struct {
	Name  string `arg:"" help:"The trigger or schedule."`
	Input string `arg:"" optional:"" help:"In place of the input that it has: JSON, or @FILE."`
}

// Help implements kong.HelpProvider.
func (triggerFireCmd) Help() string {
	return `Starts a run whatever goes on, and whatever is due.

Examples:
  orpine schedule fire nightly
  orpine trigger fire upload`
}

// Run fires a trigger.
func (c *triggerFireCmd) Run(ctx context.Context, a *app) error {
	var input json.RawMessage
	if c.Input != "" {
		var err error
		if input, err = readValue(c.Input); err != nil {
			return err
		}
	}
	return a.desk(ctx, func(r remote) error { return r.FireTrigger(ctx, c.Name, input) })
}

type triggerEmitCmd struct {
	Event string `arg:"" help:"The name of the event."`
	Data  string `arg:"" optional:"" help:"Its data: JSON, or @FILE."`
	ID    string `name:"id" help:"What comes twice under one ID counts once." placeholder:"ID"`
}

// Help implements kong.HelpProvider.
func (triggerEmitCmd) Help() string {
	return `Examples:
  orpine trigger emit order.paid '{"order": 17}' --id order-17`
}

// Run tells of an event.
func (c *triggerEmitCmd) Run(ctx context.Context, a *app) error {
	e := trigger.Occurred{Name: c.Event, ID: c.ID}
	var err error
	if c.Data != "" {
		if e.Data, err = readValue(c.Data); err != nil {
			return err
		}
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return a.desk(ctx, func(r remote) error {
		told, err := r.Emit(ctx, data)
		if err == nil {
			fmt.Fprintf(a.stderr, "%s told of %s\n", counted(told, "trigger"), c.Event)
		}
		return err
	})
}

type triggerRemoveCmd struct {
	Name string `arg:"" help:"The trigger or schedule."`
}

// Help implements kong.HelpProvider.
func (triggerRemoveCmd) Help() string {
	return `Examples:
  orpine schedule remove nightly
  orpine trigger remove upload`
}

// Run removes a trigger.
func (c *triggerRemoveCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error { return r.RemoveTrigger(ctx, c.Name) })
}
