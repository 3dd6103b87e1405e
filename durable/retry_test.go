package durable_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
)

func TestRetryNext(t *testing.T) {
	const none = -1 // not tried again
	busy := durable.Errorf(durable.CodeUnavailable, "busy")
	asked := func(d time.Duration) error {
		return &durable.Error{Code: durable.CodeExhausted, Err: errors.New("slow down"), RetryAfter: d}
	}
	for _, c := range []struct {
		name   string
		retry  durable.Retry
		effect durable.Effect
		err    error
		want   []time.Duration // after attempt 1, 2, 3 …
	}{
		{"defaults", durable.Retry{}, durable.Read, busy, []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, none, none}},
		{"defaults of a step that names no effect", durable.Retry{}, "", busy, []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, none}},
		{"defaults of an irreversible step", durable.Retry{}, durable.Irreversible, busy, []time.Duration{none, none}},
		{"an irreversible step that orders retries", durable.Retry{Attempts: 3}, durable.Irreversible, busy, []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, none}},
		{"one attempt", durable.Retry{Attempts: 1}, durable.Read, busy, []time.Duration{none}},
		{"doubling up to the cap", durable.Retry{Attempts: 9, Backoff: time.Second, Max: 5 * time.Second}, durable.Idempotent, busy, []time.Duration{
			time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second, none,
		}},
		{"the default cap", durable.Retry{Attempts: 4, Backoff: 20 * time.Second}, durable.Read, busy, []time.Duration{20 * time.Second, 30 * time.Second, 30 * time.Second, none}},
		{"a backoff above the cap", durable.Retry{Attempts: 2, Backoff: time.Hour, Max: time.Minute}, durable.Read, busy, []time.Duration{time.Minute, none}},
		{"a longer RetryAfter wins", durable.Retry{Attempts: 3}, durable.Read, asked(10 * time.Minute), []time.Duration{10 * time.Minute, 10 * time.Minute, none}},
		{"a shorter RetryAfter does not", durable.Retry{Attempts: 3}, durable.Read, asked(300 * time.Millisecond), []time.Duration{300 * time.Millisecond, 400 * time.Millisecond, none}},
		{"RetryAfter does not add attempts", durable.Retry{Attempts: 1}, durable.Read, asked(time.Second), []time.Duration{none}},
		{"RetryAfter is found behind what wraps it", durable.Retry{Attempts: 2}, durable.Read, fmt.Errorf("model: %w", asked(time.Minute)), []time.Duration{time.Minute, none}},
		{"final", durable.Retry{Attempts: 5}, durable.Read, &durable.Error{Code: durable.CodeUnavailable, Final: true, RetryAfter: time.Second}, []time.Duration{none}},
		{"a plain error is a fault and may pass", durable.Retry{Attempts: 2}, durable.Read, errors.New("x"), []time.Duration{200 * time.Millisecond, none}},
		{"a deadline may pass", durable.Retry{Attempts: 2}, durable.Read, fmt.Errorf("call: %w", context.DeadlineExceeded), []time.Duration{200 * time.Millisecond, none}},
		{"an exhausted limit may pass", durable.Retry{Attempts: 2}, durable.Read, durable.Errorf(durable.CodeExhausted, "x"), []time.Duration{200 * time.Millisecond, none}},
		{"invalid", durable.Retry{Attempts: 5}, durable.Read, durable.Errorf(durable.CodeInvalid, "x"), []time.Duration{none}},
		{"not found", durable.Retry{Attempts: 5}, durable.Read, durable.Errorf(durable.CodeNotFound, "x"), []time.Duration{none}},
		{"conflict", durable.Retry{Attempts: 5}, durable.Read, durable.Errorf(durable.CodeConflict, "x"), []time.Duration{none}},
		{"denied", durable.Retry{Attempts: 5}, durable.Read, durable.Errorf(durable.CodeDenied, "x"), []time.Duration{none}},
		{"canceled", durable.Retry{Attempts: 5}, durable.Read, durable.ErrCanceled, []time.Duration{none}},
		{"the context was canceled", durable.Retry{Attempts: 5}, durable.Read, context.Canceled, []time.Duration{none}},
		{"a code of tomorrow", durable.Retry{Attempts: 5}, durable.Read, durable.Errorf("haunted", "x"), []time.Duration{none}},
		{"the outer code decides", durable.Retry{Attempts: 5}, durable.Read, durable.Errorf(durable.CodeInvalid, "x: %w", busy), []time.Duration{none}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []time.Duration
			for i := range c.want {
				wait, again := c.retry.Next(c.effect, i+1, c.err)
				if !again {
					if wait != 0 {
						t.Errorf("no further attempt, but a wait of %s", wait)
					}
					wait = none
				}
				got = append(got, wait)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestStepOptionsOr(t *testing.T) {
	all := durable.StepOptions{Effect: durable.Read, Retry: durable.Retry{Attempts: 2}, Timeout: time.Second}
	other := durable.StepOptions{Effect: durable.Irreversible, Retry: durable.Retry{Attempts: 9, Max: 1}, Timeout: time.Minute}
	for _, c := range []struct {
		name          string
		o, from, want durable.StepOptions
	}{
		{"nothing takes all", durable.StepOptions{}, all, all},
		{"all keeps all", all, other, all},
		{"an effect of its own", durable.StepOptions{Effect: durable.Idempotent}, all, durable.StepOptions{Effect: durable.Idempotent, Retry: all.Retry, Timeout: all.Timeout}},
		{"a retry is taken as a whole", durable.StepOptions{Retry: durable.Retry{Backoff: 1}}, other, durable.StepOptions{Effect: other.Effect, Retry: durable.Retry{Backoff: 1}, Timeout: other.Timeout}},
	} {
		if diff := cmp.Diff(c.want, c.o.Or(c.from)); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.name, diff)
		}
	}
}
