package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/orpine-run/orpine/durable"
)

// apply takes one entry of the journal into the state. The caller resumes the program
// afterwards. An error means that the journal does not belong to this program.
func (x *exec) apply(e *durable.Entry) error {
	if e.Time.After(x.info.Now) {
		x.info.Now = e.Time
	}
	switch e.Kind {
	case durable.EntryIntent, durable.EntryAttempt, durable.EntryDone:
		return x.applyStep(e)
	case durable.EntryTimer, durable.EntryAsked, durable.EntryChild:
		return x.applyRecorded(e)
	case durable.EntryVoted, durable.EntryEscalated:
		return x.applyAsked(e)
	case durable.EntryFired:
		return x.finish(e, durable.CommandTimer)
	case durable.EntryAnswered:
		return x.finish(e, durable.CommandAsk)
	case durable.EntryChildDone:
		return x.finish(e, durable.CommandChild)
	case durable.EntrySignal:
		b := x.inbox(e.Name)
		b.queue = append(b.queue, e)
		b.news.wake()
	case durable.EntryCancel:
		x.canceled = true
		x.awakenAll(nil)
		if x.reason == "" {
			x.reason = e.Reason
		}
	case durable.EntryForked:
		for _, c := range x.open {
			c.issued = e.Time // their time begins anew: they were asked for in the life of the base
		}
	case durable.EntryStarted, durable.EntryClaimed, durable.EntryContinued, durable.EntryBlocked,
		durable.EntryUnblocked, durable.EntryPaused, durable.EntryResumed, durable.EntryEnded:
	}
	return nil
}

func (x *exec) applyStep(e *durable.Entry) error {
	c, err := x.match(e, durable.CommandStep)
	if err != nil {
		return err
	}
	c.attempt = e.Attempt
	c.intent = e.Kind == durable.EntryIntent
	switch e.Kind {
	case durable.EntryAttempt:
		c.until = e.Until
	case durable.EntryDone:
		x.close(c, e)
	default:
	}
	return nil
}

func (x *exec) applyRecorded(e *durable.Entry) error {
	kind := map[durable.EntryKind]durable.CommandKind{
		durable.EntryTimer: durable.CommandTimer, durable.EntryAsked: durable.CommandAsk, durable.EntryChild: durable.CommandChild,
	}[e.Kind]
	c, err := x.match(e, kind)
	if err != nil {
		return err
	}
	c.recorded = true
	x.free(c)
	c.until, c.childID, c.put = e.Until, e.Child, e.Time
	return nil
}

// applyAsked takes in what became of a question before its answer.
func (x *exec) applyAsked(e *durable.Entry) error {
	if e.Command >= len(x.commands) || x.commands[e.Command].kind != durable.CommandAsk {
		return x.mismatch(e, durable.CommandAsk)
	}
	if c := x.commands[e.Command]; e.Kind == durable.EntryEscalated {
		x.free(c)
		c.escalated++
		if e.Interrupt != nil {
			c.interrupt.To = slices.Concat(c.interrupt.To, e.Interrupt.To)
		}
	}
	return nil
}

func (x *exec) finish(e *durable.Entry, kind durable.CommandKind) error {
	if e.Child != "" && (e.Command >= len(x.commands) || x.commands[e.Command].childID != e.Child) {
		return nil // a child of an earlier segment, which nobody waits for any more
	}
	if e.Command >= len(x.commands) || x.commands[e.Command].kind != kind {
		return x.mismatch(e, kind)
	}
	x.close(x.commands[e.Command], e)
	return nil
}

func (x *exec) close(c *command, e *durable.Entry) {
	if c.result != nil {
		return // a second answer or result: the first one counts
	}
	c.result, c.busy, c.intent = e, false, false
	x.open, x.idle = without(x.open, c), without(x.idle, c)
	c.news.wake()
}

// hold notes that a command is busy.
func (x *exec) hold(c *command) {
	c.busy = true
	x.idle = without(x.idle, c)
}

// free notes that it is not, or not any more.
func (x *exec) free(c *command) {
	c.busy = false
	if i, there := find(x.idle, c); !there && c.result == nil {
		x.idle = slices.Insert(x.idle, i, c)
	}
}

// find says where a command stands in a list that is in order, or would stand.
func find(list []*command, c *command) (int, bool) {
	return slices.BinarySearchFunc(list, c, func(a, b *command) int { return cmp.Compare(a.number, b.number) })
}

func without(list []*command, c *command) []*command {
	i, there := find(list, c)
	switch {
	case !there:
		return list
	case i == 0: // the usual one, and the rest may be long
		list[0] = nil
		return list[1:]
	}
	return slices.Delete(list, i, i+1)
}

// match finds the command an entry answers and checks that it is the same one.
func (x *exec) match(e *durable.Entry, kind durable.CommandKind) (*command, error) {
	if e.Command >= len(x.commands) {
		return nil, x.mismatch(e, kind)
	}
	c := x.commands[e.Command]
	if c.kind != kind || c.name != e.Name || (c.inputHash != e.InputHash && e.InputHash != durable.AnyInput) {
		return nil, x.mismatch(e, kind)
	}
	return c, nil
}

// halted reports whether the run is blocked for how its program ended.
func (x *exec) halted() bool {
	_, panicked := errors.AsType[*programPanic](x.err)
	_, lacking := errors.AsType[*durable.BlockError](x.err)
	return panicked || lacking || x.fault != nil
}

// issued holds an entry that follows the end of the program against the commands it
// had issued by then: they may still report, others cannot be.
func (x *exec) issued(e *durable.Entry) error {
	if x.halted() {
		return nil // the run is blocked for that, and may have come further once
	}
	kind := durable.CommandStep
	switch e.Kind {
	case durable.EntryIntent, durable.EntryAttempt, durable.EntryDone:
	case durable.EntryTimer:
		kind = durable.CommandTimer
	case durable.EntryAsked:
		kind = durable.CommandAsk
	case durable.EntryChild:
		kind = durable.CommandChild
	default:
		return nil // it follows one of the above, or is not the program's doing
	}
	c, err := x.match(e, kind)
	if err == nil && kind == durable.CommandChild {
		c.recorded, c.childID = true, e.Child // it is canceled with the end of the run
	}
	return err
}

// mismatch says in one paragraph how journal and program differ.
func (x *exec) mismatch(e *durable.Entry, kind durable.CommandKind) error {
	x.differs = x.differ(e, kind)
	had := fmt.Sprintf("%s %q with input %s", kind, e.Name, orNone(e.InputHash))
	now := fmt.Sprintf("issued only %d commands before it", len(x.commands))
	if e.Command < len(x.commands) {
		c := x.commands[e.Command]
		now = fmt.Sprintf("issues %s %q with input %s there", c.kind, c.name, orNone(c.inputHash))
	}
	return durable.Errorf(durable.CodeConflict,
		"replay mismatch at command %d of segment %d: the journal (entry %d) has %s, the program now %s; run the build that wrote it, or fork the run before this step",
		e.Command, x.info.Segment, e.Seq, had, now)
}

func orNone(hash string) string {
	if hash == "" {
		return "none"
	}
	return hash
}
