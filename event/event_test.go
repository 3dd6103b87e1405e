package event_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

const run = durable.RunID("run")

// log is a journal in memory that tells its feed of every commit.
type log struct {
	mu      sync.Mutex
	entries []durable.Entry
	feed    *event.Feed
	fail    error
	read    func() // called before every read
}

func newLog() *log {
	l := &log{}
	l.feed = event.New(l)
	return l
}

func (l *log) Entries(_ context.Context, _ durable.RunID, after int64, limit int) ([]durable.Entry, error) {
	if l.read != nil {
		l.read()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return nil, l.fail
	}
	from := min(after+1, int64(len(l.entries)))
	to := min(from+int64(limit), int64(len(l.entries)))
	return append([]durable.Entry(nil), l.entries[from:to]...), nil
}

// commit appends an entry; like a store it tells of commits in their order.
func (l *log) commit(e durable.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Seq = int64(len(l.entries))
	l.entries = append(l.entries, e)
	l.feed.Committed(run, e.Seq)
}

func (l *log) delta(step string, offset int) {
	l.feed.Emit(durable.Delta{Run: run, Step: step, Offset: offset, Kind: "text"})
}

// words says what a watcher got: entries by seq, deltas by step and offset.
func word(i event.Item) string {
	if i.Event != nil {
		return fmt.Sprintf("%d %s %s", i.Event.Seq, i.Event.Kind, i.Event.Name)
	}
	return fmt.Sprintf("delta %s %d", i.Delta.Step, i.Delta.Offset)
}

// TestLateWatchers: watchers that join at any moment, while many commit, get every
// entry once and in order, and end with the ended entry.
func TestLateWatchers(t *testing.T) {
	l := newLog()
	const committers, each, watchers = 16, 100, 12
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var commits, watches sync.WaitGroup
	begin := make(chan struct{})
	for i := range watchers {
		watches.Go(func() {
			<-begin
			after := int64(i*7) - 1 // some have seen a part before
			for l.size() < i*120 {  // some join late
				if ctx.Err() != nil {
					break
				}
			}
			next := after + 1
			for item, err := range l.feed.Watch(ctx, run, after) {
				if err != nil {
					t.Errorf("watcher %d: %v", i, err)
					return
				}
				if item.Event == nil {
					continue
				}
				if item.Event.Seq != next || item.Event.Run != run {
					t.Errorf("watcher %d got entry %d of %s instead of %d", i, item.Event.Seq, item.Event.Run, next)
					return
				}
				next++
			}
			if want := int64(committers*each + 1); next != want {
				t.Errorf("watcher %d got entries up to %d, want %d", i, next, want)
			}
		})
	}
	for i := range committers {
		commits.Go(func() {
			<-begin
			for k := range each {
				l.delta(fmt.Sprint(i), k)
				l.commit(durable.Entry{Kind: durable.EntryDone, Name: fmt.Sprint(i)})
			}
		})
	}
	close(begin)
	commits.Wait()
	l.commit(durable.Entry{Kind: durable.EntryEnded})
	watches.Wait()
}

