// Package sqlite keeps runs in one SQLite file inside a data directory. It is the
// default store: pure Go, nothing to install.
//
// One goroutine owns the one write connection. It takes whatever changes are
// queued, up to 512 rows or 1 MB, commits them in one transaction and then reports
// each as done: one fsync carries many runs, and there is no batching timer. The
// database runs in WAL mode with synchronous=FULL. Reads use their own connections
// and never wait for the writer; other processes may read the same directory while
// this one writes.
//
// On the line request -> run -> step -> journal -> event -> client this is the
// floor beneath journal. It may not look into entry bodies.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	driver "modernc.org/sqlite"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

var _ store.Store = (*Store)(nil)

// File is the name of the database inside the data directory.
const File = "orpine.db"

// Config says how to open a data directory.
type Config struct {
	Dir      string // the data directory; created unless ReadOnly
	ReadOnly bool   // only read; another process may be the owner
	Owner    string // shown to others who find the directory in use: "orpine run x.yaml"

	// ProcessDurability trades safety for speed: a committed change survives the
	// death of the process, but not a power cut. Default false: every commit is
	// on the disk before it is reported done.
	ProcessDurability bool
}

// Store is an open data directory. All methods are safe for concurrent use.
type Store struct {
	dir   string
	lock  *os.File // held while open for writing, nil when read-only
	epoch int64
	write *sql.DB // one connection, used by the writer goroutine alone
	read  querier
	w     *writer

	recent *recent // blobs

	claimed string // see claim

	closing sync.Once
	closed  error
}

// querier is what reads: a pool of connections, or the one of a snapshot.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	Conn(ctx context.Context) (*sql.Conn, error)
	Close() error
}

// Open opens a data directory and takes its lock. Errors: conflict when another
// process owns it, not_found when ReadOnly finds none, invalid for a file that is
// not ours or newer than this build, unavailable when the directory cannot be used.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{dir: cfg.Dir, recent: newRecent()}
	if err := s.open(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open data directory %s: %w", cfg.Dir, err), s.release())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, cfg Config) error {
	path := filepath.Join(cfg.Dir, File)
	if cfg.ReadOnly {
		if err := s.claim(path); err != nil {
			return err
		}
		if _, err := os.Stat(path); err != nil {
			return notThere(err)
		}
		if err := openOlder(ctx, cfg.Dir); err != nil {
			return err
		}
		return s.openReader(ctx, path)
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return unusable(err)
	}
	if err := s.takeLock(cfg.Owner); err != nil {
		return err
	}
	if err := s.claim(path); err != nil {
		return err
	}
	if err := s.openWriter(ctx, path, cfg.ProcessDurability); err != nil {
		return err
	}
	return s.openReader(ctx, path)
}

