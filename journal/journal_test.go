package journal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// damaging is a store that changes what it reads.
type damaging struct {
	store.Store
	blob  func([]byte) []byte
	entry func(store.Entry) store.Entry
}

func (d *damaging) Blob(ctx context.Context, hash string) ([]byte, error) {
	data, err := d.Store.Blob(ctx, hash)
	if err == nil && d.blob != nil {
		data = d.blob(data)
	}
	return data, err
}

func (d *damaging) Entries(ctx context.Context, run durable.RunID, after int64, limit int) ([]store.Entry, error) {
	list, err := d.Store.Entries(ctx, run, after, limit)
	for i := range list {
		if d.entry != nil {
			list[i] = d.entry(list[i])
		}
	}
	return list, err
}

// Snapshot implements store.Store.
func (d *damaging) Snapshot(ctx context.Context) (store.Store, error) {
	view, err := d.Store.Snapshot(ctx)
	return &damaging{Store: view, blob: d.blob, entry: d.entry}, err
}

func open(t testing.TB) (*journal.Journal, *damaging) {
	t.Helper()
	s, err := sqlite.Open(context.WithoutCancel(t.Context()), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &damaging{Store: s}
	j, err := journal.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return j, d
}

func add(t *testing.T, j *journal.Journal, c *journal.Change) error {
	t.Helper()
	if c.Head == nil {
		head, err := j.Head(t.Context(), c.Run)
		if err != nil && !errors.Is(err, durable.ErrNotFound) {
			t.Fatal(err)
		}
		c.Head = &head
	}
	done := make(chan error, 1)
	if err := j.Append([]*journal.Change{c}, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

func create(t *testing.T, j *journal.Journal, id durable.RunID, entries ...*durable.Entry) {
	t.Helper()
	now := time.Now()
	run := &store.Run{ID: id, Program: "p", Created: now, State: store.State{Status: durable.Running, Updated: now}}
	if err := add(t, j, &journal.Change{Run: id, Create: run, Entries: entries}); err != nil {
		t.Fatal(err)
	}
}

// text is a JSON string of n bytes; noise cannot be compressed.
func text(n int, noise bool) json.RawMessage {
	body := strings.Repeat("x", n-2)
	if noise {
		r := rand.New(rand.NewPCG(3, 4))
		raw := make([]byte, n/2)
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		body = hex.EncodeToString(raw)[:n-2]
	}
	return json.RawMessage(`"` + body + `"`)
}

func TestBlobs(t *testing.T) {
	const limit = 8 << 10
	for _, c := range []struct {
		name string
		size int
		blob bool
	}{
		{"small", 100, false},
		{"just not too large", limit, false},
		{"just too large", limit + 1, true},
		{"large", 1 << 20, true},
	} {
		for _, noise := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, noise %v", c.name, noise), func(t *testing.T) {
				j, s := open(t)
				value := text(c.size, noise)
				sent := &durable.Entry{Kind: durable.EntryDone, Name: "s", Input: value, Output: value}
				create(t, j, "a", &durable.Entry{Kind: durable.EntryStarted}, sent)
				if sent.Seq != 1 || !bytes.Equal(sent.Output, value) {
					t.Errorf("the entry that was appended has seq %d and %d bytes of output", sent.Seq, len(sent.Output))
				}
				entries, err := j.All(t.Context(), "a", 1)
				if err != nil || len(entries) != 1 {
					t.Fatal(len(entries), err)
				}
				e := entries[0]
				if got := e.OutputRef != nil && e.InputRef != nil; got != c.blob {
					t.Errorf("stored as blobs: %v, want %v", got, c.blob)
				}
				if c.blob && (e.Output != nil || e.OutputRef.Bytes != c.size || e.OutputRef.Hash != journal.HashOf(value)) {
					t.Errorf("ref %+v, output of %d bytes", e.OutputRef, len(e.Output))
				}
				if err := j.Load(t.Context(), &e); err != nil || !bytes.Equal(e.Input, value) || !bytes.Equal(e.Output, value) {
					t.Errorf("came back with %d and %d bytes, error %v", len(e.Input), len(e.Output), err)
				}
				if !c.blob {
					return
				}
				stored, err := s.Blob(t.Context(), e.OutputRef.Hash)
				if err != nil || len(stored) > c.size+1 || (!noise && len(stored) > c.size/10) {
					t.Errorf("%d bytes on the disk for %d, error %v", len(stored), c.size, err)
				}
			})
		}
	}
}

