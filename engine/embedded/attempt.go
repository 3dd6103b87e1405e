package embedded

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

// try is one attempt of a step on its way. It shares nothing with the program.
type try struct {
	l         *live
	fn        durable.StepFunc
	call      durable.StepCall
	hash      string
	command   int
	segment   int
	number    int
	intent    bool      // it is irreversible: its intent is recorded before it runs
	promised  bool      // that has been appended
	lane      *lane     // whose turn it has been given; nil = no limit, or it still waits
	shield    bool      // a cancel of the run does not reach it
	reconcile bool      // it only finds out what became of an intent in doubt
	deadline  time.Time // of the step as a whole; zero = none
	started   time.Time
	ctx       context.Context //nolint:containedctx // the life of the attempt
	cancel    context.CancelCauseFunc
	stop      context.CancelFunc // of the deadline; nil without one
	unwait    func() bool        // ends the watch over one that waits in a lane
	deltas    deltas
	blobs     blobs
}

// newTry prepares the next attempt of a step and counts it as in flight.
func (l *live) newTry(c *command) *try {
	t := &try{
		l: l, fn: l.engine.steps[c.step.Func], call: c.step, hash: c.inputHash, command: c.number, segment: l.x.info.Segment,
		number: c.attempt + 1, shield: c.shield, intent: c.step.Options.Effect == durable.Irreversible,
	}
	parent := l.engine.ctx
	if t.intent {
		parent = l.engine.firm
	}
	t.blobs.journal = l.engine.journal
	t.ctx, t.cancel = context.WithCancelCause(parent)
	if within := c.step.Options.Within; within > 0 && !c.intent { // it is never too late to find out what happened
		t.deadline = c.issued.Add(within)
		late := durable.Errorf(durable.CodeUnavailable, "%s was not done within %s", t.call.Name, within)
		t.ctx, t.stop = context.WithDeadlineCause(t.ctx, t.deadline, late)
	}
	return t
}

// launch has an attempt begin: at once when it may run before what was appended is
// durable, else behind that.
func (l *live) launch(t *try, early bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over() != nil {
		return
	}
	l.flight = append(l.flight, t)
	if l.run.Status != durable.Running {
		l.rouse() // so that a process that dies of it is noticed
	}
	if early {
		if b := cmp.Or(l.out, l.way); b != nil { // the newest that is not durable
			t.deltas.kept = true
			b.early = append(b.early, t)
		}
		l.engine.begin([]*try{t})
		return
	}
	b := l.batch()
	b.tries = append(b.tries, t)
}

// begin starts attempts, or lets them wait where a limit says so. It does not block.
func (e *Engine) begin(tries []*try) {
	if len(tries) == 0 {
		return
	}
	now := stamp(time.Time{})
	for _, t := range tries {
		t.started = now
		if lane := e.laneOf(t); lane != nil && t.lane == nil {
			lane.enter(t)
		} else {
			e.crew.Go(t.run)
		}
	}
}

