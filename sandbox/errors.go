package sandbox

import (
	"errors"
	"fmt"
	"strings"
)

// ErrSpec is what errors.Is finds in the error of a spec that can never work as it is.
var ErrSpec = errors.New("invalid spec of a process")

type specError struct{ err error }

func specf(format string, args ...any) error { return &specError{fmt.Errorf(format, args...)} }

func (e *specError) Error() string        { return e.err.Error() }
func (e *specError) Unwrap() error        { return e.err }
func (e *specError) Is(target error) bool { return target == ErrSpec }

// RefusedError says that this machine cannot hold a process in the way that is asked for, so
// none was started.
type RefusedError struct {
	Missing string // what the kernel or its settings lack
	Mend    string // what to do about it
	Err     error  // what was tried; may be nil
}

// Error implements error.
func (e *RefusedError) Error() string {
	text := "the jail is refused: " + e.Missing
	if e.Err != nil {
		text += " (" + e.Err.Error() + ")"
	}
	return text + "; " + e.Mend
}

// Unwrap returns what was tried.
func (e *RefusedError) Unwrap() error { return e.Err }

// NotFoundError says that a command is not where the process would look for it.
type NotFoundError struct {
	Command string
	Looked  []string // the directories, or the path itself
	Outside string   // where it is on this machine, though not in the jail; may be empty
	Err     error
}

// Error implements error.
func (e *NotFoundError) Error() string {
	text := fmt.Sprintf("command %s cannot be executed (%v); looked in %s", e.Command, e.Err, strings.Join(e.Looked, ", "))
	if e.Outside != "" {
		return text + fmt.Sprintf("; it is at %s on this machine, which the jail does not show: add it to read_only, or install it under /usr", e.Outside)
	}
	return text + "; install it on this machine under /usr, or name its path and add that to read_only"
}

// Unwrap returns the error of the system call.
func (e *NotFoundError) Unwrap() error { return e.Err }
