package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	driver "modernc.org/sqlite"
)

// Bounds of one commit of the floors, those of the product's writer.
const (
	floorRows  = 512
	floorBytes = 1 << 20
)

// floorShare is the part of the window that one floor takes, within its bounds.
const (
	floorShare = 5
	floorLeast = 50 * time.Millisecond
	floorMost  = time.Second
)

// floors measures the floors that every workload has: as many at once as the workload
// has runs, the same payload, the same disk.
func (b *bench) floors(ctx context.Context) (Floor, error) {
	if b.NoFloor {
		return Floor{}, nil
	}
	b.Progress("the floor of this machine")
	dir := filepath.Join(b.Dir, "floor")
	if err := os.Mkdir(dir, 0o750); err != nil {
		return Floor{}, err
	}
	d := min(max(b.window()/floorShare, floorLeast), floorMost)
	if b.Workload == Floors {
		d = b.window()
	}
	f, err := b.floorsIn(ctx, dir, d)
	if err != nil {
		return f, fmt.Errorf("measure the floor: %w", err)
	}
	return f, os.RemoveAll(dir)
}

func (b *bench) floorsIn(ctx context.Context, dir string, d time.Duration) (f Floor, err error) {
	at := b.atOnce()
	if f.Raw, err = b.rawFloor(ctx, dir, d, at); err != nil {
		return f, err
	}
	db, err := openBare(ctx, filepath.Join(dir, "floor.db"), b.Durability)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	body := []byte(b.text.next(b.Payload))
	seq := make([]int64, at+1)
	insert := func(who []int) error {
		rows := make([]bareRow, len(who))
		for i, w := range who {
			rows[i] = bareRow{int64(w), seq[w], body}
			seq[w]++
		}
		return db.commit(ctx, rows)
	}
	if f.SQLite, err = groupCommit(ctx, d, at, b.Payload, insert); err != nil {
		return f, err
	}
	var alone latency
	for began := time.Now(); time.Since(began) < d/2; {
		before := time.Now()
		if err := insert([]int{at}); err != nil {
			return f, err
		}
		alone.add(time.Since(before))
	}
	f.SQLiteP50 = alone.quantile(0.5)
	return f, ctx.Err()
}

// atOnce is how many runs are in motion at the same time.
func (b *bench) atOnce() int {
	switch b.Workload {
	case Parked, Recover:
		return min(b.Runs, starters)
	case Thread:
		return 1
	}
	return b.Runs
}

func (b *bench) floorAlone(ctx context.Context) (Result, error) {
	res := Result{Runs: b.Runs, Secs: b.Secs, RSS: rssMB()}
	m, err := b.noDurable(ctx, b.window())
	if err != nil {
		return res, err
	}
	res.Floor.NoDurable = float64(m.runs.Load()) / m.took.Seconds()
	return res, nil
}

// rawFloor appends records to a file: as much as the disk gives to anybody who wants
// each record to be there before he goes on.
func (b *bench) rawFloor(ctx context.Context, dir string, d time.Duration, at int) (perS float64, err error) {
	f, err := os.Create(filepath.Join(dir, "raw.log"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	record := b.text.next(b.Payload)
	var buf []byte
	return groupCommit(ctx, d, at, b.Payload, func(who []int) error {
		buf = buf[:0]
		for range who {
			buf = append(buf, record...)
		}
		if _, err := f.Write(buf); err != nil || b.Durability == Process {
			return err
		}
		return flush(f)
	})
}

// groupCommit lets so many submitters hand in one record each, wait until it is
// committed and hand in the next. One goroutine commits whatever is there. It returns
// how many were committed in a second.
func groupCommit(ctx context.Context, d time.Duration, submitters, size int, commit func(who []int) error) (float64, error) {
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	queue := make(chan int, submitters)
	acks := make([]chan struct{}, submitters)
	var wg sync.WaitGroup
	for i := range submitters {
		acks[i] = make(chan struct{}, 1)
		wg.Go(func() {
			for ctx.Err() == nil {
				queue <- i // never full: each has one record in it at most
				select {
				case <-acks[i]:
				case <-ctx.Done():
				}
			}
		})
	}
	most := max(min(floorRows, floorBytes/size), 1)
	who := make([]int, 0, most)
	count := 0
	began := time.Now()
	for ctx.Err() == nil {
		select {
		case w := <-queue:
			who = append(who[:0], w)
		case <-ctx.Done():
			continue
		}
		for more := true; more && len(who) < most; {
			select {
			case w := <-queue:
				who = append(who, w)
			default:
				more = false
			}
		}
		if err := commit(who); err != nil {
			stop()
			wg.Wait()
			return 0, err
		}
		count += len(who)
		for _, w := range who {
			acks[w] <- struct{}{}
		}
	}
	took := time.Since(began)
	wg.Wait()
	return float64(count) / took.Seconds(), nil
}

// bare is SQLite without anything around it, with the tables and the settings of the
// store as they were when this yardstick was made: it does not change with the store.
type bare struct {
	db                    *sql.DB
	conn                  *sql.Conn
	begin, insert, finish *sql.Stmt
}

type bareRow struct {
	run, seq int64
	body     []byte
}

func openBare(ctx context.Context, path string, d Durability) (*bare, error) {
	level := "FULL"
	if d == Process {
		level = "NORMAL"
	}
	query := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(" + level + ")", "cache_size(-16384)", "temp_store(MEMORY)"}}
	c, err := driver.NewConnector("file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode())
	if err != nil {
		return nil, err
	}
	b := &bare{db: sql.OpenDB(c)}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bare) prepare(ctx context.Context) (err error) {
	if b.conn, err = b.db.Conn(ctx); err != nil {
		return err
	}
	const schema = `
		CREATE TABLE ev (g INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL);
		CREATE UNIQUE INDEX ev_run_seq ON ev (run, seq);`
	if _, err := b.conn.ExecContext(ctx, schema); err != nil {
		return err
	}
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&b.begin, `BEGIN IMMEDIATE`}, {&b.insert, `INSERT INTO ev (run, seq, body) VALUES (?, ?, ?)`}, {&b.finish, `COMMIT`},
	} {
		if *p.stmt, err = b.conn.PrepareContext(ctx, p.query); err != nil { //nolint:sqlclosecheck // close does
			return err
		}
	}
	return nil
}

func (b *bare) commit(ctx context.Context, rows []bareRow) error {
	ctx = context.WithoutCancel(ctx) // a commit is finished once it has begun
	if _, err := b.begin.ExecContext(ctx); err != nil {
		return err
	}
	for _, r := range rows {
		if _, err := b.insert.ExecContext(ctx, r.run, r.seq, r.body); err != nil {
			return err
		}
	}
	_, err := b.finish.ExecContext(ctx)
	return err
}

func (b *bare) close() error {
	var errs []error
	for _, s := range []*sql.Stmt{b.begin, b.insert, b.finish} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if b.conn != nil {
		errs = append(errs, b.conn.Close())
	}
	return errors.Join(append(errs, b.db.Close())...)
}
