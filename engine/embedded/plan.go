package embedded

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

// ForkRequest asks for a run that goes another way from a step of a run on.
type ForkRequest struct {
	ID         durable.RunID   `json:"id,omitempty"`         // of the fork; chosen by the engine when empty
	At         durable.StepID  `json:"at"`                   // the step that is executed again, with everything behind it
	Name       string          `json:"name,omitempty"`       // that of the base when empty
	Input      json.RawMessage `json:"input,omitempty"`      // nil = that of the base
	Definition json.RawMessage `json:"definition,omitempty"` // nil = that of the base
	Results    []Result        `json:"results,omitempty"`    // recorded instead of what the steps came to

	lenient bool // the steps that are kept may be called with something else
}

// Result is what a fork records as the output of a step.
type Result struct {
	Step   durable.StepID  `json:"step"`
	Output json.RawMessage `json:"output"`
}

// ForkPlan is what a fork will consist of. It is made from the journal of its base alone.
type ForkPlan struct {
	Base   durable.RunID  `json:"base"`
	At     durable.StepID `json:"at"`
	Kept   []durable.Step `json:"kept"`            // their results come from the journal
	Set    []durable.Step `json:"set"`             // their results are those of the request
	Behind []durable.Step `json:"behind"`          // what the base did that is not kept; the fork may do it again
	Notes  []string       `json:"notes,omitempty"` // what else is not as in the base

	Shared  int64 `json:"shared"`  // entries it shares with its base
	Copied  int   `json:"copied"`  // entries that are its own and come from the base
	Segment int   `json:"segment"` // in which it begins
	Start   int64 `json:"-"`       // seq of the entry that opens that

	cut int             // the first entry of the base that is not taken over
	own []durable.Entry // behind the shared ones; without a time: now
}

// Repeats lists the steps behind the cut that have an effect, or may have had one, which
// happens again if the fork comes to them.
func (p *ForkPlan) Repeats() []durable.Step {
	var list []durable.Step
	for _, s := range p.Behind {
		if s.Kind == durable.CommandChild || (s.Kind == durable.CommandStep && s.Effect != durable.Read) {
			list = append(list, s)
		}
	}
	return list
}

// PlanFork decides what a fork takes over from its base: a pure function of the base and
// all of its entries. Errors: not_found when the step does not exist, invalid when the
// request cannot be.
func PlanFork(base durable.Run, entries []durable.Entry, req ForkRequest) (*ForkPlan, error) {
	p := planner{base: base, entries: entries, req: req, steps: journal.Steps(entries, base.Waits)}
	p.plan = &ForkPlan{Base: base.ID, At: req.At}
	for _, do := range []func() error{p.cutOff, p.checkChanges, p.sift, p.setResults, p.copyRest} {
		if err := do(); err != nil {
			return nil, fmt.Errorf("fork %s at step %s: %w", base.ID, req.At, err)
		}
	}
	p.sort()
	return p.plan, nil
}

// planner is the work on one plan.
type planner struct {
	base    durable.Run
	entries []durable.Entry // entries[i].Seq is i
	req     ForkRequest
	steps   []durable.Step
	plan    *ForkPlan

	step  durable.Step            // that of the request
	start int                     // of the segment in which the fork begins
	cut   int                     // the first entry that it does not take over
	drop  []bool                  // entries between start and cut that it does not take over either
	own   int                     // the first entry that is copied, at most cut
	soft  int                     // from here on inputs need not fit
	set   map[int]json.RawMessage // other outputs of entries before the cut
	later []durable.Entry         // results of steps that are not done at the cut
}

// about reports whether an entry speaks of a command of the segment it is in.
func about(e *durable.Entry, command int) bool {
	switch e.Kind {
	case durable.EntryIntent, durable.EntryAttempt, durable.EntryDone, durable.EntryTimer, durable.EntryFired,
		durable.EntryAsked, durable.EntryAnswered, durable.EntryChild, durable.EntryChildDone:
		return e.Command == command
	default:
		return false
	}
}

