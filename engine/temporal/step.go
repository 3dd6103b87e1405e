package temporal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	sdk "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/orpine-run/orpine/durable"
)

// stepName is the one activity type: it looks the step function up by name.
const stepName = "orpine.step"

const (
	defaultHeartbeat = 10 * time.Second
	endless          = 365 * 24 * time.Hour // Temporal wants a bound even where we have none
	grace            = 30 * time.Second     // after a step's own timeout, before Temporal takes it for lost
	defaultUnblock   = 15 * time.Second     // between two tries of a step that lacks something
	maxAttempts      = 1000
)

// stepInput is a step as Temporal's history has it.
type stepInput struct {
	Func    string              `json:"func"`
	Name    string              `json:"name"`
	Tenant  string              `json:"tenant,omitempty"`
	Segment int                 `json:"segment"`
	Command int                 `json:"command"`
	Input   value               `json:"input"`
	Options durable.StepOptions `json:"options"`
}

// attempt is the activity: one try of a step.
func (e *Engine) attempt(ctx context.Context, in stepInput) (value, error) {
	info := activity.GetInfo(ctx)
	fn := e.steps[in.Func]
	if fn.Call == nil {
		return value{}, final(durable.Errorf(durable.CodeInvalid, "this build has no step function %q", in.Func))
	}
	ctx, beat, stop := e.bounded(ctx, in)
	defer stop()
	var deltas atomic.Int64
	run := durable.RunID(info.WorkflowExecution.ID)
	a := &durable.Attempt{
		Run: run, Tenant: in.Tenant, Step: in.Name, Command: in.Command, Number: int(info.Attempt), Key: key(run, in.Segment, in.Command), Epoch: 1, Blobs: e.blobs, Beat: beat,
		Emit: func(kind string, data json.RawMessage) {
			if e.emit != nil {
				e.emit(durable.Delta{
					Run: run, Command: in.Command, Step: in.Name, Attempt: int(info.Attempt), Offset: int(deltas.Add(1)) - 1, Kind: kind, Data: data,
				})
			}
		},
	}
	if a.Blobs == nil {
		a.Blobs = noBlobs{}
	}
	out, err := e.call(durable.WithAttempt(ctx, a), fn, in)
	if err == nil {
		return out, nil
	}
	if cause := context.Cause(ctx); ctx.Err() != nil && durable.CodeOf(cause) != durable.CodeInternal {
		err = fmt.Errorf("%w (%w)", cause, err) // why it had to stop says more than what it made of that
	}
	if lacking, ok := errors.AsType[*durable.BlockError](err); ok && in.Options.Effect != durable.Irreversible {
		return value{}, sdk.NewNonRetryableApplicationError(lacking.Error(), blockedType, nil)
	}
	wait, again := in.Options.Retry.Next(in.Options.Effect, int(info.Attempt), err)
	failure := durable.FailureOf(err)
	_, unsure := errors.AsType[*durable.DoubtError](err)
	late := ctx.Err() != nil && durable.CodeOf(context.Cause(ctx)) == durable.CodeUnavailable
	if in.Options.Effect == durable.Irreversible && (unsure || late) {
		failure.Reason = reasonInDoubt
	}
	return value{}, carry(failure, sdk.ApplicationErrorOptions{NonRetryable: !again, NextRetryDelay: wait})
}

// call runs the step function; its panic becomes an error of the step.
func (e *Engine) call(ctx context.Context, fn durable.StepFunc, in stepInput) (out value, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = durable.Errorf(durable.CodeInternal, "step %s: panic: %v\n%s", in.Name, v, debug.Stack())
		}
	}()
	input, err := e.values().unpack(ctx, in.Input)
	if err != nil {
		return value{}, err
	}
	output, err := fn.Call(ctx, input)
	if err != nil {
		return value{}, err
	}
	if len(output) > 0 && !json.Valid(output) {
		return value{}, durable.Errorf(durable.CodeInvalid, "step %s returned what is not JSON", in.Name)
	}
	return e.values().pack(ctx, output)
}

