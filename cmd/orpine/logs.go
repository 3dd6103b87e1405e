package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

type logsCmd struct {
	Ref    string `arg:"" help:"The run."`
	Follow bool   `short:"f" help:"Wait for more until the run ends."`
	After  int64  `help:"Only events with a higher seq." default:"-1" placeholder:"SEQ"`
}

// Help implements kong.HelpProvider.
func (logsCmd) Help() string {
	return `Prints the events of a run in order; each has a seq, by which a reader that was cut off
goes on: --after SEQ. Following works while another process drives the run.

Examples:
  orpine logs @last
  orpine logs -f @last -o jsonl
  orpine logs @last --after 12`
}

// Run prints the events of a run.
func (c *logsCmd) Run(ctx context.Context, a *app) error {
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	return closing(c.events(ctx, a, r, id), r)
}

// events prints them. As JSON they are one list.
func (c *logsCmd) events(ctx context.Context, a *app, r source, id durable.RunID) error {
	show, end := a.printEvent, func() error { return nil }
	if a.flags.Output == "json" {
		out := &stream{app: a}
		show, end = func(e *durable.Event) error { return out.add("", "", e) }, out.end
	}
	if c.Follow {
		for item, err := range r.Follow(ctx, id, c.After) {
			if err != nil {
				return err
			}
			if err := show(item.Event); err != nil {
				return err
			}
		}
		return end()
	}
	for after := c.After; ; {
		const page = 500
		entries, err := r.Entries(ctx, id, after, page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			after = e.Seq
			if err := show(&durable.Event{Run: id, Entry: e}); err != nil {
				return err
			}
		}
		if len(entries) < page {
			return end()
		}
	}
}

// printEvent prints one event: a line for people, or a value in the other formats.
func (a *app) printEvent(e *durable.Event) error {
	switch a.flags.Output {
	case "table", "wide":
		_, err := fmt.Fprintf(a.stdout, "%5d  %s  %-9s  %s\n", e.Seq, e.Time.Local().Format("15:04:05.000"), e.Kind, eventText(&e.Entry))
		return err
	case "name":
		_, err := fmt.Fprintln(a.stdout, e.Kind)
		return err
	case "yaml":
		if _, err := fmt.Fprintln(a.stdout, "---"); err != nil { // each event is a document
			return err
		}
		return printYAML(a.stdout, listing{single: true, values: []any{e}})
	default:
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	}
}

// eventText says what an entry records, for a person.
func eventText(e *durable.Entry) string {
	text := e.Name
	switch e.Kind {
	case durable.EntryStarted:
		text = "program " + e.Name
	case durable.EntryClaimed:
		text = "taken over after a crash"
	case durable.EntryDone, durable.EntryIntent:
		if e.Attempt > 1 {
			text += fmt.Sprintf(" (attempt %d)", e.Attempt)
		}
	case durable.EntryAttempt:
		text += fmt.Sprintf(" attempt %d", e.Attempt)
		if !e.Until.IsZero() { // else it was not begun, or an operator ordered the next one
			text += " failed, next at " + e.Until.Local().Format("15:04:05.000")
		}
	case durable.EntryTimer:
		text = "until " + e.Until.Local().Format("15:04:05.000")
	case durable.EntryAsked:
		text = e.Interrupt.Prompt
	case durable.EntryChild:
		text += " as run " + string(e.Child)
	case durable.EntryContinued:
		text = fmt.Sprintf("segment %d", e.Segment)
	case durable.EntryForked:
		text = ""
	case durable.EntryEnded:
		text = string(e.Status)
	case durable.EntryEscalated:
		text += " to " + strings.Join(e.Interrupt.To, ", ")
	case durable.EntrySignal, durable.EntryAnswered, durable.EntryVoted, durable.EntryFired, durable.EntryChildDone,
		durable.EntryCancel, durable.EntryBlocked, durable.EntryUnblocked, durable.EntryPaused, durable.EntryResumed:
	}
	if e.By != "" {
		text += " by " + e.By
	}
	if e.Reason != "" {
		text += ": " + oneLine(e.Reason, 200)
	}
	if e.Error != nil && e.Error.Message != e.Reason {
		text += ": " + oneLine(e.Error.Message, 200)
	}
	if v := oneLine(string(e.Output), 100); v != "" {
		text += " -> " + v
	}
	return strings.TrimPrefix(text, ": ")
}
