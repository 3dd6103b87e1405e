package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// Report is what a replay found.
type Report struct {
	Run        durable.RunID `json:"run"`
	Segments   int           `json:"segments"`
	Steps      int           `json:"steps"`   // whose results came from the journal
	Entries    int           `json:"entries"` // that were held against the program
	Divergence *Divergence   `json:"divergence,omitempty"`
}

// Source is a run as a replay reads it.
type Source struct {
	Journal *journal.Journal
	Run     store.Run
	Last    bool // only the last segment: all that an engine would replay
}

// Replay lets programs go through the journal of a run again, without an effect and
// without a write, and holds what they ask for, and how each segment ends, against what
// is recorded. It stops at the first divergence. It needs no engine and works beside one.
// Errors: one of durable.Block when this build lacks what the run needs, else the journal
// cannot be read.
func Replay(ctx context.Context, from Source, programs []durable.Program) (Report, error) {
	r := replayer{ctx: ctx, journal: from.Journal, run: from.Run, carrier: from.Run.ID, report: Report{Run: from.Run.ID}}
	i := slices.IndexFunc(programs, func(p durable.Program) bool { return p.Name() == from.Run.Program })
	if i < 0 {
		return r.report, durable.Block(durable.Errorf(durable.CodeNotFound, "this build has no program %q", from.Run.Program))
	}
	r.program = programs[i]
	start := int64(0)
	if from.Last {
		start, r.definition = from.Run.Start, from.Run.Definition
	}
	err := r.all(start)
	if err == nil && r.report.Divergence == nil && !from.Run.Status.Final() {
		err = r.lacks(programs)
	}
	if r.x != nil {
		r.x.stop()
	}
	return r.report, err
}

// replayer goes through a journal, a segment at a time.
type replayer struct {
	ctx        context.Context //nolint:containedctx // the life of one replay
	journal    *journal.Journal
	run        store.Run
	carrier    durable.RunID // whose journal holds the signals a segment takes over
	program    durable.Program
	definition string // hash of the one in force
	x          *exec
	report     Report
}

// all replays every segment from the entry start on. What is kept in memory is one
// segment.
func (r *replayer) all(start int64) error {
	const page = 1000
	var segment []durable.Entry
	for after := start - 1; ; {
		entries, err := r.journal.Entries(r.ctx, r.run.ID, after, page)
		if err != nil {
			return err
		}
		for i := range entries {
			e := &entries[i]
			after = e.Seq
			if e.Kind == durable.EntryContinued && len(segment) > 0 {
				if err := r.segment(segment, e); err != nil || r.report.Divergence != nil {
					return err
				}
				segment = nil
			}
			segment = append(segment, *e)
		}
		if len(entries) < page {
			break
		}
	}
	if len(segment) == 0 {
		return durable.Errorf(durable.CodeInternal, "run %s has no journal", r.run.ID)
	}
	return r.segment(segment, nil)
}

// segment replays one segment; next is the entry that begins the one behind it, nil for
// the last. A divergence goes into the report.
func (r *replayer) segment(entries []durable.Entry, next *durable.Entry) error {
	seen := int64(math.MaxInt64) // seq of the last entry the program saw before it ended
	if next != nil {
		seen = next.After
	}
	if err := r.begin(entries); err != nil {
		return err
	}
	r.report.Segments++
	for i := range entries[1:] {
		e := &entries[i+1]
		if r.broken(e) || e.Kind == durable.EntryEnded || e.Seq > seen {
			break
		}
		r.report.Entries++
		if r.x.ended {
			_ = r.x.issued(e) // what it returns is in x.differs too
		} else {
			_ = r.x.apply(e)
			if r.x.differs == nil {
				r.x.resume()
			}
		}
		if r.x.differs != nil {
			break
		}
	}
	for _, c := range r.x.commands {
		if c.result != nil {
			r.report.Steps++
		}
	}
	if r.x.fault != nil {
		return r.x.fault
	}
	if b, ok := errors.AsType[*durable.BlockError](r.x.err); ok {
		return b
	}
	last := &entries[len(entries)-1]
	if next != nil {
		last = next
	}
	if r.x.differs == nil {
		if err := r.end(last); err != nil {
			return err
		}
	}
	if d := r.x.differs; d != nil {
		d.Segment = r.x.info.Segment
		d.explain(r.x)
		r.report.Divergence = d
		return d.load(r.ctx, r.journal)
	}
	return nil
}

// begin starts the program at the first of these entries.
func (r *replayer) begin(entries []durable.Entry) error {
	e := &entries[0]
	if e.Kind != durable.EntryStarted && e.Kind != durable.EntryContinued {
		return durable.Errorf(durable.CodeInternal, "run %s: entry %d is %s and begins no segment", r.run.ID, e.Seq, e.Kind)
	}
	for i := range entries {
		if k := entries[i].Kind; (k == durable.EntryStarted || k == durable.EntryForked) && entries[i].Definition != "" {
			r.definition = entries[i].Definition
		}
	}
	var definition json.RawMessage
	if r.definition != "" {
		data, err := r.journal.Get(r.ctx, durable.Ref{Hash: r.definition})
		if err != nil {
			return fmt.Errorf("load the definition: %w", err)
		}
		definition = data
	}
	load := func(e *durable.Entry) error { return r.journal.Load(r.ctx, e) }
	if err := load(e); err != nil {
		return err
	}
	if r.x != nil {
		r.x.stop()
	}
	info := durable.Info{
		Run: r.run.ID, Program: r.run.Program, Parent: r.run.Parent, Tenant: r.run.Tenant, Segment: e.Segment, Definition: definition, Now: e.Time,
	}
	r.x = newExec(info, r.program, e.Input, load)
	var carried []*durable.Entry
	if e.Kind == durable.EntryContinued {
		var err error
		if carried, err = carry(r.ctx, r.journal, r.carrier, e); err != nil {
			return err
		}
	}
	for _, c := range carried {
		_ = r.x.apply(c) // signals and cancels always fit
	}
	r.x.info.Now = e.Time
	r.x.resume()
	return nil
}

