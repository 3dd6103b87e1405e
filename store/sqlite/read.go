package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// runColumns are those a run is created with, in the order of create and scanRun;
// untenanted are those of them that a run had before there were tenants.
const (
	untenanted = `id, name, program, definition, parent, command, created, queue, priority, share, base, shared, seal,
	status, reason, updated, wake, waits, segment, start, sum`
	runColumns = untenanted + `, tenant`
)

func scanRun(scan func(...any) error) (store.Run, error) {
	r, waits, seal, sum, err := scanRow(scan)
	if err != nil && r.ID != "" { // it was read, and cannot be a run
		r.Fault = durable.Errorf(durable.CodeInternal, "the row of run %s is damaged: %w", r.ID, err)
		return r, nil
	}
	if err != nil {
		return r, err
	}
	r.Fault = checkRow(&r, waits, seal, sum)
	if r.Fault == nil && len(waits) > 0 {
		if err := json.Unmarshal(waits, &r.Waits); err != nil {
			r.Fault = durable.Errorf(durable.CodeInternal, "the row of run %s is damaged: what it waits for: %w", r.ID, err)
		}
	}
	return r, nil
}

// scanRow reads a row as it is stored, its checksums not looked at.
func scanRow(scan func(...any) error) (r store.Run, waits []byte, seal, sum int64, err error) {
	var created, updated, wake sql.NullInt64
	err = scan(&r.N, &r.ID, &r.Name, &r.Program, &r.Definition, &r.Parent, &r.Command, &created, &r.Queue, &r.Priority, &r.Share, &r.Base, &r.Shared,
		&seal, &r.Status, &r.Reason, &updated, &wake, &waits, &r.Segment, &r.Start, &sum, &r.Tenant)
	r.Created, r.Updated, r.Wake = fromMicros(created), fromMicros(updated), fromMicros(wake)
	return r, waits, seal, sum, err
}

