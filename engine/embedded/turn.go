package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// maxClaims is how often a run may be taken over without getting any further
// before it is blocked.
const maxClaims = 5

// maxTurn is how many entries a turn appends before it sends them to the store: a program
// that never waits would never come to the end of one.
const maxTurn = 256

// wake has the run turned by a goroutine of its own.
func (l *live) wake() {
	if l.seize() {
		l.engine.crew.Go(l.turn)
	}
}

// turnHere turns the run on the caller's goroutine, unless somebody does so already.
func (l *live) turnHere() {
	if l.seize() {
		l.turn()
	}
}

// seize makes the caller the one who turns the run. When there is one, that one turns
// it once more.
func (l *live) seize() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return false
	}
	l.again = true
	if l.turning {
		return false
	}
	l.turning = true
	return true
}

// turn is the circle of a run: apply what was appended, let the program go on, issue
// its commands, until nothing is left to do; then everything that was appended
// meanwhile goes to the store at once.
func (l *live) turn() {
	for {
		l.mu.Lock()
		if !l.again && (len(l.mail) == 0 || l.asleep()) {
			l.flush()
			l.turning = false
			l.mu.Unlock()
			l.engine.sweep(l)
			return
		}
		l.again = false
		if l.out != nil && len(l.out.entries) >= maxTurn {
			l.flush()
		}
		l.mu.Unlock()
		if err := l.once(); err != nil && !errors.Is(err, errOver) {
			l.block(err)
		}
	}
}

// errOver ends the turns of a run that is over.
var errOver = errors.New("the run is over")

// once goes round the circle. An error blocks the run.
func (l *live) once() error {
	if l.shelve() || l.finished() {
		return errOver
	}
	if l.x == nil {
		if err := l.load(); err != nil {
			return err
		}
	}
	l.doubt()
	for _, e := range l.take() {
		if e.Kind == durable.EntryEnded {
			return errOver
		}
		if err := l.see(e); err != nil {
			return err
		}
		l.entered(e)
	}
	if l.engine.passive || l.halts() {
		return errOver // what follows from it is for the next process, or for when it is resumed
	}
	l.letGo()
	for l.x.ended {
		if again, err := l.finish(); err != nil || !again {
			return err
		}
	}
	if busy, cause := l.halted(); cause != nil {
		if busy {
			return nil
		}
		return cause
	}
	if l.engine.draining.Load() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.again = l.again || len(l.flight) == 0 // else what is in flight may end
		return nil
	}
	l.issue()
	return l.rest()
}

// halts reports whether the run is paused: nothing is issued and the program does not end.
func (l *live) halts() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused()
}

// doubt takes back what nobody works on: it waits for a person, or to be begun again.
func (l *live) doubt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, number := range l.unsure {
		if number < len(l.x.commands) {
			l.x.free(l.x.commands[number])
		}
	}
	l.unsure = nil
}

// finished reports whether nobody may turn the run any more. What was appended to a
// blocked one stays in the mail: if it is resumed, it comes behind the journal.
func (l *live) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asleep() {
		l.ready()
		return true
	}
	return false
}

// ready tells who waits for the run to be loaded; the caller holds l.mu.
func (l *live) ready() {
	select {
	case <-l.loaded:
	default:
		close(l.loaded)
	}
}

func (l *live) isReady() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready()
}

// shelve leaves a run to the next process when this one is told to stop; true when it
// did. Irreversible steps in flight may still end.
func (l *live) shelve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.engine.ctx.Err() == nil && (!l.engine.draining.Load() || len(l.flight) > 0 || len(l.mail) > 0) {
		return false
	}
	if !l.shelved && !l.ended && l.run.Status == durable.Running && !l.engine.passive {
		// If the store is what made the engine stop, this is refused, and the run is
		// taken over as after a crash.
		l.setState(func(s *store.State) { s.Status = durable.Queued })
	}
	l.shelved = true
	l.mail = nil
	l.ready()
	return true
}