// TestDamagedBlob: whatever is changed in a blob is reported by name, and never
// handed out as a value.
func TestDamagedBlob(t *testing.T) {
	for _, noise := range []bool{false, true} {
		j, s := open(t)
		value := text(20_000, noise)
		create(t, j, "a", &durable.Entry{Kind: durable.EntryStarted, Input: value})
		ref := durable.Ref{Hash: journal.HashOf(value), Bytes: len(value)}
		stored, err := s.Blob(t.Context(), ref.Hash)
		if err != nil {
			t.Fatal(err)
		}
		damages := map[string]func([]byte) []byte{
			"empty":    func([]byte) []byte { return nil },
			"cut":      func(d []byte) []byte { return d[:len(d)/2] },
			"longer":   func(d []byte) []byte { return append(d, 0) },
			"unpacked": func(d []byte) []byte { return append([]byte{9}, d[1:]...) },
		}
		for i := range min(len(stored), 200) {
			at := i * len(stored) / min(len(stored), 200)
			damages[fmt.Sprintf("bit %d of byte %d flipped", i%8, at)] = func(d []byte) []byte { d[at] ^= 1 << (i % 8); return d }
		}
		for name, damage := range damages {
			s.blob = damage
			data, err := j.Get(t.Context(), ref)
			// A flipped bit may hit what the packing does not use; then the value is whole.
			if err == nil && bytes.Equal(data, value) && strings.HasPrefix(name, "bit") {
				continue
			}
			if !errors.Is(err, durable.ErrInternal) || !strings.Contains(fmt.Sprint(err), ref.Hash) {
				t.Errorf("%s: %d bytes, error %v", name, len(data), err)
			}
		}
		s.blob = nil
		if _, err := j.Get(t.Context(), durable.Ref{Hash: strings.Repeat("00", 32)}); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("a blob that is not there: %v", err)
		}
	}
}

// TestDamagedEntry: the error says which entry of which run.
func TestDamagedEntry(t *testing.T) {
	j, s := open(t)
	create(t, j, "abcd", &durable.Entry{Kind: durable.EntryStarted}, &durable.Entry{Kind: durable.EntryDone}, &durable.Entry{Kind: durable.EntryEnded})
	s.entry = func(e store.Entry) store.Entry {
		if e.Seq == 1 {
			e.Body = e.Body[:len(e.Body)-1]
		}
		return e
	}
	_, err := j.All(t.Context(), "abcd", 0)
	if !errors.Is(err, durable.ErrInternal) || !strings.Contains(err.Error(), "run abcd: entry 1 is damaged") {
		t.Errorf("got %v", err)
	}
}

func TestStagedBlobs(t *testing.T) {
	j, s := open(t)
	create(t, j, "a", &durable.Entry{Kind: durable.EntryStarted})
	data := []byte("content that several messages refer to")
	blob, again := j.Stage(data), j.Stage(data)
	if again.Ref != blob.Ref {
		t.Errorf("the same content has two names: %v and %v", blob.Ref, again.Ref)
	}
	reads := func(when string) {
		t.Helper()
		if got, err := j.Get(t.Context(), blob.Ref); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: got %q, error %v", when, got, err)
		}
	}
	reads("staged")
	j.Drop([]journal.Blob{again})
	reads("dropped once")
	change := &journal.Change{Run: "a", Entries: []*durable.Entry{{Kind: durable.EntryDone, OutputRef: &blob.Ref}}, Blobs: []journal.Blob{blob}}
	if err := add(t, j, change); err != nil {
		t.Fatal(err)
	}
	reads("durable")
	lost := j.Stage([]byte("what nobody appends"))
	j.Drop([]journal.Blob{lost})
	if _, err := j.Get(t.Context(), lost.Ref); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("dropped: got %v", err)
	}
	if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("found %v, error %v", found, err)
	}
}

