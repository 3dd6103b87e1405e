// Package storetest is the law every store obeys. An adapter calls [Run] from its
// tests; a bug found in one adapter becomes a case here.
//
// It stands beside the line request -> run -> step -> journal -> event -> client, at the
// store beneath journal. It may know of a store only what its interface says, and like a
// store may not look into entry bodies; nothing but tests may import it.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
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
		{"entries are kept in the order of their seqs", seqs},
		{"entries that do not follow are refused", follows},
		{"a group is applied as a whole or not at all", atomic},
		{"a refused group does not harm its neighbours", refused},
		{"state replaces state", state},
		{"a fork shares the entries of its base", forks},
		{"blobs are put once", blobs},
		{"hashes of blobs come page by page", hashes},
		{"a snapshot does not change", snapshot},
		{"marks are set", marks},
		{"a record is put, replaced and deleted", records},
		{"a record is changed by who knows its version", recordVersions},
		{"records are refused before anything is written", recordsRefused},
		{"records come page by page, forwards and backwards", recordPages},
		{"records land with entries or not at all", recordsCrash},
		{"of many who change a record one at a time wins", recordRace},
		{"list filters and orders", list},
		{"every filter holds over all pages", filters},
		{"a page is followed by the next while runs are added", pages},
		{"find by prefix and name", find},
		{"ready and due runs", readyAndDue},
		{"everything is there after reopening", reopened},
		{"close commits what is queued", closeCommits},
		{"what may be later goes with what is next", later},
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