func (t *try) run() {
	defer t.lane.leave()
	defer t.cancel(nil)
	if t.stop != nil {
		defer t.stop()
	}
	if !t.wanted() {
		return
	}
	ctx := t.ctx
	if limit := t.call.Options.Timeout; limit > 0 {
		limited, stop := context.WithTimeoutCause(ctx, limit, durable.Errorf(durable.CodeUnavailable, "%s timed out after %s", t.call.Name, limit))
		defer stop()
		ctx = limited
	}
	if t.number > 1 || t.l.base > 0 { // it may have been under way when the run left memory: it crashed, was told to stop or was blocked
		t.emit(durable.DeltaReset, nil) // what an attempt that was cut short has streamed is void
	}
	t.emit(durable.DeltaBegun, nil)
	var output json.RawMessage
	err := context.Cause(ctx) // while it waited for its turn
	if err == nil {
		output, err = t.invoke(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = explainEnd(ctx, err)
	}
	if err != nil && t.untold(ctx, err) {
		err = &unknownError{err}
	}
	t.report(t.entry(output, err), err)
}

// promise appends the intent of an attempt whose turn has come; it runs once that is
// durable. One that had waited behind its intent would be in doubt after a crash.
func (t *try) promise() {
	if !t.wanted() {
		t.lane.leave()
		return
	}
	l := t.l
	l.mu.Lock()
	if t.ctx.Err() == nil && l.appendLocked(t.intention(), nil) == nil {
		t.promised = true
		b := l.batch()
		b.tries = append(b.tries, t)
	}
	l.mu.Unlock()
	if !t.promised { // it was told to stop, or the run is over
		t.run()
		return
	}
	l.turnHere()
}

// intention is the entry that says that the attempt is about to run.
func (t *try) intention() *durable.Entry {
	e := t.outcome(durable.EntryIntent)
	e.Func, e.Input = t.call.Func, t.call.Input
	return e
}

// wanted reports whether the attempt is still to begin. One that is not, but whose
// intent is recorded, is taken back, so that it is not in doubt.
func (t *try) wanted() bool {
	l := t.l
	l.mu.Lock()
	why := ""
	switch {
	case l.engine.ctx.Err() != nil, l.engine.draining.Load():
		why = "not begun: the process was told to stop"
	case l.paused():
		why = "not begun: the run was paused"
	}
	wanted := !l.ended && why == "" && t.segment == l.run.Segment
	if !wanted {
		l.landed(t)
	}
	if why != "" && t.segment == l.run.Segment {
		if t.promised {
			e := t.outcome(durable.EntryAttempt)
			e.Error = &durable.Failure{Code: durable.CodeUnavailable, Message: why}
			_ = l.appendLocked(e, nil) // refused only when the run is over
		} else {
			l.unsure = append(l.unsure, t.command)
		}
	}
	l.mu.Unlock()
	if !wanted {
		l.turnHere()
		l.engine.sweep(l)
	}
	return wanted
}

// explainEnd prefers why the context ended to what the step made of it.
func explainEnd(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case durable.CodeOf(cause) == durable.CodeInternal:
		return err
	case errors.Is(err, cause) && durable.CodeOf(err) == durable.CodeOf(cause):
		return err // it says so already
	}
	return fmt.Errorf("%w (%w)", cause, err)
}

// invoke calls the step function; its panic becomes an error of the step.
func (t *try) invoke(ctx context.Context) (output json.RawMessage, err error) {
	defer func() {
		if v := recover(); v != nil {
			output, err = nil, durable.Errorf(durable.CodeInternal, "step %s: panic: %v\n%s", t.call.Name, v, debug.Stack())
		}
	}()
	beat, still := t.heart()
	defer still()
	ctx = durable.WithAttempt(ctx, &durable.Attempt{
		Run: t.l.id, Tenant: t.l.run.Tenant, Step: t.call.Name, Command: t.command, Number: t.number, Epoch: t.l.engine.store.Epoch(),
		Key: t.key(), Emit: t.emit, Beat: beat, Blobs: &t.blobs,
	})
	if t.reconcile {
		return t.findOut(ctx)
	}
	output, err = t.fn.Call(ctx, t.call.Input)
	if err == nil && len(output) > 0 && !t.fn.Encodes() && !json.Valid(output) {
		return nil, durable.Errorf(durable.CodeInvalid, "step %s returned what is not JSON", t.call.Name)
	}
	return output, err
}

// key is the idempotency key of the step: run/segment/command.
func (t *try) key() string {
	b := make([]byte, 0, len(t.l.id)+12)
	b = append(append(b, t.l.id...), '/')
	b = append(strconv.AppendInt(b, int64(t.segment), 10), '/')
	return string(strconv.AppendInt(b, int64(t.command), 10))
}

// heart ends the attempt when its step function does not beat often enough.
func (t *try) heart() (beat, still func()) {
	every := t.call.Options.Heartbeat
	if every <= 0 {
		return func() {}, func() {}
	}
	timer := time.AfterFunc(every, func() {
		t.cancel(durable.Errorf(durable.CodeUnavailable, "%s gave no sign of life for %s", t.call.Name, every))
	})
	return func() { timer.Reset(every) }, func() { timer.Stop() }
}