// cutOff finds the first entry about the step, or the cancel before it.
func (p *planner) cutOff() error {
	at := p.req.At
	i := slices.IndexFunc(p.steps, func(s durable.Step) bool { return s.StepID() == at })
	if i < 0 {
		return p.noStep(at)
	}
	p.step = p.steps[i]
	p.cut = -1
	segment := 0
	for i := range p.entries {
		e := &p.entries[i]
		if e.Kind == durable.EntryContinued {
			segment = e.Segment
		}
		if segment == at.Segment && about(e, at.Command) && !p.strange(e) {
			p.cut = i
			break
		}
	}
	if p.cut < 0 {
		return p.noStep(at)
	}
	if i := slices.IndexFunc(p.entries[:p.cut], func(e durable.Entry) bool { return e.Kind == durable.EntryCancel }); i >= 0 {
		p.note("the cancel (entry %d) is not inherited: the fork goes on from before it", i)
		p.cut = i
	}
	for i := range p.entries[:p.cut] {
		if e := &p.entries[i]; e.Kind == durable.EntryContinued {
			p.start, p.plan.Segment = i, e.Segment
		}
	}
	p.plan.Start, p.plan.cut = int64(p.start), p.cut
	return nil
}

// strange reports whether an entry tells of the end of a child that the segment it is in
// did not start.
func (p *planner) strange(e *durable.Entry) bool {
	if e.Kind != durable.EntryChildDone || e.Child == "" {
		return false
	}
	for i := int(e.Seq) - 1; i >= 0 && p.entries[i].Kind != durable.EntryContinued; i-- {
		if o := &p.entries[i]; o.Kind == durable.EntryChild && o.Child == e.Child {
			return false
		}
	}
	return true
}

func (p *planner) noStep(id durable.StepID) error {
	var there []string
	from, last := -1, -1
	flush := func() {
		switch {
		case from < 0:
		case from == last:
			there = append(there, durable.StepID{Segment: id.Segment, Command: from}.String())
		default:
			there = append(there, fmt.Sprintf("%s to %s", durable.StepID{Segment: id.Segment, Command: from}, durable.StepID{Segment: id.Segment, Command: last}))
		}
	}
	segments := 0
	for _, s := range p.steps {
		segments = max(segments, s.Segment)
		if s.Segment != id.Segment {
			continue
		}
		if from < 0 || s.Command != last+1 {
			flush()
			from = s.Command
		}
		last = s.Command
	}
	flush()
	if len(there) > 0 {
		return durable.Errorf(durable.CodeNotFound, "run %s has no step %s; segment %d has %s", p.base.ID, id, id.Segment, strings.Join(there, ", "))
	}
	if len(p.steps) == 0 {
		return durable.Errorf(durable.CodeNotFound, "run %s has no steps yet", p.base.ID)
	}
	return durable.Errorf(durable.CodeNotFound, "run %s has no step %s; its last segment with steps is %d", p.base.ID, id, segments)
}

func (p *planner) note(format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}

// checkChanges refuses what would have no effect, and finds from where on inputs may differ.
func (p *planner) checkChanges() error {
	p.soft, p.own, p.set = p.cut, p.cut, map[int]json.RawMessage{}
	if p.req.Input != nil {
		switch {
		case !json.Valid(p.req.Input):
			return durable.Errorf(durable.CodeInvalid, "the input is not JSON")
		case p.plan.Segment > 0:
			return durable.Errorf(durable.CodeInvalid,
				"another input would change nothing: it went into the state with which segment %d begins; fork at a step of segment 0", p.plan.Segment)
		}
		p.soft, p.own = 0, 0
	}
	if p.req.lenient || (p.req.Definition != nil && journal.HashOf(p.req.Definition) != p.base.Definition) {
		p.soft = min(p.soft, p.start)
	}
	for _, r := range p.req.Results {
		switch {
		case !json.Valid(r.Output):
			return durable.Errorf(durable.CodeInvalid, "the result of step %s is not JSON", r.Step)
		case r.Step.Segment < p.plan.Segment:
			return durable.Errorf(durable.CodeInvalid,
				"another result of step %s would change nothing: it went into the state with which segment %d begins; fork at a step of segment %d",
				r.Step, p.plan.Segment, r.Step.Segment)
		case r.Step.Segment > p.plan.Segment:
			return durable.Errorf(durable.CodeInvalid, "step %s is in a segment that the fork has yet to come to", r.Step)
		}
	}
	return nil
}