// TestAppendRefuses: what cannot be encoded is refused before anything is stored.
func TestAppendRefuses(t *testing.T) {
	j, _ := open(t)
	create(t, j, "a", &durable.Entry{Kind: durable.EntryStarted})
	bad := &durable.Entry{Kind: durable.EntryAsked, Interrupt: &durable.Interrupt{Value: json.RawMessage(`{`)}}
	if err := add(t, j, &journal.Change{Run: "a", Entries: []*durable.Entry{{Kind: durable.EntryDone}, bad}}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if entries, err := j.All(t.Context(), "a", 0); err != nil || len(entries) != 1 {
		t.Errorf("%d entries, error %v", len(entries), err)
	}
}

// TestAllPages reads more entries than one page holds.
func TestAllPages(t *testing.T) {
	j, _ := open(t)
	const n = 2500
	entries := make([]*durable.Entry, n)
	for i := range entries {
		entries[i] = &durable.Entry{Kind: durable.EntrySignal, Name: fmt.Sprint(i)}
	}
	create(t, j, "a", entries...)
	for _, from := range []int64{0, 1, 999, 1000, 1001, 1500, 2499, 2500} {
		all, err := j.All(t.Context(), "a", from)
		if err != nil || int64(len(all)) != n-from {
			t.Fatalf("from %d: %d entries, error %v", from, len(all), err)
		}
		for i, e := range all {
			if want := from + int64(i); e.Seq != want || e.Name != fmt.Sprint(want) {
				t.Fatalf("from %d: entry %d is %d %s", from, i, e.Seq, e.Name)
			}
		}
	}
}

// TestRun: the output of a run is that of its last entry, blob or not.
func TestRun(t *testing.T) {
	j, _ := open(t)
	value := text(20_000, true)
	now := time.Now().UTC().Truncate(time.Microsecond)
	create(t, j, "a", &durable.Entry{Kind: durable.EntryStarted})
	end := &journal.Change{
		Run: "a", Entries: []*durable.Entry{{Kind: durable.EntryEnded, Status: durable.Succeeded, Output: value}},
		State: &store.State{Status: durable.Succeeded, Updated: now},
	}
	if r, err := j.Run(t.Context(), "a"); err != nil || r.Status != durable.Running || r.Output != nil {
		t.Errorf("before its end: %s with %d bytes, error %v", r.Status, len(r.Output), err)
	}
	if err := add(t, j, end); err != nil {
		t.Fatal(err)
	}
	got, err := j.Run(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	got.Created = time.Time{}
	want := durable.Run{ID: "a", Program: "p", Status: durable.Succeeded, Updated: now, Output: value}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if _, err := j.Run(t.Context(), "none"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// TestRunBlocked: the error of a blocked run is what blocked it last, whatever came after.
func TestRunBlocked(t *testing.T) {
	j, _ := open(t)
	blocked := func(message string) *durable.Entry {
		return &durable.Entry{Kind: durable.EntryBlocked, Error: &durable.Failure{Code: durable.CodeInternal, Message: message}}
	}
	create(t, j, "a", &durable.Entry{Kind: durable.EntryStarted}, blocked("first"), &durable.Entry{Kind: durable.EntryUnblocked}, blocked("second"))
	state := &store.State{Status: durable.Blocked, Updated: time.Now()}
	for _, after := range []int{0, 1, 2500} {
		c := &journal.Change{Run: "a", State: state}
		for range after {
			c.Entries = append(c.Entries, &durable.Entry{Kind: durable.EntryChildDone, Child: "kid", Output: json.RawMessage(`1`)})
		}
		if err := add(t, j, c); err != nil {
			t.Fatal(err)
		}
		got, err := j.Run(t.Context(), "a")
		if err != nil || got.Error == nil || got.Error.Message != "second" || got.Output != nil {
			t.Errorf("%d entries later: error %v, output %s, %v", after, got.Error, got.Output, err)
		}
	}
}
