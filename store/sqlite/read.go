package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

const runColumns = `id, name, program, definition, parent, command, created, status, reason, updated, wake, waits, segment, start`

func scanRun(scan func(...any) error) (store.Run, error) {
	var r store.Run
	var created, updated, wake sql.NullInt64
	var waits []byte
	err := scan(&r.ID, &r.Name, &r.Program, &r.Definition, &r.Parent, &r.Command, &created,
		&r.Status, &r.Reason, &updated, &wake, &waits, &r.Segment, &r.Start)
	if err != nil {
		return r, err
	}
	r.Created, r.Updated, r.Wake = fromMicros(created), fromMicros(updated), fromMicros(wake)
	if waits != nil {
		err = json.Unmarshal(waits, &r.Waits)
	}
	return r, err
}

// Run implements store.Runs.
func (s *Store) Run(ctx context.Context, id durable.RunID) (store.Run, error) {
	r, err := scanRun(s.read.QueryRowContext(ctx, `SELECT `+runColumns+` FROM run WHERE id = ?`, string(id)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, durable.Errorf(durable.CodeNotFound, "no run %s", id)
	}
	return r, wrap(err, "read run "+string(id))
}

// List implements store.Runs.
func (s *Store) List(ctx context.Context, f store.Filter) ([]store.Run, error) {
	where, args := []string{"1"}, []any{}
	if len(f.Statuses) > 0 {
		marks := strings.Repeat(", ?", len(f.Statuses))[2:]
		where = append(where, "status IN ("+marks+")")
		for _, st := range f.Statuses {
			args = append(args, string(st))
		}
	}
	if f.Program != "" {
		where, args = append(where, "program = ?"), append(args, f.Program)
	}
	if f.Parent != "" {
		where, args = append(where, "parent = ?"), append(args, string(f.Parent))
	}
	if f.Roots {
		where = append(where, "parent = ''")
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	query := `SELECT ` + runColumns + ` FROM run WHERE ` + strings.Join(where, " AND ") + ` ORDER BY n DESC LIMIT ?`
	rows, err := s.read.QueryContext(ctx, query, append(args, f.Limit)...)
	if err != nil {
		return nil, wrap(err, "list runs")
	}
	return collect(rows, scanRun)
}

// Find implements store.Runs.
func (s *Store) Find(ctx context.Context, ref string, limit int) ([]durable.RunID, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id FROM run WHERE (id >= ? AND id < ?) OR (name <> '' AND name = ?) ORDER BY n DESC LIMIT ?`,
		ref, ref+"\x7f", ref, limit)
	if err != nil {
		return nil, wrap(err, "find runs")
	}
	return collect(rows, scanID)
}

// Ready implements store.Runs.
func (s *Store) Ready(ctx context.Context, limit int) ([]durable.RunID, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id FROM run WHERE status IN ('queued', 'running') ORDER BY n LIMIT ?`, limit)
	if err != nil {
		return nil, wrap(err, "find ready runs")
	}
	return collect(rows, scanID)
}

// Due implements store.Runs.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]durable.RunID, time.Time, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id FROM run WHERE wake IS NOT NULL AND wake <= ? ORDER BY wake LIMIT ?`, now.UnixMicro(), limit)
	if err != nil {
		return nil, time.Time{}, wrap(err, "find due runs")
	}
	due, err := collect(rows, scanID)
	if err != nil {
		return nil, time.Time{}, err
	}
	var next sql.NullInt64
	err = s.read.QueryRowContext(ctx, `SELECT min(wake) FROM run WHERE wake IS NOT NULL AND wake > ?`, now.UnixMicro()).Scan(&next)
	return due, fromMicros(next), wrap(err, "find the next wake time")
}

// Entries implements store.Journal.
func (s *Store) Entries(ctx context.Context, run durable.RunID, after int64, limit int) ([]store.Entry, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT seq, body FROM ev WHERE run = (SELECT n FROM run WHERE id = ?) AND seq > ? ORDER BY seq LIMIT ?`,
		string(run), after, limit)
	if err != nil {
		return nil, wrap(err, "read entries")
	}
	return collect(rows, scanEntry)
}

// Last implements store.Journal.
func (s *Store) Last(ctx context.Context, run durable.RunID) (store.Entry, error) {
	e, err := scanEntry(s.read.QueryRowContext(ctx,
		`SELECT seq, body FROM ev WHERE run = (SELECT n FROM run WHERE id = ?) ORDER BY seq DESC LIMIT 1`, string(run)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return e, durable.Errorf(durable.CodeNotFound, "run %s has no entries", run)
	}
	return e, wrap(err, "read the last entry")
}

// Blob implements store.Journal.
func (s *Store) Blob(ctx context.Context, hash string) ([]byte, error) {
	key, err := hex.DecodeString(hash)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "blob hash %q is not hexadecimal", hash)
	}
	var data []byte
	err = s.read.QueryRowContext(ctx, `SELECT data FROM blob WHERE hash = ?`, key).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, durable.Errorf(durable.CodeNotFound, "no blob %s", hash)
	}
	return data, wrap(err, "read blob")
}

// Check implements store.Store.
func (s *Store) Check(ctx context.Context) ([]string, error) {
	rows, err := s.read.QueryContext(ctx, `PRAGMA integrity_check`)
	if err != nil {
		return nil, wrap(err, "check the database")
	}
	found, err := collect(rows, func(scan func(...any) error) (string, error) {
		var line string
		err := scan(&line)
		return line, err
	})
	if err != nil || (len(found) == 1 && found[0] == "ok") {
		return nil, wrap(err, "check the database")
	}
	return found, nil
}

func scanID(scan func(...any) error) (durable.RunID, error) {
	var id durable.RunID
	err := scan(&id)
	return id, err
}

func scanEntry(scan func(...any) error) (store.Entry, error) {
	var e store.Entry
	err := scan(&e.Seq, &e.Body)
	return e, err
}

func collect[T any](rows *sql.Rows, scan func(func(...any) error) (T, error)) ([]T, error) {
	var list []T
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, errors.Join(explain(err), rows.Close())
		}
		list = append(list, v)
	}
	return list, errors.Join(explain(rows.Err()), rows.Close())
}

func wrap(err error, op string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, explain(err))
}
