package sqlite_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// kept makes a directory with some records that nobody has open.
func kept(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var c store.Change
	for _, key := range []string{"alpha", "bravo", "carol"} {
		c.Records = append(c.Records, store.RecordChange{Kind: "token", Key: key, Data: []byte("secret of " + key)})
	}
	if err := errors.Join(commit(s, &c), s.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDamagedRecord: what is wrong with a record is named wherever it is read, the others
// are read, and it can be replaced or deleted, but not by who expects a version.
func TestDamagedRecord(t *testing.T) {
	for _, lie := range []string{
		`UPDATE record SET data = CAST('secret of nobody' AS BLOB) WHERE key = 'bravo'`, `UPDATE record SET version = 2 WHERE key = 'bravo'`,
		`UPDATE record SET updated = updated + 1 WHERE key = 'bravo'`, `UPDATE record SET sum = 0 WHERE key = 'bravo'`,
		`UPDATE record SET kind = 'token', key = 'bravo', data = (SELECT data FROM record WHERE key = 'alpha') WHERE key = 'bravo'`,
	} {
		dir := kept(t)
		tamper(t, dir, lie)
		s := open(t, sqlite.Config{Dir: dir})
		const want = `record token "bravo" is damaged: its checksum does not match`
		if r, err := s.Record(t.Context(), "token", "bravo"); !errors.Is(err, durable.ErrInternal) || !strings.Contains(err.Error(), want) || r.Data != nil {
			t.Errorf("after %s: got %q, error %v", lie, r.Data, err)
		}
		all, err := s.Records(t.Context(), "token", store.RecordFilter{})
		if err != nil || len(all) != 3 || all[0].Fault != nil || all[1].Fault == nil || all[1].Key != "bravo" || all[1].Data != nil || all[2].Fault != nil {
			t.Errorf("after %s: got %v, error %v", lie, all, err)
		}
		if found, err := s.Check(t.Context()); err != nil || len(found) != 1 || !strings.Contains(found[0], want) {
			t.Errorf("after %s: check found %q, error %v", lie, found, err)
		}
		for _, expect := range []int64{0, 1, 2} {
			c := &store.Change{Records: []store.RecordChange{{Kind: "token", Key: "bravo", Expect: expect, Data: []byte("x")}}}
			if err := commit(s, c); !errors.Is(err, durable.ErrConflict) || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("after %s: who expects version %d gets %v", lie, expect, err)
			}
		}
		replace := &store.Change{Records: []store.RecordChange{{Kind: "token", Key: "bravo", Expect: store.AnyVersion, Data: []byte("x")}}}
		if err := commit(s, replace); err != nil {
			t.Errorf("after %s: %v", lie, err)
		}
		if r, err := s.Record(t.Context(), "token", "bravo"); err != nil || r.Version != 1 || string(r.Data) != "x" {
			t.Errorf("after %s and a new one: %q of version %d, error %v", lie, r.Data, r.Version, err)
		}
	}
}

// TestEveryBitOfARecord flips each bit of a record in the file: either it reads as it was, or
// what is wrong is found. It is the last one: it would be in order as a blob too.
func TestEveryBitOfARecord(t *testing.T) {
	dir := kept(t)
	file, err := os.ReadFile(filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	at, end := bytes.Index(file, []byte("tokencarol")), bytes.Index(file, []byte("secret of carol"))
	if at < 0 || end < at {
		t.Fatal("the record is not in the file")
	}
	const before, behind = 9, 15 + 8 // its header; its data and its checksum
	step := 1
	if testing.Short() {
		step = 7
	}
	for bit := (at - before) * 8; bit < (end+behind)*8; bit += step {
		dir := t.TempDir()
		write(t, filepath.Join(dir, sqlite.File), string(overwritten(file, bit/8, file[bit/8]^1<<(bit%8))))
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, ReadOnly: true})
		if err != nil {
			continue
		}
		r, errRead := s.Record(t.Context(), "token", "carol")
		found, errCheck := s.Check(t.Context())
		if errRead == nil && string(r.Data) != "secret of carol" {
			t.Errorf("bit %d of byte %d: it reads as %q", bit%8, bit/8-at, r.Data)
		}
		if errRead != nil && errCheck == nil && len(found) == 0 {
			t.Errorf("bit %d of byte %d: check finds nothing, reading says %v", bit%8, bit/8-at, errRead)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