// openWriter opens the write connection, makes or checks the schema and counts the epoch.
func (s *Store) openWriter(ctx context.Context, path string, processOnly bool) error {
	level := "FULL"
	if processOnly {
		level = "NORMAL"
	}
	db, err := connect(path, "journal_mode(WAL)", "synchronous("+level+")", "cache_size(-16384)", "temp_store(MEMORY)", "wal_autocheckpoint(0)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	s.write = db
	// A reader that comes upon the log at the same moment locks it to look through it.
	if err := patiently(func() error { return s.prepare(ctx, db) }); err != nil {
		return explain(err)
	}
	s.w, err = startWriter(ctx, db, path, s.recent)
	return explain(err)
}

func (s *Store) prepare(ctx context.Context, db *sql.DB) error {
	if err := prepareSchema(ctx, db); err != nil {
		return err
	}
	row := db.QueryRowContext(ctx, `INSERT INTO meta (key, value) VALUES ('epoch', 1)
		ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value`)
	if err := row.Scan(&s.epoch); err != nil {
		return err
	}
	return s.recent.look(ctx, db)
}

func (s *Store) openReader(ctx context.Context, path string) error {
	db, err := connectReader(path)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(4)
	s.read = db
	_, err = checkFormat(ctx, db)
	return explain(err)
}

// openOlder brings a database of an older format up to date before it is read.
func openOlder(ctx context.Context, dir string) error {
	db, err := connectReader(filepath.Join(dir, File))
	if err != nil {
		return err
	}
	var version, id int
	err = db.QueryRowContext(ctx, `SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id)`).Scan(&version, &id)
	if err := errors.Join(explain(err), db.Close()); err != nil || id != appID || version >= format || version < 1 {
		return err
	}
	w, err := Open(ctx, Config{Dir: dir, Owner: "upgrade"})
	if err != nil {
		return fmt.Errorf("its format is %d, this build writes %d: %w", version, format, err)
	}
	return w.Close()
}

func connect(path string, pragmas ...string) (*sql.DB, error) {
	return dial(path, url.Values{"_pragma": pragmas, "_txlock": {"immediate"}})
}

// connectReader opens for reading, and leaves everything as it is. SQLite coordinates with
// others by a file beside the database, which it makes if need be. Where it cannot, on a
// file system that is read-only or in a directory of another user, and nobody else has made
// it, nobody changes anything either.
func connectReader(path string) (*sql.DB, error) {
	query := url.Values{"_pragma": {"query_only(1)", "busy_timeout(2000)"}}
	const write = 2 // W_OK of access(2)
	log, err := os.Stat(path + logSuffix)
	hasLog := err == nil && log.Size() > 0
	denied := syscall.Access(filepath.Dir(path), write)
	_, err = os.Stat(path + "-shm")
	alone := denied != nil && (err != nil || errors.Is(denied, syscall.EROFS))
	switch {
	case hasLog && errors.Is(denied, syscall.EROFS):
		return nil, durable.Errorf(durable.CodeUnavailable,
			"the directory is on a read-only file system and was not closed well: copy it to where it can be written, and read it there")
	case hasLog && alone:
		return nil, durable.Errorf(durable.CodeUnavailable,
			"the directory was not closed well and may not be written (%w): read it as its owner, or read a copy of it", denied)
	case alone:
		query.Set("immutable", "1")
	case hasLog || denied != nil:
		query.Set("mode", "ro") // else the last one to close would move the log into the database
	}
	return dial(path, query)
}

func dial(path string, query url.Values) (*sql.DB, error) {
	c, err := driver.NewConnector("file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode())
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

// prepareSchema makes the tables of a new database and refuses a foreign one.
func prepareSchema(ctx context.Context, db *sql.DB) error {
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	if tables > 0 {
		return upgrade(ctx, db)
	}
	return transact(ctx, db, schema+fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", appID, format), nil)
}

// upgrade brings the tables of an older format up to date, in one transaction a format.
func upgrade(ctx context.Context, db *sql.DB) error {
	if older, err := checkFormat(ctx, db); err != nil || !older {
		return err
	}
	var version int
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	for ; version < format; version++ {
		step := upgrades[version]
		if err := transact(ctx, db, step.statements+fmt.Sprintf("PRAGMA user_version = %d;", version+1), step.then); err != nil {
			return durable.Errorf(durable.CodeUnavailable,
				"%s cannot be brought from format %d to %d (%w): keep the directory, restore a backup or choose another --data", File, version, version+1, err)
		}
	}
	return nil
}

func transact(ctx context.Context, db *sql.DB, statements string, then func(context.Context, *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, statements)
	if err == nil && then != nil {
		err = then(ctx, tx)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Epoch counts the openings for writing; 0 for a read-only store.
func (s *Store) Epoch() int64 { return s.epoch }

// Commit implements store.Journal.
func (s *Store) Commit(changes []*store.Change, done func(error)) {
	if s.w == nil {
		go done(durable.Errorf(durable.CodeConflict, "data directory %s is open for reading only", s.dir))
		return
	}
	s.w.commit(changes, done)
}

// Close commits what is queued and gives the directory back. Closing twice is fine.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closed = s.release() })
	return s.closed
}

func (s *Store) release() error {
	var errs []error
	if s.w != nil {
		errs = append(errs, s.w.stop())
	}
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	s.disclaim()
	return errors.Join(errs...)
}

func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// unixMicro is micros as a number: 0 for no time.
func unixMicro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(v sql.NullInt64) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return time.UnixMicro(v.Int64).UTC()
}