// from makes entries that begin with seq.
func from(seq int64, texts ...string) []*store.Entry {
	entries := make([]*store.Entry, len(texts))
	for i, text := range texts {
		entries[i] = &store.Entry{Seq: seq + int64(i), Body: []byte(text)}
	}
	return entries
}

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
	return &store.Change{Run: durable.RunID(id), Create: newRun(id), Entries: from(0, "first")}
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
	want.Queue, want.Priority, want.Share, want.Tenant, want.Base, want.Shared = "q", -2, "share", "tenant", "base", 0
	want.State = store.State{
		Status: durable.Waiting, Reason: "why", Updated: epoch.Add(time.Second), Wake: epoch.Add(time.Hour), Segment: 2, Start: 5,
		Waits: []durable.Wait{{Kind: durable.WaitTimer, Command: 3, Until: epoch.Add(time.Hour)}},
	}
	mustCommit(t, s, &store.Change{Run: want.ID, Create: want})
	got, err := s.Run(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.N == 0 {
		t.Error("the run has no number")
	}
	want.N = got.N
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
	mustCommit(t, s, &store.Change{Run: "a", Entries: from(1, "2", "3")}, &store.Change{Run: "b", Entries: from(1, "x")})
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

// follows: entries that are there already, or that leave a gap, are refused: two writers
// cannot both believe that a run is theirs.
func follows(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	for _, seq := range []int64{0, 2, -1} {
		is(t, commit(t, s, &store.Change{Run: "a", Entries: from(seq, "no")}), durable.ErrConflict)
	}
	mustCommit(t, s, &store.Change{Run: "a", Entries: from(1, "yes")})
	equal(t, "a", bodies(t, s, "a"), []string{"first", "yes"})
}

func atomic(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	is(t, commit(t, s, &store.Change{Run: "a", Entries: from(1, "lost")}, &store.Change{Run: "none", Entries: from(0, "x")}), durable.ErrNotFound)
	is(t, commit(t, s, &store.Change{Run: "a", Entries: from(1, "lost")}, create("a")), durable.ErrConflict)
	is(t, commit(t, s, create("b"), &store.Change{Run: "a", Entries: from(7, "lost")}), durable.ErrConflict)
	is(t, commit(t, s, create("b"), create("a")), durable.ErrConflict)
	is(t, commit(t, s, create("b"), create("b")), durable.ErrConflict)
	equal(t, "a", bodies(t, s, "a"), []string{"first"})
	_, err := s.Run(t.Context(), "b")
	is(t, err, durable.ErrNotFound)
	mustCommit(t, s, create("b"), create("c"))
	equal(t, "c", bodies(t, s, "c"), []string{"first"})
}

func refused(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i, c := range []*store.Change{{Run: "a", Entries: from(1, "1")}, create("a"), {Run: "a", Entries: from(2, "2")}} {
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
	want := store.State{Status: durable.Failed, Reason: "r", Updated: epoch.Add(time.Minute), Segment: 1, Start: 1}
	mustCommit(t, s, &store.Change{Run: "a", Entries: from(1, "end"), State: &want})
	got, err := s.Run(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "state", got.State, want)
	mustCommit(t, s, &store.Change{Run: "a", Entries: from(2, "after")})
	equal(t, "entries after the end", bodies(t, s, "a"), []string{"first", "end", "after"})
}

// forks: a fork reads as if it had the entries it shares with its base, and goes its own
// way after them; so does a fork of a fork.
func forks(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	mustCommit(t, s, &store.Change{Run: "a", Entries: from(1, "a1", "a2", "a3")})
	fork := func(id, base string, shared int64) {
		r := newRun(id)
		r.Base, r.Shared = durable.RunID(base), shared
		mustCommit(t, s, &store.Change{Run: r.ID, Create: r})
	}
	fork("b", "a", 3)
	equal(t, "a fork without entries of its own", bodies(t, s, "b"), []string{"first", "a1", "a2"})
	last, err := s.Last(t.Context(), "b")
	if err != nil || string(last.Body) != "a2" {
		t.Errorf("its last entry is %d %s, error %v", last.Seq, last.Body, err)
	}
	is(t, commit(t, s, &store.Change{Run: "b", Entries: from(2, "no")}), durable.ErrConflict)
	mustCommit(t, s, &store.Change{Run: "b", Entries: from(3, "b3", "b4")})
	mustCommit(t, s, &store.Change{Run: "a", Entries: from(4, "a4")})
	fork("c", "b", 4)
	mustCommit(t, s, &store.Change{Run: "c", Entries: from(4, "c4")})
	equal(t, "a", bodies(t, s, "a"), []string{"first", "a1", "a2", "a3", "a4"})
	equal(t, "b", bodies(t, s, "b"), []string{"first", "a1", "a2", "b3", "b4"})
	equal(t, "c", bodies(t, s, "c"), []string{"first", "a1", "a2", "b3", "c4"})
	for after, want := range map[int64]string{-1: "first", 1: "a2", 2: "b3", 3: "c4"} {
		some, err := s.Entries(t.Context(), "c", after, 1)
		if err != nil || len(some) != 1 || string(some[0].Body) != want || some[0].Seq != after+1 {
			t.Errorf("after %d: got %v, error %v", after, some, err)
		}
	}
	some, err := s.Entries(t.Context(), "c", 1, 2)
	if err != nil || len(some) != 2 || string(some[1].Body) != "b3" {
		t.Errorf("a page over the border: got %v, error %v", some, err)
	}
}

func marks(t *testing.T, open Open) {
	s := open(t)
	for _, want := range []int64{0, 7, -3} {
		if want != 0 {
			mustCommit(t, s, &store.Change{Marks: []store.Mark{{Key: "k", Value: want}}})
		}
		if got, err := s.Mark(t.Context(), "k"); err != nil || got != want {
			t.Errorf("got %d, error %v, want %d", got, err, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t).Mark(t.Context(), "k"); err != nil || got != -3 {
		t.Errorf("after reopening: got %d, error %v", got, err)
	}
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
	ready, err := s.Ready(t.Context(), 0, 1)
	if err != nil || len(ready) != 1 {
		t.Fatal(ready, err)
	}
	more, err := s.Ready(t.Context(), ready[0].N, 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ready", ids(append(ready, more...)), []string{"a", "c"})
	if newest, err := s.Newest(t.Context()); err != nil || newest < more[len(more)-1].N {
		t.Errorf("the newest run is %d, error %v", newest, err)
	}
	due, next, err := s.Due(t.Context(), epoch.Add(time.Minute), store.Wakeup{}, 10)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	equal(t, "due", due[0].Run, durable.RunID("b"))
	equal(t, "next", next, epoch.Add(3*time.Minute))
	due, next, err = s.Due(t.Context(), epoch.Add(time.Hour), due[0], 10)
	if err != nil || len(due) != 1 || !next.IsZero() {
		t.Fatal(due, next, err)
	}
	equal(t, "due behind the first", due[0].Run, durable.RunID("d"))
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
	mustCommit(t, s, &store.Change{Run: "a", Entries: from(1, "again")})
	equal(t, "a", bodies(t, s, "a"), []string{"first", "again"})
	is(t, commit(t, s, create("a")), durable.ErrConflict)
}

// later: a group that may wait is durable no later than the next, is hurried by an empty one, and
// is not lost when the store is closed; the order of the calls is kept.
func later(t *testing.T, open Open) {
	s := open(t)
	var order []string
	note := func(key string, waits bool) chan error {
		told := make(chan error, 1)
		c := &store.Change{Records: []store.RecordChange{{Kind: "k", Key: key, Data: []byte(key)}}}
		if waits {
			records := c.Records
			c.Records, c.Later = nil, func() []store.RecordChange { return records }
		}
		s.Commit([]*store.Change{c}, func(err error) {
			order = append(order, key)
			told <- err
		})
		return told
	}
	first := note("1", true)
	select {
	case err := <-first:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(20 * time.Millisecond): // long enough for a commit
	}
	if err := <-note("2", false); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	hurried := note("3", true)
	empty := make(chan error, 1)
	s.Commit(nil, func(err error) { empty <- err })
	if err := errors.Join(<-hurried, <-empty); err != nil {
		t.Error(err)
	}
	s.Commit(nil, func(err error) { empty <- err })
	if err := <-empty; err != nil {
		t.Errorf("where nothing waits: %v", err)
	}
	last := note("4", true)
	if err := errors.Join(s.Close(), <-last); err != nil {
		t.Error(err)
	}
	if want := []string{"1", "2", "3", "4"}; !slices.Equal(order, want) {
		t.Errorf("committed in the order %v, want %v", order, want)
	}
	kept, err := open(t).Records(t.Context(), "k", store.RecordFilter{})
	if err != nil || len(kept) != 4 {
		t.Errorf("%d records are kept, %v; want 4", len(kept), err)
	}
}

func closeCommits(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	const n = 2000
	var failed error
	for i := range n {
		s.Commit([]*store.Change{{Run: "a", Entries: from(int64(i)+1, fmt.Sprint(i))}}, func(err error) { failed = errors.Join(failed, err) })
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
				if err := commit(t, s, &store.Change{Run: durable.RunID(id), Entries: from(int64(i)+1, fmt.Sprint(i))}); err != nil {
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