// sift finds what lies before the cut and is not taken over: what an operator or an
// engine did to the base, and what was begun and is not done by then.
func (p *planner) sift() error {
	p.drop = make([]bool, p.cut)
	for i := p.start + 1; i < p.cut; i++ {
		e := &p.entries[i]
		ends := func(o durable.Entry) bool {
			switch e.Kind {
			case durable.EntryChild:
				return o.Kind == durable.EntryChildDone && o.Child == e.Child
			default:
				return (o.Kind == durable.EntryDone || o.Kind == durable.EntryAttempt) && o.Command == e.Command
			}
		}
		switch e.Kind {
		case durable.EntryClaimed, durable.EntryBlocked, durable.EntryUnblocked, durable.EntryPaused, durable.EntryResumed:
			p.drop[i] = true
		case durable.EntryChild, durable.EntryIntent:
			p.drop[i] = !slices.ContainsFunc(p.entries[i+1:p.cut], ends)
		default:
		}
		if p.drop[i] {
			p.own = min(p.own, i)
		}
	}
	return nil
}

// setResults puts the outputs of the request in the place of those that are kept, or
// behind the cut.
func (p *planner) setResults() error {
	for _, r := range p.req.Results {
		i := slices.IndexFunc(p.steps, func(s durable.Step) bool { return s.StepID() == r.Step })
		if i < 0 {
			return p.noStep(r.Step)
		}
		step := p.steps[i]
		if step.Kind == durable.CommandTimer {
			return durable.Errorf(durable.CodeInvalid, "step %s is a timer and has no result", r.Step)
		}
		if slices.ContainsFunc(p.plan.Set, func(s durable.Step) bool { return s.StepID() == r.Step }) {
			return durable.Errorf(durable.CodeInvalid, "two results for step %s", r.Step)
		}
		p.plan.Set = append(p.plan.Set, step)
		if k := p.endOf(step); k >= 0 {
			p.own, p.soft = min(p.own, k), min(p.soft, k+1)
			p.set[k] = r.Output
			continue
		}
		p.setLater(step, r.Output)
	}
	return nil
}

// endOf is the entry that ended a step before the cut, -1 when there is none.
func (p *planner) endOf(s durable.Step) int {
	for i := p.start + 1; i < p.cut; i++ {
		e := &p.entries[i]
		if about(e, s.Command) && !p.strange(e) && (e.Kind == durable.EntryDone || e.Kind == durable.EntryAnswered || e.Kind == durable.EntryChildDone) {
			return i
		}
	}
	return -1
}

const setReason = "set when the run was forked"

// setLater records a result for a step that is not done at the cut.
func (p *planner) setLater(s durable.Step, output json.RawMessage) {
	e := durable.Entry{Kind: durable.EntryDone, Command: s.Command, Name: s.Name, Output: output, Reason: setReason, InputHash: durable.AnyInput}
	switch s.Kind {
	case durable.CommandAsk:
		e.Kind, e.InputHash = durable.EntryAnswered, ""
		for i := p.start + 1; i < len(p.entries); i++ {
			if o := &p.entries[i]; o.Kind == durable.EntryAsked && o.Command == s.Command {
				e.Name = o.Interrupt.ID
				if i >= p.cut {
					asked := *o
					asked.InputHash, asked.Time = durable.AnyInput, e.Time
					p.later = append(p.later, asked)
				}
				break
			}
		}
	case durable.CommandChild:
		e.Kind = durable.EntryChildDone
	default:
		e.Func, e.Effect, e.Attempt, e.Input = s.Func, s.Effect, max(1, s.Attempt), s.In
		if s.In == nil {
			e.InputRef = s.Input
		}
	}
	p.later = append(p.later, e)
}

