package main

import (
	"testing"

	"github.com/orpine-run/orpine/durable"
)

func TestCodeOfARun(t *testing.T) {
	t.Parallel()
	failure := func(c durable.Code) *durable.Failure { return &durable.Failure{Code: c} }
	for _, x := range []struct {
		name string
		run  durable.Run
		want int
	}{
		{"succeeded", durable.Run{Status: durable.Succeeded}, exitOK},
		{"waiting", durable.Run{Status: durable.Waiting}, exitWaiting},
		{"failed", durable.Run{Status: durable.Failed, Error: failure(durable.CodeInternal)}, exitFailed},
		{"canceled", durable.Run{Status: durable.Canceled}, exitFailed},
		{"denied", durable.Run{Status: durable.Failed, Error: failure(durable.CodeDenied)}, exitDenied},
		{"exhausted", durable.Run{Status: durable.Failed, Error: failure(durable.CodeExhausted)}, exitExhausted},
		{"blocked: does not fit", durable.Run{Status: durable.Blocked, Error: failure(durable.CodeConflict)}, exitMismatch},
		{"blocked: no key", durable.Run{Status: durable.Blocked, Error: failure(durable.CodeUnavailable)}, exitEnvironment},
		{"blocked: damaged, or kills its process", durable.Run{Status: durable.Blocked, Error: failure(durable.CodeInternal)}, exitEnvironment},
		{"blocked by an import", durable.Run{Status: durable.Blocked}, exitEnvironment},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			if got := (&runError{run: x.run}).code(); got != x.want {
				t.Errorf("got exit code %d, want %d", got, x.want)
			}
		})
	}
}
