package embedded

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// parkMin is the wait below which a run stays in memory: parking and coming back
// costs two commits and a replay.
const parkMin = time.Second

// issue does what the open commands ask for: attempts, timers, questions, children.
func (l *live) issue() {
	now := time.Now()
	for _, c := range slices.Clone(l.x.idle) {
		switch {
		case l.x.unwanted(c):
			l.giveUp(c, now)
		case c.kind == durable.CommandStep:
			l.issueStep(c, now)
		case c.kind == durable.CommandTimer:
			l.issueTimer(c, now)
		case c.kind == durable.CommandAsk:
			l.issueAsk(c, now)
		case c.kind == durable.CommandChild:
			if !c.recorded {
				l.issueChild(c)
			}
		}
	}
}

// record appends an entry about a command and marks the command busy until it is
// applied. An error means that the run is over, which the next turn will learn.
func (l *live) record(c *command, e *durable.Entry) {
	l.x.hold(c)
	e.Command, e.Name, e.InputHash = c.number, c.name, c.inputHash
	_ = l.append(e, nil)
}

func (l *live) issueStep(c *command, now time.Time) {
	fn, ok := l.engine.steps[c.step.Func]
	if !ok {
		l.lacks(c, durable.Errorf(durable.CodeNotFound, "this build has no step function %q", c.step.Func))
		return
	}
	c.step.Options = c.step.Options.Or(fn.Options)
	if c.step.Options.Effect == "" {
		c.step.Options.Effect = durable.Idempotent
	}
	switch {
	case c.intent && fn.Reconcile != nil && !c.asked:
		l.reconcile(c)
		return
	case c.intent || c.until.After(now):
		return // in doubt, or between two attempts
	}
	l.x.hold(c)
	t := l.newTry(c)
	early := c.step.Options.Effect == durable.Read && l.claimed == nil // after a take-over it may be what kills the process
	switch {
	case !t.intent:
	case l.engine.laneOf(t) != nil:
		early = true // it waits for its turn first, then its intent is recorded
	default:
		t.promised, t.started = true, stamp(time.Time{})
		_ = l.append(t.intention(), nil) // refused only when the run is over, which the next turn will learn
	}
	l.launch(t, early)
}

// lacks has the run blocked over a command that this build cannot do, once what is in
// flight has ended.
func (l *live) lacks(c *command, err error) {
	l.x.hold(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck, l.again = err, true
}

func (l *live) issueTimer(c *command, now time.Time) {
	switch {
	case !c.recorded:
		// From when the program asked, as its clock said: it may be recorded much later, when the
		// process ended in between or the run was paused.
		l.record(c, &durable.Entry{Kind: durable.EntryTimer, Until: c.issued.Add(c.delay)})
	case !c.until.After(now):
		l.record(c, &durable.Entry{Kind: durable.EntryFired})
	}
}

// errDoomed refuses a child to a run that is paused, or that somebody is about to kill.
var errDoomed = errors.New("the run starts no children")

func (l *live) issueChild(c *command) {
	e := l.engine
	if _, ok := e.programs[c.child.Program]; !ok {
		err := durable.Errorf(durable.CodeInvalid, "no program %q", c.child.Program)
		l.record(c, &durable.Entry{Kind: durable.EntryChildDone, Error: durable.FailureOf(err)})
		return
	}
	l.x.hold(c)
	run, started := e.birth(durable.StartRequest{
		ID: cmp.Or(c.child.ID, NewRunID(time.Now())), Program: c.child.Program, Name: c.child.Name, Input: c.child.Input, Definition: c.child.Definition,
		Queue: l.run.Queue, Priority: l.run.Priority, Tenant: l.run.Tenant, Share: l.run.Share,
	}, l.id, c.number)
	entry := &durable.Entry{
		Kind: durable.EntryChild, Command: c.number, Name: c.name, Func: c.child.Program, InputHash: c.inputHash, Child: run.ID,
	}
	child, err := e.enlist(e.ctx, run, c.child.ID != "")
	switch {
	case errors.Is(err, durable.ErrExhausted), errors.Is(err, durable.ErrInvalid), errors.Is(err, durable.ErrConflict):
		l.record(c, &durable.Entry{Kind: durable.EntryChildDone, Error: durable.FailureOf(err)})
		return
	case err != nil:
		return // closing
	}
	defer child.release()
	err = e.together(l, child, func() error {
		if l.doomed > 0 || l.paused() {
			return errDoomed
		}
		return errors.Join(l.appendLocked(entry, nil), child.bear(started, c.child.Definition, nil))
	})
	if err != nil {
		child.mu.Lock()
		child.ended = true // it never began: this run was ended by somebody else, or is about to be
		child.mu.Unlock()
		l.x.free(c)
	}
	close(child.opened)
	if err == nil {
		child.wake()
	}
}

// rest parks the run when nothing is on its way, and sets the alarm for a wait
// that is too short for that.
func (l *live) rest() error {
	waits, wake, still := l.waits()
	if !still {
		l.alarmAt(wake) // what is on its way may take longer
		return nil
	}
	if len(waits) == 0 {
		return durable.Errorf(durable.CodeInternal, "program %s waits for nothing: a coroutine that never ends, or a Select without arguments", l.run.Program)
	}
	if !wake.IsZero() {
		if time.Until(wake) < parkMin {
			l.stay()
			l.alarmAt(wake)
			return nil
		}
	}
	l.park(waits, wake)
	return nil
}

// alarmAt has the run turned at a time; the zero time is none.
func (l *live) alarmAt(wake time.Time) {
	switch {
	case wake.IsZero():
	case l.alarm == nil:
		l.alarm = time.AfterFunc(time.Until(wake), l.wake)
	default:
		l.alarm.Reset(time.Until(wake))
	}
}

// stay keeps a run that an earlier process left in memory for its alarm: while it is
// queued it could leave, and nobody would wake it.
func (l *live) stay() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run.Status == durable.Queued {
		l.rouse()
	}
}

