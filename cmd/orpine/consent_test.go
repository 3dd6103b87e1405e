package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

// TestConsent: only a person at a terminal is asked, only about irreversible effects, and
// only a yes is one.
func TestConsent(t *testing.T) {
	t.Parallel()
	hard := durable.Step{Name: "pay", Kind: durable.CommandStep, Effect: durable.Irreversible}
	mild := durable.Step{Name: "note", Kind: durable.CommandStep, Effect: durable.Idempotent}
	for _, c := range []struct {
		name   string
		cmd    forkCmd
		behind []durable.Step
		talks  bool
		says   string
		denied bool
		asks   bool
	}{
		{"yes", forkCmd{}, []durable.Step{hard}, true, "y\n", false, true},
		{"no", forkCmd{}, []durable.Step{mild, hard}, true, "n\n", true, true},
		{"nothing said", forkCmd{}, []durable.Step{hard}, true, "", true, true},
		{"said before", forkCmd{Yes: true}, []durable.Step{hard}, true, "", false, false},
		{"nothing irreversible", forkCmd{}, []durable.Step{mild}, true, "", false, false},
		{"nobody there", forkCmd{}, []durable.Step{hard}, false, "", false, false},
	} {
		var stderr strings.Builder
		a := newApp(&cli{}, strings.NewReader(c.says), io.Discard, &stderr, func(string) (string, bool) { return "", false })
		err := c.cmd.consent(t.Context(), a, &orpine.ForkPlan{Behind: c.behind}, c.talks)
		if errors.Is(err, durable.ErrDenied) != c.denied || (err != nil) != c.denied {
			t.Errorf("%s: got error %v", c.name, err)
		}
		if asked := strings.Contains(stderr.String(), "y/N"); asked != c.asks {
			t.Errorf("%s: asked is %t: %s", c.name, asked, stderr.String())
		}
	}
}
