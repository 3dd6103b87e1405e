package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Check implements store.Store: the pages and indexes of the database, the checksum of
// every run row and of every record, and rows that belong to nothing.
func (s *Store) Check(ctx context.Context) ([]string, error) {
	found, err := s.lines(ctx, `PRAGMA integrity_check`)
	if err != nil {
		return nil, wrap(err, "check the database")
	}
	if len(found) == 1 && found[0] == "ok" {
		found = nil
	}
	for i := range found {
		found[i] = File + ": " + found[i]
	}
	rows, err := s.faults(ctx, `SELECT n, `+runColumns+` FROM run`, func(scan func(...any) error) (error, error) {
		r, err := scanRun(scan)
		return r.Fault, err
	})
	if found = append(found, rows...); err != nil {
		found = append(found, fmt.Sprintf("a row of a run cannot be read: %v", err))
	}
	rows, err = s.faults(ctx, `SELECT `+recordColumns+` FROM record`, func(scan func(...any) error) (error, error) {
		r, err := scanRecord(scan)
		return r.Fault, err
	})
	if found = append(found, rows...); err != nil {
		found = append(found, fmt.Sprintf("a record cannot be read: %v", err))
	}
	strays, err := s.lines(ctx, `SELECT 'entry ' || min(seq) || ' and ' || (count(*) - 1) || ' more belong to no run: there is no row ' || run
		FROM ev WHERE run NOT IN (SELECT n FROM run) GROUP BY run
		UNION ALL
		SELECT 'run ' || id || ': entry ' || seq || ' is none of its own' FROM ev JOIN run ON run.n = ev.run WHERE seq < shared`)
	if err != nil {
		return append(found, strays...), wrap(err, "check the entries")
	}
	lost, err := s.lines(ctx, `SELECT 'blob ' || lower(hex(hash)) || ' is not in the index' FROM blob
		WHERE n <= (SELECT value FROM meta WHERE key = 'indexed') AND NOT EXISTS (SELECT 1 FROM blob_at WHERE key = substr(hash, 1, 16) AND blob_at.n = blob.n)
		UNION ALL
		SELECT 'blob ' || lower(hex(key)) || '... is in the index and nowhere else' FROM blob_at
		WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.n = blob_at.n AND substr(hash, 1, 16) = key)`)
	return append(append(found, strays...), lost...), wrap(err, "check the index of blobs")
}

// faults reads rows and returns what is wrong with them, as far as they can be read.
func (s *Store) faults(ctx context.Context, query string, fault func(scan func(...any) error) (error, error)) (found []string, err error) {
	rows, err := s.read.QueryContext(ctx, query)
	if err != nil {
		return nil, explain(err)
	}
	_, err = collect(rows, func(scan func(...any) error) (struct{}, error) {
		fault, err := fault(scan)
		if fault != nil {
			found = append(found, fault.Error())
		}
		return struct{}{}, err
	})
	return found, err
}

func (s *Store) lines(ctx context.Context, query string) ([]string, error) {
	rows, err := s.read.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(scan func(...any) error) (string, error) {
		var line string
		err := scan(&line)
		return line, err
	})
}

// Hashes implements store.Journal.
func (s *Store) Hashes(ctx context.Context, from int64, limit int) ([]string, int64, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT n, hash FROM blob WHERE n >= ? ORDER BY n LIMIT ?`, from, limit)
	if err != nil {
		return nil, from, wrap(err, "read the hashes of blobs")
	}
	hashes, err := collect(rows, func(scan func(...any) error) (string, error) {
		var key []byte
		err := scan(&from, &key)
		return hex.EncodeToString(key), err
	})
	return hashes, from + 1, wrap(err, "read the hashes of blobs")
}

// snapshot reads on one connection, within one transaction.
type snapshot struct{ conn *sql.Conn }

// QueryContext implements querier.
func (s snapshot) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.conn.QueryContext(ctx, query, args...)
}

// QueryRowContext implements querier.
func (s snapshot) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return s.conn.QueryRowContext(ctx, query, args...)
}

// Conn is not to be had: a snapshot has one connection.
func (snapshot) Conn(context.Context) (*sql.Conn, error) {
	return nil, durable.Errorf(durable.CodeInternal, "a snapshot of a snapshot")
}

// Close ends the transaction; the connection goes back to the pool.
func (s snapshot) Close() error {
	_, err := s.conn.ExecContext(context.Background(), `ROLLBACK`)
	return errors.Join(err, s.conn.Close())
}

// Snapshot implements store.Store.
func (s *Store) Snapshot(ctx context.Context) (store.Store, error) {
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return nil, wrap(err, "take a snapshot")
	}
	view := snapshot{conn}
	if _, err := conn.ExecContext(ctx, `BEGIN DEFERRED`); err != nil {
		return nil, errors.Join(wrap(err, "take a snapshot"), conn.Close())
	}
	var one int // the first read is what fixes the moment
	if err := view.QueryRowContext(ctx, `SELECT count(*) FROM meta`).Scan(&one); err != nil {
		return nil, errors.Join(wrap(err, "take a snapshot"), view.Close())
	}
	return &Store{dir: s.dir, epoch: s.epoch, read: view, recent: newRecent()}, nil
}