// bounded gives an attempt its timeout, tells Temporal that it is alive (which is how
// a dead worker is noticed, and how a cancel or a kill gets here), and stops it when
// the engine closes, unless it is irreversible, or when it does not beat as often as it
// was to.
func (e *Engine) bounded(ctx context.Context, in stepInput) (bound context.Context, beat, end func()) {
	beating, stop := context.WithCancelCause(ctx)
	beat, still := func() {}, func() bool { return true }
	if every := in.Options.Heartbeat; every > 0 {
		timer := time.AfterFunc(every, func() {
			stop(durable.Errorf(durable.CodeUnavailable, "%s gave no sign of life for %s", in.Name, every))
		})
		beat, still = func() { timer.Reset(every) }, timer.Stop
	}
	bounded, done := beating, func() {}
	if t := in.Options.Timeout; t > 0 {
		bounded, done = context.WithTimeoutCause(beating, t, durable.Errorf(durable.CodeUnavailable, "%s timed out after %s", in.Name, t))
	}
	closing := activity.GetWorkerStopChannel(ctx)
	if in.Options.Effect == durable.Irreversible {
		closing = nil
	}
	go func() {
		tick := time.NewTicker(e.heartbeat / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				activity.RecordHeartbeat(ctx)
			case <-closing:
				stop(durable.Errorf(durable.CodeUnavailable, "the engine is closing"))
				closing = nil
			case <-beating.Done():
				return
			}
		}
	}()
	return bounded, beat, func() { still(); done(); stop(nil) }
}

// start issues a step from the program's side.
func (s *scope) start(n int, call durable.StepCall) *result {
	options := call.Options.Or(s.r.e.steps[call.Func].Options)
	options.Effect = cmp.Or(options.Effect, durable.Idempotent)
	res := &result{what: call.Name}
	wc, cancel := workflow.WithCancel(s.wc)
	if options.Effect == durable.Irreversible { // once begun it is not interrupted, as a cancel would leave it in doubt
		cancel()
		wc, cancel = workflow.NewDisconnectedContext(s.wc)
		s.r.firm = append(s.r.firm, res)
	} else {
		res.cancel = cancel
	}
	wc = workflow.WithActivityOptions(wc, s.r.e.orders(call.Name, options))
	in := stepInput{
		Tenant: s.r.info.Tenant,
		Func:   call.Func, Name: call.Name, Segment: s.r.info.Segment, Command: n, Input: must(s.r.e.values().pack, call.Input), Options: options,
	}
	workflow.GoNamed(wc, call.Name, func(wc workflow.Context) {
		defer func() {
			res.over = true
			cancel() // so that the context above does not keep this one
		}()
		for !res.done { // it may have been given up before it began
			var out value
			err := workflow.ExecuteActivity(wc, stepName, in).Get(wc, &out)
			reason, blocked := blockedBy(err)
			if !blocked {
				f := failureOf(err)
				if _, lost := errors.AsType[*sdk.TimeoutError](err); lost && options.Effect == durable.Irreversible {
					f.Reason = reasonInDoubt
				}
				res.settle(out, f)
				return
			}
			s.r.blocked[n] = reason
			err = workflow.Sleep(wc, s.r.e.unblock)
			delete(s.r.blocked, n)
			if err != nil {
				res.settle(value{}, durable.FailureOf(durable.ErrCanceled))
				return
			}
		}
	})
	return res
}

// orders are a step's options in Temporal's words. The attempt itself decides on
// retries by durable.Retry; this policy is for attempts that were lost.
func (e *Engine) orders(name string, o durable.StepOptions) workflow.ActivityOptions {
	attempts := 1
	first, again := o.Retry.Next(o.Effect, 1, durable.ErrUnavailable)
	for again && attempts < maxAttempts && o.Effect != durable.Irreversible {
		attempts++
		_, again = o.Retry.Next(o.Effect, attempts, durable.ErrUnavailable)
	}
	limit := endless
	if o.Timeout > 0 {
		limit = o.Timeout + grace
	}
	return workflow.ActivityOptions{
		StartToCloseTimeout: limit, HeartbeatTimeout: e.heartbeat, Summary: name,
		RetryPolicy: &sdk.RetryPolicy{
			InitialInterval: max(first, time.Millisecond), BackoffCoefficient: 2,
			MaximumInterval: max(cmp.Or(o.Retry.Max, 30*time.Second), first), MaximumAttempts: int32(attempts), //nolint:gosec // bounded by maxAttempts
		},
	}
}
