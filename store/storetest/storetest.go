// Package storetest is the law every store obeys. An adapter calls [Run] from its
// tests; a bug found in one adapter becomes a case here.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Open opens the same data each time it is called within one test.
type Open func(t *testing.T) store.Store

// Run runs the suite. fresh returns an opener of new, empty data.
func Run(t *testing.T, fresh func(t *testing.T) Open) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, open Open)
	}{
		{"a run reads back as it was created", readsBack},
		{"entries get seqs in commit order", seqs},
		{"a group is applied as a whole or not at all", atomic},
		{"a refused group does not harm its neighbours", refused},
		{"state replaces state", state},
		{"blobs are put once", blobs},
		{"list filters and orders", list},
		{"find by prefix and name", find},
		{"ready and due runs", readyAndDue},
		{"everything is there after reopening", reopened},
		{"close commits what is queued", closeCommits},
		{"a closed store refuses", closedRefuses},
		{"many committers at once", concurrent},
		{"a sound store finds no damage", sound},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

func newRun(id string) *store.Run {
	return &store.Run{
		ID: durable.RunID(id), Name: "n-" + id, Program: "p", Definition: "d", Created: epoch,
		State: store.State{Status: durable.Running, Updated: epoch},
	}
}

func body(s string) []*store.Entry { return []*store.Entry{{Body: []byte(s)}} }

func commit(t *testing.T, s store.Store, changes ...*store.Change) error {
	t.Helper()
	done := make(chan error, 1)
	s.Commit(changes, func(err error) { done <- err })
	return <-done
}

func mustCommit(t *testing.T, s store.Store, changes ...*store.Change) {
	t.Helper()
	if err := commit(t, s, changes...); err != nil {
		t.Fatal(err)
	}
}

func create(id string) *store.Change {
	return &store.Change{Run: durable.RunID(id), Create: newRun(id), Entries: body("first")}
}

func bodies(t *testing.T, s store.Store, id string) []string {
	t.Helper()
	entries, err := s.Entries(context.Background(), durable.RunID(id), -1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for i, e := range entries {
		if e.Seq != int64(i) {
			t.Errorf("entry %d of %s has seq %d", i, id, e.Seq)
		}
		list = append(list, string(e.Body))
	}
	return list
}

func ids(runs []store.Run) []string {
	var list []string
	for _, r := range runs {
		list = append(list, string(r.ID))
	}
	return list
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got\n%s", what, diff)
	}
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func readsBack(t *testing.T, open Open) {
	s := open(t)
	want := newRun("aaaa")
	want.Parent, want.Command = "pppp", 7
	want.State = store.State{
		Status: durable.Waiting, Reason: "why", Updated: epoch.Add(time.Second), Wake: epoch.Add(time.Hour), Segment: 2, Start: 5,
		Waits: []durable.Wait{{Kind: durable.WaitTimer, Command: 3, Until: epoch.Add(time.Hour)}},
	}
	mustCommit(t, s, &store.Change{Run: want.ID, Create: want})
	got, err := s.Run(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "run", got, *want)
	_, err = s.Run(t.Context(), "none")
	is(t, err, durable.ErrNotFound)
	_, err = s.Last(t.Context(), want.ID)
	is(t, err, durable.ErrNotFound)
}

func seqs(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	mustCommit(t, s, create("b"))
	two := append(body("2"), body("3")...)
	mustCommit(t, s, &store.Change{Run: "a", Entries: two}, &store.Change{Run: "b", Entries: body("x")})
	equal(t, "seqs", []int64{two[0].Seq, two[1].Seq}, []int64{1, 2})
	equal(t, "a", bodies(t, s, "a"), []string{"first", "2", "3"})
	equal(t, "b", bodies(t, s, "b"), []string{"first", "x"})
	some, err := s.Entries(t.Context(), "a", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "page", some, []store.Entry{{Seq: 1, Body: []byte("2")}})
	last, err := s.Last(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "last", last, store.Entry{Seq: 2, Body: []byte("3")})
}

func atomic(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	is(t, commit(t, s, &store.Change{Run: "a", Entries: body("lost")}, &store.Change{Run: "none", Entries: body("x")}), durable.ErrNotFound)
	is(t, commit(t, s, &store.Change{Run: "a", Entries: body("lost")}, create("a")), durable.ErrConflict)
	equal(t, "a", bodies(t, s, "a"), []string{"first"})
}

func refused(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i, c := range []*store.Change{{Run: "a", Entries: body("1")}, create("a"), {Run: "a", Entries: body("2")}} {
		wg.Add(1)
		s.Commit([]*store.Change{c}, func(err error) { errs[i] = err; wg.Done() })
	}
	wg.Wait()
	is(t, errs[1], durable.ErrConflict)
	if errs[0] != nil || errs[2] != nil {
		t.Errorf("neighbours failed: %v, %v", errs[0], errs[2])
	}
	equal(t, "a", bodies(t, s, "a"), []string{"first", "1", "2"})
}

func state(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	want := store.State{Status: durable.Failed, Reason: "r", Updated: epoch.Add(time.Minute), Segment: 1}
	asked := want
	asked.Start = 7 // only ThisChange moves it
	mustCommit(t, s, &store.Change{Run: "a", Entries: body("end"), State: &asked})
	got, err := s.Run(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "state", got.State, want)
	want.Start = store.ThisChange
	mustCommit(t, s, &store.Change{Run: "a", Entries: body("after"), State: &want})
	if got, err = s.Run(t.Context(), "a"); err != nil || got.Start != 2 {
		t.Errorf("start is %d, want 2 (error %v)", got.Start, err)
	}
	equal(t, "entries after the end", bodies(t, s, "a"), []string{"first", "end", "after"})
}

func blobs(t *testing.T, open Open) {
	s := open(t)
	data := bytes.Repeat([]byte("0123456789"), 2000)
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:])
	c := create("a")
	c.Blobs = []store.Blob{{Hash: hash, Data: data}}
	mustCommit(t, s, c)
	mustCommit(t, s, &store.Change{Run: "a", Blobs: []store.Blob{{Hash: hash, Data: data}}})
	got, err := s.Blob(t.Context(), hash)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("blob: %d bytes, error %v", len(got), err)
	}
	_, err = s.Blob(t.Context(), hex.EncodeToString(make([]byte, 32)))
	is(t, err, durable.ErrNotFound)
	_, err = s.Blob(t.Context(), "zz")
	is(t, err, durable.ErrInvalid)
}