// park notes that the run waits; it leaves memory once that is durable and nothing came
// in between. A run that was read from the store and waits as before changes nothing.
func (l *live) park(waits []durable.Wait, wake time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mail) > 0 || len(l.flight) > 0 || l.ended || l.run.Status == durable.Waiting || l.paused() {
		return
	}
	l.setState(func(s *store.State) { s.Status, s.Waits, s.Wake = durable.Waiting, waits, wake })
}

// waits lists what the run waits for and when the clock must wake it; still is
// false while something is on its way, and then it lists nothing.
func (l *live) waits() (waits []durable.Wait, wake time.Time, still bool) {
	for _, c := range l.x.idle {
		wake = earlier(wake, c.wakes())
	}
	if len(l.x.idle) < len(l.x.open) {
		return nil, wake, false
	}
	for _, c := range l.x.open {
		w := durable.Wait{Command: c.number, Name: c.name}
		switch {
		case c.kind == durable.CommandStep && c.intent:
			w.Kind = durable.WaitInDoubt
		case c.kind == durable.CommandStep, c.kind == durable.CommandTimer:
			w.Kind, w.Until = durable.WaitTimer, c.until
		case c.kind == durable.CommandAsk:
			i := c.interrupt
			w.Kind, w.Interrupt, w.Until = durable.WaitAnswer, &i, c.until
		case c.kind == durable.CommandChild:
			w.Kind, w.Child = durable.WaitChild, c.childID
		}
		waits = append(waits, w)
	}
	for _, r := range l.x.living {
		if r.done {
			continue
		}
		for _, name := range r.on {
			if strings.HasPrefix(name, durable.OwnSignals) {
				continue
			}
			waits = append(waits, durable.Wait{Kind: durable.WaitSignal, Name: name})
		}
	}
	return waits, wake, true
}

// earlier is the earlier of two moments; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// remember keeps what others may ask about while the run is in motion.
func (l *live) remember(e *durable.Entry) {
	switch e.Kind {
	case durable.EntryAsked, durable.EntryVoted, durable.EntryAnswered, durable.EntryIntent, durable.EntryDone, durable.EntryAttempt:
	default:
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Kind {
	case durable.EntryAsked:
		if l.questions == nil {
			l.questions = map[string]*question{}
		}
		l.questions[e.Interrupt.ID] = &question{interrupt: *e.Interrupt, command: e.Command, seq: e.Seq, put: e.Time, until: e.Until}
	case durable.EntryVoted:
		if q := l.questions[e.Name]; q != nil {
			q.vote(e.By, e.Output)
		}
	case durable.EntryAnswered:
		for _, q := range l.questions {
			if q.command == e.Command {
				q.answered, q.by, q.at = true, e.By, e.Time
				q.withdrawn = e.Error != nil && e.Error.Code == durable.CodeCanceled
			}
		}
	case durable.EntryIntent:
		if l.doubts == nil {
			l.doubts = map[int]*durable.Entry{}
		}
		l.doubts[e.Command] = e
	case durable.EntryDone, durable.EntryAttempt:
		delete(l.doubts, e.Command)
	default:
	}
}
