package durable_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
)

func sentinels() map[durable.Code]error {
	return map[durable.Code]error{
		durable.CodeInvalid: durable.ErrInvalid, durable.CodeNotFound: durable.ErrNotFound, durable.CodeConflict: durable.ErrConflict,
		durable.CodeDenied: durable.ErrDenied, durable.CodeExhausted: durable.ErrExhausted, durable.CodeUnavailable: durable.ErrUnavailable,
		durable.CodeInternal: durable.ErrInternal, durable.CodeCanceled: durable.ErrCanceled,
	}
}

// TestSentinels: an error matches the sentinel of its code and no other, however
// often it is wrapped.
func TestSentinels(t *testing.T) {
	for code := range sentinels() {
		plain := durable.Errorf(code, "x")
		for name, err := range map[string]error{
			"error":           plain,
			"error with op":   &durable.Error{Code: code, Op: "try"},
			"failure":         &durable.Failure{Code: code, Message: "x"},
			"wrapped error":   fmt.Errorf("outer: %w", plain),
			"wrapped failure": fmt.Errorf("a: %w", fmt.Errorf("b: %w", durable.FailureOf(plain))),
			"joined":          errors.Join(errors.New("other"), plain),
		} {
			for other, sentinel := range sentinels() {
				if got := errors.Is(err, sentinel); got != (other == code) {
					t.Errorf("%s of %s is %s: %v", name, code, other, got)
				}
			}
			if got := durable.CodeOf(err); got != code {
				t.Errorf("%s of %s has code %s", name, code, got)
			}
		}
	}
}

func TestErrorText(t *testing.T) {
	cause := errors.New("no such file")
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"nothing but a code", &durable.Error{Code: durable.CodeDenied}, "denied"},
		{"op and code", &durable.Error{Code: durable.CodeDenied, Op: "open"}, "open: denied"},
		{"a cause", &durable.Error{Code: durable.CodeNotFound, Err: cause}, "no such file"},
		{"op and cause", &durable.Error{Code: durable.CodeNotFound, Op: "open", Err: cause}, "open: no such file"},
		{"formatted", durable.Errorf(durable.CodeInvalid, "read %d: %w", 7, cause), "read 7: no such file"},
		{"failure", &durable.Failure{Code: durable.CodeInvalid, Message: "said"}, "said"},
		{"sentinel", durable.ErrExhausted, "exhausted"},
		{"continue", durable.Continue(nil), "continue as a new segment"},
		{"block", durable.Block(cause), "no such file"},
		{"doubt", durable.InDoubt(cause), "no such file"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if err := durable.Errorf(durable.CodeInvalid, "read: %w", cause); !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if err := durable.Block(cause); !errors.Is(err, cause) {
		t.Error("the cause of a block is lost")
	}
	if err := durable.InDoubt(cause); !errors.Is(err, cause) || durable.CodeOf(err) != durable.CodeUnavailable {
		t.Error("a doubt has lost its cause or may not pass:", durable.CodeOf(err))
	}
}

func TestCodeOf(t *testing.T) {
	inner := &durable.Failure{Code: durable.CodeDenied}
	for _, c := range []struct {
		name string
		err  error
		want durable.Code
	}{
		{"plain", errors.New("x"), durable.CodeInternal},
		{"canceled context", fmt.Errorf("call: %w", context.Canceled), durable.CodeCanceled},
		{"deadline", context.DeadlineExceeded, durable.CodeUnavailable},
		{"the canceled sentinel", durable.ErrCanceled, durable.CodeCanceled},
		{"an error wins over the failure in it", durable.Errorf(durable.CodeExhausted, "x: %w", inner), durable.CodeExhausted},
		{"an error wins over the context error in it", durable.Errorf(durable.CodeInvalid, "x: %w", context.Canceled), durable.CodeInvalid},
		{"behind a block", durable.Block(durable.Errorf(durable.CodeNotFound, "x")), durable.CodeNotFound},
	} {
		if got := durable.CodeOf(c.err); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestFailureOf(t *testing.T) {
	if f := durable.FailureOf(nil); f != nil {
		t.Errorf("nil became %v", f)
	}
	reason := &durable.Error{Code: durable.CodeExhausted, Op: "agent", Reason: "max_turns", Err: errors.New("50 turns")}
	for _, c := range []struct {
		name string
		err  error
		want durable.Failure
	}{
		{"plain", errors.New("x"), durable.Failure{Code: durable.CodeInternal, Message: "x"}},
		{"with a reason", reason, durable.Failure{Code: durable.CodeExhausted, Reason: "max_turns", Message: "agent: 50 turns"}},
		{"wrapped", fmt.Errorf("run: %w", reason), durable.Failure{Code: durable.CodeExhausted, Reason: "max_turns", Message: "run: agent: 50 turns"}},
		{
			"a failure of a failure", fmt.Errorf("child: %w", &durable.Failure{Code: durable.CodeDenied, Reason: "refused", Message: "no"}),
			durable.Failure{Code: durable.CodeDenied, Reason: "refused", Message: "child: no"},
		},
	} {
		got := durable.FailureOf(c.err)
		if diff := cmp.Diff(c.want, *got); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.name, diff)
		}
		data, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var back durable.Failure
		if err := json.Unmarshal(data, &back); err != nil || back != *got {
			t.Errorf("%s: came back as %+v, error %v", c.name, back, err)
		}
	}
}

func TestStatus(t *testing.T) {
	ask, doubt, timer := durable.Wait{Kind: durable.WaitAnswer}, durable.Wait{Kind: durable.WaitInDoubt}, durable.Wait{Kind: durable.WaitTimer}
	for _, c := range []struct {
		run           durable.Run
		final, person bool
	}{
		{durable.Run{Status: durable.Queued}, false, false},
		{durable.Run{Status: durable.Running, Waits: []durable.Wait{ask}}, false, false},
		{durable.Run{Status: durable.Waiting}, false, false},
		{durable.Run{Status: durable.Waiting, Waits: []durable.Wait{timer}}, false, false},
		{durable.Run{Status: durable.Waiting, Waits: []durable.Wait{timer, ask}}, false, true},
		{durable.Run{Status: durable.Waiting, Waits: []durable.Wait{doubt}}, false, true},
		{durable.Run{Status: durable.Paused}, false, false},
		{durable.Run{Status: durable.Blocked}, false, false},
		{durable.Run{Status: durable.Succeeded}, true, false},
		{durable.Run{Status: durable.Failed}, true, false},
		{durable.Run{Status: durable.Canceled, Waits: []durable.Wait{ask}}, true, false},
		{durable.Run{Status: durable.Killed}, true, false},
	} {
		if c.run.Status.Final() != c.final || c.run.NeedsPerson() != c.person {
			t.Errorf("%s with %v: final %v, needs a person %v", c.run.Status, c.run.Waits, c.run.Status.Final(), c.run.NeedsPerson())
		}
	}
}
