package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

// AtEnd is the Command of a divergence at the end of a segment.
const AtEnd = -1

// Divergence is where a program leaves the way its journal went.
type Divergence struct {
	Segment      int             `json:"segment"`
	Command      int             `json:"command"` // of the step; AtEnd = the end of the segment
	Seq          int64           `json:"seq"`     // of the entry that does not fit
	Journal      string          `json:"journal"` // what the journal has there
	Program      string          `json:"program"` // what the program does there now
	JournalValue json.RawMessage `json:"journal_value,omitempty"`
	ProgramValue json.RawMessage `json:"program_value,omitempty"`

	onlyInput bool         // all but the input of the step fits
	ref       *durable.Ref // of JournalValue, until it is loaded
}

// Step names the step, as StepID does, or the end of a segment.
func (d *Divergence) Step() string {
	if d.Command == AtEnd {
		return fmt.Sprintf("the end of segment %d", d.Segment)
	}
	return "step " + durable.StepID{Segment: d.Segment, Command: d.Command}.String()
}

// Text says all of it but the values, in one line.
func (d *Divergence) Text() string {
	return fmt.Sprintf("replay mismatch at %s: journal: %s (entry %d); program: %s", d.Step(), d.Journal, d.Seq, d.Program)
}

// differ says how an entry and the command in its place differ.
func (x *exec) differ(e *durable.Entry, kind durable.CommandKind) *Divergence {
	d := &Divergence{Segment: x.info.Segment, Command: e.Command, Seq: e.Seq, Journal: fmt.Sprintf("%s %q", kind, e.Name)}
	if e.Command >= len(x.commands) {
		return d // explain knows what the program does instead
	}
	c := x.commands[e.Command]
	d.Program = fmt.Sprintf("issues %s %q", c.kind, c.name)
	if c.kind != kind || c.name != e.Name {
		return d
	}
	d.onlyInput = true
	d.Journal, d.Program = d.Journal+" with input "+orNone(e.InputHash), d.Program+" with input "+orNone(c.inputHash)
	d.JournalValue, d.ProgramValue, d.ref = e.Input, c.input, e.InputRef
	if e.Interrupt != nil {
		d.JournalValue = e.Interrupt.Value
	}
	return d
}

// explain says what the program does, where that is not known yet.
func (d *Divergence) explain(x *exec) {
	if d.Program != "" {
		return
	}
	p, panicked := errors.AsType[*programPanic](x.err)
	switch {
	case panicked:
		d.Program = fmt.Sprintf("panics: %v", p.value)
	case x.continues() != nil:
		d.Program = "continues with a new segment"
	case x.ended:
		end := x.ending()
		d.Program = "has ended: " + outcomeText(end)
		if d.Command == AtEnd {
			d.ProgramValue = end.Output
		}
	default:
		d.Program = x.waitsFor()
	}
	if d.Command != AtEnd && d.Command >= len(x.commands) {
		d.Program = fmt.Sprintf("issues only %d commands before that and %s", len(x.commands), strings.TrimSpace(d.Program))
	}
}

// load reads a value of the journal that is a blob.
func (d *Divergence) load(ctx context.Context, j *journal.Journal) error {
	if d.JournalValue != nil || d.ref == nil {
		return nil
	}
	data, err := j.Get(ctx, *d.ref)
	d.JournalValue = data
	return err
}
