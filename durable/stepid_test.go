package durable_test

import (
	"errors"
	"testing"

	"github.com/orpine-run/orpine/durable"
)

func TestStepID(t *testing.T) {
	for _, c := range []struct {
		text, back string
		want       durable.StepID
	}{
		{"3", "3", durable.StepID{Command: 3}},
		{"0.3", "3", durable.StepID{Command: 3}},
		{"2.10", "2.10", durable.StepID{Segment: 2, Command: 10}},
	} {
		got, err := durable.ParseStepID(c.text)
		if err != nil || got != c.want || got.String() != c.back {
			t.Errorf("%q: got %+v (%s), %v", c.text, got, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.", ".1", "1.2.3", "+1", " 1", "99999999999999999999"} {
		if got, err := durable.ParseStepID(text); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
}
