package event_test

import (
	"context"
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// BenchmarkWatchers has 2,000 watchers follow one run with 100 deltas/s for some seconds.
// What it guards, on two cores: 99 of 100 deltas reach their watcher within 50 ms, and a
// watcher costs a few KB, however many deltas it has got.
func BenchmarkWatchers(b *testing.B) {
	const watchers, each = 2000, 300
	for b.Loop() {
		l := newLog(event.Config{})
		l.commit(durable.Entry{Kind: durable.EntryStarted})
		ctx, cancel := context.WithCancel(b.Context())
		before := memory()
		delays := make([][]time.Duration, watchers)
		begin := time.Now()
		var all, joined sync.WaitGroup
		for i := range watchers {
			delays[i] = make([]time.Duration, 0, each)
			joined.Add(1)
			all.Go(func() {
				for batch, err := range l.feed.Batches(ctx, run, event.After(-1)) {
					if err != nil {
						b.Error(err)
						return
					}
					for _, item := range batch {
						if item.Delta != nil {
							at := binary.BigEndian.Uint64(item.Delta.Data)
							delays[i] = append(delays[i], time.Since(begin)-time.Duration(at)) //nolint:gosec // it was one
						} else if item.Event.Kind == durable.EntryStarted {
							joined.Done()
						}
					}
				}
			})
		}
		joined.Wait()
		tick := time.NewTicker(10 * time.Millisecond)
		for n := range each {
			<-tick.C
			now := binary.BigEndian.AppendUint64(nil, uint64(time.Since(begin))) //nolint:gosec // not negative
			l.emit(durable.Delta{Command: 1, Attempt: 1, Offset: n, Kind: "text", Data: now})
		}
		tick.Stop()
		after := memory()
		l.commit(durable.Entry{Kind: durable.EntryEnded})
		all.Wait()
		cancel()
		got := slices.Concat(delays...)
		if len(got) != watchers*each {
			b.Fatalf("%d deltas have come, want %d", len(got), watchers*each)
		}
		slices.Sort(got)
		b.ReportMetric(float64(got[len(got)*99/100].Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(got[len(got)-1].Microseconds())/1000, "max-ms")
		b.ReportMetric(float64(after-before-watchers*each*8)/watchers, "B/watcher")
	}
}

// memory is what the heap and the stacks take.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // far below the bound
}

// BenchmarkUnwatched is what a commit pays for a feed that nobody watches. It guards that
// this is next to nothing: some nanoseconds, no allocation.
func BenchmarkUnwatched(b *testing.B) {
	l := newLog(event.Config{})
	entries := []*durable.Entry{{Kind: durable.EntryDone}}
	b.ReportAllocs()
	for b.Loop() {
		l.feed.Committed(run, entries)
	}
}

// BenchmarkEmit is what a delta costs the step that streams it, with one watcher that does
// not read and with deltas that are kept.
func BenchmarkEmit(b *testing.B) {
	l := newLog(event.Config{Keep: true})
	_ = l.feed.Watch(b.Context(), run, event.After(-1))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		l.emit(durable.Delta{Command: 1, Attempt: 1, Offset: n, Kind: "text"})
		n++
	}
}
