package trigger

import (
	"bytes"
	"cmp"
	"encoding/json"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Definition is a trigger as data: what it waits for and what it starts. It is pinned to the run of
// the trigger. Durations are in nanoseconds.
type Definition struct {
	Name  string `json:"name"`  // required; letters, digits, _ - and .
	On    On     `json:"on"`    // required
	Start Start  `json:"start"` // required

	// Overlap is what becomes of a start while a run of the trigger goes on; "" = skip for a
	// schedule, queue for all else.
	Overlap Overlap `json:"overlap,omitempty"`
	// QueueMax is how many starts may wait under the overlap queue; more are skipped. 0 = 100.
	QueueMax int `json:"queue_max,omitempty"`
	// CatchUp is how late a due time may be noticed, because no process was there. Later it is
	// missed: it is counted and nothing is started. nil = 1 h; 0 = not at all, but for the minute
	// that a restart may take.
	CatchUp *time.Duration `json:"catch_up,omitempty"`
	// Jitter puts off each due time by a part of this, always the same for the same one, so that
	// schedules of one minute do not start in one moment. It is less than the shortest interval.
	Jitter time.Duration `json:"jitter,omitempty"`
	// Paused lets the trigger begin paused.
	Paused bool `json:"paused,omitempty"`
	// Timezone is that of a cron which names none; "" = UTC.
	Timezone string `json:"timezone,omitempty"`
}

// On is what a trigger waits for: exactly one of these.
type On struct {
	Cron    *Cron         `json:"cron,omitempty"`
	Every   time.Duration `json:"every,omitempty"` // an interval from when the trigger was set, at least a second
	At      time.Time     `json:"at,omitzero"`     // once; the trigger ends with it
	Event   *Event        `json:"event,omitempty"`
	Webhook *Webhook      `json:"webhook,omitempty"`
	Files   *Files        `json:"files,omitempty"`
	Run     *RunEnd       `json:"run,omitempty"`
	Poll    *Poll         `json:"poll,omitempty"`
}

// AssetEvent begins the name of the event that an asset was made anew.
const AssetEvent = "asset:"

// Event waits for events by name. An asset that is made anew is the event asset:NAME.
type Event struct {
	Names []string `json:"names"`        // any of them; required
	If    string   `json:"if,omitempty"` // a condition over the variable event
	// Collapse makes one start of all events that come while one waits to be begun.
	Collapse bool `json:"collapse,omitempty"`
	// Within is how long after the first event others are waited for; it collapses.
	Within time.Duration `json:"within,omitempty"`
	// All waits until each of the names has come since the last start; it collapses.
	All bool `json:"all,omitempty"`
}

// collapses reports whether several events become one start.
func (e *Event) collapses() bool { return e.Collapse || e.All || e.Within > 0 }

// Webhook waits for signed requests from outside. Whoever has the HTTP door checks them with [Verify]
// and hands them on as events.
type Webhook struct {
	Scheme Scheme `json:"scheme,omitempty"` // how they are signed; "" = standard
	Secret string `json:"secret"`           // the name of the secret, not the secret; required
	If     string `json:"if,omitempty"`     // a condition over the variable event
}

// Files waits for files that are new or changed. One counts when it was the same, by size and time
// of change, over two looks.
type Files struct {
	Folder string `json:"folder"` // required
	Glob   string `json:"glob"`   // below it; ** stands for any folders. Required
	// Existing counts files that are there when the trigger first looks, too.
	Existing bool          `json:"existing,omitempty"`
	Every    time.Duration `json:"every,omitempty"` // between two looks; 0 = 5 s
}

// RunEnd waits for the ends of runs. Those that the trigger has started itself do not count.
type RunEnd struct {
	Program  string           `json:"program,omitempty"`  // "" = any
	Name     string           `json:"name,omitempty"`     // "" = any
	Statuses []durable.Status `json:"statuses,omitempty"` // empty = all that are final
	Every    time.Duration    `json:"every,omitempty"`    // between two looks; 0 = 1 s
}

// Poll asks again and again whether there is something new; what is asked is known to Config.Poll.
type Poll struct {
	Config json.RawMessage `json:"config"`          // required
	Every  time.Duration   `json:"every,omitempty"` // between two looks; 0 = 1 min
}

// The intervals between two looks, where nothing is said.
const (
	filesEvery = 5 * time.Second
	runsEvery  = time.Second
	pollEvery  = time.Minute
)

// every is the interval between two looks; 0 = the source is not one that looks.
func (o *On) every() time.Duration {
	switch {
	case o.Files != nil:
		return cmp.Or(o.Files.Every, filesEvery)
	case o.Run != nil:
		return cmp.Or(o.Run.Every, runsEvery)
	case o.Poll != nil:
		return cmp.Or(o.Poll.Every, pollEvery)
	}
	return 0
}

// timed reports whether the source is time.
func (o *On) timed() bool { return o.Cron != nil || o.Every != 0 || !o.At.IsZero() }

// Start is what is started. Name and the texts in Input may hold expressions, ${{ }}, over the
// variable trigger: name, key, time (when it was due, RFC 3339), and event, events (how many became
// one start), file, run or item, whichever the source has.
type Start struct {
	Program    string          `json:"program"`              // required
	Name       string          `json:"name,omitempty"`       // of the run; "" = that of the trigger
	Definition json.RawMessage `json:"definition,omitempty"` // of the run, as its program takes it
	Input      json.RawMessage `json:"input,omitempty"`
}

// Overlap says what becomes of a start while a run of the trigger goes on.
type Overlap string

// The ways to treat an overlap.
const (
	Skip   Overlap = "skip"   // it does not happen
	Queue  Overlap = "queue"  // it waits; one goes on at a time
	Cancel Overlap = "cancel" // that run is canceled, and it begins when that has ended
	Allow  Overlap = "allow"  // it happens beside
)

// Defaults of a definition.
const (
	defaultQueue   = 100
	defaultCatchUp = time.Hour
)

func (d *Definition) overlap() Overlap {
	switch {
	case d.Overlap != "":
		return d.Overlap
	case d.On.timed():
		return Skip
	}
	return Queue
}

func (d *Definition) catchUp() time.Duration {
	if d.CatchUp == nil {
		return defaultCatchUp
	}
	return *d.CatchUp
}

// Decode reads a definition and checks it. A field that is not known is an error: it would be a
// wish that nobody hears. Error: invalid.
func Decode(data json.RawMessage) (Definition, error) {
	var d Definition
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return d, durable.Errorf(durable.CodeInvalid, "definition of a trigger: %w", err)
	}
	return d, d.Check()
}

// Program is the name of the program of triggers.
const Program = "trigger"

// Request asks for the run of a trigger.
func Request(d Definition) (durable.StartRequest, error) {
	if err := d.Check(); err != nil {
		return durable.StartRequest{}, err
	}
	data, err := json.Marshal(d)
	return durable.StartRequest{Program: Program, Name: d.Name, Definition: data, Input: json.RawMessage(`{}`)}, err
}
