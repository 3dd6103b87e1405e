package sql

import (
	"context"
	stdsql "database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/orpine-run/orpine/durable"
)

// Result is the answer to a query. A value is nil, a string, an int64 or a float64.
type Result struct {
	Columns   []string `json:"columns"`
	Rows      [][]any  `json:"rows"`
	Truncated bool     `json:"truncated"` // there are more rows than these
}

// limits bound one query.
type limits struct {
	rows    int
	bytes   int
	timeout time.Duration
}

// Query runs one SELECT. Parameters are named, :month in the text is "month" in
// params; a value is nil, a string, a boolean or a number. A result is cut at
// Config.MaxRows and MaxBytes and says so. Errors: invalid for a faulty, too long
// or too slow statement, denied for one that would do more than read.
func (d *DB) Query(ctx context.Context, query string, params map[string]any) (*Result, error) {
	return d.query(ctx, query, params, limits{d.cfg.MaxRows, d.cfg.MaxBytes, d.cfg.Timeout})
}

func (d *DB) query(ctx context.Context, query string, params map[string]any, limit limits) (*Result, error) {
	query, err := d.checkStatement(query)
	if err != nil {
		return nil, err
	}
	args, err := named(params)
	if err != nil {
		return nil, err
	}
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	timed, cancel := context.WithTimeout(ctx, limit.timeout)
	defer cancel()
	r, err := d.ask(timed, query, args, limit)
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case timed.Err() != nil:
		return nil, durable.Errorf(durable.CodeInvalid,
			"query: stopped after %s: narrow it with WHERE, or join less", limit.timeout)
	}
	return nil, d.queryError(err)
}

func (d *DB) ask(ctx context.Context, query string, args []any, limit limits) (*Result, error) {
	// The statement alone has to be one: its faults are told in its own words, and
	// it cannot reach out of the brackets it is put into below.
	if err := d.compile(ctx, query); err != nil {
		return nil, err
	}
	// Materialized, the whole work is done in the first step, which is the one the
	// driver interrupts when the context ends; the rows are then only fetched.
	bounded := fmt.Sprintf("WITH answer AS MATERIALIZED (SELECT * FROM (\n%s\n) LIMIT %d) SELECT * FROM answer",
		query, limit.rows+1)
	rows, err := d.conn.QueryContext(ctx, bounded, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err below tells
	r := &Result{Rows: [][]any{}}
	if r.Columns, err = rows.Columns(); err != nil {
		return nil, err
	}
	for i, c := range r.Columns {
		r.Columns[i] = withoutSuffix(c)
	}
	size := 0
	for rows.Next() {
		row := make([]any, len(r.Columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, v := range row {
			row[i] = plain(v)
			size += width(row[i])
		}
		if len(r.Rows) == limit.rows || size > limit.bytes {
			r.Truncated = true
			break
		}
		r.Rows = append(r.Rows, row)
	}
	return r, rows.Err()
}

// compile checks a statement without running it.
func (d *DB) compile(ctx context.Context, query string) error {
	stmt, err := d.conn.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer stmt.Close() //nolint:errcheck // it was never run
	return nil
}

// withoutSuffix undoes what SQLite appends to a column name that comes twice.
func withoutSuffix(name string) string {
	if i := strings.LastIndexByte(name, ':'); i > 0 && i < len(name)-1 && digits(name[i+1:]) {
		return name[:i]
	}
	return name
}

// plain makes a value JSON can hold.
func plain(v any) any {
	switch v := v.(type) {
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case string:
		return strings.ToValidUTF8(v, "\uFFFD")
	}
	return v
}

func width(v any) int {
	if s, ok := v.(string); ok {
		return len(s) + 3
	}
	return 12
}

var reading = regexp.MustCompile(`(?i)^\s*(select|with|values)\b`)

// checkStatement returns the text of the one statement in query.
func (d *DB) checkStatement(query string) (string, error) {
	if len(query) > d.cfg.MaxStatement {
		return "", durable.Errorf(durable.CodeInvalid, "query: %d bytes long, at most %d are taken",
			len(query), d.cfg.MaxStatement)
	}
	if strings.IndexByte(query, 0) >= 0 {
		return "", durable.Errorf(durable.CodeInvalid, "query: holds a NUL byte")
	}
	text, err := scan(query)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(text.plain) == "" {
		return "", durable.Errorf(durable.CodeInvalid, "query: empty: write one SELECT over %s", d.summary())
	}
	if !reading.MatchString(text.plain) {
		return "", durable.Errorf(durable.CodeDenied, "query: only reading is allowed: write one SELECT over %s", d.summary())
	}
	return query[:text.end], nil
}

func named(params map[string]any) ([]any, error) {
	args := make([]any, 0, len(params))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		v := params[name]
		switch t := v.(type) {
		case nil, string, bool, int, int64, float64:
		case json.Number:
			if n, err := t.Int64(); err == nil {
				v = n
			} else if f, err := t.Float64(); err == nil {
				v = f
			} else {
				v = t.String()
			}
		case Decimal:
			v = t.String()
		default:
			return nil, durable.Errorf(durable.CodeInvalid, "query: parameter %s is a %T: want text, a number or null", name, v)
		}
		if !identifier(name) {
			return nil, durable.Errorf(durable.CodeInvalid, "query: parameter %q: want letters, digits and _", name)
		}
		args = append(args, stdsql.Named(name, v))
	}
	return args, nil
}

func identifier(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '_' && (r < '0' || r > '9')) {
			return false
		}
	}
	return name != ""
}