// Run implements store.Runs.
func (s *Store) Run(ctx context.Context, id durable.RunID) (store.Run, error) {
	r, err := scanRun(s.read.QueryRowContext(ctx, `SELECT n, `+runColumns+` FROM run WHERE id = ?`, string(id)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, durable.Errorf(durable.CodeNotFound, "no run %s", id)
	}
	if err == nil {
		err = r.Fault
	}
	return r, wrap(err, "read run "+string(id))
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

// Newest implements store.Runs.
func (s *Store) Newest(ctx context.Context) (int64, error) {
	var n sql.NullInt64
	err := s.read.QueryRowContext(ctx, `SELECT max(n) FROM run`).Scan(&n)
	return n.Int64, wrap(err, "find the newest run")
}

// Ready implements store.Runs.
func (s *Store) Ready(ctx context.Context, after int64, limit int) ([]store.Run, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT n, id, queue, priority, share, status FROM run
		WHERE status IN ('queued', 'running') AND n > ? ORDER BY n LIMIT ?`, after, limit)
	if err != nil {
		return nil, wrap(err, "find ready runs")
	}
	return collect(rows, func(scan func(...any) error) (store.Run, error) {
		var r store.Run
		err := scan(&r.N, &r.ID, &r.Queue, &r.Priority, &r.Share, &r.Status)
		return r, err
	})
}

// Due implements store.Runs.
func (s *Store) Due(ctx context.Context, now time.Time, after store.Wakeup, limit int) ([]store.Wakeup, time.Time, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, wake, n FROM run WHERE wake IS NOT NULL AND wake <= ? AND (wake, n) > (?, ?) ORDER BY wake, n LIMIT ?`,
		now.UnixMicro(), unixMicro(after.At), after.N, limit)
	if err != nil {
		return nil, time.Time{}, wrap(err, "find due runs")
	}
	due, err := collect(rows, func(scan func(...any) error) (store.Wakeup, error) {
		var w store.Wakeup
		var at sql.NullInt64
		err := scan(&w.Run, &at, &w.N)
		w.At = fromMicros(at)
		return w, err
	})
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
	entries, err := collect(rows, scanEntry)
	if err != nil || (len(entries) > 0 && entries[0].Seq == after+1) || limit == 0 {
		return entries, err
	}
	return s.fromBase(ctx, run, after, limit, entries)
}

// fromBase puts the entries that a fork shares with its base before its own.
func (s *Store) fromBase(ctx context.Context, run durable.RunID, after int64, limit int, own []store.Entry) ([]store.Entry, error) {
	var base durable.RunID
	var shared int64
	var older bool // a base that is not older than its forks would lead round in a circle
	err := s.read.QueryRowContext(ctx, `SELECT base, shared, coalesce((SELECT b.n < run.n FROM run b WHERE b.id = run.base), 1) FROM run WHERE id = ?`,
		string(run)).Scan(&base, &shared, &older)
	switch {
	case errors.Is(err, sql.ErrNoRows) || (err == nil && shared <= after+1):
		return own, nil
	case err != nil:
		return nil, wrap(err, "read the base of a fork")
	case !older:
		return nil, durable.Errorf(durable.CodeInternal, "the row of run %s is damaged: its base %s is not older than it", run, base)
	}
	entries, err := s.Entries(ctx, base, after, int(min(int64(limit), shared-after-1)))
	if err != nil {
		return nil, err
	}
	return append(entries, own[:min(len(own), limit-len(entries))]...), nil
}

// Last implements store.Journal.
func (s *Store) Last(ctx context.Context, run durable.RunID) (store.Entry, error) {
	e, err := scanEntry(s.read.QueryRowContext(ctx,
		`SELECT seq, body FROM ev WHERE run = (SELECT n FROM run WHERE id = ?) ORDER BY seq DESC LIMIT 1`, string(run)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return s.lastOfBase(ctx, run)
	}
	return e, wrap(err, "read the last entry")
}

// lastOfBase is the last entry of a fork that has none of its own.
func (s *Store) lastOfBase(ctx context.Context, run durable.RunID) (store.Entry, error) {
	var shared int64
	err := s.read.QueryRowContext(ctx, `SELECT shared FROM run WHERE id = ?`, string(run)).Scan(&shared)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return store.Entry{}, wrap(err, "read the base of a fork")
	}
	entries, err := s.Entries(ctx, run, shared-2, 1)
	if err != nil {
		return store.Entry{}, err
	}
	if len(entries) == 0 || shared == 0 {
		return store.Entry{}, durable.Errorf(durable.CodeNotFound, "run %s has no entries", run)
	}
	return entries[0], nil
}

// Blob implements store.Journal.
func (s *Store) Blob(ctx context.Context, hash string) ([]byte, error) {
	key, err := hex.DecodeString(hash)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "blob hash %q is not hexadecimal", hash)
	}
	data, err := s.blob(ctx, key)
	if errors.Is(err, sql.ErrNoRows) && s.w == nil { // whoever writes may have put it since
		if err := s.recent.look(ctx, s.read); err != nil {
			return nil, wrap(err, "look for new blobs")
		}
		data, err = s.blob(ctx, key)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil, durable.Errorf(durable.CodeNotFound, "no blob %s", hash)
	}
	return data, wrap(err, "read blob")
}

func (s *Store) blob(ctx context.Context, key []byte) (data []byte, err error) {
	if n, ok := s.recent.row(key); ok {
		err = s.read.QueryRowContext(ctx, `SELECT data FROM blob WHERE n = ? AND hash = ?`, n, key).Scan(&data)
		return data, err
	}
	err = s.read.QueryRowContext(ctx, `SELECT data FROM blob WHERE hash = ?1 AND n = (SELECT n FROM blob_at WHERE key = substr(?1, 1, 16))`, key).Scan(&data)
	return data, err
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
