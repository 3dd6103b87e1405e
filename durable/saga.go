package durable

import (
	"errors"
	"fmt"
	"strings"
)

// Saga undoes what was done when a later step fails: each success adds its compensation, and
// [Saga.Compensate] calls them, the latest first. It belongs to the segment it was made in: a
// program that continues takes no compensation along.
type Saga struct {
	ctx  Context
	undo []compensation
}

type compensation struct {
	name string
	call func(Context) error
}

// NewSaga makes a saga without compensations.
func NewSaga(ctx Context) *Saga { return &Saga{ctx: ctx} }

// Add adds the compensation of what was just done. Where a failed step may have had its effect
// all the same, add it before the step: it must then do no harm where nothing happened.
func (s *Saga) Add(name string, undo func(Context) error) {
	s.undo = append(s.undo, compensation{name, undo})
}

// Compensate calls every compensation once, the latest first, and returns the cause with what they
// came to, under the code of the cause. One that fails does not stop the others. They run under
// [Context.Shield], so also after a cancel of the run. Where there is nothing to undo, the cause
// is returned as it is: without one, for a saga without compensations, and for [Continue] and [Block],
// after which the program goes on. So a program may end with
//
//	return out, saga.Compensate(err)
func (s *Saga) Compensate(cause error) error {
	if cause == nil || len(s.undo) == 0 || goesOn(cause) {
		return cause
	}
	ctx, u := s.ctx.Shield(), &undoneError{cause: cause}
	for len(s.undo) > 0 {
		c := s.undo[len(s.undo)-1]
		s.undo = s.undo[:len(s.undo)-1]
		err := c.call(ctx)
		if err != nil {
			err = fmt.Errorf("compensate %s: %w", c.name, err)
		}
		u.names, u.errs = append(u.names, c.name), append(u.errs, err)
	}
	return &Error{Code: CodeOf(cause), Reason: reasonOf(cause), Err: u}
}

// goesOn reports whether a program that returns this error has not come to its end.
func goesOn(err error) bool {
	_, continues := errors.AsType[*ContinueError](err)
	_, blocks := errors.AsType[*BlockError](err)
	return continues || blocks
}

// undoneError is why something was undone, and what that came to.
type undoneError struct {
	cause error
	names []string
	errs  []error // nil for those that did it
}

// Error implements error: the cause first, then the compensations in their order.
func (u *undoneError) Error() string {
	parts := []string{u.cause.Error()}
	for i, err := range u.errs {
		if err != nil {
			parts = append(parts, err.Error())
		} else {
			parts = append(parts, "compensated "+u.names[i])
		}
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns the cause and the errors of compensations.
func (u *undoneError) Unwrap() []error {
	all := []error{u.cause}
	for _, err := range u.errs {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}
