package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/orpine-run/orpine/durable"
)

// Config says what [Open] loads and what a query may use up.
type Config struct {
	// Tables maps the name of a table to the path of its CSV file.
	Tables map[string]string
	// Schemas says what is expected of a table; a table without one keeps every
	// column as text.
	Schemas map[string]Schema
	// FS is where paths are opened; nil = the operating system's files.
	FS fs.FS
	// MaxRows is how many rows a result holds; default 200.
	MaxRows int
	// MaxBytes bounds the text of a result; default 256 KB.
	MaxBytes int
	// MaxStatement is the longest statement in bytes; default 32 KB.
	MaxStatement int
	// Timeout bounds one query; default 30 s.
	Timeout time.Duration
	// CacheBytes is the page cache; default 64 MB. What is larger goes to disk.
	CacheBytes int
	// Progress is told now and then while a file is loaded, and at its end. It may be nil.
	Progress func(Progress)
}

// Schema says what is expected of a table. The table then has the columns named
// here and no others: in the order Required, Optional; an optional column that the
// file lacks is there and NULL.
type Schema struct {
	Required []string
	Optional []string
	Decimal  []string // columns whose values are numbers, where they are not NULL
	Time     []string // columns whose values are UTC times, where they are not NULL
	NotNull  []string // columns that always have a value
}

// Progress says how far the loading of a file is.
type Progress struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"` // read so far
	Size  int64  `json:"size"`  // of the file, 0 where unknown
}

// Table describes what was loaded.
type Table struct {
	Name    string   `json:"name"`
	Path    string   `json:"path"`
	Columns []string `json:"columns"`
	Missing []string `json:"missing,omitempty"` // optional columns the file lacks
	Rows    int64    `json:"rows"`
	Bytes   int64    `json:"bytes"`
	SHA256  string   `json:"sha256"` // of the file, lower-case hexadecimal
}

// DB is a set of CSV files that can be asked with SQL. Its methods are safe for
// concurrent use; queries run one after the other.
type DB struct {
	cfg    Config
	pool   *stdsql.DB
	conn   *stdsql.Conn  // the database lives as long as this connection
	turn   chan struct{} // held by the query that runs
	tables []Table
}

const (
	defaultRows      = 200
	defaultBytes     = 256 << 10
	defaultStatement = 32 << 10
	defaultTimeout   = 30 * time.Second
	defaultCache     = 64 << 20
)

// Open loads the tables. Every fault of a file is an *durable.Error (invalid,
// not_found, denied; exhausted where the disk is full) that names file, line and
// column and says how to mend it; nothing is kept of a file with a fault.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg.MaxRows = or(cfg.MaxRows, defaultRows)
	cfg.MaxBytes = or(cfg.MaxBytes, defaultBytes)
	cfg.MaxStatement = or(cfg.MaxStatement, defaultStatement)
	cfg.CacheBytes = or(cfg.CacheBytes, defaultCache)
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if len(cfg.Tables) == 0 {
		return nil, durable.Errorf(durable.CodeInvalid, "sql: no tables: name at least one CSV file")
	}
	driver, err := newDriver()
	if err != nil {
		return nil, durable.Errorf(durable.CodeInternal, "register SQL functions: %w", err)
	}
	pool := stdsql.OpenDB(connector{driver})
	pool.SetMaxOpenConns(1)
	d := &DB{cfg: cfg, pool: pool, turn: make(chan struct{}, 1)}
	if err := d.fill(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func or(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

// fill loads all tables and then closes the database to everything but reading.
func (d *DB) fill(ctx context.Context) error {
	var err error
	if d.conn, err = d.pool.Conn(ctx); err != nil {
		return durable.Errorf(durable.CodeInternal, "open a private database: %w", err)
	}
	// Nothing here outlives the process, so nothing has to survive a crash.
	setup := []string{
		"PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA temp_store=FILE",
		fmt.Sprintf("PRAGMA cache_size=-%d", max(d.cfg.CacheBytes>>10, 1)),
	}
	for _, pragma := range setup {
		if _, err := d.conn.ExecContext(ctx, pragma); err != nil {
			return durable.Errorf(durable.CodeInternal, "set up a private database: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Tables)) {
		table, err := d.load(ctx, name)
		if err != nil {
			return err
		}
		d.tables = append(d.tables, table)
	}
	return d.lock(ctx)
}

// lock makes the connection read-only.
func (d *DB) lock(ctx context.Context) error {
	limits := map[int]int{
		sqlite3.SQLITE_LIMIT_LENGTH:     2 * maxRecord,
		sqlite3.SQLITE_LIMIT_SQL_LENGTH: d.cfg.MaxStatement + 1024,
		sqlite3.SQLITE_LIMIT_ATTACHED:   0,
		sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
	}
	for id, limit := range limits {
		if _, err := sqlite.Limit(d.conn, id, limit); err != nil {
			return durable.Errorf(durable.CodeInternal, "limit the private database: %w", err)
		}
	}
	if _, err := d.conn.ExecContext(ctx, "PRAGMA query_only=ON"); err != nil {
		return durable.Errorf(durable.CodeInternal, "make the private database read-only: %w", err)
	}
	err := d.conn.Raw(func(c any) error {
		r, ok := c.(sqlite.AuthorizerRegisterer)
		if !ok {
			return errors.New("the driver has no authorizer")
		}
		return r.RegisterAuthorizer(d.authorize)
	})
	if err != nil {
		return durable.Errorf(durable.CodeInternal, "guard the private database: %w", err)
	}
	return nil
}

// authorize allows reading the loaded tables with functions, and nothing else.
func (d *DB) authorize(action sqlite.AuthorizerActionCode, arg1, arg2, _, _ string) sqlite.AuthorizerReturnCode {
	switch action {
	case sqlite.AuthSelect:
		return sqlite.AuthorizerOK
	case sqlite.AuthRead:
		if d.readable(arg1) {
			return sqlite.AuthorizerOK
		}
	case sqlite.AuthFunction:
		name := strings.ToLower(arg2)
		if name != "load_extension" && !strings.HasPrefix(name, "fts") && !strings.HasPrefix(name, "rtree") {
			return sqlite.AuthorizerOK
		}
	default:
	}
	return sqlite.AuthorizerDeny
}

func (d *DB) readable(table string) bool {
	switch strings.ToLower(table) {
	case "", "json_each", "json_tree", "sqlite_master", "sqlite_schema":
		return true
	}
	return slices.ContainsFunc(d.tables, func(t Table) bool { return strings.EqualFold(t.Name, table) })
}

// Close frees the database. It is safe to call twice.
func (d *DB) Close() error {
	var errs []error
	if d.conn != nil {
		if err := d.conn.Close(); err != nil && !errors.Is(err, stdsql.ErrConnDone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, d.pool.Close())...)
}

// Tables describes the loaded tables in the order of their names.
func (d *DB) Tables() []Table { return slices.Clone(d.tables) }

// quote writes a name as SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
