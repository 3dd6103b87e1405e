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

func newLog(cfg event.Config) *log {
	l := &log{}
	l.feed = event.New(l, cfg)
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
	from := min(after, int64(len(l.entries))-1) + 1
	to := min(from+int64(limit), int64(len(l.entries)))
	return append([]durable.Entry(nil), l.entries[from:to]...), nil
}

// commit appends an entry; like a store it tells of commits in their order.
func (l *log) commit(e durable.Entry) {
	l.hold(func() { l.commitLocked(e) })
}

func (l *log) commitLocked(e durable.Entry) {
	e.Seq = int64(len(l.entries))
	l.entries = append(l.entries, e)
	l.feed.Committed(run, []*durable.Entry{&e})
}

// hold keeps everybody from the journal.
func (l *log) hold(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

// restart gives the journal a new feed, as the next process does.
func (l *log) restart(cfg event.Config) {
	l.hold(func() { l.feed = event.New(l, cfg) })
}

func (l *log) now() *event.Feed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.feed
}

// delta emits a delta of the first attempt of a command.
func (l *log) delta(command, offset int) {
	l.emit(durable.Delta{Command: command, Attempt: 1, Offset: offset, Kind: "text"})
}

// deltaLocked emits the first delta of a command.
func (l *log) deltaLocked(command int) {
	l.feed.Emit(durable.Delta{Run: run, Command: command, Kind: "text"}, int64(len(l.entries))-1)
}

func (l *log) emit(d durable.Delta) {
	d.Run, d.Step = run, fmt.Sprint("s", d.Command)
	l.feed.Emit(d, int64(l.size())-1)
}

// word says what a watcher got: entries by seq, deltas by step and offset.
func word(i *event.Item) string {
	if i.Event != nil {
		return fmt.Sprintf("%d %s %s", i.Event.Seq, i.Event.Kind, i.Event.Name)
	}
	if i.Delta.Kind == durable.DeltaReset {
		return fmt.Sprintf("reset %s", i.Delta.Step)
	}
	return fmt.Sprintf("delta %s %d", i.Delta.Step, i.Delta.Offset)
}

// TestLateWatchers: watchers that join at any moment, while many commit, get every
// entry once and in order, and end with the ended entry.
func TestLateWatchers(t *testing.T) {
	l := newLog(event.Config{})
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
			for item, err := range l.feed.Watch(ctx, run, event.After(after)) {
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
				l.delta(i*each+k, 0)
				l.commit(durable.Entry{Kind: durable.EntryDone, Command: i*each + k})
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
		l := newLog(event.Config{})
		l.delta(9, 0) // nobody watches
		l.commit(durable.Entry{Kind: durable.EntryStarted, Name: "p"})
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for item, err := range l.feed.Watch(t.Context(), run, event.After(-1)) {
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
				l.delta(step, offset)
				if step == 1 {
					synctest.Wait() // sometimes it is quick, sometimes it has to catch up
				}
			}
			l.commit(durable.Entry{Kind: durable.EntryDone, Command: step})
		}
		l.commit(durable.Entry{Kind: durable.EntryEnded})
		<-done
		want := []string{
			"0 started p", "delta s0 0", "delta s0 1", "1 done ", "delta s1 0", "delta s1 1", "2 done ",
			"delta s2 0", "delta s2 1", "3 done ", "4 ended ",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
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
			l.feed.Committed(run, []*durable.Entry{{Seq: 1}})
		}, []string{"0 started ", "disk"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(event.Config{})
				l.commit(durable.Entry{Kind: durable.EntryStarted})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var got []string
				done := make(chan struct{})
				go func() {
					defer close(done)
					for item, err := range l.feed.Watch(ctx, run, event.After(-1)) {
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
	l := newLog(event.Config{})
	for range 1000 {
		l.commit(durable.Entry{Kind: durable.EntryDone})
	}
	reads := 0
	l.read = func() { reads++ }
	for item, err := range l.feed.Watch(t.Context(), run, event.After(-1)) {
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
		l := newLog(event.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for item, err := range l.feed.Watch(ctx, "other", event.After(-1)) {
				if err != nil {
					got = append(got, err.Error())
				} else {
					got = append(got, word(item))
				}
			}
		}()
		synctest.Wait()
		l.delta(1, 0)
		l.feed.Emit(durable.Delta{Run: "other", Step: "mine"}, -1)
		<-done
		if text := strings.Join(got, ", "); text != "delta mine 0, context deadline exceeded" {
			t.Errorf("got %s", text)
		}
	})
}
