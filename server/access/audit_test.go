package access_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
)

// audit opens the log until the test ends.
func audit(tb testing.TB, r access.Ledger) *access.Audit {
	tb.Helper()
	a, err := access.OpenAudit(tb.Context(), r)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = a.Close() }) // a test that cares closes it itself
	return a
}

// note appends a line for each path.
func note(tb testing.TB, a *access.Audit, paths ...string) {
	tb.Helper()
	for _, p := range paths {
		if err := a.Append(tb.Context(), full(p)); err != nil {
			tb.Fatal(err)
		}
	}
}

// full is a line in which every field is set that a caller sets.
func full(path string) client.AuditLine {
	return client.AuditLine{Who: "ci", Tenant: "acme", Method: "POST", Path: path, From: "192.0.2.1", Code: "denied"}
}

// fits checks that the whole log fits and has so many lines.
func fits(tb testing.TB, a *access.Audit, want int64) access.Report {
	tb.Helper()
	rep, err := a.Verify(tb.Context())
	if err != nil || rep.Bad != 0 || rep.Fault != "" || rep.Lines != want {
		tb.Fatalf("Verify = %+v, %v; want %d lines that fit", rep, err, want)
	}
	return rep
}

// misfits checks which line is named, and what is said of it.
func misfits(tb testing.TB, a *access.Audit, bad int64, text string) {
	tb.Helper()
	rep, err := a.Verify(tb.Context())
	if err != nil || rep.Bad != bad || !strings.Contains(rep.Fault, text) {
		tb.Errorf("Verify = %+v, %v; want line %d named, and %q", rep, err, bad, text)
	}
}

func key(n int) string { return fmt.Sprintf("%020d", n) }

func TestAuditLines(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	a := audit(t, r)
	fits(t, a, 0)
	before := time.Now().Add(-time.Millisecond)
	note(t, a, "/one", "/two")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600))
	if err := a.Append(t.Context(), client.AuditLine{N: 77, Time: at, Who: "local", Method: "GET", Path: "/a\xffb<é", Prev: "x", Hash: "y"}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	if err := a.Append(t.Context(), full("/late")); !errors.Is(err, durable.ErrUnavailable) {
		t.Errorf("append to a closed log: %v", err)
	}
	shut(t, r)

	a = audit(t, open(t, dir)) // another process
	if err := a.Damaged(); err != nil {
		t.Error(err)
	}
	note(t, a, strings.Repeat("x", 3000))
	rep := fits(t, a, 4)
	lines, err := a.Lines(t.Context(), 0, 0)
	if err != nil || len(lines) != 4 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for i, l := range lines {
		if i > 0 && l.Prev != lines[i-1].Hash {
			t.Errorf("line %d has prev %q, want %q", l.N, l.Prev, lines[i-1].Hash)
		}
		if l.N != int64(i+1) || len(l.Hash) != 64 {
			t.Errorf("line %d has number %d and hash %q", i+1, l.N, l.Hash)
		}
	}
	if first := lines[0]; first.Prev != "" || first.Time.Before(before) || first.Time.After(time.Now()) || first.Code != "denied" || first.Path != "/one" {
		t.Errorf("the first line is %+v", first)
	}
	if third := lines[2]; third.Path != "/a\ufffdb<é" || !third.Time.Equal(at.Truncate(time.Microsecond)) || third.Time.Location() != time.UTC {
		t.Errorf("the third line is %+v", third)
	}
	if got := len(lines[3].Path); got != 2000 {
		t.Errorf("the path of the fourth has %d bytes, want 2000", got)
	}
	if rep.Hash != lines[3].Hash {
		t.Errorf("the report ends with %s, the log with %s", rep.Hash, lines[3].Hash)
	}
	for after, want := range map[int64]int{-1: 2, 0: 2, 2: 2, 3: 1, 4: 0, 99: 0} {
		page, err := a.Lines(t.Context(), after, 2)
		if err != nil || len(page) != want || want > 0 && page[0].N != max(0, after)+1 {
			t.Errorf("lines after %d: %v, %v; want %d", after, page, err, want)
		}
	}
}

