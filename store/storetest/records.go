package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// set is a change that has one record.
func set(key string, expect int64, data string) *store.Change {
	return &store.Change{Records: []store.RecordChange{{Kind: "k", Key: key, Expect: expect, Data: []byte(data)}}}
}

// drop is a change that deletes one.
func drop(key string, expect int64) *store.Change {
	return &store.Change{Records: []store.RecordChange{{Kind: "k", Key: key, Expect: expect}}}
}

// holds wants a record with this version and data.
func holds(t *testing.T, s store.Store, key string, version int64, data string) {
	t.Helper()
	got, err := s.Record(t.Context(), "k", key)
	if err != nil || got.Kind != "k" || got.Key != key || got.Version != version || string(got.Data) != data || got.Data == nil {
		t.Errorf("record %s: got %q of version %d, error %v; want %q of version %d", key, got.Data, got.Version, err, data, version)
	}
}

// lacks wants no record.
func lacks(t *testing.T, s store.Store, key string) {
	t.Helper()
	if got, err := s.Record(t.Context(), "k", key); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("record %s: got %q of version %d, error %v; want none", key, got.Data, got.Version, err)
	}
}

func records(t *testing.T, open Open) {
	s := open(t)
	lacks(t, s, "a")
	before := time.Now().Truncate(time.Microsecond)
	mustCommit(t, s, set("a", 0, "one"), set("empty", 0, ""))
	holds(t, s, "a", 1, "one")
	holds(t, s, "empty", 1, "")
	if r, err := s.Record(t.Context(), "k", "a"); err != nil || r.Updated.Before(before) || r.Updated.After(time.Now()) {
		t.Errorf("it was updated at %v, error %v", r.Updated, err)
	}
	view, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := set("a", 0, "of another kind")
	other.Records[0].Kind = "l"
	mustCommit(t, s, set("a", 1, "two"), other)
	holds(t, s, "a", 2, "two")
	holds(t, view, "a", 1, "one")
	if err := view.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t)
	holds(t, s, "a", 2, "two")
	mustCommit(t, s, drop("a", 2))
	lacks(t, s, "a")
	if r, err := s.Record(t.Context(), "l", "a"); err != nil || string(r.Data) != "of another kind" {
		t.Errorf("the record of another kind: %q, error %v", r.Data, err)
	}
	mustCommit(t, s, set("a", 0, "anew"))
	holds(t, s, "a", 1, "anew")
}

func recordVersions(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, set("a", 0, "1"))
	mustCommit(t, s, set("a", 1, "2"))
	for _, expect := range []int64{0, 1, 3, -2} {
		is(t, commit(t, s, set("a", expect, "no")), durable.ErrConflict)
		is(t, commit(t, s, drop("a", expect)), durable.ErrConflict)
	}
	is(t, commit(t, s, set("none", 1, "no")), durable.ErrConflict)
	is(t, commit(t, s, drop("none", 1)), durable.ErrConflict)
	holds(t, s, "a", 2, "2")
	lacks(t, s, "none")
	mustCommit(t, s, set("a", store.AnyVersion, "3"))
	holds(t, s, "a", 3, "3")
	mustCommit(t, s, drop("a", store.AnyVersion))
	lacks(t, s, "a")
	mustCommit(t, s, drop("a", store.AnyVersion))
	mustCommit(t, s, drop("a", 0)) // there is none, as expected
	mustCommit(t, s, set("a", store.AnyVersion, "again"))
	holds(t, s, "a", 1, "again")
}

// recordsRefused: whatever is wrong with one record, nothing of its group is written, and
// its neighbours are.
func recordsRefused(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"), set("there", 0, "1"))
	const hash = "00000000000000000000000000000000000000000000000000000000000000aa"
	for name, c := range map[string]struct {
		last *store.Change
		want error
	}{
		"a wrong version": {set("there", 7, "no"), durable.ErrConflict},
		"one that exists": {set("there", 0, "no"), durable.ErrConflict},
		"changed twice":   {set("x", store.AnyVersion, "no"), durable.ErrInvalid},
		"without a key":   {set("", 0, "no"), durable.ErrInvalid},
		"without a kind":  {&store.Change{Records: []store.RecordChange{{Key: "y", Data: []byte("no")}}}, durable.ErrInvalid},
		"a run that exists": {
			&store.Change{Run: "a", Create: newRun("a"), Records: []store.RecordChange{{Kind: "k", Key: "y", Data: []byte("no")}}}, durable.ErrConflict,
		},
	} {
		first := set("x", 0, "no")
		first.Blobs, first.Marks = []store.Blob{{Hash: hash, Data: []byte("x")}}, []store.Mark{{Key: "m", Value: 1}}
		err := commit(t, s, first, &store.Change{Run: "a", Entries: from(1, "no")}, create("new"), c.last)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
		lacks(t, s, "x")
		lacks(t, s, "y")
		holds(t, s, "there", 1, "1")
		equal(t, name+": entries", bodies(t, s, "a"), []string{"first"})
		_, errRun := s.Run(t.Context(), "new")
		is(t, errRun, durable.ErrNotFound)
		_, errBlob := s.Blob(t.Context(), hash)
		is(t, errBlob, durable.ErrNotFound)
		if mark, err := s.Mark(t.Context(), "m"); err != nil || mark != 0 {
			t.Errorf("%s: the mark is %d, error %v", name, mark, err)
		}
	}
	is(t, commit(t, s, create("b"), set("x", 3, "no")), durable.ErrConflict)
	_, err := s.Run(t.Context(), "b")
	is(t, err, durable.ErrNotFound)
	mustCommit(t, s, create("b"), set("x", 0, "yes"))
	holds(t, s, "x", 1, "yes")
}

