package sqlite

import (
	"context"
	"database/sql"
	"errors"
)

// SQLite would move the pages of the log into the database within a commit, which
// then takes as long as a hundred others. The checkpointer does most of that beside the
// writer, on a connection of its own; the writer only moves what was added meanwhile, and
// then begins the log anew.

// cycleBytes is how much of what was written the log holds before it is moved, in bytes
// of entries and blobs: the pages of the log take three to four times that.
const cycleBytes = 2 << 20

// checkpointer moves the log into the database.
type checkpointer struct {
	db    *sql.DB
	wake  chan struct{} // holds one token while there is something to move
	moved chan struct{} // holds one token while the writer has a rest to move
	ended chan struct{}
}

func startCheckpointer(path string) (*checkpointer, error) {
	db, err := connect(path, "busy_timeout(2000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	c := &checkpointer{db: db, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1), ended: make(chan struct{})}
	go c.loop()
	return c, nil
}

func (c *checkpointer) loop() {
	defer close(c.ended)
	for range c.wake {
		// An error is the writer's to find: it moves what is left, or fails at its next commit.
		_ = checkpoint(context.Background(), c.db)
		select {
		case c.moved <- struct{}{}:
		default:
		}
	}
}

// ask has the log moved; it does not wait.
func (c *checkpointer) ask() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *checkpointer) stop() error {
	close(c.wake)
	<-c.ended
	return c.db.Close()
}

// checkpoint moves as much of the log as it can without waiting for anybody.
func checkpoint(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
},
) error {
	var busy, frames, done int
	return db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &frames, &done)
}

// tidy is called between two transactions: it has the log moved, and the index of blobs
// filled, now and then.
func (w *writer) tidy(written int) error {
	if w.tx.recent.full() {
		if err := w.tx.index(); err != nil {
			return err
		}
	}
	w.written += written
	select {
	case <-w.checkpoints.moved:
		if err := checkpoint(w.tx.ctx, w.tx.conn); !busy(err) {
			return err
		}
	default:
	}
	if w.written >= cycleBytes {
		w.written = 0
		w.checkpoints.ask()
	}
	return nil
}

// endCheckpoints stops the checkpointer, nil or not.
func (w *writer) endCheckpoints(err error) error {
	if w.checkpoints == nil {
		return err
	}
	return errors.Join(err, w.checkpoints.stop())
}
