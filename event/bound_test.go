package event_test

import (
	"testing"

	"github.com/orpine-run/orpine/durable"
)

// TestStalledWatcher: what waits for a watcher that does not read is bounded, however much
// happens; it then gets every entry, and the newest deltas each before the entry it leads to.
func TestStalledWatcher(t *testing.T) {
	const steps, kept = 10_000, 1024
	l := newLog()
	watch := l.feed.Watch(t.Context(), run, -1)
	for i := range steps {
		l.delta("s", i)
		l.commit(durable.Entry{Kind: durable.EntryDone})
		if n := l.feed.Queued(); n > 2*kept+1 {
			t.Fatalf("%d wait after step %d", n, i)
		}
	}
	l.commit(durable.Entry{Kind: durable.EntryEnded})
	next, deltas := 0, 0
	for item, err := range watch {
		switch {
		case err != nil:
			t.Fatal(err)
		case item.Event == nil && item.Delta.Offset != next:
			t.Fatalf("delta %d comes before entry %d", item.Delta.Offset, next)
		case item.Event == nil:
			deltas++
		case item.Event.Seq != int64(next):
			t.Fatalf("entry %d comes instead of %d", item.Event.Seq, next)
		default:
			next++
		}
	}
	if next != steps+1 || deltas != kept {
		t.Errorf("%d entries and %d deltas, want %d and %d", next, deltas, steps+1, kept)
	}
}
