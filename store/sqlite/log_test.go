package sqlite_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store/sqlite"
)

// left is what a process leaves that is killed: a database with some runs, the last of
// which are in its log only.
func left(t *testing.T, runs ...int) (db, log []byte) {
	t.Helper()
	dir, n := t.TempDir(), 0
	for _, more := range runs {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
		for i := n; i < n+more && err == nil; i++ {
			err = commit(s, aRun(durable.RunID(fmt.Sprintf("run%d", i)), 3))
		}
		if err != nil {
			t.Fatal(err)
		}
		n += more
		var errDB, errLog error
		db, errDB = os.ReadFile(filepath.Join(dir, sqlite.File))
		log, errLog = os.ReadFile(filepath.Join(dir, sqlite.File+"-wal"))
		if err := errors.Join(errDB, errLog, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return db, log
}

// place makes a data directory of files; nil is one that is not there.
func place(t *testing.T, db, log []byte) string {
	t.Helper()
	dir := t.TempDir()
	for suffix, data := range map[string][]byte{"": db, "-wal": log} {
		if data == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, sqlite.File+suffix), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// unchanged requires the files as they were placed.
func unchanged(t *testing.T, dir string, db, log []byte) {
	t.Helper()
	for suffix, want := range map[string][]byte{"": db, "-wal": log} {
		got, err := os.ReadFile(filepath.Join(dir, sqlite.File+suffix))
		if (want == nil) != errors.Is(err, os.ErrNotExist) || !bytes.Equal(got, want) {
			t.Errorf("%s%s was touched: %d bytes, %d before; error %v", sqlite.File, suffix, len(got), len(want), err)
		}
	}
}

// TestShortBesideLog: a database that lacks pages which its log does not hold is refused
// and left alone, whatever else there is; any other has all its runs.
func TestShortBesideLog(t *testing.T) {
	const before, after, page = 30, 3, 4096
	db, log := left(t, before, after)
	sizes := []int{-1, 50, len(db) - 1}
	for size := 0; size <= len(db); size += page {
		sizes = append(sizes, size)
	}
	for _, size := range sizes {
		short := db[:max(size, 0)]
		if size < 0 {
			short = nil
		}
		refused := 0
		for _, readOnly := range []bool{true, false} {
			dir := place(t, short, log)
			s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, ReadOnly: readOnly})
			if err == nil {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				continue
			}
			refused++
			if !errors.Is(err, durable.ErrUnavailable) || !strings.Contains(err.Error(), "orpine.db is damaged (it ") || !strings.Contains(err.Error(), "keep the directory") {
				t.Errorf("%d of %d bytes: %v", size, len(db), err)
			}
			unchanged(t, dir, short, log)
		}
		switch {
		case refused == 0:
			if err := complete(t.Context(), place(t, short, log), before+after); err != nil {
				t.Errorf("%d of %d bytes are taken: %v", size, len(db), err)
			}
		case refused == 1 || size == len(db):
			t.Errorf("%d of %d bytes: refused %d times of 2", size, len(db), refused)
		}
	}
}

// TestYoung: what a process leaves that is killed while it makes a database is taken.
func TestYoung(t *testing.T) {
	db, log := left(t, 0)
	for name, c := range map[string]struct{ db, log []byte }{
		"nothing": {nil, nil}, "an empty file": {[]byte{}, nil}, "and an empty log": {[]byte{}, []byte{}}, "and the head of a log": {[]byte{}, log[:32]},
	} {
		if err := complete(t.Context(), place(t, c.db, c.log), 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for size := 0; size <= len(log); size += 3001 {
		if err := complete(t.Context(), place(t, db, log[:size]), 0); err != nil {
			t.Errorf("%d of %d bytes of the first log: %v", size, len(log), err)
		}
	}
}

// TestLookingLeavesTheLog: who only reads does not change what was not closed well, and
// reads all of it.
func TestLookingLeavesTheLog(t *testing.T) {
	db, log := left(t, 30, 3)
	dir := place(t, db, log)
	for range 2 {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		runs, err := s.List(t.Context(), durable.Filter{})
		if err := errors.Join(err, s.Close()); err != nil || len(runs) != 33 {
			t.Errorf("%d runs, error %v", len(runs), err)
		}
		unchanged(t, dir, db, log)
	}
	if err := complete(t.Context(), dir, 33); err != nil {
		t.Error(err)
	}
}
