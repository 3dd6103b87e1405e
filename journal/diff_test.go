package journal_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

func TestDiff(t *testing.T) {
	ref := func(hash string) *durable.Ref { return &durable.Ref{Hash: hash, Bytes: 1} }
	step := func(segment, command int, name string) durable.Step {
		return durable.Step{
			Segment: segment, Command: command, Name: name, Kind: durable.CommandStep, Status: durable.StepDone, Input: ref("in"), Output: ref("out"),
		}
	}
	with := func(s durable.Step, change func(*durable.Step)) durable.Step {
		change(&s)
		return s
	}
	a := []durable.Step{step(0, 0, "same"), step(0, 1, "tried"), step(0, 2, "in"), step(0, 3, "out"), step(0, 4, "fails"), step(0, 5, "named"), step(1, 0, "last")}
	b := []durable.Step{
		step(0, 0, "same"),
		with(step(0, 1, "tried"), func(s *durable.Step) { s.Attempt = 3 }),
		with(step(0, 2, "in"), func(s *durable.Step) { s.Input = nil }),
		with(step(0, 3, "out"), func(s *durable.Step) { s.Output = ref("other") }),
		with(step(0, 4, "fails"), func(s *durable.Step) {
			s.Status, s.Output, s.Error = durable.StepFailed, nil, &durable.Failure{Code: durable.CodeInvalid}
		}),
		step(0, 5, "renamed"),
		with(step(0, 6, "last"), func(s *durable.Step) { s.Kind = durable.CommandChild }),
	}
	var got []string
	for _, d := range journal.Diff(a, b) {
		got = append(got, strings.Join(append([]string{d.Step.String(), d.Name}, d.Differs...), " "))
	}
	want := []string{
		"0 same", "1 tried", "2 in input", "3 out output", "4 fails status output error", "5 named only_a", "5 renamed only_b", "6 last only_b", "1.0 last only_a",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
