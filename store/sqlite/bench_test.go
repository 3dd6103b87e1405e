package sqlite_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// BenchmarkCommit measures commits that are durable on the disk (synchronous=FULL).
// An operation is one commit of so many 1 KB entries by each committer, who waits for
// it before the next. What it guards, on two cores with a disk whose fsync takes
// under half a millisecond: one committer with one entry 1,500 entries/s, 64 of them
// together at least ten times that, because one fsync carries many, and 40,000
// entries/s in batches of 512.
func BenchmarkCommit(b *testing.B) {
	for _, committers := range []int{1, 64} {
		for _, entries := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("committers=%d/entries=%d", committers, entries), func(b *testing.B) {
				benchCommit(b, committers, entries)
			})
		}
	}
}

func benchCommit(b *testing.B, committers, entries int) {
	s, err := sqlite.Open(b.Context(), sqlite.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	body := []byte(`{"k":"done","o":"` + strings.Repeat("x", 1000) + `"}`)
	commit := func(c *store.Change) error {
		done := make(chan error, 1)
		s.Commit([]*store.Change{c}, func(err error) { done <- err })
		return <-done
	}
	for i := range committers {
		now := time.Now()
		run := &store.Run{ID: durable.RunID(fmt.Sprint("r", i)), Program: "p", Created: now, State: store.State{Status: durable.Running, Updated: now}}
		if err := commit(&store.Change{Run: run.ID, Create: run}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range committers {
		wg.Go(func() {
			for n := range b.N {
				c := &store.Change{Run: durable.RunID(fmt.Sprint("r", i)), Entries: make([]*store.Entry, entries)}
				for k := range c.Entries {
					c.Entries[k] = &store.Entry{Seq: int64(n*entries + k), Body: body}
				}
				if err := commit(c); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*committers*entries)/b.Elapsed().Seconds(), "entries/s")
}
