package embedded

import (
	"context"
	"encoding/json"

	"github.com/orpine-run/orpine/durable"
)

// notDoneError means that a step in doubt did not happen: it is tried again.
type notDoneError struct{}

func (*notDoneError) Error() string { return "in doubt; reconciled: it did not happen" }

// Is makes it a passing failure.
func (*notDoneError) Is(target error) bool { return target == durable.ErrUnavailable }

// unknownError means that reconciling did not tell: the step stays in doubt.
type unknownError struct{ err error }

func (e *unknownError) Error() string { return "its outcome is not known: " + e.err.Error() }

func (e *unknownError) Unwrap() error { return e.err }

// reconcile asks the step function what became of an intent that has no outcome.
func (l *live) reconcile(c *command) {
	t := l.newTry(c)
	t.reconcile, t.number = true, c.attempt
	c.busy, c.asked = true, true
	l.launch(t, false)
}

// findOut calls the reconcile function in place of the step function.
func (t *try) findOut(ctx context.Context) (json.RawMessage, error) {
	outcome, err := t.fn.Reconcile(ctx, t.call.Input)
	switch {
	case err != nil:
		return nil, &unknownError{err}
	case outcome.Happened && len(outcome.Output) > 0 && !json.Valid(outcome.Output):
		return nil, &unknownError{durable.Errorf(durable.CodeInvalid, "reconcile of %s returned what is not JSON", t.call.Name)}
	case outcome.Happened:
		return outcome.Output, nil
	}
	return nil, &notDoneError{}
}