func (t *try) emit(kind string, data json.RawMessage) {
	t.deltas.emit(t.l.engine.feed, durable.Delta{
		Run: t.l.id, Command: t.command, Step: t.call.Name, Attempt: t.number, Kind: kind, Data: data,
	}, t.l.told.Load())
}

// outcome is an entry about this attempt.
func (t *try) outcome(kind durable.EntryKind) *durable.Entry {
	e := &durable.Entry{
		Kind: kind, Command: t.command, Name: t.call.Name, Attempt: t.number, Effect: t.call.Options.Effect,
		Started: t.started, InputHash: t.hash, Epoch: t.l.engine.store.Epoch(),
	}
	if t.call.Func != t.call.Name {
		e.Func = t.call.Func
	}
	return e
}

// entry records the outcome: the end of the step, or of this try when another follows.
func (t *try) entry(output json.RawMessage, err error) *durable.Entry {
	e := t.outcome(durable.EntryDone)
	e.Output, e.Error = output, durable.FailureOf(err)
	if !t.promised && !t.reconcile {
		e.Input = t.call.Input // else an intent has recorded it
	}
	if t.reconcile {
		e.Reason = "reconciled"
	}
	if err == nil {
		return e
	}
	if didNot, ok := errors.AsType[*notDoneError](err); ok {
		e.Kind, e.Error, e.Until = durable.EntryAttempt, durable.FailureOf(didNot), stamp(time.Time{})
		return e
	}
	if wait, again := t.call.Options.Retry.Next(t.call.Options.Effect, t.number, err); again {
		if until := stamp(time.Time{}).Add(wait); t.deadline.IsZero() || until.Before(t.deadline) {
			e.Kind, e.Until = durable.EntryAttempt, until
		}
	}
	return e
}

// report appends the outcome, unless the run no longer wants it, and turns the run.
func (t *try) report(e *durable.Entry, err error) {
	l, blobs := t.l, t.blobs.take()
	l.mu.Lock()
	l.landed(t)
	lacking, ok := errors.AsType[*durable.BlockError](err)
	_, unknown := errors.AsType[*unknownError](err)
	switch {
	case t.segment != l.run.Segment: // the program went on without it
	case ok && !t.intent: // not recorded: once the run is resumed the step runs again
		l.stuck = lacking
	case unknown:
		l.unsure = append(l.unsure, t.command)
		l.engine.log.WarnContext(l.engine.ctx, "a step is in doubt", slog.String("run", string(l.id)), slog.String("step", t.call.Name), slog.Any("cause", err))
	case err != nil && l.engine.ctx.Err() != nil && !t.intent: // the process ends: the step will run again
	default:
		if l.appendLocked(e, nil) == nil { // refused only when the run is over, and then nobody wants to know
			l.out.blobs, blobs = append(l.out.blobs, blobs...), nil
		}
	}
	l.mu.Unlock()
	l.engine.journal.Drop(blobs)
	l.turnHere()
	l.engine.sweep(l)
}

// blobs is the store as a step function sees it. What it puts goes with its outcome.
type blobs struct {
	journal *journal.Journal
	mu      sync.Mutex
	staged  []journal.Blob
}

func (b *blobs) Put(_ context.Context, data []byte) (durable.Ref, error) {
	blob := b.journal.Stage(bytes.Clone(data))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.staged = append(b.staged, blob)
	return blob.Ref, nil
}

// Get blocks the run over a blob that is damaged or gone: nothing may be concluded from it,
// not even that the step failed.
func (b *blobs) Get(ctx context.Context, ref durable.Ref) ([]byte, error) {
	data, err := b.journal.Get(ctx, ref)
	if errors.Is(err, durable.ErrInternal) || errors.Is(err, durable.ErrNotFound) {
		err = durable.Block(err)
	}
	return data, err
}

// take hands over what was put. A step function that goes on after its end puts in vain.
func (b *blobs) take() []journal.Blob {
	b.mu.Lock()
	defer b.mu.Unlock()
	staged := b.staged
	b.staged = nil
	return staged
}
