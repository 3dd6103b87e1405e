package event_test

import (
	"slices"
	"testing"

	"github.com/orpine-run/orpine/durable"
)

// A watcher that joins while a step ends does not get its deltas behind its end.
func TestDeltaAfterItsEnd(t *testing.T) {
	l := newLog()
	l.commit(durable.Entry{Kind: durable.EntryStarted})
	first := true
	l.read = func() {
		if first {
			first = false
			l.delta("s", 0)
			l.commit(durable.Entry{Kind: durable.EntryDone, Name: "s"})
			l.delta("t", 0)
		}
	}
	var got []string
	for item, err := range l.feed.Watch(t.Context(), run, -1) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, word(item))
		if word(item) == "delta t 0" {
			l.commit(durable.Entry{Kind: durable.EntryEnded})
		}
	}
	if i := slices.Index(got, "delta s 0"); i > slices.Index(got, "1 done s") {
		t.Errorf("got %v", got)
	}
}