func recordPages(t *testing.T, open Open) {
	s := open(t)
	keys := []string{"%", "A", "a", "a/", "a/1", "a/10", "a/2", "a/\xff", "a0", "b", "é", "é/x", "\xfe", "\xff", "\xff\xff"}
	for _, key := range slices.Backward(keys) {
		mustCommit(t, s, set(key, 0, "of "+key))
	}
	for _, prefix := range []string{"", "a", "a/", "a/1", "a/\xff", "A", "b", "c", "é", "%", "_", "\xfe", "\xff", "\xff\xff\xff"} {
		var want []string
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		for _, backwards := range []bool{false, true} {
			if backwards {
				slices.Reverse(want)
			}
			for _, limit := range []int{1, 2, 3, 0} {
				var got []string
				for f := (store.RecordFilter{Prefix: prefix, Backwards: backwards, Limit: limit}); ; {
					page, err := s.Records(t.Context(), "k", f)
					if err != nil || limit > 0 && len(page) > limit {
						t.Fatalf("%d records, error %v", len(page), err)
					}
					for _, r := range page {
						got, f.After = append(got, r.Key), r.Key
						if r.Fault != nil || string(r.Data) != "of "+r.Key || r.Version != 1 {
							t.Errorf("record %q: %q of version %d, fault %v", r.Key, r.Data, r.Version, r.Fault)
						}
					}
					if len(page) == 0 || limit == 0 {
						break
					}
				}
				equal(t, fmt.Sprintf("prefix %q, backwards %t, pages of %d", prefix, backwards, limit), got, want)
			}
		}
	}
	if got, err := s.Records(t.Context(), "l", store.RecordFilter{}); err != nil || len(got) > 0 {
		t.Errorf("of another kind: %d records, error %v", len(got), err)
	}
	var many store.Change
	for i := range 150 {
		many.Records = append(many.Records, store.RecordChange{Kind: "many", Key: fmt.Sprint(i), Data: []byte{}})
	}
	mustCommit(t, s, &many)
	if got, err := s.Records(t.Context(), "many", store.RecordFilter{}); err != nil || len(got) != 100 {
		t.Errorf("without a limit: %d records, error %v; want 100", len(got), err)
	}
}

// recordsCrash: the store dies at a commit, before or after it lands.
func recordsCrash(t *testing.T, open Open) {
	for _, after := range []bool{false, true} {
		s := open(t)
		id := fmt.Sprintf("r%t", after)
		mustCommit(t, s, create(id), set(id, 0, "first"), set("gone"+id, 0, "x"))
		change := set(id, 1, "second")
		change.Run, change.Entries = durable.RunID(id), from(1, "second")
		is(t, commit(t, NewFaulty(s, 1, after), change, drop("gone"+id, 1)), ErrCrash)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t)
		if after {
			equal(t, "entries after a crash behind the commit", bodies(t, s, id), []string{"first", "second"})
			holds(t, s, id, 2, "second")
			lacks(t, s, "gone"+id)
		} else {
			equal(t, "entries after a crash before the commit", bodies(t, s, id), []string{"first"})
			holds(t, s, id, 1, "first")
			holds(t, s, "gone"+id, 1, "x")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// recordRace: whoever is told that a change landed has really made one.
func recordRace(t *testing.T, open Open) {
	s := open(t)
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for made := 0; made < each; {
				r, err := s.Record(t.Context(), "k", "count")
				if err != nil && !errors.Is(err, durable.ErrNotFound) {
					t.Error(err)
					return
				}
				switch err := commit(t, s, set("count", r.Version, string(r.Data)+"x")); {
				case err == nil:
					made++
				case !errors.Is(err, durable.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	holds(t, s, "count", writers*each, strings.Repeat("x", writers*each))
}
