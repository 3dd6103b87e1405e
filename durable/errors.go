package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Code sorts errors into the few kinds a caller acts on. HTTP statuses and exit
// codes are derived from it in one place each.
type Code string

// The error codes.
const (
	CodeInvalid     Code = "invalid"     // the request can never work as it is
	CodeNotFound    Code = "not_found"   // what it names does not exist
	CodeConflict    Code = "conflict"    // the state does not allow it now
	CodeDenied      Code = "denied"      // somebody or some rule said no
	CodeExhausted   Code = "exhausted"   // a limit, quota or budget is used up
	CodeUnavailable Code = "unavailable" // may work later
	CodeInternal    Code = "internal"    // a fault
	CodeCanceled    Code = "canceled"    // the run was told to stop
)

// codes are all of them, in the order of their bits in Codes: never reorder.
var codes = [...]Code{CodeInvalid, CodeNotFound, CodeConflict, CodeDenied, CodeExhausted, CodeUnavailable, CodeInternal, CodeCanceled}

// AllCodes lists every error code.
func AllCodes() []Code { return slices.Clone(codes[:]) }

// Codes is a set of error codes; the zero value is empty. In JSON it is a list.
type Codes uint16

// CodesOf makes a set.
func CodesOf(list ...Code) Codes {
	var s Codes
	for _, c := range list {
		if i := slices.Index(codes[:], c); i >= 0 {
			s |= 1 << i
		}
	}
	return s
}

// Has reports whether a code is in the set.
func (s Codes) Has(c Code) bool {
	i := slices.Index(codes[:], c)
	return i >= 0 && s&(1<<i) != 0
}

// MarshalJSON implements json.Marshaler.
func (s Codes) MarshalJSON() ([]byte, error) {
	list := []Code{}
	for i, c := range codes {
		if s&(1<<i) != 0 {
			list = append(list, c)
		}
	}
	return json.Marshal(list)
}

// UnmarshalJSON implements json.Unmarshaler. Error: invalid for an unknown code.
func (s *Codes) UnmarshalJSON(data []byte) error {
	var list []Code
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*s = CodesOf(list...)
	for _, c := range list {
		if !s.Has(c) {
			return Errorf(CodeInvalid, "%q is no error code; there are %v", c, AllCodes())
		}
	}
	return nil
}

// Sentinels for errors.Is: every *Error and *Failure matches the sentinel of its code.
var (
	ErrInvalid     error = codeError(CodeInvalid)
	ErrNotFound    error = codeError(CodeNotFound)
	ErrConflict    error = codeError(CodeConflict)
	ErrDenied      error = codeError(CodeDenied)
	ErrExhausted   error = codeError(CodeExhausted)
	ErrUnavailable error = codeError(CodeUnavailable)
	ErrInternal    error = codeError(CodeInternal)
	ErrCanceled    error = codeError(CodeCanceled)
)

type codeError Code

func (c codeError) Error() string { return string(c) }

// Error is an error with a code. Its message says what was tried and what to do.
type Error struct {
	Code       Code
	Op         string        // what was tried: "open data directory"
	Err        error         // the cause, or a plain message
	Reason     string        // a program's own word for it; goes into the Failure
	RetryAfter time.Duration // the other side asked to wait this long; 0 = it did not
	Final      bool          // never retry, whatever the policy says
}

// Errorf makes an *Error; it wraps like fmt.Errorf.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Err == nil && e.Op == "":
		return string(e.Code)
	case e.Err == nil:
		return e.Op + ": " + string(e.Code)
	case e.Op == "":
		return e.Err.Error()
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the sentinel of this error's code.
func (e *Error) Is(target error) bool { return target == error(codeError(e.Code)) }

// CodeOf returns the code of err: that of the first *Error or *Failure in its
// chain, unavailable for one of [InDoubt], canceled and unavailable for the two context
// errors, internal otherwise.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Code
	}
	if _, ok := errors.AsType[*DoubtError](err); ok {
		return CodeUnavailable
	}
	switch {
	case errors.Is(err, ErrCanceled), errors.Is(err, context.Canceled):
		return CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return CodeUnavailable
	}
	return CodeInternal
}

// FailureOf turns any error into its journaled form; nil stays nil.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Code: CodeOf(err), Message: strings.ToValidUTF8(err.Error(), "\ufffd")} // as JSON carries it
	if e, ok := errors.AsType[*Error](err); ok {
		f.Reason = e.Reason
	} else if inner, ok := errors.AsType[*Failure](err); ok {
		f.Reason = inner.Reason
	}
	return f
}

// retryable says whether trying again can help, and how long the other side
// asked to wait.
func retryable(err error) (time.Duration, bool) {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Final {
			return 0, false
		}
		return e.RetryAfter, worthRetry(e.Code)
	}
	return 0, worthRetry(CodeOf(err))
}

func worthRetry(c Code) bool {
	switch c {
	case CodeUnavailable, CodeInternal, CodeExhausted:
		return true
	case CodeInvalid, CodeNotFound, CodeConflict, CodeDenied, CodeCanceled:
	}
	return false
}