// broken reports whether the program panicked where its journal goes on.
func (r *replayer) broken(e *durable.Entry) bool {
	if !r.x.panicked() || e.Kind == durable.EntryBlocked {
		return false
	}
	r.x.differs = &Divergence{Seq: e.Seq, Command: AtEnd, Journal: "goes on with " + string(e.Kind) + " " + e.Name}
	return true
}

// end holds the end of a segment against its last entry.
func (r *replayer) end(last *durable.Entry) error {
	x := r.x
	d := &Divergence{Seq: last.Seq, Command: AtEnd}
	if err := r.journal.Load(r.ctx, last); err != nil {
		return err
	}
	switch {
	case last.Kind == durable.EntryContinued && last.Seq > 0 && last.Segment > x.info.Segment:
		d.Journal, d.JournalValue = fmt.Sprintf("segment %d begins", last.Segment), last.Input
		next := x.continues()
		switch {
		case next == nil:
			x.differs = d
		case !sameJSON(next.State, last.Input):
			d.Journal, d.ProgramValue, x.differs = d.Journal+" with the state beneath", next.State, d
		case !slices.Equal(seqs(x.unreceived()), last.Carry):
			d.Journal, d.JournalValue = fmt.Sprintf("segment %d takes over the signals %v", last.Segment, last.Carry), nil
			d.Program = fmt.Sprintf("would hand over %v", seqs(x.unreceived()))
			x.differs = d
		}
	case last.Kind == durable.EntryEnded && last.Status != durable.Killed:
		d.Journal, d.JournalValue = "the run "+outcomeText(last), last.Output
		if !x.ended || x.continues() != nil || x.panicked() {
			x.differs = d
		} else if now := x.ending(); now.Status != last.Status || !sameFailure(now.Error, last.Error) || !sameOutput(now, last) {
			d.Program, d.ProgramValue, x.differs = outcomeText(now), now.Output, d
			if d.Program == outcomeText(last) {
				d.Program += ", with another " + map[bool]string{true: "output", false: "error"}[sameFailure(now.Error, last.Error)]
			}
		}
	default:
		if x.panicked() {
			d.Journal, x.differs = "is not at its end", d
		}
	}
	return nil
}

// lacks finds a step that would be tried next and cannot be here.
func (r *replayer) lacks(programs []durable.Program) error {
	if r.x.ended {
		return nil
	}
	known := map[string]bool{}
	for _, p := range programs {
		for _, s := range p.Steps() {
			known[s.Name] = true
		}
	}
	for _, c := range r.x.open {
		if c.kind == durable.CommandStep && !r.x.unwanted(c) && !known[c.step.Func] {
			return durable.Block(durable.Errorf(durable.CodeNotFound, "this build has no step function %q", c.step.Func))
		}
	}
	return nil
}

// carry reads the signals the segment before had not received, and what arrived while
// it ended.
func carry(ctx context.Context, j *journal.Journal, id durable.RunID, e *durable.Entry) ([]*durable.Entry, error) {
	var carried []*durable.Entry
	for _, seq := range e.Carry {
		entries, err := j.Entries(ctx, id, seq-1, 1)
		if err != nil {
			return nil, err
		}
		for i := range entries {
			carried = append(carried, &entries[i])
		}
	}
	between, err := j.Range(ctx, id, e.After+1, e.Seq)
	if err != nil {
		return nil, err
	}
	for i := range between {
		if passesOn(&between[i]) {
			carried = append(carried, &between[i])
		}
	}
	return carried, nil
}

func outcomeText(end *durable.Entry) string {
	text := string(end.Status)
	if end.Error != nil {
		text += ": " + end.Error.Message
	}
	return text
}

func sameFailure(a, b *durable.Failure) bool {
	return a == b || (a != nil && b != nil && *a == *b)
}

// sameOutput compares the outputs of two ends. What a program had by the time it failed was
// not always kept.
func sameOutput(now, then *durable.Entry) bool {
	return (then.Error != nil && len(then.Output) == 0) || sameJSON(now.Output, then.Output)
}

// sameJSON compares two values byte for byte; a journal keeps them as they were.
func sameJSON(a, b json.RawMessage) bool { return string(a) == string(b) }

func (x *exec) panicked() bool {
	_, ok := errors.AsType[*programPanic](x.err)
	return ok
}

// waitsFor says in a few words what a program has come to.
func (x *exec) waitsFor() string {
	var list []string
	for _, c := range x.open {
		list = append(list, fmt.Sprintf("%s %q", c.kind, c.name))
	}
	for _, r := range x.living {
		if !r.done {
			for _, name := range r.on {
				list = append(list, fmt.Sprintf("signal %q", name))
			}
		}
	}
	if len(list) == 0 {
		return "waits for nothing"
	}
	return "waits for " + strings.Join(list, ", ")
}
