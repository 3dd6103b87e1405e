package temporal

import (
	"encoding/json"
	"errors"
	"fmt"

	sdk "go.temporal.io/sdk/temporal"

	"github.com/orpine-run/orpine/durable"
)

// blockedType marks the end of an attempt that [durable.Block] asked for.
const blockedType = "orpine.blocked"

// reasonInDoubt is the reason of an irreversible step whose only attempt was lost:
// nobody knows whether it happened.
const reasonInDoubt = "in_doubt"

// carry makes an error of ours cross Temporal: its type is the code, its detail the
// whole failure. It is never retried by Temporal's own rules unless asked to.
func carry(f *durable.Failure, o sdk.ApplicationErrorOptions) error {
	o.Details = []any{*f}
	return sdk.NewApplicationErrorWithOptions(f.Message, string(f.Code), o)
}

// final is carry for an error that ends something.
func final(err error) error {
	return carry(durable.FailureOf(err), sdk.ApplicationErrorOptions{NonRetryable: true})
}

// failureOf reads whatever comes out of Temporal as one of ours; nil stays nil.
func failureOf(err error) *durable.Failure {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*sdk.ApplicationError](err); ok {
		var f durable.Failure
		if e.HasDetails() && e.Details(&f) == nil && f.Code != "" {
			return &f
		}
		return &durable.Failure{Code: durable.CodeInternal, Message: e.Message()} // not raised by us
	}
	if e, ok := errors.AsType[*sdk.TimeoutError](err); ok {
		return &durable.Failure{Code: durable.CodeUnavailable, Message: fmt.Sprintf("the attempt was lost: %v", e)}
	}
	if e, ok := errors.AsType[*sdk.CanceledError](err); ok {
		var f durable.Failure
		if e.HasDetails() && e.Details(&f) == nil && f.Code != "" {
			return &f
		}
		return durable.FailureOf(durable.ErrCanceled)
	}
	if _, ok := errors.AsType[*sdk.TerminatedError](err); ok {
		return &durable.Failure{Code: durable.CodeCanceled, Message: "the run was killed"}
	}
	if _, ok := errors.AsType[*sdk.ChildWorkflowExecutionAlreadyStartedError](err); ok {
		return &durable.Failure{Code: durable.CodeConflict, Message: "a run with the child's ID exists"}
	}
	return durable.FailureOf(err)
}

// recorded is failureOf as an error, so that nil is nil.
func recorded(err error) error {
	if f := failureOf(err); f != nil {
		return f
	}
	return nil
}

// blockedBy says whether an attempt ended because something is missing, and what.
func blockedBy(err error) (reason string, ok bool) {
	e, ok := errors.AsType[*sdk.ApplicationError](err)
	if !ok || e.Type() != blockedType {
		return "", false
	}
	return e.Message(), true
}

func decode(what string, data json.RawMessage, out any) error {
	if len(data) == 0 || out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return &durable.Error{Code: durable.CodeInvalid, Op: "decode the result of " + what, Err: err}
	}
	return nil
}