// What a line is hashed as is a format: others can check a log with it.
func TestAuditHash(t *testing.T) {
	a := audit(t, open(t, t.TempDir()))
	l := client.AuditLine{Time: time.Date(2026, 1, 2, 3, 4, 5, 60_000_000, time.UTC), Who: "local", Method: "GET", Path: "/é\n1"}
	for range 2 {
		if err := a.Append(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := a.Lines(t.Context(), 0, 0)
	if err != nil || len(lines) != 2 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	rest := "time 23:2026-01-02T03:04:05.06Z\nwho 5:local\nmethod 3:GET\npath 5:/é\n1\n"
	for i, text := range []string{"n 1:1\n" + rest, "n 1:2\n" + rest + "prev 64:" + lines[0].Hash + "\n"} {
		sum := sha256.Sum256([]byte(text))
		if want := hex.EncodeToString(sum[:]); lines[i].Hash != want {
			t.Errorf("the hash of line %d is %s, want %s", i+1, lines[i].Hash, want)
		}
	}
}

func TestAuditTogether(t *testing.T) {
	r := open(t, t.TempDir())
	a := audit(t, r)
	const writers, each = 200, 5
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if err := a.Append(t.Context(), full(fmt.Sprintf("/%d/%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	verified := make(chan error, 1)
	go func() { // beside the writers
		var err error
		for range 20 {
			rep, e := a.Verify(t.Context())
			if e != nil || rep.Bad > 0 {
				err = fmt.Errorf("while it is written: %+v, %w", rep, e)
			}
		}
		verified <- err
	}()
	all.Wait()
	if err := <-verified; err != nil {
		t.Error(err)
	}
	fits(t, a, writers*each)
	next := map[string]int{}
	for after := int64(0); after < writers*each; after += 100 {
		page, err := a.Lines(t.Context(), after, 100)
		if err != nil || len(page) != 100 {
			t.Fatal(len(page), err)
		}
		for _, l := range page {
			var w string
			var i int
			if _, err := fmt.Sscanf(strings.ReplaceAll(l.Path, "/", " "), "%s %d", &w, &i); err != nil || next[w] != i {
				t.Fatalf("line %d is %s, want line %d of writer %s (%v)", l.N, l.Path, next[w], w, err)
			}
			next[w]++
		}
	}
}

// Whichever byte of a line is changed, Verify names the line and Lines does not pass it on.
func TestAuditFindsEveryFlip(t *testing.T) {
	r := open(t, t.TempDir())
	a := audit(t, r)
	note(t, a, "/one", "/two", "/three")
	lines, err := a.Lines(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for field, value := range reflect.ValueOf(lines[0]).Fields() {
		if value.IsZero() {
			t.Fatalf("%s is not set: what becomes of it when it changes is not tested", field.Name)
		}
	}
	for _, n := range []int{2, 3} {
		rec, err := r.Record(t.Context(), "audit", key(n))
		if err != nil {
			t.Fatal(err)
		}
		for i := range rec.Data {
			for _, flip := range []byte{0x01, 0x20} { // 0x20: a letter in the other case
				changed := bytes.Clone(rec.Data)
				changed[i] ^= flip
				put(t, r, "audit", key(n), changed)
				misfits(t, a, int64(n), "")
				if got, err := a.Lines(t.Context(), 0, 10); !errors.Is(err, durable.ErrInternal) || len(got) != n-1 {
					t.Fatalf("%s: Lines = %d lines, %v", changed, len(got), err)
				}
			}
		}
		put(t, r, "audit", key(n), rec.Data)
	}
	fits(t, a, 3)
}

// What is done to the log by hand is found, also when it was opened and written since.
func TestAuditFindsWhatWasDone(t *testing.T) {
	type log struct {
		*orpine.Runtime
		tb   testing.TB
		data map[int][]byte
	}
	for _, c := range []struct {
		name  string
		do    func(l log)
		bad   int64
		text  string
		later bool // opening finds it
	}{
		{"nothing", func(log) {}, 0, "", false},
		{"the first is missing", func(l log) { put(l.tb, l, "audit", key(1), nil) }, 1, "line 1 is missing", false},
		{"one is missing", func(l log) { put(l.tb, l, "audit", key(3), nil) }, 3, "line 3 is missing", false},
		{"the end is missing", func(l log) { put(l.tb, l, "audit", key(5), nil) }, 5, "line 5 is missing", true},
		{"half is missing", func(l log) {
			for n := 3; n <= 5; n++ {
				put(l.tb, l, "audit", key(n), nil)
			}
		}, 3, "line 3 is missing", true},
		{"all is missing", func(l log) {
			for n := 1; n <= 5; n++ {
				put(l.tb, l, "audit", key(n), nil)
			}
		}, 1, "line 1 is missing", true},
		{"two are swapped", func(l log) {
			put(l.tb, l, "audit", key(2), l.data[3])
			put(l.tb, l, "audit", key(3), l.data[2])
		}, 2, "was changed", false},
		{"one is of another log", func(l log) {
			other := audit(l.tb, open(l.tb, l.tb.TempDir()))
			note(l.tb, other, "/x", "/y", "/z")
			put(l.tb, l, "audit", key(3), recordOf(l.tb, other, 3))
		}, 3, "does not follow", false},
		{"the last is of another log", func(l log) {
			other := audit(l.tb, open(l.tb, l.tb.TempDir()))
			note(l.tb, other, "/v", "/w", "/x", "/y", "/z")
			put(l.tb, l, "audit", key(5), recordOf(l.tb, other, 5))
		}, 5, "does not follow", true},
		{"the last is damaged", func(l log) { put(l.tb, l, "audit", key(5), []byte("{")) }, 5, "damaged", true},
		{"one is put behind", func(l log) { put(l.tb, l, "audit", key(6), l.data[5]) }, 6, "was changed", true},
		{"a stranger before all", func(l log) { put(l.tb, l, "audit", "!", l.data[1]) }, 1, `the next one there is "!"`, false},
		{"a stranger behind all", func(l log) { put(l.tb, l, "audit", "x", l.data[1]) }, 6, "line 6 is missing", true},
		{"the head is missing", func(l log) { put(l.tb, l, "audit_head", "head", nil) }, 1, "the log ends with line 0", true},
		{"the head is damaged", func(l log) { put(l.tb, l, "audit_head", "head", []byte("{")) }, 6, "the end of the log cannot be told", true},
		{"the head is another", func(l log) { put(l.tb, l, "audit_head", "head", []byte(`{"n":5,"hash":"x"}`)) }, 5, "line 5 is another", true},
		{"the head is of before", func(l log) {
			lines, err := audit(l.tb, l).Lines(l.tb.Context(), 2, 1)
			if err != nil {
				l.tb.Fatal(err)
			}
			put(l.tb, l, "audit_head", "head", fmt.Appendf(nil, `{"n":3,"hash":%q}`, lines[0].Hash))
		}, 4, "line 4 was put there by somebody else", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			r := open(t, dir)
			a := audit(t, r)
			note(t, a, "/1", "/2", "/3", "/4", "/5")
			l := log{r, t, map[int][]byte{}}
			for n := 1; n <= 5; n++ {
				l.data[n] = recordOf(t, a, n)
			}
			c.do(l)
			misfits(t, a, c.bad, c.text)
			shut(t, r)

			for range 2 { // it is written and opened again, and does not heal
				r = open(t, dir)
				a = audit(t, r)
				if c.later {
					if err := a.Damaged(); !errors.Is(err, durable.ErrInternal) {
						t.Errorf("Damaged = %v", err)
					}
					c.later = c.name == "a stranger behind all" // which stays the last one
				} else if err := a.Damaged(); err != nil {
					t.Errorf("Damaged = %v", err)
				}
				note(t, a, "/later")
				rep, err := a.Verify(t.Context())
				if err != nil || (rep.Bad > 0) != (c.bad > 0) || rep.Bad > 6 {
					t.Errorf("Verify, later = %+v, %v", rep, err)
				}
				shut(t, r)
			}
		})
	}
}

// recordOf is a line as it is stored.
func recordOf(tb testing.TB, a *access.Audit, n int) []byte {
	tb.Helper()
	lines, err := a.Lines(tb.Context(), int64(n-1), 1)
	if err != nil || len(lines) != 1 {
		tb.Fatalf("line %d: %v, %v", n, lines, err)
	}
	return encoded(tb, lines[0])
}

// A process that dies without closing the log has lost nothing of what was acknowledged.
func TestAuditAfterAKill(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 3 {
		r := open(t, dir)
		a, err := access.OpenAudit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprint(i)
		note(t, a, path, path)
		want = append(want, path, path)
		shut(t, r) // the log is still open
		if err := a.Append(t.Context(), full("/lost")); !errors.Is(err, durable.ErrUnavailable) {
			t.Errorf("Append without a store = %v", err)
		}
		_ = a.Close()
	}
	a := audit(t, open(t, dir))
	fits(t, a, 6)
	lines, err := a.Lines(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines {
		got = append(got, l.Path)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The number it guards: 64 callers share commits, so that a line costs far less than one.
func BenchmarkAppend(b *testing.B) {
	a := audit(b, open(b, b.TempDir()))
	b.SetParallelism(32) // of each of two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := a.Append(b.Context(), full("/v1/runs")); err != nil {
				b.Error(err)
			}
		}
	})
}