// copyRest makes the fork's own entries.
func (p *planner) copyRest() error {
	if soft := p.softAfter(); soft >= 0 {
		p.own = min(p.own, soft)
	}
	p.plan.Shared = int64(p.own)
	for i := p.own; i < p.cut; i++ {
		if !p.drop[i] {
			p.plan.own = append(p.plan.own, p.copied(i))
		}
	}
	p.plan.Copied = len(p.plan.own)
	p.plan.own = append(append(p.plan.own, p.forked()), p.later...)
	for i := range p.plan.own {
		p.plan.own[i].Seq = p.plan.Shared + int64(i)
	}
	return nil
}

// softAfter is the first entry from soft on that names an input; -1 when there is none.
func (p *planner) softAfter() int {
	for i := p.soft; i < p.cut; i++ {
		if checked(&p.entries[i]) && p.entries[i].InputHash != durable.AnyInput {
			return i
		}
	}
	return -1
}

// checked reports whether the input of an entry is held against the program.
func checked(e *durable.Entry) bool {
	switch e.Kind {
	case durable.EntryIntent, durable.EntryAttempt, durable.EntryDone, durable.EntryTimer, durable.EntryAsked, durable.EntryChild:
		return true
	default:
		return false
	}
}

// copied is entry i as the fork has it.
func (p *planner) copied(i int) durable.Entry {
	e := p.entries[i]
	if i >= p.soft && checked(&e) {
		e.InputHash = durable.AnyInput
	}
	if e.Kind == durable.EntryStarted {
		e.Parent = "" // nobody waits for a fork
		if p.req.Input != nil {
			e.Input, e.InputRef, e.InputHash = p.req.Input, nil, shortHash(p.req.Input)
		}
	}
	if output, ok := p.set[i]; ok {
		e.Output, e.OutputRef, e.Error, e.Reason = output, nil, nil, setReason
	}
	return e
}

// forked is the entry that says where the fork comes from.
func (p *planner) forked() durable.Entry {
	text := []string{fmt.Sprintf("fork of %s at step %s %s", p.base.ID, p.req.At, p.step.Name)}
	if p.req.Input != nil {
		text = append(text, "with another input")
	}
	e := durable.Entry{Kind: durable.EntryForked, Child: p.base.ID, Segment: p.req.At.Segment, Command: p.req.At.Command, Name: p.step.Name}
	if p.req.Definition != nil {
		e.Definition = journal.HashOf(p.req.Definition)
		text = append(text, "with another definition")
	}
	for _, r := range p.req.Results {
		text = append(text, "with another result of step "+r.Step.String())
	}
	e.Reason = strings.Join(text, ", ")
	return e
}

// sort tells the steps that are kept from those that are not.
func (p *planner) sort() {
	mine := append(slices.Clone(p.entries[:p.plan.Shared]), p.plan.own[:p.plan.Copied]...)
	kept := map[durable.StepID]durable.Step{}
	for _, s := range journal.Steps(mine, nil) {
		open := s.Status == durable.StepWaiting && s.Kind != durable.CommandChild // a timer or a question, inherited
		if s.Segment < p.plan.Segment || s.Status == durable.StepDone || s.Status == durable.StepFailed || open {
			kept[s.StepID()] = s
		}
	}
	for _, s := range p.steps {
		set := slices.ContainsFunc(p.plan.Set, func(o durable.Step) bool { return o.StepID() == s.StepID() })
		_, ok := kept[s.StepID()]
		switch {
		case set:
		case ok:
			p.plan.Kept = append(p.plan.Kept, kept[s.StepID()])
		default:
			p.plan.Behind = append(p.plan.Behind, s)
		}
	}
}
