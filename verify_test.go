package orpine_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// TestVerifyCounts: a quick look counts all runs; there are more than are read at once.
func TestVerifyCounts(t *testing.T) {
	const each = 1200
	dir, now := t.TempDir(), time.Now()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []durable.Status{durable.Queued, durable.Waiting, durable.Blocked, durable.Succeeded} {
		var changes []*store.Change
		for i := range each {
			id := durable.RunID(fmt.Sprintf("%s%d", status, i))
			changes = append(changes, &store.Change{Run: id, Create: &store.Run{ID: id, Created: now, State: store.State{Status: status, Updated: now}}})
		}
		done := make(chan error, 1)
		s.Commit(changes, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := orpine.OpenReader(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := r.Count(t.Context(), durable.Filter{Statuses: []durable.Status{durable.Blocked}, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[durable.Status]int64{durable.Queued: each, durable.Waiting: each, durable.Blocked: each, durable.Succeeded: each}, counts); diff != "" {
		t.Errorf("counts: -want +got\n%s", diff)
	}
	oldest, err := r.List(t.Context(), durable.Filter{Oldest: true, Limit: 1})
	if err != nil || len(oldest) != 1 || oldest[0].ID != "queued0" {
		t.Errorf("the oldest is %v, error %v", oldest, err)
	}
	got, err := r.Verify(t.Context(), orpine.Verification{})
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	want := orpine.Health{Runs: 4 * each, Unfinished: each, Waiting: each, Blocked: each}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
