package journal

import (
	"fmt"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// audit holds the row of a run against its journal: what the row says must follow from
// the entries. It is given every entry in order, then asked.
type audit struct {
	run      *store.Run
	count    int64
	first    durable.EntryKind
	start    durable.Entry // what the last segment began with
	last     durable.Entry
	ended    *durable.Entry
	late     int64 // seq of the first entry behind the end; 0 = none
	blocked  bool
	paused   bool
	commands map[int]*auditCommand // of the last segment
	children []durable.RunID       // that its entries name, of all segments
	open     map[durable.RunID]bool
	problems []string
}

// auditCommand is what the entries say of a command.
type auditCommand struct {
	kind     durable.EntryKind // how it began
	over     bool
	intent   bool // of an irreversible step whose outcome is not recorded
	until    time.Time
	child    durable.RunID
	question *durable.Interrupt
	put      time.Time // when the question was put
	more     int       // how often it was put to more people
}

func newAudit(run *store.Run) *audit {
	return &audit{run: run, commands: map[int]*auditCommand{}, open: map[durable.RunID]bool{}}
}

func (a *audit) bad(format string, args ...any) {
	a.problems = append(a.problems, fmt.Sprintf(format, args...))
}

func (a *audit) entry(e *durable.Entry) {
	if a.count == 0 {
		a.first = e.Kind
		a.birth(e)
	}
	if a.ended != nil && a.late == 0 {
		a.late = e.Seq
	}
	a.count++
	a.last = *e
	switch e.Kind {
	case durable.EntryStarted, durable.EntryContinued:
		a.start = *e
		a.commands = map[int]*auditCommand{}
		clear(a.open)
	case durable.EntryBlocked:
		a.blocked, a.paused = true, false
	case durable.EntryUnblocked, durable.EntryForked:
		a.blocked, a.paused = false, false
	case durable.EntryPaused:
		a.paused = true
	case durable.EntryResumed, durable.EntryCancel:
		a.paused = false
	case durable.EntryEnded:
		end := *e
		a.ended = &end
	case durable.EntryChild:
		a.children = append(a.children, e.Child)
		a.open[e.Child] = true
	default:
	}
	a.command(e)
}

// birth holds the first entry against what never changes in the row.
func (a *audit) birth(e *durable.Entry) {
	switch {
	case e.Seq != 0:
		return // what is missing is reported as missing
	case e.Kind != durable.EntryStarted:
		a.bad("entry 0: kind: it is %s, not %s", e.Kind, durable.EntryStarted)
	case e.Name != a.run.Program:
		a.bad("program: it is %q, entry 0 started %q", a.run.Program, e.Name)
	case a.run.Parent != "" && a.run.Base == "" && e.Parent != a.run.Parent:
		a.bad("parent: it is %s, entry 0 says %q", a.run.Parent, e.Parent)
	}
}

func (a *audit) command(e *durable.Entry) {
	switch { // whoever reads the entry relies on these
	case e.Command < 0:
		a.bad("entry %d: there is no command %d", e.Seq, e.Command)
	case e.Kind == durable.EntryAsked && e.Interrupt == nil:
		a.bad("entry %d: it asks nothing", e.Seq)
	}
	c := a.commands[e.Command]
	begin := func() *auditCommand {
		if c == nil {
			c = &auditCommand{kind: e.Kind}
			a.commands[e.Command] = c
		}
		return c
	}
	switch e.Kind {
	case durable.EntryIntent:
		begin().intent = true
	case durable.EntryAttempt:
		c = begin()
		c.intent, c.until = false, e.Until
	case durable.EntryTimer:
		begin().until = e.Until
	case durable.EntryAsked:
		if e.Interrupt != nil {
			c = begin()
			c.question, c.put, c.until = e.Interrupt, e.Time, e.Until
		}
	case durable.EntryEscalated:
		if c != nil {
			c.more++
		}
	case durable.EntryChild:
		begin().child = e.Child
	case durable.EntryChildDone:
		delete(a.open, e.Child)
		if c != nil && (e.Child == "" || c.child == e.Child) {
			c.over = true
		}
	case durable.EntryDone, durable.EntryFired, durable.EntryAnswered:
		if c != nil {
			c.over, c.intent = true, false
		}
	default:
	}
}

// end returns what does not fit. Call it once, after the last entry.
func (a *audit) end() []string {
	r := a.run
	if a.count == 0 {
		a.bad("it has no entries")
		return a.problems
	}
	switch {
	case r.Status.Final() && a.ended == nil:
		a.bad("status: it is %s, but the last entry (%d) is %s, not %s", r.Status, a.last.Seq, a.last.Kind, durable.EntryEnded)
	case !r.Status.Final() && a.ended != nil:
		a.bad("status: it is %s, but entry %d is %s", r.Status, a.ended.Seq, durable.EntryEnded)
	case a.ended != nil && a.ended.Status != r.Status:
		a.bad("status: it is %s, entry %d says %s", r.Status, a.ended.Seq, a.ended.Status)
	case a.late != 0:
		a.bad("entry %d: it follows the end of the run, entry %d", a.late, a.ended.Seq)
	case !r.Status.Final() && (a.blocked != (r.Status == durable.Blocked) || a.paused != (r.Status == durable.Paused)):
		a.bad("status: it is %s, which its entries do not say (last one %d: %s)", r.Status, a.last.Seq, a.last.Kind)
	case !known(r.Status):
		a.bad("status: there is no status %q", r.Status)
	}
	if a.first == durable.EntryStarted && r.Start != a.start.Seq {
		a.bad("start: it is %d, but the last segment begins with entry %d", r.Start, a.start.Seq)
	}
	if a.first == durable.EntryStarted && r.Segment != a.start.Segment {
		a.bad("segment: it is %d, entry %d begins segment %d", r.Segment, a.start.Seq, a.start.Segment)
	}
	a.waiting()
	return a.problems
}

func known(s durable.Status) bool {
	return slices.Contains([]durable.Status{
		durable.Queued, durable.Running, durable.Waiting, durable.Paused, durable.Succeeded, durable.Failed, durable.Canceled, durable.Killed, durable.Blocked,
	}, s)
}

// waiting holds what a run waits for against its entries.
func (a *audit) waiting() {
	r := a.run
	if r.Status != durable.Waiting {
		if len(r.Waits) > 0 || !r.Wake.IsZero() {
			a.bad("waits: it is %s and waits for something", r.Status)
		}
		return
	}
	if len(r.Waits) == 0 {
		a.bad("waits: it waits for nothing")
	}
	var wake time.Time
	for _, w := range r.Waits {
		if !a.fits(w) {
			a.bad("waits: command %d (%s %s) is nothing that it can wait for", w.Command, w.Kind, w.Name)
			continue
		}
		for _, at := range a.commands[w.Command].wakes(w.Kind) {
			if wake.IsZero() || at.Before(wake) {
				wake = at
			}
		}
	}
	if !wake.Equal(r.Wake) {
		a.bad("wake: it is %s, its timers say %s", moment(r.Wake), moment(wake))
	}
}

// wakes lists when something is to be done about a command that is waited for.
func (c *auditCommand) wakes(kind durable.WaitKind) []time.Time {
	var at []time.Time
	if (kind == durable.WaitTimer || kind == durable.WaitAnswer) && !c.until.IsZero() {
		at = append(at, c.until)
	}
	if kind == durable.WaitAnswer && c.more < len(c.question.Escalate) {
		at = append(at, c.put.Add(c.question.Escalate[c.more].After))
	}
	return at
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339Nano)
}

func (a *audit) fits(w durable.Wait) bool {
	if w.Kind == durable.WaitSignal {
		return true
	}
	c := a.commands[w.Command]
	if c == nil || c.over {
		return false
	}
	switch w.Kind {
	case durable.WaitTimer:
		return c.until.Equal(w.Until) && !c.intent
	case durable.WaitAnswer:
		return w.Interrupt != nil && c.question != nil && c.question.ID == w.Interrupt.ID && c.until.Equal(w.Until)
	case durable.WaitChild:
		return c.child != "" && c.child == w.Child
	case durable.WaitInDoubt:
		return c.intent
	case durable.WaitSignal:
	}
	return false
}
