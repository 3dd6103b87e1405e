package sqlite_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// value is the i-th blob of these tests.
func value(i int) store.Blob {
	data := fmt.Appendf(nil, "value %d", i)
	sum := sha256.Sum256(data)
	return store.Blob{Hash: hex.EncodeToString(sum[:]), Data: data}
}

func put(t *testing.T, s store.Store, from, to int) {
	t.Helper()
	var c store.Change
	for i := from; i < to; i++ {
		c.Blobs = append(c.Blobs, value(i))
	}
	if err := commit(s, &c); err != nil {
		t.Fatal(err)
	}
}

// holds wants the first n blobs in a store, each once, and not the one after them.
func holds(t *testing.T, s store.Store, n int) {
	t.Helper()
	for i := range n {
		if got, err := s.Blob(t.Context(), value(i).Hash); err != nil || string(got) != string(value(i).Data) {
			t.Fatalf("blob %d of %d: %q, error %v", i, n, got, err)
		}
	}
	if _, err := s.Blob(t.Context(), value(n).Hash); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("a blob that nobody put: %v", err)
	}
	hashes, _, err := s.Hashes(t.Context(), 0, 2*n+10)
	if err != nil || len(hashes) != n {
		t.Errorf("there are %d blobs, error %v; want %d", len(hashes), err, n)
	}
	if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("check found %q, error %v", found, err)
	}
}

// TestWhereabouts: a blob is found, and stored once, whether the index has it, the memory of
// the writer, or neither because another process wrote it.
func TestWhereabouts(t *testing.T) {
	t.Cleanup(sqlite.SetIndexEvery(10))
	dir := t.TempDir()
	owner := open(t, sqlite.Config{Dir: dir})
	put(t, owner, 0, 7)
	reader := open(t, sqlite.Config{Dir: dir, ReadOnly: true})
	holds(t, reader, 7)
	before, err := owner.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := 8; n <= 35; n++ {
		put(t, owner, n-4, n) // three of them are there
		if n%5 == 0 {
			holds(t, owner, n)
			holds(t, reader, n)
		}
	}
	holds(t, before, 7) // the index knows more by now, not for the snapshot
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	owner = open(t, sqlite.Config{Dir: dir})
	holds(t, owner, 35)
	put(t, owner, 0, 36)
	holds(t, owner, 36)
	holds(t, reader, 36)
}

// TestWhereaboutsAfterKill: what a process that died had in its memory is found by the next.
func TestWhereaboutsAfterKill(t *testing.T) {
	t.Cleanup(sqlite.SetIndexEvery(10))
	dir := t.TempDir()
	owner := open(t, sqlite.Config{Dir: dir})
	for n := 1; n <= 25; n++ {
		put(t, owner, 0, n)
		copied := t.TempDir() // what a power cut would leave
		for _, name := range []string{sqlite.File, sqlite.File + "-wal"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(copied, name), string(data))
		}
		next := open(t, sqlite.Config{Dir: copied})
		holds(t, next, n)
		put(t, next, 0, n+1)
		holds(t, next, n+1)
	}
}

// toThree takes away what format 4 has added.
const toThree = `DROP TABLE record; DROP INDEX run_tenant; ALTER TABLE run DROP COLUMN tenant; PRAGMA user_version = 3;`

// TestOlderFormats: a directory of an older format has all it had when it is opened.
func TestOlderFormats(t *testing.T) {
	const toTwo = `DROP TABLE blob_at; DELETE FROM meta WHERE key = 'indexed';
		CREATE INDEX blob_hash ON blob (substr(hash, 1, 6)); PRAGMA user_version = 2;`
	const toOne = `DROP INDEX blob_hash; CREATE TABLE b (hash BLOB PRIMARY KEY, data BLOB NOT NULL, n INTEGER); DROP TABLE mark;
		ALTER TABLE run DROP COLUMN queue; ALTER TABLE run DROP COLUMN priority; ALTER TABLE run DROP COLUMN share;
		ALTER TABLE run DROP COLUMN base; ALTER TABLE run DROP COLUMN shared; ALTER TABLE run DROP COLUMN seal;
		ALTER TABLE run DROP COLUMN sum; INSERT INTO b SELECT hash, data, n FROM blob; DROP TABLE blob;
		ALTER TABLE b RENAME TO blob; PRAGMA user_version = 1;`
	for name, older := range map[string]string{"format 3": toThree, "format 2": toThree + toTwo, "format 1": toThree + toTwo + toOne} {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, read only %t", name, readOnly), func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, sqlite.Config{Dir: dir})
				put(t, s, 0, 20)
				if err := errors.Join(commit(s, aRun("a", 5)), s.Close()); err != nil {
					t.Fatal(err)
				}
				tamper(t, dir, older)
				s = open(t, sqlite.Config{Dir: dir, ReadOnly: readOnly})
				holds(t, s, 20)
				entries, err := s.Entries(t.Context(), "a", -1, 10)
				if err != nil || len(entries) != 5 {
					t.Errorf("%d entries, error %v", len(entries), err)
				}
				if r, err := s.Run(t.Context(), "a"); err != nil || r.Tenant != "" {
					t.Errorf("the run is of tenant %q, error %v", r.Tenant, err)
				}
				if readOnly {
					return
				}
				put(t, s, 0, 21)
				holds(t, s, 21)
				b := aRun("b", 5)
				b.Create.Tenant = "acme"
				b.Records = []store.RecordChange{{Kind: "k", Key: "b", Data: []byte("x")}}
				if err := commit(s, b); err != nil {
					t.Error(err)
				}
				if r, err := s.Run(t.Context(), "b"); err != nil || r.Tenant != "acme" {
					t.Errorf("the new run is of tenant %q, error %v", r.Tenant, err)
				}
				if r, err := s.Record(t.Context(), "k", "b"); err != nil || string(r.Data) != "x" {
					t.Errorf("the record is %q, error %v", r.Data, err)
				}
			})
		}
	}
}

// TestOlderSeal: a row that a build before this one has sealed reads as it was written.
func TestOlderSeal(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	tamper(t, dir, `INSERT INTO run (id, name, program, definition, parent, command, created, status, reason, updated, segment, start, share, seal, sum)
		VALUES ('old', 'n', 'p', '', '', 0, 1767323045000006, 'running', '', 1767323045000006, 0, 0, 's', -5278894301193655648, -3534049423730290056);`+toThree)
	r, err := open(t, sqlite.Config{Dir: dir}).Run(t.Context(), "old")
	if err != nil || r.Name != "n" || r.Share != "s" || r.Tenant != "" {
		t.Errorf("got %+v, error %v", r, err)
	}
}

// TestCheckWhereabouts: an index that lies is found.
func TestCheckWhereabouts(t *testing.T) {
	t.Cleanup(sqlite.SetIndexEvery(10))
	for _, lie := range []string{
		`DELETE FROM blob_at WHERE n = 3`, `UPDATE blob_at SET n = 4 WHERE n = 3`, `DELETE FROM blob WHERE n = 3`,
		`INSERT INTO blob_at VALUES (x'00', 3)`,
	} {
		dir := t.TempDir()
		s := open(t, sqlite.Config{Dir: dir})
		put(t, s, 0, 15)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		tamper(t, dir, lie)
		if found, err := open(t, sqlite.Config{Dir: dir, ReadOnly: true}).Check(t.Context()); err != nil || len(found) == 0 {
			t.Errorf("after %s: found %q, error %v", lie, found, err)
		}
	}
}
