package journal_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

// The end of a child is that of the step that started it, whatever segment the run is in.
func TestStepsChildOfEarlierSegment(t *testing.T) {
	got := journal.Steps([]durable.Entry{
		{Kind: durable.EntryChild, Time: at(1), Command: 0, Name: "kid", Child: "c1"},
		{Kind: durable.EntryContinued, Time: at(2), Segment: 1},
		{Kind: durable.EntryDone, Time: at(3), Command: 0, Name: "a", Attempt: 1},
		{Kind: durable.EntryChildDone, Time: at(4), Command: 0, Name: "kid", Child: "c1", Output: json.RawMessage(`1`)},
	}, nil)
	want := []durable.Step{
		{Name: "kid", Kind: durable.CommandChild, Status: durable.StepDone, Started: at(1), Ended: at(4), Child: "c1", Output: refTo(`1`), Out: json.RawMessage(`1`)},
		{Segment: 1, Name: "a", Kind: durable.CommandStep, Status: durable.StepDone, Attempt: 1, Started: at(3), Ended: at(3)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