// load replays the journal up to where it ended when the run was opened; everything
// since is in the mail.
func (l *live) load() error {
	if l.first != nil {
		defer l.isReady()
		return l.begin(l.first, nil)
	}
	if l.claimed != nil {
		if err := await(l.engine.ctx, l.claimed); err != nil {
			return errOver // the engine stops
		}
	}
	l.mu.Lock()
	start := l.run.Start
	l.mu.Unlock()
	entries, err := l.engine.journal.Range(l.engine.ctx, l.id, start, l.base)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return durable.Errorf(durable.CodeInternal, "run %s has no journal", l.id)
	}
	if err := poisoned(entries, l.claimed != nil); err != nil {
		return err
	}
	if err := l.begin(&entries[0], nil); err != nil {
		return err
	}
	for i := range entries[1:] {
		if err := l.see(&entries[i+1]); err != nil {
			return err
		}
	}
	if l.x.canceled {
		l.cancelChildren("the parent was canceled")
	}
	l.isReady()
	return nil
}

// poisoned counts the take-overs at the end of a journal that led to nothing, with
// the one that is under way.
func poisoned(entries []durable.Entry, claiming bool) error {
	claims := 0
	for i := range entries {
		switch entries[i].Kind {
		case durable.EntryClaimed:
			claims++
		case durable.EntryIntent, durable.EntryCancel:
		default:
			claims = 0
		}
	}
	if claiming {
		claims++
	}
	if claims <= maxClaims {
		return nil
	}
	return durable.Errorf(durable.CodeInternal, "taken over %d times without progress: the process probably dies in the step that comes next", claims)
}

// begin starts the program at the entry that opens a segment. Carried are the signals
// and cancels it takes over from the segment before; nil = read them from the journal.
func (l *live) begin(e *durable.Entry, carried []*durable.Entry) error {
	program, ok := l.engine.programs[l.run.Program]
	if !ok {
		return durable.Errorf(durable.CodeNotFound, "this build has no program %q; it has %s", l.run.Program, strings.Join(l.engine.names(), ", "))
	}
	if e.Kind != durable.EntryStarted && e.Kind != durable.EntryContinued {
		return durable.Errorf(durable.CodeInternal, "run %s: entry %d is %s and begins no segment", l.id, e.Seq, e.Kind)
	}
	definition, err := l.engine.definition(l.run.Definition)
	if err != nil {
		return fmt.Errorf("load the definition: %w", err)
	}
	if err := l.loadValues(e); err != nil {
		return err
	}
	l.mu.Lock()
	l.questions, l.doubts = nil, nil
	l.mu.Unlock()
	info := durable.Info{
		Run: l.id, Program: l.run.Program, Parent: l.run.Parent, Tenant: l.run.Tenant, Segment: e.Segment, Definition: definition, Now: e.Time,
	}
	l.x = newExec(info, program, e.Input, l.loadValues)
	l.applied, l.late = e.Seq, nil
	if e.Kind == durable.EntryContinued && carried == nil {
		if carried, err = carry(l.engine.ctx, l.engine.journal, l.id, e); err != nil {
			return err
		}
	}
	for _, c := range carried {
		if err := l.x.apply(c); err != nil {
			return err
		}
	}
	l.x.info.Now = e.Time
	l.x.resume()
	return nil
}

// passesOn reports whether an entry that comes when a segment has ended is for the next.
func passesOn(e *durable.Entry) bool {
	return e.Kind == durable.EntrySignal || e.Kind == durable.EntryCancel
}

func (l *live) loadValues(e *durable.Entry) error { return l.engine.journal.Load(l.engine.ctx, e) }

// see applies one entry and lets the program go on.
func (l *live) see(e *durable.Entry) error {
	if e.Seq <= l.applied {
		return nil
	}
	if l.x.ended {
		if passesOn(e) {
			l.late = append(l.late, e)
		}
		return l.x.issued(e)
	}
	l.applied = e.Seq
	if err := l.x.apply(e); err != nil {
		return err
	}
	if l.x.canceled {
		l.cutShort(false)
	}
	l.remember(e)
	l.x.resume()
	return nil
}

