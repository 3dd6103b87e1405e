package journal_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// TestRecords: records are written alone, and together with entries or not at all.
func TestRecords(t *testing.T) {
	j, s := open(t)
	if err := j.Write(t.Context(), store.RecordChange{Kind: "k", Key: "a", Data: []byte("1")}, store.RecordChange{Kind: "k", Key: "b", Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if err := j.Write(t.Context(), store.RecordChange{Kind: "k", Key: "b", Expect: 1}, store.RecordChange{Kind: "k", Key: "a", Data: []byte("2")}); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("one of them is another: %v", err)
	}
	create(t, j, "run", &durable.Entry{Kind: durable.EntryStarted})
	change := func(expect int64) *journal.Change {
		return &journal.Change{
			Run: "run", Entries: []*durable.Entry{{Kind: durable.EntrySignal, Name: "x"}},
			Records: []store.RecordChange{{Kind: "k", Key: "a", Expect: expect, Data: []byte("2")}},
		}
	}
	if err := add(t, j, change(2)); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("entries with a record of another version: %v", err)
	}
	if err := add(t, j, change(1)); err != nil {
		t.Error(err)
	}
	if entries, err := j.All(t.Context(), "run", 0); err != nil || len(entries) != 2 {
		t.Errorf("%d entries, error %v", len(entries), err)
	}
	for key, want := range map[string]string{"a": "2", "b": "1"} {
		if r, err := s.Record(t.Context(), "k", key); err != nil || string(r.Data) != want {
			t.Errorf("record %s: %q, error %v", key, r.Data, err)
		}
	}
}

// silent is a store that never says what became of a change.
type silent struct{ store.Store }

func (silent) Commit([]*store.Change, func(error)) {}

// TestWriteGivesUp: who waits for a record waits no longer than its context.
func TestWriteGivesUp(t *testing.T) {
	_, s := open(t)
	j, err := journal.New(silent{s})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := j.Write(ctx, store.RecordChange{Kind: "k", Key: "a", Data: []byte("1")}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// TestVerifyRecords: Verify names a damaged record.
func TestVerifyRecords(t *testing.T) {
	dir := t.TempDir()
	found := func(before string) (problems []string) {
		t.Helper()
		if before != "" {
			db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.ExecContext(t.Context(), before)
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		j, err := journal.New(s)
		if err == nil {
			err = j.Write(t.Context(), store.RecordChange{Kind: "token", Key: "new" + before, Data: []byte("1")})
		}
		_, errVerify := j.Verify(t.Context(), journal.Verification{Problem: func(text string) { problems = append(problems, text) }})
		if err := errors.Join(err, errVerify, s.Close()); err != nil {
			t.Fatal(err)
		}
		return problems
	}
	if problems := found(""); len(problems) > 0 {
		t.Errorf("a sound one: %q", problems)
	}
	problems := found(`UPDATE record SET data = x'33'`)
	if len(problems) != 1 || !strings.Contains(problems[0], `record token "new" is damaged`) {
		t.Errorf("a damaged one: %q", problems)
	}
}
