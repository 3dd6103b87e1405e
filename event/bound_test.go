package event_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// TestStalledWatcher: what is kept for watchers that do not read is bounded, however many
// they are and however much happens; they then get every entry, and the newest deltas each
// before the entry it leads to.
func TestStalledWatcher(t *testing.T) {
	const steps, kept = 10_000, 100
	l := newLog(event.Config{Deltas: kept})
	var watches []iter.Seq2[*event.Item, error]
	for range 10 {
		watches = append(watches, l.feed.Watch(t.Context(), run, event.After(-1)))
	}
	for i := range steps {
		l.emit(durable.Delta{Command: i, Data: []byte(fmt.Sprint(i))})
		l.commit(durable.Entry{Kind: durable.EntryDone, Command: i})
		if _, n, bytes := l.feed.Kept(); n > kept || bytes > kept*500 {
			t.Fatalf("%d deltas and %d bytes are kept after step %d", n, bytes, i)
		}
	}
	l.commit(durable.Entry{Kind: durable.EntryEnded})
	for _, watch := range watches {
		next, deltas := 0, 0
		for item, err := range watch {
			switch {
			case err != nil:
				t.Fatal(err)
			case item.Event == nil && item.Delta.Command != next:
				t.Fatalf("a delta of step %d comes before entry %d", item.Delta.Command, next)
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
}

// TestBytes: large deltas are bounded by their bytes, those of all runs together too; the run
// that was quiet for longest gives way.
func TestBytes(t *testing.T) {
	const runs, size = 20, 10_000
	synctest.Test(t, func(t *testing.T) {
		l := newLog(event.Config{Keep: true, Bytes: 100_000, Total: 1_000_000})
		for n := range 30 {
			for r := range runs {
				l.feed.Emit(durable.Delta{Run: durable.RunID(fmt.Sprint(r)), Offset: n, Attempt: 1, Data: make([]byte, size)}, -1)
				time.Sleep(time.Millisecond)
			}
			if _, _, bytes := l.feed.Kept(); bytes > 1_000_000 {
				t.Fatalf("%d bytes are kept", bytes)
			}
		}
		tails, deltas, bytes := l.feed.Kept()
		if tails == runs || deltas < 20 || bytes < 500_000 {
			t.Errorf("%d runs, %d deltas, %d bytes are kept", tails, deltas, bytes)
		}
		for item, err := range l.feed.Watch(t.Context(), "19", event.After(-1)) {
			if err != nil || item.Delta.Kind != durable.DeltaReset {
				t.Errorf("what has lost its beginning begins with %+v, %v", item, err)
			}
			break
		}
	})
}

// TestLinger: a run is kept for a while behind its last watcher, and then costs nothing.
func TestLinger(t *testing.T) {
	for _, c := range []struct {
		keep, ended bool
		after       time.Duration
		want        int
	}{
		{false, false, time.Minute, 3},
		{false, false, 3 * time.Minute, 0},
		{true, false, time.Hour, 3},
		{true, true, time.Minute, 3},
		{true, true, 3 * time.Minute, 0},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(event.Config{Keep: c.keep})
				l.commit(durable.Entry{Kind: durable.EntryStarted})
				ctx, cancel := context.WithCancel(t.Context())
				_ = l.feed.Watch(ctx, run, event.After(-1)) // it is never ranged over
				l.delta(1, 0)
				l.delta(1, 1)
				cancel()
				synctest.Wait()
				l.delta(1, 2) // while it is away
				if c.ended {
					l.commit(durable.Entry{Kind: durable.EntryEnded})
				}
				time.Sleep(c.after)
				l.feed.Emit(durable.Delta{Run: "other"}, 0) // lets go of what is old
				l.feed.Committed("other", []*durable.Entry{{Kind: durable.EntryEnded}})
				_, got, bytes := l.feed.Kept()
				if c.keep {
					got--
				}
				if got != c.want {
					t.Errorf("%d deltas are kept, want %d", got, c.want)
				}
				if c.want == 0 && !c.keep && (l.feed.Watched() || bytes != 0) {
					t.Errorf("it is watched; %d bytes", bytes)
				}
			})
		})
	}
}

// TestUnwatched: where nobody watches nothing is kept.
func TestUnwatched(t *testing.T) {
	l := newLog(event.Config{})
	entries := []*durable.Entry{{Kind: durable.EntryDone}}
	if n := testing.AllocsPerRun(100, func() {
		l.feed.Committed(run, entries)
		l.feed.Emit(durable.Delta{Run: run}, 0)
	}); n != 0 || l.feed.Watched() {
		t.Errorf("%v allocations, watched %v", n, l.feed.Watched())
	}
}

// TestOnce: all watchers share an item and what it was made into.
func TestOnce(t *testing.T) {
	l := newLog(event.Config{Keep: true})
	l.commit(durable.Entry{Kind: durable.EntryStarted})
	l.delta(1, 0)
	made := 0
	for range 3 {
		for item, err := range l.feed.Watch(t.Context(), run, event.After(0)) {
			if err != nil {
				t.Fatal(err)
			}
			text := item.Once(func(i *event.Item) []byte {
				made++
				return []byte(word(i))
			})
			if string(text) != "delta s1 0" {
				t.Errorf("got %s", text)
			}
			break
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
}

// TestBatches: a watcher takes all that is there at once, and one read serves all watchers.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(event.Config{})
		reads := 0
		l.read = func() { reads++ }
		const watchers = 50
		done := make(chan int)
		for range watchers {
			go func() {
				batches := 0
				for batch, err := range l.feed.Batches(t.Context(), run, event.After(-1)) {
					if err != nil || len(batch) == 0 {
						t.Errorf("batch %v, %v", batch, err)
					}
					batches++
				}
				done <- batches
			}()
		}
		synctest.Wait()
		l.hold(func() {
			for c := range 5 {
				l.deltaLocked(c)
				l.commitLocked(durable.Entry{Kind: durable.EntryDone, Command: c})
			}
			l.commitLocked(durable.Entry{Kind: durable.EntryEnded})
		})
		for range watchers {
			if n := <-done; n > 3 { // the first delta, all that could be there without the journal, all
				t.Errorf("%d batches", n)
			}
		}
		if reads > 3 {
			t.Errorf("%d reads", reads)
		}
	})
}
