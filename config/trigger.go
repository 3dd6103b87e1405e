package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/suggest"
	"github.com/orpine-run/orpine/trigger"
)

// Trigger is an entry of the schedules or the triggers section; see package trigger for what its
// fields mean.
type Trigger struct {
	Cron  string        `json:"cron,omitempty"`
	TZ    string        `json:"tz,omitempty"`
	Every time.Duration `json:"every,omitempty"`
	At    string        `json:"at,omitempty"`
	On    *TriggerOn    `json:"on,omitempty"`

	Run      string          `json:"run"` // a workflow or an agent
	With     json.RawMessage `json:"with,omitempty"`
	Overlap  string          `json:"overlap,omitempty"`
	QueueMax int             `json:"queue_max,omitempty"`
	CatchUp  *time.Duration  `json:"catch_up,omitempty"`
	Jitter   time.Duration   `json:"jitter,omitempty"`
	Paused   bool            `json:"paused,omitempty"`
}

// TriggerOn is what a Trigger waits for.
type TriggerOn struct {
	Event   *trigger.Event   `json:"event,omitempty"`
	Asset   *TriggerAsset    `json:"asset,omitempty"`
	Webhook *trigger.Webhook `json:"webhook,omitempty"`
	Files   *trigger.Files   `json:"files,omitempty"`
	Run     *trigger.RunEnd  `json:"run,omitempty"`
	Poll    *TriggerPoll     `json:"poll,omitempty"`
}

// TriggerAsset waits for assets that are made anew.
type TriggerAsset struct {
	Names    []string      `json:"names"`
	If       string        `json:"if,omitempty"`
	All      bool          `json:"all,omitempty"`
	Within   time.Duration `json:"within,omitempty"`
	Collapse bool          `json:"collapse,omitempty"`
}

// TriggerPoll is what is asked again and again: a tool that returns a list of objects with a key.
type TriggerPoll struct {
	Tool  string          `json:"tool"`
	With  json.RawMessage `json:"with,omitempty"`
	Every time.Duration   `json:"every,omitempty"`
}

func scheduleFields() []field {
	return append([]field{
		{name: "cron", is: text, doc: "Minute, hour, day of the month, month and day of the week, such as 0 7 1 * *, or @daily"},
		{name: "tz", is: text, doc: "The time zone of cron, such as Europe/Berlin; default UTC"},
		{name: "every", is: duration, doc: "An interval, from when the schedule was set, such as 15m"},
		{name: "at", is: text, doc: "Once, such as 2026-01-31T12:00:00Z"},
	}, startFields()...)
}

func triggerFields() []field {
	return append([]field{
		{name: "on", is: object, required: true, fields: onFields(), doc: "What it waits for: one of its fields"},
	}, startFields()...)
}

func startFields() []field {
	return []field{
		{name: "run", is: text, required: true, doc: "The workflow or agent of this file that is started"},
		{name: "with", is: anything, raw: true, doc: "Its input, with ${{ trigger.… }}; for an agent { text: … }"},
		{name: "overlap", is: text, choices: []string{"skip", "queue", "cancel", "allow"}, doc: "What if the run before goes on still: skip (default for schedules), queue (for triggers), cancel it, or allow both"},
		{name: "queue_max", is: count, doc: "How many starts may wait in a queue; default 100"},
		{name: "catch_up", is: duration, doc: "How late a due time may be noticed after a downtime; later it is missed; default 1h"},
		{name: "jitter", is: duration, doc: "By how much at most a start is put off, always the same for the same due time; default 0"},
		{name: "paused", is: flag, doc: "Whether it begins paused; default false"},
	}
}

func onFields() []field {
	several := []field{
		{name: "if", is: text, raw: true, doc: "A condition over event; default all"},
		{name: "all", is: flag, doc: "Whether each of the names must have come since the last start; default any"},
		{name: "within", is: duration, doc: "How long others are waited for, to become one start with the first"},
		{name: "collapse", is: flag, doc: "Whether those that come while one waits become one start; default false"},
	}
	return []field{
		{name: "event", is: object, short: "names", shortList: "names", fields: append([]field{
			{name: "names", is: texts, single: true, required: true, doc: "Names of events, any of them"},
		}, several...), doc: "An event, as orpine trigger emit and POST /v1/events send them; a name is short for names"},
		{name: "asset", is: object, short: "names", shortList: "names", fields: append([]field{
			{name: "names", is: texts, single: true, required: true, doc: "Names of assets, any of them"},
		}, several...), doc: "An asset that was made anew; a name is short for names"},
		{name: "webhook", is: object, short: "secret", fields: []field{
			{name: "secret", is: text, required: true, doc: "The name of the secret that requests are signed with, as orpine secret knows it"},
			{name: "scheme", is: text, choices: []string{"standard", "github", "stripe", "slack"}, doc: "How they are signed; default standard (Standard Webhooks)"},
			{name: "if", is: text, raw: true, doc: "A condition over event; default all"},
		}, doc: "A signed request to /v1/hooks/NAME; a text is short for secret"},
		{name: "files", is: object, fields: []field{
			{name: "folder", is: text, place: true, required: true, doc: "A folder, relative to this file"},
			{name: "glob", is: text, required: true, doc: "Which files in it, such as *.csv; ** stands for any folders"},
			{name: "existing", is: flag, doc: "Whether those count that are there when it first looks; default false"},
			{name: "every", is: duration, doc: "Between two looks; default 5s"},
		}, doc: "Files that are new or have changed: one run for each"},
		{name: "run", is: object, short: "name", fields: []field{
			{name: "name", is: text, doc: "The name of the run; default any"},
			{name: "program", is: text, doc: "Its program; default any"},
			{name: "statuses", is: texts, single: true, choices: []string{"succeeded", "failed", "canceled", "killed"}, doc: "How it ended; default in whatever way"},
			{name: "every", is: duration, doc: "Between two looks; default 1s"},
		}, doc: "The end of another run; a name is short for name"},
		{name: "poll", is: object, short: "tool", fields: []field{
			{name: "tool", is: text, required: true, doc: "A tool of this file that returns a list: texts, or objects with a key; one run is started for each that is new"},
			{name: "with", is: anything, doc: "What it is called with"},
			{name: "every", is: duration, doc: "Between two calls; default 1m"},
		}, doc: "What a tool finds that is new; a name is short for tool"},
	}
}

