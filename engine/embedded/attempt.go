package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

// try is one attempt of a step on its way. It shares nothing with the run's
// goroutine.
type try struct {
	l       *live
	fn      durable.StepFunc
	call    durable.StepCall
	hash    string
	command int
	segment int
	number  int
	intent  bool
	started time.Time
	deltas  atomic.Int64
}

// attempt starts the next try of a step.
func (l *live) attempt(c *command) {
	t := &try{
		l: l, fn: l.engine.steps[c.step.Func], call: c.step, hash: c.inputHash, command: c.number,
		segment: l.x.info.Segment, number: c.attempt + 1, intent: c.intent, started: stamp(time.Time{}),
	}
	if c.intent {
		t.number = c.attempt
	}
	ctx := l.soft
	switch {
	case c.intent:
		ctx = l.firm
	case c.shield:
		ctx = l.ctx
	}
	l.mu.Lock()
	l.inflight++
	l.mu.Unlock()
	l.engine.lives.Go(func() { t.run(ctx) })
}

func (t *try) run(ctx context.Context) {
	if t.call.Options.Timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, t.call.Options.Timeout,
			durable.Errorf(durable.CodeUnavailable, "%s timed out after %s", t.call.Name, t.call.Options.Timeout))
		defer cancel()
		ctx = limited
	}
	if t.number > 1 || t.l.claim {
		t.emit(durable.DeltaReset, nil) // what an attempt that was cut short has streamed is void
	}
	t.emit(durable.DeltaBegun, nil)
	output, err := t.invoke(ctx)
	if err != nil && ctx.Err() != nil {
		err = explainEnd(ctx, err)
	}
	t.report(t.entry(output, err), err)
}

// explainEnd prefers why the context ended to what the step made of it.
func explainEnd(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); durable.CodeOf(cause) != durable.CodeInternal {
		return fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}

// invoke calls the step function; its panic becomes an error of the step.
func (t *try) invoke(ctx context.Context) (output json.RawMessage, err error) {
	if t.fn.Call == nil {
		return nil, durable.Errorf(durable.CodeInvalid, "this build has no step function %q", t.call.Func)
	}
	defer func() {
		if v := recover(); v != nil {
			output, err = nil, durable.Errorf(durable.CodeInternal, "step %s: panic: %v\n%s", t.call.Name, v, debug.Stack())
		}
	}()
	run := t.l.run.ID
	ctx = durable.WithAttempt(ctx, &durable.Attempt{
		Run: run, Step: t.call.Name, Command: t.command, Number: t.number, Epoch: t.l.engine.store.Epoch(),
		Key: fmt.Sprintf("%s/%d/%d", run, t.segment, t.command), Emit: t.emit, Blobs: &blobs{t.l.engine.journal, run},
	})
	output, err = t.fn.Call(ctx, t.call.Input)
	if err == nil && len(output) > 0 && !json.Valid(output) {
		return nil, durable.Errorf(durable.CodeInvalid, "step %s returned what is not JSON", t.call.Name)
	}
	return output, err
}

func (t *try) emit(kind string, data json.RawMessage) {
	t.l.engine.feed.Emit(durable.Delta{
		Run: t.l.run.ID, Command: t.command, Step: t.call.Name, Attempt: t.number, Offset: int(t.deltas.Add(1)) - 1, Kind: kind, Data: data,
	})
}

// entry records the outcome: the end of the step, or of this try when another follows.
func (t *try) entry(output json.RawMessage, err error) *durable.Entry {
	e := &durable.Entry{
		Kind: durable.EntryDone, Command: t.command, Name: t.call.Name, Attempt: t.number, Effect: t.call.Options.Effect,
		Started: t.started, InputHash: t.hash, Epoch: t.l.engine.store.Epoch(), Output: output, Error: durable.FailureOf(err),
	}
	if t.call.Func != t.call.Name {
		e.Func = t.call.Func
	}
	if !t.intent {
		e.Input = t.call.Input // an intent has recorded it already
	}
	if err == nil {
		return e
	}
	if wait, again := t.call.Options.Retry.Next(t.call.Options.Effect, t.number, err); again {
		e.Kind, e.Until = durable.EntryAttempt, stamp(time.Time{}).Add(wait)
	}
	return e
}

// report appends the outcome, unless the run no longer wants it.
func (t *try) report(e *durable.Entry, err error) {
	l := t.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inflight--
	lacking, ok := errors.AsType[*durable.BlockError](err)
	switch {
	case ok && !t.intent: // not recorded: once the run is resumed the step runs again
		l.stuck = lacking
	case err != nil && l.engine.ctx.Err() != nil: // the process ends: the step will run again
	case t.segment != l.run.Segment: // the program went on without it
	default:
		// Refused only when the run is over, and then nobody wants to know.
		_ = l.appendLocked(&journal.Change{Run: l.run.ID, Entries: []*durable.Entry{e}}, nil)
	}
	l.poke()
}

// blobs is the store as a step function sees it.
type blobs struct {
	journal *journal.Journal
	run     durable.RunID
}

func (b *blobs) Put(_ context.Context, data []byte) (durable.Ref, error) {
	return b.journal.Put(b.run, data), nil
}

func (b *blobs) Get(ctx context.Context, ref durable.Ref) ([]byte, error) {
	return b.journal.Get(ctx, ref)
}