func list(t *testing.T, open Open) {
	s := open(t)
	for _, id := range []string{"a", "b", "c"} {
		c := create(id)
		if id == "b" {
			c.Create.Program, c.Create.Parent = "q", "a"
		}
		mustCommit(t, s, c)
	}
	mustCommit(t, s, &store.Change{Run: "c", State: &store.State{Status: durable.Succeeded, Updated: epoch}})
	for _, c := range []struct {
		name   string
		filter store.Filter
		want   []string
	}{
		{"all", store.Filter{}, []string{"c", "b", "a"}},
		{"limit", store.Filter{Limit: 2}, []string{"c", "b"}},
		{"program", store.Filter{Program: "q"}, []string{"b"}},
		{"parent", store.Filter{Parent: "a"}, []string{"b"}},
		{"roots", store.Filter{Roots: true}, []string{"c", "a"}},
		{"status", store.Filter{Statuses: []durable.Status{durable.Running, durable.Failed}}, []string{"b", "a"}},
	} {
		got, err := s.List(t.Context(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c.name, ids(got), c.want)
	}
}

func find(t *testing.T, open Open) {
	s := open(t)
	for _, id := range []string{"abc1", "abc2", "abd3"} {
		mustCommit(t, s, create(id))
	}
	for _, c := range []struct {
		ref  string
		want []durable.RunID
	}{
		{"abc1", []durable.RunID{"abc1"}},
		{"abc", []durable.RunID{"abc2", "abc1"}},
		{"n-abd3", []durable.RunID{"abd3"}},
		{"bc", nil},
		{"%", nil},
	} {
		got, err := s.Find(t.Context(), c.ref, 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c.ref, got, c.want)
	}
}

func readyAndDue(t *testing.T, open Open) {
	s := open(t)
	for i, id := range []string{"a", "b", "c", "d"} {
		c := create(id)
		c.Create.Status = []durable.Status{durable.Queued, durable.Waiting, durable.Running, durable.Waiting}[i]
		if c.Create.Status == durable.Waiting {
			c.Create.Wake = epoch.Add(time.Duration(i) * time.Minute)
		}
		mustCommit(t, s, c)
	}
	ready, err := s.Ready(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ready", ready, []durable.RunID{"a", "c"})
	due, next, err := s.Due(t.Context(), epoch.Add(time.Minute), 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "due", due, []durable.RunID{"b"})
	equal(t, "next", next, epoch.Add(3*time.Minute))
}

func reopened(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	first := s.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t)
	if s.Epoch() != first+1 {
		t.Errorf("epoch went from %d to %d", first, s.Epoch())
	}
	mustCommit(t, s, &store.Change{Run: "a", Entries: body("again")})
	equal(t, "a", bodies(t, s, "a"), []string{"first", "again"})
	is(t, commit(t, s, create("a")), durable.ErrConflict)
}

func closeCommits(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	const n = 2000
	var failed error
	for i := range n {
		s.Commit([]*store.Change{{Run: "a", Entries: body(fmt.Sprint(i))}}, func(err error) { failed = errors.Join(failed, err) })
	}
	if err := s.Close(); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	entries, err := open(t).Entries(t.Context(), "a", -1, 2*n)
	if err != nil || len(entries) != n+1 {
		t.Errorf("%d entries, error %v", len(entries), err)
	}
}

func closedRefuses(t *testing.T, open Open) {
	s := open(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // held over Commit, as a caller may
	refused := make(chan error, 1)
	mu.Lock()
	s.Commit([]*store.Change{create("a")}, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		refused <- err
	})
	mu.Unlock()
	is(t, <-refused, durable.ErrUnavailable)
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func concurrent(t *testing.T, open Open) {
	s := open(t)
	const runs, entries = 16, 50
	var wg sync.WaitGroup
	for r := range runs {
		wg.Go(func() {
			id := fmt.Sprintf("r%02d", r)
			if err := commit(t, s, create(id)); err != nil {
				t.Error(err)
			}
			for i := range entries {
				if err := commit(t, s, &store.Change{Run: durable.RunID(id), Entries: body(fmt.Sprint(i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for r := range runs {
		if got := bodies(t, s, fmt.Sprintf("r%02d", r)); len(got) != entries+1 || got[entries] != fmt.Sprint(entries-1) {
			t.Errorf("run %d has %d entries", r, len(got))
		}
	}
}

func sound(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	found, err := s.Check(t.Context())
	if err != nil || len(found) > 0 {
		t.Errorf("found %v, error %v", found, err)
	}
}
