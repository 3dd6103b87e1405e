package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// aRun is a change that creates a run with n entries.
func aRun(id durable.RunID, n int) *store.Change {
	now := time.Now().UTC().Truncate(time.Microsecond)
	c := &store.Change{Run: id, Create: &store.Run{ID: id, Program: "p", Created: now, State: store.State{Status: durable.Running, Updated: now}}}
	for i := range n {
		c.Entries = append(c.Entries, &store.Entry{Seq: int64(i), Body: fmt.Appendf(nil, `{"k":"done","t":%d,"n":"%s"}`, i+1, strings.Repeat("x", 200))})
	}
	return c
}

func commit(s store.Store, c ...*store.Change) error {
	done := make(chan error, 1)
	s.Commit(c, func(err error) { done <- err })
	return <-done
}

// sample is the file of a database with runs of which nobody has it open.
func sample(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := commit(s, aRun(durable.RunID(fmt.Sprintf("run%02d", i)), 20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// altered is a database changed by a statement.
func altered(t *testing.T, file []byte, statement string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	file, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func swapped(file []byte) []byte {
	other := slices.Clone(file)
	for i := 0; i+1 < len(other); i += 2 {
		other[i], other[i+1] = other[i+1], other[i]
	}
	return other
}

func overwritten(file []byte, at int, b ...byte) []byte {
	other := slices.Clone(file)
	copy(other[at:], b)
	return other
}

// TestBadFile: whatever lies in the place of the database, opening it says what it is and
// what to do, with the right code, and does not touch it.
func TestBadFile(t *testing.T) {
	good := sample(t)
	const damaged, mend = "orpine.db is damaged", "keep the directory, run orpine doctor, restore a backup or choose another --data"
	for name, c := range map[string]struct {
		file []byte
		code durable.Code
		want string
	}{
		"garbage":                    {bytes.Repeat([]byte("garbage "), 1000), durable.CodeUnavailable, mend},
		"zeros":                      {make([]byte, 8192), durable.CodeUnavailable, mend},
		"of another byte order":      {swapped(good), durable.CodeUnavailable, mend},
		"a text":                     {[]byte("runs:\n  - one\n"), durable.CodeUnavailable, mend},
		"magic damaged":              {overwritten(good, 3, 'X'), durable.CodeUnavailable, mend},
		"page size damaged":          {overwritten(good, 16, 0xff, 0xff), durable.CodeUnavailable, damaged},
		"first page damaged":         {overwritten(good, 100, bytes.Repeat([]byte{0xff}, 1000)...), durable.CodeUnavailable, damaged},
		"schema damaged":             {bytes.Replace(good, []byte("CREATE TABLE run"), []byte("CREATE TABLX run"), 1), durable.CodeUnavailable, damaged},
		"cut off in the header":      {good[:50], durable.CodeUnavailable, damaged},
		"cut off in the first page":  {good[:1000], durable.CodeUnavailable, damaged},
		"cut off behind the first":   {good[:4096], durable.CodeUnavailable, damaged},
		"cut off in the middle":      {good[:len(good)/2], durable.CodeUnavailable, damaged},
		"cut off by a page":          {good[:len(good)-4096], durable.CodeUnavailable, damaged},
		"cut off by a byte":          {good[:len(good)-1], durable.CodeUnavailable, damaged},
		"of another program":         {altered(t, nil, `CREATE TABLE guests (name TEXT)`), durable.CodeInvalid, "an SQLite file of another program; choose another data directory"},
		"of another, with a version": {altered(t, nil, `CREATE TABLE guests (name TEXT); PRAGMA user_version = 1; PRAGMA application_id = 7`), durable.CodeInvalid, "of another program"},
		"newer":                      {altered(t, good, `PRAGMA user_version = 5`), durable.CodeInvalid, "has format 5, this build knows up to 4: use a newer orpine"},
		"of no format":               {altered(t, good, `PRAGMA user_version = 0`), durable.CodeUnavailable, "its format is 0, which there never was"},
		"said to be older":           {altered(t, good, `PRAGMA user_version = 1`), durable.CodeUnavailable, "cannot be brought from format 1 to 2"},
		"said to be a little older":  {altered(t, good, `PRAGMA user_version = 2`), durable.CodeUnavailable, "cannot be brought from format 2 to 3"},
		"said to be one older":       {altered(t, good, `PRAGMA user_version = 3`), durable.CodeUnavailable, "cannot be brought from format 3 to 4"},
		"without a table":            {altered(t, good, `DROP TABLE ev`), durable.CodeUnavailable, damaged},
		"without a column":           {altered(t, good, `ALTER TABLE run RENAME COLUMN seal TO steel`), durable.CodeUnavailable, damaged},
	} {
		for _, readOnly := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, read only %t", name, readOnly), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, sqlite.File)
				if err := os.WriteFile(path, c.file, 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, ReadOnly: readOnly})
				if err == nil {
					t.Errorf("it opens")
					if err := s.Close(); err != nil {
						t.Log(err)
					}
				} else if durable.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
					t.Errorf("got %s: %v\nwant %s: %s", durable.CodeOf(err), err, c.code, c.want)
				}
				if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, c.file) {
					t.Errorf("the file was touched, error %v", err)
				}
			})
		}
	}
}

