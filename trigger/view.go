package trigger

import (
	"encoding/json"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// View is a trigger as its journal tells it, for who looks on. The entries of its last segment are
// enough: that is a few, however long the trigger has lived.
type View struct {
	State
	Trigger    durable.RunID
	definition json.RawMessage
}

// NewView begins a view of a trigger, by its run and the definition that is pinned to it.
func NewView(run durable.RunID, pinned json.RawMessage) *View {
	return &View{Trigger: run, definition: pinned}
}

// See takes an entry into the view, oldest first. Error: internal for one that cannot be read.
func (v *View) See(e *durable.Entry) error {
	switch e.Kind {
	case durable.EntryStarted, durable.EntryContinued:
		v.State = State{}
		if len(e.Input) > 0 {
			if err := json.Unmarshal(e.Input, &v.State); err != nil {
				return durable.Errorf(durable.CodeInternal, "entry %d of the trigger: %w", e.Seq, err)
			}
		}
		if v.Begun.IsZero() {
			v.begin(e.Time)
		}
	case durable.EntryChild:
		v.Started++
		v.Last, v.LastAt = e.Child, e.Time
	case durable.EntryChildDone:
		if e.Child == "" && e.Error != nil && e.Error.Code == durable.CodeInvalid {
			v.Failed++
			v.Trouble = e.Error.Message
		}
	case durable.EntrySignal:
		v.hear(e)
	default:
	}
	return nil
}

// begin is what a trigger knows when it begins.
func (v *View) begin(at time.Time) {
	v.Begun = at
	if d, err := v.Now(); err == nil {
		v.Paused = d.Paused
		if d.On.At.IsZero() {
			v.Since = at
		}
	}
}

func (v *View) hear(e *durable.Entry) {
	switch e.Name {
	case PauseSignal:
		v.Paused = true
	case ResumeSignal:
		v.Paused = false
	case UpdateSignal:
		if _, err := Decode(e.Input); err == nil {
			v.Definition, v.Begun, v.Since = e.Input, e.Time, e.Time
		}
	}
}

// Now is the definition that the trigger goes by. Error: invalid for one that cannot be read.
func (v *View) Now() (Definition, error) {
	if v.Definition != nil {
		return Decode(v.Definition)
	}
	return Decode(v.definition)
}

// Next is when a schedule is due next, behind a moment, with its jitter; false for one that is
// paused, is over or has another source than time.
func (v *View) Next(now time.Time) (time.Time, bool) {
	d, err := v.Now()
	if err != nil || v.Paused || !d.On.timed() {
		return time.Time{}, false
	}
	times, err := newTimes(&d, v.Begun)
	if err != nil {
		return time.Time{}, false
	}
	for from := v.Since; ; from = later(from, now.Add(-d.Jitter)) {
		due, ok := times.next(from)
		if !ok {
			return time.Time{}, false
		}
		if at := due.Add(jitterOf(v.Trigger, due, d.Jitter)); at.After(now) {
			return at, true
		}
		from = due
	}
}
