package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"sync"
)

// A blob goes to a random place of any index by hash: with each commit as many pages would
// be written as there are blobs in it. So the index, blob_at, is filled in sorted batches,
// and what is not in it yet is remembered. A mark in meta says how far the index goes.

// indexEvery is how many blobs are remembered before they go into the index.
var indexEvery = 4096

// The index has the first half of a hash. No two values of which these are the same are
// known; if there were, one would not be found, and never taken for the other.
const (
	fillIndex = `INSERT OR IGNORE INTO blob_at (key, n) SELECT substr(hash, 1, 16), n FROM blob
		WHERE n > coalesce((SELECT value FROM meta WHERE key = 'indexed'), 0) ORDER BY 1;`
	markIndexed = `INSERT INTO meta (key, value) VALUES ('indexed', (SELECT coalesce(max(n), 0) FROM blob))
		ON CONFLICT (key) DO UPDATE SET value = excluded.value;`
)

// recent is the blobs that the index does not have, as far as its store has seen them: the
// one that writes has seen all, others look again before they say that there is none.
type recent struct {
	mu     sync.Mutex
	rows   map[string]int64 // by hash: the row
	newest int64            // the last row that was seen
}

// row returns the row of a blob, if it is a recent one.
func (r *recent) row(hash []byte) (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.rows[string(hash)]
	return n, ok
}

// add remembers a blob that was written.
func (r *recent) add(hash []byte, row int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows[string(hash)], r.newest = row, max(r.newest, row)
}

// full says whether it is time to move them to the index.
func (r *recent) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rows) >= indexEvery
}

// last is the last row that was seen.
func (r *recent) last() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

func newRecent() *recent { return &recent{rows: map[string]int64{}} }

// forget drops what the index has.
func (r *recent) forget(indexed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = max(r.newest, indexed)
	maps.DeleteFunc(r.rows, func(_ string, n int64) bool { return n <= indexed })
}

// look reads what was written since it looked last.
func (r *recent) look(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
},
) error {
	var indexed int64
	err := db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'indexed'`).Scan(&indexed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	r.forget(indexed)
	rows, err := db.QueryContext(ctx, `SELECT n, hash FROM blob WHERE n > ? ORDER BY n`, r.last())
	if err != nil {
		return err
	}
	_, err = collect(rows, func(scan func(...any) error) (struct{}, error) {
		var n int64
		var hash []byte
		err := scan(&n, &hash)
		r.add(hash, n)
		return struct{}{}, err
	})
	return err
}

// index moves the recent blobs to the index, between two batches.
func (t *transaction) index() error {
	if err := t.start(); err != nil {
		return err
	}
	for _, s := range []*sql.Stmt{t.fillIndex, t.markIndexed, t.commit} {
		if _, err := s.ExecContext(t.ctx); err != nil {
			_, undo := t.rollback.ExecContext(t.ctx)
			return errors.Join(err, undo)
		}
	}
	t.recent.forget(t.recent.last())
	return nil
}
