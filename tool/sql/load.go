package sql

import (
	"context"
	"crypto/sha256"
	stdsql "database/sql"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orpine-run/orpine/durable"
)

const (
	batchRows   = 100   // rows of one INSERT
	batchParams = 30000 // parameters of one INSERT; SQLite takes 32,766
	maxColumns  = 1900  // SQLite takes 2,000
	reportEvery = 5000  // rows between two calls of Progress
)

// loader streams one CSV file into one table.
type loader struct {
	file    string // as the caller named it, for messages
	table   string
	header  []string
	columns []column
	rows    int64

	conn   *stdsql.Conn
	insert *stdsql.Stmt // of a whole batch
	size   int          // rows of a whole batch
	args   []any        // of the batch that is being filled
}

// column is a column of the table.
type column struct {
	name    string
	from    int // its index in the file, -1 = the file lacks it
	decimal bool
	time    bool
	notNull bool
}

// load streams the file of a table into it.
func (d *DB) load(ctx context.Context, name string) (Table, error) {
	path := d.cfg.Tables[name]
	if err := checkTableName(name); err != nil {
		return Table{}, err
	}
	f, size, err := openCSV(d.cfg.FS, path)
	if err != nil {
		return Table{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	l := &loader{file: path, table: name, conn: d.conn}
	hash := sha256.New()
	counted := &counter{r: io.TeeReader(f, hash)}
	in, err := newReader(path, counted)
	if err != nil {
		return Table{}, err
	}
	if err := l.readHeader(in, d.cfg.Schemas, name); err != nil {
		return Table{}, err
	}
	report := func() {
		if d.cfg.Progress != nil {
			d.cfg.Progress(Progress{Table: name, Rows: l.rows, Bytes: counted.n, Size: size})
		}
	}
	if err := l.fill(ctx, in, report); err != nil {
		return Table{}, err
	}
	if _, err := io.Copy(io.Discard, counted); err != nil { // the hash is of the whole file
		return Table{}, readError(path, err)
	}
	report()
	t := Table{Name: name, Path: path, Rows: l.rows, Bytes: counted.n, SHA256: hex.EncodeToString(hash.Sum(nil))}
	for _, c := range l.columns {
		t.Columns = append(t.Columns, c.name)
		if c.from < 0 {
			t.Missing = append(t.Missing, c.name)
		}
	}
	return t, nil
}

func checkTableName(name string) error {
	ok := name != "" && len(name) <= 64 && !strings.HasPrefix(strings.ToLower(name), "sqlite_")
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		ok = ok && (letter || i > 0 && r >= '0' && r <= '9')
	}
	if !ok {
		return durable.Errorf(durable.CodeInvalid,
			"table name %q: want letters, digits and _, not beginning with a digit or sqlite_", name)
	}
	return nil
}

// readHeader reads the first record and decides the columns of the table.
func (l *loader) readHeader(in *reader, schemas map[string]Schema, name string) error {
	record, err := in.read()
	if errors.Is(err, io.EOF) {
		return durable.Errorf(durable.CodeInvalid, "%s: the file is empty: want a header line and rows", l.file)
	}
	if err != nil {
		return err
	}
	l.header = slices.Clone(record)
	if err := checkHeader(l.file, l.header); err != nil {
		return err
	}
	schema, ok := schemas[name]
	if !ok {
		for i, h := range l.header {
			l.columns = append(l.columns, column{name: h, from: i})
		}
		return nil
	}
	if err := checkRequired(l.file, l.header, schema.Required); err != nil {
		return err
	}
	for _, h := range slices.Concat(schema.Required, schema.Optional) {
		l.columns = append(l.columns, column{
			name: h, from: slices.Index(l.header, h),
			decimal: slices.Contains(schema.Decimal, h),
			time:    slices.Contains(schema.Time, h),
			notNull: slices.Contains(schema.NotNull, h),
		})
	}
	return nil
}

// fill creates the table and inserts all rows in one transaction.
func (l *loader) fill(ctx context.Context, in *reader, report func()) error {
	names := make([]string, len(l.columns))
	for i, c := range l.columns {
		names[i] = quote(c.name) + " TEXT"
	}
	exec := func(query string) error {
		if _, err := l.conn.ExecContext(ctx, query); err != nil {
			return l.storeError(ctx, err)
		}
		return nil
	}
	if err := exec("CREATE TABLE " + quote(l.table) + " (" + strings.Join(names, ", ") + ")"); err != nil {
		return err
	}
	if err := exec("BEGIN"); err != nil {
		return err
	}
	l.size = max(1, min(batchRows, batchParams/(len(l.columns)+1)))
	var err error
	if l.insert, err = l.prepare(ctx, l.size); err != nil {
		return err
	}
	defer l.insert.Close() //nolint:errcheck // nothing depends on it any more
	if err := l.readRows(ctx, in, report); err != nil {
		return err
	}
	if l.rows == 0 {
		return durable.Errorf(durable.CodeInvalid, "%s: the file has a header and no rows", l.file)
	}
	return exec("COMMIT")
}

// prepare makes the INSERT of so many rows. The row id is the line of the file.
func (l *loader) prepare(ctx context.Context, rows int) (*stdsql.Stmt, error) {
	var b strings.Builder
	b.WriteString("INSERT INTO " + quote(l.table) + " (_rowid_")
	for _, c := range l.columns {
		b.WriteString(", " + quote(c.name))
	}
	b.WriteString(") VALUES ")
	one := "(?" + strings.Repeat(",?", len(l.columns)) + ")"
	b.WriteString(one + strings.Repeat(","+one, rows-1))
	stmt, err := l.conn.PrepareContext(ctx, b.String())
	if err != nil {
		return nil, l.storeError(ctx, err)
	}
	return stmt, nil
}

func (l *loader) readRows(ctx context.Context, in *reader, report func()) error {
	for {
		record, err := in.read()
		if errors.Is(err, io.EOF) {
			return l.flush(ctx)
		}
		if err != nil {
			return err
		}
		if err := l.add(in, record); err != nil {
			return err
		}
		l.rows++
		if len(l.args) == l.size*(len(l.columns)+1) {
			if _, err := l.insert.ExecContext(ctx, l.args...); err != nil {
				return l.storeError(ctx, err)
			}
			l.args = l.args[:0]
		}
		if l.rows%reportEvery == 0 {
			report()
		}
	}
}

// flush inserts the rows of the last, partial batch.
func (l *loader) flush(ctx context.Context) error {
	rows := len(l.args) / (len(l.columns) + 1)
	if rows == 0 {
		return nil
	}
	stmt, err := l.prepare(ctx, rows)
	if err != nil {
		return err
	}
	defer stmt.Close() //nolint:errcheck // nothing depends on it any more
	if _, err := stmt.ExecContext(ctx, l.args...); err != nil {
		return l.storeError(ctx, err)
	}
	return nil
}

// add checks a record and puts it into the batch.
func (l *loader) add(in *reader, record []string) error {
	if len(record) != len(l.header) {
		line, _ := in.pos(0)
		return durable.Errorf(durable.CodeInvalid,
			"%s:%d: expected %d fields as in the header, has %d: a missing or unquoted comma?",
			l.file, line, len(l.header), len(record))
	}
	for i, v := range record {
		if !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0 {
			line, col := in.pos(i)
			return durable.Errorf(durable.CodeInvalid,
				"%s:%d:%d: column %s is not UTF-8 text: save the file as UTF-8", l.file, line, col, l.header[i])
		}
	}
	line, _ := in.pos(0)
	l.args = append(l.args, int64(line))
	for _, c := range l.columns {
		if c.from < 0 {
			l.args = append(l.args, nil)
			continue
		}
		v := record[c.from]
		if v == "" || v == "NULL" {
			if c.notNull {
				line, col := in.pos(c.from)
				return durable.Errorf(durable.CodeInvalid, "%s:%d:%d: column %s has no value", l.file, line, col, c.name)
			}
			l.args = append(l.args, nil)
			continue
		}
		if err := l.check(in, c, v); err != nil {
			return err
		}
		l.args = append(l.args, v)
	}
	return nil
}

func (l *loader) check(in *reader, c column, v string) error {
	want := ""
	if c.decimal {
		if _, err := ParseDecimal(v); err != nil {
			want = "a number such as 12.50, without separators or currency sign"
		}
	}
	if c.time && !isTime(v) {
		want = "a UTC time such as 2024-09-18 22:00:00 or 2024-09-18T22:00:00Z"
	}
	if want == "" {
		return nil
	}
	line, col := in.pos(c.from)
	return durable.Errorf(durable.CodeInvalid, "%s:%d:%d: column %s holds %s: want %s",
		l.file, line, col, c.name, show(v), want)
}

func isTime(v string) bool {
	for _, layout := range []string{time.DateTime, time.RFC3339, time.DateOnly, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, v); err == nil {
			_, offset := t.Zone()
			return offset == 0
		}
	}
	return false
}

func (l *loader) storeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if diskFull(err) {
		return durable.Errorf(durable.CodeExhausted,
			"load %s: no room for the temporary database: free disk space or set SQLITE_TMPDIR to a larger disk: %w", l.file, err)
	}
	return durable.Errorf(durable.CodeInternal, "load %s into a table: %w", l.file, err)
}