// TriggerNames returns the names of the schedules and triggers in the order of the file.
func (f *File) TriggerNames() []string { return append([]string(nil), f.triggerNames...) }

// Trigger is a schedule or trigger of the file as data, and the workflow or agent that it starts; its
// Start is not complete: see package outfit. Errors: not_found; invalid.
func (f *File) Trigger(name string) (trigger.Definition, string, error) {
	t, ok := f.Schedules[name]
	if !ok {
		if t, ok = f.Triggers[name]; !ok {
			return trigger.Definition{}, "", durable.Errorf(durable.CodeNotFound, "%s has no schedule or trigger %q; it has %s", f.Name, name, strings.Join(f.triggerNames, ", "))
		}
	}
	d, err := t.definition(name)
	return d, t.Run, err
}

// definition makes a trigger of what the file says of it.
func (t Trigger) definition(name string) (trigger.Definition, error) {
	d := trigger.Definition{
		Name: name, Overlap: trigger.Overlap(t.Overlap), QueueMax: t.QueueMax, CatchUp: t.CatchUp, Jitter: t.Jitter, Paused: t.Paused,
		On: trigger.On{Every: t.Every}, Start: trigger.Start{Program: "workflow", Input: t.With},
	}
	if t.Cron != "" {
		d.On.Cron = &trigger.Cron{Expr: t.Cron, TZ: t.TZ}
	}
	if t.At != "" {
		at, err := time.Parse(time.RFC3339, t.At)
		if err != nil {
			return d, durable.Errorf(durable.CodeInvalid, "%q is no time such as 2026-01-31T12:00:00Z", t.At)
		}
		d.On.At = at
	}
	on := t.On
	if on == nil {
		return d, nil
	}
	d.On.Event, d.On.Webhook, d.On.Files, d.On.Run = on.Event, on.Webhook, on.Files, on.Run
	if a := on.Asset; a != nil {
		d.On.Event = &trigger.Event{If: a.If, All: a.All, Within: a.Within, Collapse: a.Collapse}
		for _, name := range a.Names {
			d.On.Event.Names = append(d.On.Event.Names, trigger.AssetEvent+name)
		}
	}
	if p := on.Poll; p != nil {
		data, err := json.Marshal(p)
		if err != nil {
			return d, err
		}
		d.On.Poll = &trigger.Poll{Config: data, Every: p.Every}
	}
	return d, nil
}

// trigger checks a schedule or a trigger.
func (r *refs) trigger(e entry, section string, t Trigger) {
	at := section + "." + e.name
	if section == "triggers" {
		if _, twice := r.file.Schedules[e.name]; twice {
			r.add(e.position, at, "a schedule has this name, too", "choose another")
		}
	}
	if t.Run != "" {
		_, agent := r.file.Agents[t.Run]
		if _, flow := r.file.Workflows[t.Run]; !agent && !flow {
			known := append(append([]string(nil), r.file.workflowNames...), r.file.agentNames...)
			r.add(r.at[at+".run"], at+".run", fmt.Sprintf("unknown workflow or agent %q", t.Run), suggest.Name(t.Run, known, "there are"))
		}
	}
	if t.On != nil && t.On.Poll != nil {
		path := at + ".on.poll.tool"
		if _, ok := r.at[path]; !ok {
			path = at + ".on.poll" // it was written short
		}
		r.toolName(t.On.Poll.Tool, path)
	}
	for _, p := range r.problems {
		if strings.HasPrefix(p.Path, at+".") || p.Path == at {
			return // the rest would repeat it
		}
	}
	d, err := t.definition(e.name)
	if err == nil {
		err = d.Check()
	}
	if err == nil {
		return
	}
	var where position
	for _, name := range []string{".cron", ".at", ".every", ".on", ""} {
		var ok bool
		if where, ok = r.at[at+name]; ok {
			at += name
			break
		}
	}
	text := err.Error()
	if own, ok := errors.AsType[*durable.Error](err); ok && own.Err != nil {
		text = own.Err.Error()
	}
	r.add(where, at, text, "")
}
