package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

func hashes(t *testing.T, open Open) {
	s := open(t)
	var want []string
	for i := range 7 {
		hash := strings.Repeat(fmt.Sprintf("%02x", 200-i), 32)
		want = append(want, hash)
		mustCommit(t, s, &store.Change{Blobs: []store.Blob{{Hash: hash, Data: []byte("x")}, {Hash: hash, Data: []byte("x")}}})
	}
	slices.Sort(want)
	for _, size := range []int{1, 3, 7, 100} {
		var got []string
		for from := int64(0); ; {
			page, next, err := s.Hashes(t.Context(), from, size)
			if err != nil {
				t.Fatal(err)
			}
			got, from = append(got, page...), next
			if len(page) < size {
				break
			}
		}
		slices.Sort(got)
		equal(t, fmt.Sprintf("hashes in pages of %d", size), got, want)
	}
}

// snapshot takes one, changes everything, and reads both.
func snapshot(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, create("a"))
	view, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended := newRun("a").State
	ended.Status = durable.Succeeded
	const hash = "00000000000000000000000000000000000000000000000000000000000000aa"
	mustCommit(t, s, &store.Change{Run: "a", Entries: from(1, "two"), State: &ended, Blobs: []store.Blob{{Hash: hash, Data: []byte("x")}}}, create("b"))
	equal(t, "entries now", bodies(t, s, "a"), []string{"first", "two"})
	equal(t, "entries then", bodies(t, view, "a"), []string{"first"})
	run, err := view.Run(t.Context(), "a")
	if err != nil || run.Status != durable.Running {
		t.Errorf("the run was %s, error %v", run.Status, err)
	}
	runs, err := view.List(t.Context(), durable.Filter{})
	equal(t, "runs then", ids(runs), []string{"a"})
	_, errBlob := view.Blob(t.Context(), hash)
	is(t, errBlob, durable.ErrNotFound)
	list, _, errHashes := view.Hashes(t.Context(), 0, 10)
	if err := errors.Join(err, errHashes); err != nil || len(list) > 0 {
		t.Errorf("%d blobs then, error %v", len(list), err)
	}
	if commit(t, view, create("c")) == nil {
		t.Error("a snapshot takes changes")
	}
	if err := view.Close(); err != nil {
		t.Error(err)
	}
	equal(t, "entries after it was closed", bodies(t, s, "a"), []string{"first", "two"})
}
