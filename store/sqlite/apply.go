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

// head is where the journal of a run stands: its row number, the next seq and the
// checksum of what never changes in its row.
type head struct {
	row  int64
	next int64
	seal int64
}

// transaction writes batches through prepared statements on the one connection.
// It is used by the writer goroutine alone.
type transaction struct {
	ctx                                                           context.Context //nolint:containedctx // the lifetime of the connection, not of a request
	conn                                                          *sql.Conn
	begin, commit, rollback                                       *sql.Stmt
	insertRun, insertEntry, insertBlob, setMark, setRun, findHead *sql.Stmt
	fillIndex, markIndexed, findRecord, putRecord, dropRecord     *sql.Stmt

	// heads of runs that are being written; a run leaves when it parks or ends.
	heads  map[durable.RunID]head
	recent *recent
}

func newTransaction(ctx context.Context, db *sql.DB, recent *recent) (*transaction, error) {
	ctx = context.WithoutCancel(ctx)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := &transaction{ctx: ctx, conn: conn, heads: map[durable.RunID]head{}, recent: recent}
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&t.begin, `BEGIN IMMEDIATE`},
		{&t.commit, `COMMIT`},
		{&t.rollback, `ROLLBACK`},
		{&t.insertRun, `INSERT INTO run (` + runColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`},
		{&t.insertEntry, `INSERT INTO ev (run, seq, body) VALUES (?, ?, ?)`},
		{&t.insertBlob, `INSERT INTO blob (hash, data) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM blob_at WHERE key = substr(?1, 1, 16))`},
		{&t.fillIndex, fillIndex},
		{&t.markIndexed, markIndexed},
		{&t.setMark, `INSERT INTO mark (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`},
		{&t.findRecord, `SELECT ` + recordColumns + ` FROM record WHERE kind = ? AND key = ?`},
		{&t.putRecord, `INSERT OR REPLACE INTO record (` + recordColumns + `) VALUES (?, ?, ?, ?, ?, ?)`},
		{&t.dropRecord, `DELETE FROM record WHERE kind = ? AND key = ?`},
		{&t.setRun, `UPDATE run SET status = ?, reason = ?, updated = ?, wake = ?, waits = ?, segment = ?, start = ?, sum = ? WHERE n = ?`},
		{&t.findHead, `SELECT n, seal, coalesce((SELECT max(seq) + 1 FROM ev WHERE ev.run = run.n), shared) FROM run WHERE id = ?`},
	} {
		if *p.stmt, err = conn.PrepareContext(ctx, p.query); err != nil { //nolint:sqlclosecheck // close does
			return nil, errors.Join(err, t.close())
		}
	}
	return t, nil
}

// close ends the statements one by one: the driver keeps a connection with open ones,
// and its files, for as long as the process lives.
func (t *transaction) close() error {
	var errs []error
	for _, s := range []*sql.Stmt{t.begin, t.commit, t.rollback, t.insertRun, t.insertEntry, t.insertBlob, t.setMark, t.setRun, t.findHead, t.fillIndex, t.markIndexed, t.findRecord, t.putRecord, t.dropRecord} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, t.conn.Close())...)
}

// apply commits the batch. An error means that the state of the disk is unknown.
func (t *transaction) apply(batch []*group) error {
	if err := t.start(); err != nil {
		return err
	}
	for _, g := range batch {
		if err := t.group(g); err != nil {
			_, undo := t.rollback.ExecContext(t.ctx)
			return errors.Join(err, undo)
		}
	}
	_, err := t.commit.ExecContext(t.ctx)
	return err
}

// How long a transaction waits to begin, and how long between two tries at first.
const (
	patience   = 10 * time.Second
	firstNap   = 50 * time.Microsecond
	longestNap = 20 * time.Millisecond
)

// start begins a transaction. Another connection may hold the write lock for a moment: a
// reader that came upon the log while it was being written takes it to look again.
func (t *transaction) start() error {
	return patiently(func() error {
		_, err := t.begin.ExecContext(t.ctx)
		return err
	})
}

// patiently tries something again, for a while, as long as somebody else holds a lock.
// SQLite's own busy_timeout would wait too, but not in the time of a test.
func patiently(try func() error) error {
	deadline := time.Now().Add(patience)
	for nap := firstNap; ; nap = min(2*nap, longestNap) {
		err := try()
		if err == nil || !busy(err) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(nap)
	}
}

// group writes one group, or sets its err and writes nothing of it. Everything
// that can be refused is found before the first row is written.
func (t *transaction) group(g *group) error {
	for _, c := range g.changes {
		if c.Create != nil || c.Run == "" {
			continue
		}
		h, err := t.head(c.Run)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			g.err = durable.Errorf(durable.CodeNotFound, "no run %s", c.Run)
			return nil
		case err != nil:
			return err
		case len(c.Entries) > 0 && c.Entries[0].Seq != h.next:
			g.err = durable.Errorf(durable.CodeConflict, "entry %d of run %s does not follow: the next one is %d", c.Entries[0].Seq, c.Run, h.next)
			return nil
		}
	}
	records, err := t.planRecords(g)
	if err != nil || g.err != nil {
		return err
	}
	taken, err := t.taken(g.changes)
	if err != nil {
		return err
	}
	if taken != "" {
		g.err = durable.Errorf(durable.CodeConflict, "a run %s exists", taken)
		return nil
	}
	for _, c := range g.changes {
		if c.Create == nil {
			continue
		}
		created, err := t.create(c.Create)
		if err != nil {
			return err
		}
		if !created {
			g.err = durable.Errorf(durable.CodeConflict, "a run %s exists", c.Run)
			return nil
		}
	}
	for _, c := range g.changes {
		if err := t.change(c); err != nil {
			return err
		}
	}
	return t.writeRecords(records)
}

// taken returns the first run to be created that exists, or comes twice. Where only one is
// to be created its insert says so.
func (t *transaction) taken(changes []*store.Change) (durable.RunID, error) {
	creates := map[durable.RunID]bool{}
	for _, c := range changes {
		if c.Create == nil {
			continue
		}
		if creates[c.Create.ID] {
			return c.Create.ID, nil
		}
		creates[c.Create.ID] = true
	}
	if len(creates) < 2 {
		return "", nil
	}
	for id := range creates {
		var h head
		err := t.findHead.QueryRowContext(t.ctx, string(id)).Scan(&h.row, &h.seal, &h.next)
		if !errors.Is(err, sql.ErrNoRows) {
			return id, err
		}
	}
	return "", nil
}

func (t *transaction) head(id durable.RunID) (head, error) {
	if h, ok := t.heads[id]; ok {
		return h, nil
	}
	var h head
	if err := t.findHead.QueryRowContext(t.ctx, string(id)).Scan(&h.row, &h.seal, &h.next); err != nil {
		return h, err
	}
	t.heads[id] = h
	return h, nil
}

func (t *transaction) create(r *store.Run) (bool, error) {
	waits, err := encodeWaits(r.Waits)
	if err != nil {
		return false, err
	}
	seal := sealOf(r)
	res, err := t.insertRun.ExecContext(t.ctx, string(r.ID), r.Name, r.Program, r.Definition, string(r.Parent), r.Command, micros(r.Created),
		r.Queue, r.Priority, r.Share, string(r.Base), r.Shared, seal,
		string(r.Status), r.Reason, micros(r.Updated), micros(r.Wake), orNull(waits), r.Segment, r.Start, sumOf(seal, &r.State, waits), r.Tenant)
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	row, err := res.LastInsertId()
	if err != nil {
		return false, err
	}
	t.heads[r.ID] = head{row: row, next: r.Shared, seal: seal}
	return true, nil
}

func (t *transaction) change(c *store.Change) error {
	for _, b := range c.Blobs {
		if err := t.blob(b); err != nil {
			return err
		}
	}
	for _, m := range c.Marks {
		if _, err := t.setMark.ExecContext(t.ctx, m.Key, m.Value); err != nil {
			return err
		}
	}
	if c.Run == "" {
		return nil
	}
	h := t.heads[c.Run]
	for _, e := range c.Entries {
		if _, err := t.insertEntry.ExecContext(t.ctx, h.row, e.Seq, e.Body); err != nil {
			return err
		}
		h.next = e.Seq + 1
	}
	t.heads[c.Run] = h
	return t.state(c, h)
}

// state replaces the state of a run. A run that parks or ends leaves the heads.
func (t *transaction) state(c *store.Change, h head) error {
	s := c.State
	if s == nil && c.Create != nil {
		s = &c.Create.State
	} else if s != nil {
		waits, err := encodeWaits(s.Waits)
		if err != nil {
			return err
		}
		_, err = t.setRun.ExecContext(t.ctx, string(s.Status), s.Reason, micros(s.Updated), micros(s.Wake), orNull(waits), s.Segment, s.Start, sumOf(h.seal, s, waits), h.row)
		if err != nil {
			return err
		}
	}
	if s != nil && (s.Status.Final() || s.Status == durable.Waiting || s.Status == durable.Paused) {
		delete(t.heads, c.Run)
	}
	return nil
}

func (t *transaction) blob(b store.Blob) error {
	key, err := hex.DecodeString(b.Hash)
	if err != nil {
		return fmt.Errorf("blob hash %q: %w", b.Hash, err)
	}
	if _, ok := t.recent.row(key); ok {
		return nil
	}
	res, err := t.insertBlob.ExecContext(t.ctx, key, b.Data)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	row, err := res.LastInsertId()
	if err == nil {
		t.recent.add(key, row)
	}
	return err
}

func encodeWaits(waits []durable.Wait) ([]byte, error) {
	if len(waits) == 0 {
		return nil, nil
	}
	return json.Marshal(waits)
}

func orNull(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
