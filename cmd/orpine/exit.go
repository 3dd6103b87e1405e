package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

// The exit codes; docs/cli.md lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitEnvironment = 3
	exitNotFound    = 4
	exitWaiting     = 5
	exitDenied      = 6
	exitExhausted   = 7
	exitMismatch    = 8
	exitConflict    = 9
	exitTimeout     = 124
	exitInterrupted = 130
	exitInternal    = exitFailed
)

// runError says that a run did not succeed, or not yet.
type runError struct {
	run  durable.Run
	hint string
}

func (e *runError) Error() string {
	text := fmt.Sprintf("run %s is %s", e.run.ID, e.run.Status)
	switch {
	case e.run.Error != nil:
		text += ": " + e.run.Error.Message
	case e.run.Reason != "":
		text += ": " + e.run.Reason
	}
	if e.hint != "" {
		text += "\n" + e.hint
	}
	return text
}

// code is the exit code of a run's end.
func (e *runError) code() int {
	switch e.run.Status {
	case durable.Succeeded:
		return exitOK
	case durable.Waiting:
		return exitWaiting
	default:
	}
	failure := e.run.Error
	switch {
	case e.run.Status == durable.Blocked && failure != nil && failure.Code == durable.CodeConflict:
		return exitMismatch
	case e.run.Status == durable.Blocked:
		return exitEnvironment
	case failure != nil && failure.Code == durable.CodeDenied:
		return exitDenied
	case failure != nil && failure.Code == durable.CodeExhausted:
		return exitExhausted
	}
	return exitFailed
}

// environmentError is a fault of what surrounds the command: a key, a port, a permission.
type environmentError struct{ error }

func (e environmentError) Unwrap() error { return e.error }

// damage reports whether a data directory could not be read as it was written: the store
// and the journal give that the code internal. A fault of the command itself has no code.
func damage(err error) bool {
	_, ended := errors.AsType[*runError](err)
	return !ended && errors.Is(err, durable.ErrInternal)
}

// unauthorized is the HTTP status of a request whose token is missing or not good.
const unauthorized = 401

// hint says how to mend what stands between this command and a server.
func (a *app) hint(err error) {
	if !a.far() {
		return
	}
	p, answered := errors.AsType[*client.Problem](err)
	switch {
	case answered && p.Status == unauthorized:
		fmt.Fprintln(a.stderr, "Give a token that is good with --token or ORPINE_TOKEN.")
	case !answered && errors.Is(err, durable.ErrUnavailable):
		fmt.Fprintln(a.stderr, "Start it there with orpine serve, or name another one with --server or ORPINE_SERVER.")
	}
}

// report prints an error and turns it into an exit code, here and nowhere else.
func (a *app) report(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintln(a.stderr, "orpine: timed out:", err)
		return exitTimeout
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		fmt.Fprintln(a.stderr, "orpine: interrupted")
		return exitInterrupted
	}
	if child, ok := errors.AsType[*childError](err); ok {
		return child.code
	}
	if _, ok := errors.AsType[*differError](err); ok {
		return exitFailed // what differs was the answer
	}
	fmt.Fprintln(a.stderr, "orpine:", err)
	a.hint(err)
	if damage(err) && !a.far() {
		fmt.Fprintf(a.stderr, "Run orpine doctor --verify%s: it names all that is damaged. Restore a backup, or import an export elsewhere.\n", a.where())
		return exitEnvironment
	}
	if r, ok := errors.AsType[*runError](err); ok {
		return r.code()
	}
	if _, ok := errors.AsType[*mismatchError](err); ok {
		return exitMismatch
	}
	if _, ok := errors.AsType[environmentError](err); ok {
		return exitEnvironment
	}
	switch durable.CodeOf(err) {
	case durable.CodeInvalid:
		return exitUsage
	case durable.CodeUnavailable:
		return exitEnvironment
	case durable.CodeNotFound:
		return exitNotFound
	case durable.CodeDenied:
		return exitDenied
	case durable.CodeExhausted:
		return exitExhausted
	case durable.CodeConflict:
		return exitConflict
	case durable.CodeInternal, durable.CodeCanceled:
	}
	return exitInternal
}
