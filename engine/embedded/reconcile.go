package embedded

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/orpine-run/orpine/durable"
)

// notDoneError means that a step in doubt did not happen: it is tried again.
type notDoneError struct{}

func (*notDoneError) Error() string { return "in doubt; reconciled: it did not happen" }

// Is makes it a passing failure.
func (*notDoneError) Is(target error) bool { return target == durable.ErrUnavailable }

// unknownError means that nobody can tell what became of an irreversible step: it stays in
// doubt.
type unknownError struct{ err error }

func (e *unknownError) Error() string { return "its outcome is not known: " + e.err.Error() }

func (e *unknownError) Unwrap() error { return e.err }

// reconcile asks the step function what became of an intent that has no outcome.
func (l *live) reconcile(c *command) {
	t := l.newTry(c)
	t.reconcile, t.number = true, c.attempt
	c.asked = true
	l.x.hold(c)
	l.launch(t, false)
}

// untold reports whether an error leaves open if the effect happened: one of a reconcile
// function that did not say so, and one of a step function whose time was up or who says that
// it does not know. What else a step function says by itself is believed.
func (t *try) untold(ctx context.Context, err error) bool {
	if t.reconcile {
		_, said := errors.AsType[*notDoneError](err)
		return !said
	}
	if _, unsure := errors.AsType[*durable.DoubtError](err); unsure && t.promised {
		return true
	}
	return t.promised && ctx.Err() != nil && durable.CodeOf(context.Cause(ctx)) == durable.CodeUnavailable
}

// findOut calls the reconcile function in place of the step function.
func (t *try) findOut(ctx context.Context) (json.RawMessage, error) {
	outcome, err := t.fn.Reconcile(ctx, t.call.Input)
	switch {
	case err != nil:
		return nil, err
	case !outcome.Happened:
		return nil, &notDoneError{}
	case len(outcome.Output) > 0:
		return outcome.Output, t.fn.Check(outcome.Output)
	}
	return nil, nil
}
