package embedded

import (
	"time"

	"github.com/orpine-run/orpine/durable"
)

// extent is how far the cancel of a coroutine goes: to what is asked for in it and in the
// coroutines that are started in it, but not under Shield. The cancel of the run is none
// of these. nil is what no coroutine's cancel reaches.
type extent struct {
	above *extent
	over  bool
}

// canceled reports whether one of the cancels that reach so far has come.
func (e *extent) canceled() bool {
	for ; e != nil; e = e.above {
		if e.over {
			return true
		}
	}
	return false
}

// Cancel gives the command up. In an unwound program, whose deferred functions run, it
// means nothing: the program will come here again.
func (f *future) Cancel() {
	if f.x.unwound || f.Ready() {
		return
	}
	f.c.dropped = true
	f.x.letGo = append(f.x.letGo, f.c)
	f.c.news.wake()
}

// Cancel gives up all that the coroutine waits for, and those that were started in it.
func (f *routineFuture) Cancel() {
	if f.x.unwound || f.done || f.extent.over {
		return
	}
	told := f.extent.canceled()
	f.extent.over = true
	f.x.awakenAll(f.extent)
	for _, c := range f.x.open {
		if !told && c.extent.canceled() {
			f.x.letGo = append(f.x.letGo, c)
		}
	}
}

// doomed reports whether the cancel of the run reaches a command.
func (x *exec) doomed(c *command) bool { return x.canceled && !c.shield }

// unwanted reports whether nobody waits for a command any more.
func (x *exec) unwanted(c *command) bool {
	return c.dropped || x.doomed(c) || c.extent.canceled()
}

// letGo sees to what the program gave up and is under way: attempts are cut short and
// children canceled. What is not begun, timers and questions are left to issue. After a
// crash a replay brings the program here again.
func (l *live) letGo() {
	var children, early []*command
	for _, c := range l.x.letGo {
		switch {
		case c.result != nil:
		case c.kind == durable.CommandStep:
			l.cut(c)
		case c.kind != durable.CommandChild:
		case !c.recorded && c.busy:
			early = append(early, c) // its entry is in the mail
		case c.recorded && (c.dropped || !c.child.Abandon):
			children = append(children, c)
		}
	}
	l.x.letGo = early
	for _, c := range l.passOn("the parent gave it up", children) {
		if c.dropped { // so that it is not told again whenever the run comes back to memory
			l.record(c, &durable.Entry{Kind: durable.EntryChildDone, Error: durable.FailureOf(durable.ErrCanceled)})
		}
	}
}

// cut ends the context of an attempt of a step, unless it has been promised.
func (l *live) cut(c *command) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.flight {
		if t.command == c.number && t.segment == l.x.info.Segment && !t.promised && !t.reconcile {
			t.cancel(durable.ErrCanceled)
		}
	}
}

// giveUp closes a command that nobody waits for any more. A child that was begun is left to
// end by its own cancel. A step in doubt stays so while the run goes on: whoever can tell is
// asked.
func (l *live) giveUp(c *command, now time.Time) {
	canceled := durable.FailureOf(durable.ErrCanceled)
	switch {
	case c.kind == durable.CommandStep && !c.intent:
		l.record(c, &durable.Entry{Kind: durable.EntryDone, Func: c.step.Func, Attempt: c.attempt, Error: canceled})
	case c.kind == durable.CommandStep && !l.x.doomed(c):
		l.issueStep(c, now)
	case c.kind == durable.CommandTimer:
		l.record(c, &durable.Entry{Kind: durable.EntryFired, Error: canceled})
	case c.kind == durable.CommandAsk:
		l.withdraw(c, canceled)
	case c.kind == durable.CommandChild && !c.recorded:
		l.record(c, &durable.Entry{Kind: durable.EntryChildDone, Error: canceled})
	}
}