// summary names the tables, for messages.
func (d *DB) summary() string {
	names := make([]string, len(d.tables))
	for i, t := range d.tables {
		names[i] = t.Name
	}
	return strings.Join(names, ", ")
}

func diskFull(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlite3.SQLITE_FULL
}

var (
	driverPrefix = regexp.MustCompile(`^(SQL logic error|constraint failed|not authorized|authorization denied): `)
	driverSuffix = regexp.MustCompile(` \(\d+\)$`)
	noSuch       = regexp.MustCompile(`no such (table|column): "?([^"\s]+)"?`)
)

// queryError turns what the driver says into an error with a code and a hint.
func (d *DB) queryError(err error) error {
	message := driverSuffix.ReplaceAllString(err.Error(), "")
	message = driverPrefix.ReplaceAllString(message, "")
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return durable.Errorf(durable.CodeInvalid, "query: %s", message)
	}
	code := e.Code() & 0xff
	if strings.HasPrefix(message, "not authorized") { // functions are refused with SQLITE_ERROR
		code = sqlite3.SQLITE_AUTH
	}
	switch code {
	case sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY:
		return durable.Errorf(durable.CodeDenied, "query: %s: only reading %s is allowed", message, d.summary())
	case sqlite3.SQLITE_FULL:
		return durable.Errorf(durable.CodeExhausted, "query: no room for its intermediate rows: free disk space: %s", message)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM:
		return durable.Errorf(durable.CodeUnavailable, "query: %s", message)
	}
	return durable.Errorf(durable.CodeInvalid, "query: %s%s", message, d.hint(message))
}

// hint says what a name that does not exist may have meant.
func (d *DB) hint(message string) string {
	m := noSuch.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	name := m[2][strings.LastIndexByte(m[2], '.')+1:]
	var names []string
	for _, t := range d.tables {
		if m[1] == "table" {
			names = append(names, t.Name)
		} else {
			names = append(names, t.Columns...)
		}
	}
	if near := nearest(name, names); near != "" {
		return "; did you mean " + near + "?"
	}
	const show = 60
	if len(names) > show {
		names = append(names[:show:show], "...")
	}
	return "; there are: " + strings.Join(names, ", ")
}