// TestTornLog: behind what was committed the log may hold anything, as when the power
// fails while a commit is written: all that was acknowledged is there, nothing else is.
func TestTornLog(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	const acknowledged = 5
	for i := range acknowledged {
		if err := commit(s, aRun(durable.RunID(fmt.Sprintf("run%d", i)), 3)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(suffix string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, sqlite.File+suffix))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	db, before := read(""), read("-wal")
	if err := commit(s, aRun("next", 50)); err != nil {
		t.Fatal(err)
	}
	after := read("-wal")
	if !bytes.HasPrefix(after, before) || !bytes.Equal(db, read("")) {
		t.Skip("the log was moved meanwhile")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	logs := map[string][]byte{
		"as it was": before, "garbage behind it": append(slices.Clone(before), bytes.Repeat([]byte("garbage "), 2000)...),
		"zeros behind it": append(slices.Clone(before), make([]byte, 10000)...),
	}
	for size := len(before) + 1; size < len(after); size += 997 {
		logs[fmt.Sprintf("cut off after %d of %d bytes", size-len(before), len(after)-len(before))] = after[:size]
	}
	for at := len(before); at < len(after); at += 1501 {
		logs[fmt.Sprintf("byte %d of the next commit damaged", at-len(before))] = overwritten(after, at, after[at]^0x40)
	}
	for name, log := range logs {
		dir := t.TempDir()
		err := errors.Join(os.WriteFile(filepath.Join(dir, sqlite.File), db, 0o600), os.WriteFile(filepath.Join(dir, sqlite.File+"-wal"), log, 0o600))
		if err != nil {
			t.Fatal(err)
		}
		if err := complete(t.Context(), dir, acknowledged); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// complete opens a directory and requires run0 to runN there, whole, and the next run
// whole or not at all.
func complete(ctx context.Context, dir string, n int) error {
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	found, errCheck := s.Check(ctx)
	if len(found) > 0 {
		errCheck = fmt.Errorf("%v", found)
	}
	errs := []error{errCheck}
	for i := range n {
		entries, err := s.Entries(ctx, durable.RunID(fmt.Sprintf("run%d", i)), -1, 100)
		if err == nil && len(entries) != 3 {
			err = fmt.Errorf("run%d has %d entries", i, len(entries))
		}
		errs = append(errs, err)
	}
	if entries, err := s.Entries(ctx, "next", -1, 100); err != nil || (len(entries) != 0 && len(entries) != 50) {
		errs = append(errs, fmt.Errorf("the next one has %d entries, error %w", len(entries), err))
	}
	errs = append(errs, commit(s, aRun("new", 1)), s.Close())
	return errors.Join(errs...)
}
