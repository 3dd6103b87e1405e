package journal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// TestEveryBit flips every bit of every stored entry of a run: each is found, and named
// by the entry it is in.
func TestEveryBit(t *testing.T) {
	j, s := open(t)
	create(t, j, "abcd", &durable.Entry{Kind: durable.EntryStarted, Input: []byte(`{"a":1}`)},
		&durable.Entry{Kind: durable.EntryDone, Name: "s", Output: []byte(`"x"`)}, &durable.Entry{Kind: durable.EntryEnded})
	bits := 0
	for seq := range int64(3) {
		for bit, size := 0, 8; bit < size; bit++ {
			s.entry = func(e store.Entry) store.Entry {
				if e.Seq == seq {
					size = 8 * len(e.Body)
					e.Body[bit/8] ^= 1 << (bit % 8)
				}
				return e
			}
			bits++
			_, err := j.All(t.Context(), "abcd", 0)
			if !errors.Is(err, durable.ErrInternal) || !strings.Contains(err.Error(), fmt.Sprintf("run abcd: entry %d is damaged", seq)) {
				t.Fatalf("bit %d of entry %d: got %v", bit, seq, err)
			}
		}
	}
	t.Logf("%d bits", bits)
}

// TestEntriesKeepTheirPlace: entries that are swapped, dropped or taken from another run
// are found, though each by itself is sound.
func TestEntriesKeepTheirPlace(t *testing.T) {
	j, s := open(t)
	for _, id := range []durable.RunID{"aaaa", "bbbb"} {
		create(t, j, id, &durable.Entry{Kind: durable.EntryStarted, Name: string(id)}, &durable.Entry{Kind: durable.EntryDone, Name: "one"},
			&durable.Entry{Kind: durable.EntryDone, Name: "two"}, &durable.Entry{Kind: durable.EntryEnded})
	}
	stored, err := s.Store.Entries(t.Context(), "aaaa", -1, 10)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Store.Entries(t.Context(), "bbbb", -1, 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"of another place": stored[1].Body, "of another run": other[2].Body} {
		s.entry = func(e store.Entry) store.Entry {
			if e.Seq == 2 {
				e.Body = body
			}
			return e
		}
		if _, err := j.All(t.Context(), "aaaa", 0); !errors.Is(err, durable.ErrInternal) || !strings.Contains(err.Error(), "entry 2 is damaged") {
			t.Errorf("an entry %s: got %v", name, err)
		}
	}
}

// TestHead: what is read from the middle is checked as well, and a head that was read is
// the one that was written.
func TestHead(t *testing.T) {
	j, s := open(t)
	create(t, j, "abcd", &durable.Entry{Kind: durable.EntryStarted}, &durable.Entry{Kind: durable.EntryDone}, &durable.Entry{Kind: durable.EntryEnded})
	head, err := j.Head(t.Context(), "abcd")
	if err != nil || head.Next != 3 || head.Chain == (journal.Chain{}) {
		t.Errorf("the head is %+v, error %v", head, err)
	}
	s.entry = func(e store.Entry) store.Entry {
		if e.Seq == 2 {
			e.Body[len(e.Body)-1] ^= 1
		}
		return e
	}
	if _, err := j.Entries(t.Context(), "abcd", 1, 5); !errors.Is(err, durable.ErrInternal) || !strings.Contains(err.Error(), "entry 2 is damaged") {
		t.Errorf("got %v", err)
	}
	s.entry = nil
	if entries, err := j.Entries(t.Context(), "abcd", 2, 5); err != nil || len(entries) != 0 {
		t.Errorf("behind the end: %d entries, error %v", len(entries), err)
	}
}