func (l *log) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// TestDeltasComeFirst: a watcher gets the deltas of a step before the entry that
// ends it, and the live part begins where the journal ended.
func TestDeltasComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		l.delta("nobody watches", 0)
		l.commit(durable.Entry{Kind: durable.EntryStarted, Name: "p"})
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for item, err := range l.feed.Watch(t.Context(), run, -1) {
				if err != nil {
					t.Error(err)
					return
				}
				got = append(got, word(item))
			}
		}()
		synctest.Wait()
		for step := range 3 {
			for offset := range 2 {
				l.delta(fmt.Sprint(step), offset)
				if step == 1 {
					synctest.Wait() // sometimes it is quick, sometimes it has to catch up
				}
			}
			l.commit(durable.Entry{Kind: durable.EntryDone, Name: fmt.Sprint(step)})
		}
		l.commit(durable.Entry{Kind: durable.EntryEnded})
		<-done
		want := []string{
			"0 started p", "delta 0 0", "delta 0 1", "1 done 0", "delta 1 0", "delta 1 1", "2 done 1",
			"delta 2 0", "delta 2 1", "3 done 2", "4 ended ",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// TestSlowWatcher: it loses the oldest deltas, keeps their order and loses no entry,
// and it does not hold up the run.
func TestSlowWatcher(t *testing.T) {
	const deltas, kept = 5000, 1024
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		l.commit(durable.Entry{Kind: durable.EntryStarted})
		slow := make(chan struct{})
		var entries, offsets []int
		done := make(chan struct{})
		go func() {
			defer close(done)
			for item, err := range l.feed.Watch(t.Context(), run, -1) {
				switch {
				case err != nil:
					t.Error(err)
				case item.Event != nil:
					entries = append(entries, int(item.Event.Seq))
					<-slow
				default:
					offsets = append(offsets, item.Delta.Offset)
				}
			}
		}()
		synctest.Wait() // it holds the first entry and does not read on
		for i := range deltas {
			l.delta("s", i)
			if i%100 == 99 {
				l.commit(durable.Entry{Kind: durable.EntryDone})
			}
		}
		l.commit(durable.Entry{Kind: durable.EntryEnded})
		close(slow)
		<-done
		if len(entries) != deltas/100+2 {
			t.Errorf("%d entries, want %d", len(entries), deltas/100+2)
		}
		for i, seq := range entries {
			if seq != i {
				t.Errorf("entry %d has seq %d", i, seq)
			}
		}
		if len(offsets) != kept {
			t.Fatalf("%d deltas, want the newest %d", len(offsets), kept)
		}
		for i, o := range offsets {
			if want := deltas - kept + i; o != want {
				t.Fatalf("delta %d has offset %d, want %d", i, o, want)
			}
		}
	})
}

func TestWatchEnds(t *testing.T) {
	broken := errors.New("disk")
	for _, c := range []struct {
		name string
		play func(l *log, cancel func())
		want []string
	}{
		{"at the ended entry", func(l *log, _ func()) {
			l.commit(durable.Entry{Kind: durable.EntryEnded})
			l.commit(durable.Entry{Kind: durable.EntryDone})
		}, []string{"0 started ", "1 ended "}},
		{"with its context", func(l *log, cancel func()) {
			cancel()
		}, []string{"0 started ", "context canceled"}},
		{"not at a blocked entry", func(l *log, cancel func()) {
			l.commit(durable.Entry{Kind: durable.EntryBlocked})
			cancel()
		}, []string{"0 started ", "1 blocked ", "context canceled"}},
		{"when the journal cannot be read", func(l *log, _ func()) {
			l.mu.Lock()
			l.fail = broken
			l.mu.Unlock()
			l.feed.Committed(run, 1)
		}, []string{"0 started ", "disk"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog()
				l.commit(durable.Entry{Kind: durable.EntryStarted})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var got []string
				done := make(chan struct{})
				go func() {
					defer close(done)
					for item, err := range l.feed.Watch(ctx, run, -1) {
						if err != nil {
							got = append(got, err.Error())
						} else {
							got = append(got, word(item))
						}
					}
				}()
				synctest.Wait()
				c.play(l, func() { synctest.Wait(); cancel() })
				<-done
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			})
		})
	}
}

// TestWatchBreaks: a consumer that stops in the middle is forgotten, and does not
// read on.
func TestWatchBreaks(t *testing.T) {
	l := newLog()
	for range 1000 {
		l.commit(durable.Entry{Kind: durable.EntryDone})
	}
	reads := 0
	l.read = func() { reads++ }
	for item, err := range l.feed.Watch(t.Context(), run, -1) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Event.Seq == 10 {
			break
		}
	}
	l.commit(durable.Entry{Kind: durable.EntryDone})
	if reads != 1 {
		t.Errorf("%d reads for eleven entries", reads)
	}
}

// TestOtherRuns: what happens in one run is not seen by those who watch another.
func TestOtherRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for item, err := range l.feed.Watch(ctx, "other", -1) {
				if err != nil {
					got = append(got, err.Error())
				} else {
					got = append(got, word(item))
				}
			}
		}()
		synctest.Wait()
		l.delta("s", 0)
		l.feed.Emit(durable.Delta{Run: "other", Step: "mine"})
		<-done
		if text := strings.Join(got, ", "); text != "delta mine 0, context deadline exceeded" {
			t.Errorf("got %s", text)
		}
	})
}