// entered does what a live run, unlike a replay, does about an entry.
func (l *live) entered(e *durable.Entry) {
	switch e.Kind {
	case durable.EntryAttempt:
		l.x.free(l.x.commands[e.Command])
	case durable.EntryCancel:
		l.cancelChildren(e.Reason)
	case durable.EntryChild:
		if l.x.canceled { // it was issued in the turn in which the cancel came
			l.cancelChildren("the parent was canceled", l.x.commands[e.Command])
		}
	default:
	}
}

// finish records how the program ended. It returns true when a new segment begins.
func (l *live) finish() (bool, error) {
	if l.x.fault != nil {
		return false, l.x.fault
	}
	if l.effects() {
		return false, nil // what became of them is told before the end
	}
	err := l.x.err
	if next := l.x.continues(); next != nil {
		return true, l.continueWith(next.State)
	}
	if p, ok := errors.AsType[*programPanic](err); ok {
		return false, p
	}
	if b, ok := errors.AsType[*durable.BlockError](err); ok {
		return false, b
	}
	end := l.x.ending()
	l.cancelChildren("the parent ended")
	err = l.end(end)
	l.cutShort(true) // nobody waits for what is still in flight
	return false, err
}

// effects reports whether irreversible steps are under way.
func (l *live) effects() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.flight, func(t *try) bool { return t.promised && t.segment == l.run.Segment })
}

// continueWith begins a new segment.
func (l *live) continueWith(input json.RawMessage) error {
	if len(input) > 0 && !json.Valid(input) {
		return durable.Errorf(durable.CodeInvalid, "the state that program %s continues with is not JSON", l.run.Program)
	}
	l.cancelChildren("the parent went on in a new segment")
	carried := l.x.unreceived()
	entry := &durable.Entry{
		Kind: durable.EntryContinued, Input: input, InputHash: shortHash(input), Segment: l.x.info.Segment + 1,
		After: l.applied, Epoch: l.engine.store.Epoch(), Carry: seqs(carried),
	}
	l.x.stop()
	l.mu.Lock()
	if err := l.over(); err != nil {
		l.mu.Unlock()
		return errOver
	}
	carried = append(carried, l.late...)
	for _, e := range l.mail { // what came while the segment ended; results of its steps are void
		if passesOn(e) {
			carried = append(carried, e)
		}
	}
	err := l.appendLocked(entry, nil)
	l.mail = nil
	l.setState(func(s *store.State) { s.Segment, s.Start = entry.Segment, entry.Seq })
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.begin(entry, append(make([]*durable.Entry, 0, len(carried)), carried...))
}

// end appends the last entry of the run, and tells its parent in the same transaction.
func (l *live) end(entry *durable.Entry) error {
	reason := l.x.reason
	if err := l.engine.endWithParent(l, entry, reason); err != nil && !errors.Is(err, durable.ErrConflict) {
		return errOver // the engine stops: the run ends again in the next process
	}
	return nil
}

// endLocked appends the last entry of the run and its last state.
func (l *live) endLocked(entry *durable.Entry, reason string, done func(error)) error {
	if err := l.appendLocked(entry, done); err != nil {
		return err
	}
	l.setState(func(s *store.State) { s.Status, s.Reason, s.Wake, s.Waits = entry.Status, reason, time.Time{}, nil })
	return nil
}

// block takes a run that cannot go on by itself out of memory.
func (l *live) block(cause error) {
	e := l.engine
	if e.ctx.Err() != nil {
		return // what the engine could not do any more blocks nothing
	}
	e.log.WarnContext(e.ctx, "run blocked", slog.String("run", string(l.id)), slog.Any("cause", cause))
	entry := &durable.Entry{Kind: durable.EntryBlocked, Reason: cause.Error(), Error: durable.FailureOf(cause)}
	l.mu.Lock()
	if l.appendLocked(entry, nil) == nil {
		l.ended = true
		l.setState(func(s *store.State) {
			s.Status, s.Reason, s.Wake, s.Waits = durable.Blocked, cause.Error(), time.Time{}, nil
		})
	}
	l.ready()
	l.mu.Unlock()
	l.cutShort(true)
}

// halted says why the run must be blocked, once all that is on its way is applied;
// busy is true while something still is.
func (l *live) halted() (busy bool, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.flight) > 0 || len(l.mail) > 0, l.stuck
}
