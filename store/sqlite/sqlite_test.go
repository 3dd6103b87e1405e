package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
	"github.com/orpine-run/orpine/store/storetest"
)

func open(t *testing.T, cfg sqlite.Config) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		dir := t.TempDir()
		return func(t *testing.T) store.Store { return open(t, sqlite.Config{Dir: dir}) }
	})
}

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string) sqlite.Config
		code    error
		says    string
	}{
		{"in use", func(t *testing.T, dir string) sqlite.Config {
			open(t, sqlite.Config{Dir: dir, Owner: "orpine run x.yaml"})
			return sqlite.Config{Dir: dir}
		}, durable.ErrConflict, "orpine run x.yaml"},
		{"read-only without data", func(_ *testing.T, dir string) sqlite.Config {
			return sqlite.Config{Dir: dir, ReadOnly: true}
		}, durable.ErrNotFound, "no runs here"},
		{"the directory is a file", func(t *testing.T, dir string) sqlite.Config {
			file := filepath.Join(dir, "f")
			write(t, file, "x")
			return sqlite.Config{Dir: file}
		}, durable.ErrUnavailable, "--data"},
		{"garbage", func(t *testing.T, dir string) sqlite.Config {
			write(t, filepath.Join(dir, sqlite.File), strings.Repeat("garbage ", 1000))
			return sqlite.Config{Dir: dir}
		}, durable.ErrUnavailable, "damaged"},
		{"another program's database", func(t *testing.T, dir string) sqlite.Config {
			tamper(t, dir, `CREATE TABLE x (y)`)
			return sqlite.Config{Dir: dir}
		}, durable.ErrInvalid, "another program"},
		{"a newer format", func(t *testing.T, dir string) sqlite.Config {
			s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
			if err != nil || s.Close() != nil {
				t.Fatal(err)
			}
			tamper(t, dir, `PRAGMA user_version = 99`)
			return sqlite.Config{Dir: dir}
		}, durable.ErrInvalid, "newer orpine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sqlite.Open(t.Context(), c.prepare(t, t.TempDir()))
			if !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v with %q", err, c.code, c.says)
			}
		})
	}
}

func TestReadOnlyBesideOwner(t *testing.T) {
	dir := t.TempDir()
	owner := open(t, sqlite.Config{Dir: dir})
	reader := open(t, sqlite.Config{Dir: dir, ReadOnly: true})
	done := make(chan error, 1)
	change := &store.Change{Run: "a", Create: &store.Run{ID: "a", Created: time.Now(), State: store.State{Status: durable.Running, Updated: time.Now()}}}
	owner.Commit([]*store.Change{change}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Run(t.Context(), "a"); err != nil {
		t.Errorf("the reader does not see the run: %v", err)
	}
	reader.Commit([]*store.Change{change}, func(err error) { done <- err })
	if err := <-done; !errors.Is(err, durable.ErrConflict) {
		t.Errorf("write through the reader: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func tamper(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A closed store leaves no file open: the driver keeps connections with open statements.
func TestCloseClosesFiles(t *testing.T) {
	files := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc to count open files in")
		}
		return len(entries)
	}
	cycle := func() {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cycle() // whatever is opened once for the process
	before := files()
	for range 10 {
		cycle()
	}
	if got := files(); got > before {
		t.Errorf("%d files are open, %d before", got, before)
	}
}

// A fork whose base leads back to it is damaged; reading it comes to an end.
func TestForksInACircle(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	one, two := aRun("one", 0), aRun("two", 0)
	one.Create.Base, one.Create.Shared = "two", 1
	two.Create.Base, two.Create.Shared = "one", 1
	if err := errors.Join(commit(s, one), commit(s, two), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, sqlite.Config{Dir: dir, ReadOnly: true})
	for _, id := range []durable.RunID{"one", "two"} {
		_, err := s.Entries(t.Context(), id, -1, 10)
		_, errLast := s.Last(t.Context(), id)
		for _, err := range []error{err, errLast} {
			if !errors.Is(err, durable.ErrInternal) || !strings.Contains(err.Error(), "the row of run one is damaged: its base two is not older than it") {
				t.Errorf("run %s: got %v", id, err)
			}
		}
	}
}

// TestOpenWaits: somebody who holds a lock for a moment does not keep a directory from
// being opened.
func TestOpenWaits(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File)+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := errors.Join(tx.Rollback(), <-opened, db.Close()); err != nil {
		t.Error(err)
	}
}

// TestTenantIsSealed: a run that changes hands in the file is damaged, whoever it was of.
func TestTenantIsSealed(t *testing.T) {
	for _, before := range []string{"", "acme"} {
		for _, after := range []string{"", "acme", "other"} {
			dir := t.TempDir()
			s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			run := aRun("a", 1)
			run.Create.Tenant = before
			if err := errors.Join(commit(s, run), s.Close()); err != nil {
				t.Fatal(err)
			}
			tamper(t, dir, `UPDATE run SET tenant = '`+after+`'`)
			_, err = open(t, sqlite.Config{Dir: dir, ReadOnly: true}).Run(t.Context(), "a")
			if errors.Is(err, durable.ErrInternal) != (before != after) || err != nil && before == after {
				t.Errorf("a run of %q that reads as one of %q: error %v", before, after, err)
			}
		}
	}
}
