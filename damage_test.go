package orpine_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// The tests below damage data directories and require that Verify finds it, unless all
// that can be read is what it was: then the damage is where nothing is kept.

// damageable are the golden journals that are damaged.
var damageable = []string{"ended", "agent-doubt", "children", "timer", "forked"}

// meaning is a hash of everything that can be read of a data directory: the rows of its
// runs, their entries and all blobs.
func meaning(ctx context.Context, dir string) (string, error) {
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir, ReadOnly: true})
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	err = read(ctx, s, func(format string, args ...any) { fmt.Fprintf(sum, format+"\n", args...) })
	return fmt.Sprintf("%x", sum.Sum(nil)), errors.Join(err, s.Close())
}

// row is a run as text, but for its N: only the order of runs says anything.
func row(r store.Run) string {
	r.N = 0
	text, err := json.Marshal(r)
	return fmt.Sprint(string(text), err)
}

func read(ctx context.Context, s store.Store, add func(string, ...any)) error {
	runs, err := s.List(ctx, durable.Filter{Limit: 1000})
	if err != nil {
		return err
	}
	slices.SortFunc(runs, func(a, b store.Run) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for _, r := range runs {
		add("%s %v", row(r), r.Fault)
		one, err := s.Run(ctx, r.ID)
		add("%s", row(one))
		entries, errEntries := s.Entries(ctx, r.ID, -1, 10000)
		last, errLast := s.Last(ctx, r.ID)
		if err := errors.Join(err, errEntries, errLast); err != nil {
			return err
		}
		add("%v %v", entries, last)
	}
	newest, err := s.List(ctx, durable.Filter{Limit: 1000})
	if err != nil {
		return err
	}
	for _, r := range newest {
		add("%s", r.ID)
	}
	hashes, _, err := s.Hashes(ctx, 0, 10000)
	if err != nil {
		return err
	}
	slices.Sort(hashes)
	for _, hash := range hashes {
		data, err := s.Blob(ctx, hash)
		if err != nil {
			return err
		}
		add("%s %x", hash, data)
	}
	return nil
}

// verifies returns what Verify finds in a directory, an error to open it included.
func verifies(ctx context.Context, dir string) []string {
	r, err := orpine.OpenReader(ctx, dir)
	if err != nil {
		return []string{err.Error()}
	}
	h, err := r.Verify(ctx, orpine.Verification{Deep: true})
	if err := errors.Join(err, r.Close()); err != nil {
		h.Problems = append(h.Problems, err.Error())
	}
	return h.Problems
}

// TestTamper changes every column of every table that makes up runs, row by row.
func TestTamper(t *testing.T) {
	t.Parallel()
	for _, name := range damageable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := unpackGolden(t, "testdata/journals/v1/"+name+".db.gz")
			if found := verifies(t.Context(), whole); len(found) > 0 {
				t.Fatalf("before anything: %v", found)
			}
			want, err := meaning(t.Context(), whole)
			if err != nil {
				t.Fatal(err)
			}
			found, harmless := 0, map[string]int{}
			for i, change := range changes(t, whole) {
				if testing.Short() && i%7 != len(name)%7 {
					continue
				}
				dir := t.TempDir()
				copyFile(t, filepath.Join(whole, sqlite.File), filepath.Join(dir, sqlite.File))
				if changed, err := statement(t.Context(), dir, change.sql); err != nil || !changed {
					continue // a constraint does not allow it, or it is so already
				}
				problems := verifies(t.Context(), dir)
				got, err := meaning(t.Context(), dir)
				switch {
				case len(problems) > 0:
					found++
					if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, change.names) }) {
						t.Errorf("%s: found, but %q is not named: %v", change.sql, change.names, problems)
					}
				case err != nil || got != want:
					t.Errorf("%s: not found, though runs are not what they were (error %v)", change.sql, err)
				default:
					harmless[change.column]++
				}
			}
			for column := range harmless {
				if column != "ev.g" && column != "blob.n" && column != "run.waits" {
					t.Errorf("changing %s changed nothing", column)
				}
			}
			t.Logf("%d changes found, harmless: %v", found, harmless)
		})
	}
}

// change is one change to a database, and what must be named when it is found.
type change struct{ sql, column, names string }

func changes(t *testing.T, dir string) []change {
	t.Helper()
	db := rawDB(t, dir)
	defer closeDB(t, db)
	var list []change
	for table, where := range map[string]string{
		"run": `SELECT n, id FROM run`, "blob": `SELECT n, '' FROM blob`,
		"ev": `SELECT g, run.id FROM ev JOIN run ON run.n = ev.run WHERE g % 3 = 0 OR seq < 2`,
	} {
		columns := strings.Fields(ask1(t, db, `SELECT group_concat(name, ' ') FROM pragma_table_info(?)`, table))
		list = append(list, changesOf(t, db, table, where, columns)...)
	}
	return list
}

// changesOf are those to the rows of one table.
func changesOf(t *testing.T, db *sql.DB, table, where string, columns []string) (list []change) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // its error is that of Err
	for rows.Next() {
		var key int64
		var names string
		if err := rows.Scan(&key, &names); err != nil {
			t.Fatal(err)
		}
		for _, c := range columns {
			at := names
			if c == "id" || c == "n" || c == "run" {
				at = "" // whose it was cannot be told any more
			}
			values := []string{
				c + ` + 1`, `-` + c, `0`, `NULL`, `''`, `'x'`, c + ` || 'x'`, `substr(` + c + `, 2)`, `upper(` + c + `)`,
				`CAST(substr(` + c + `, 1, 20) || x'00' || substr(` + c + `, 22) AS BLOB)`,
			}
			if c == "base" {
				values = append(values, `id`, `(SELECT id FROM run r ORDER BY n DESC LIMIT 1)`) // a fork of itself, or of a younger one
			}
			for _, value := range values {
				list = append(list, change{
					sql:    fmt.Sprintf(`UPDATE %s SET %s = %s WHERE %s = %d AND %s IS NOT %s`, table, c, value, columns[0], key, c, value),
					column: table + "." + c, names: at,
				})
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func rawDB(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func closeDB(t *testing.T, db *sql.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func ask1(t *testing.T, db *sql.DB, query string, args ...any) (text string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// statement changes a database; changed is false when no row was.
func statement(ctx context.Context, dir, text string) (changed bool, err error) {
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
	if err != nil {
		return false, err
	}
	res, err := db.ExecContext(ctx, text)
	if err == nil {
		n, errRows := res.RowsAffected()
		changed, err = n > 0, errRows
	}
	return changed, errors.Join(err, db.Close())
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBits flips bits of the database file: every one of its header, then some
// in pages that are drawn, one at a time.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	draws := 1000
	if testing.Short() {
		draws = 150
	}
	for i, name := range damageable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := unpackGolden(t, "testdata/journals/v1/"+name+".db.gz")
			want, err := meaning(t.Context(), whole)
			if err != nil {
				t.Fatal(err)
			}
			file, err := os.ReadFile(filepath.Join(whole, sqlite.File))
			if err != nil {
				t.Fatal(err)
			}
			draw := rand.New(rand.NewPCG(uint64(i), 1)) //nolint:gosec // a test that can be repeated
			bits := make([]int, 0, draws+800)
			for bit := range 800 { // of the header
				if !testing.Short() || bit%4 == i%4 {
					bits = append(bits, bit)
				}
			}
			for range draws {
				bits = append(bits, draw.IntN(8*len(file)))
			}
			found, dir := 0, t.TempDir()
			for _, bit := range bits {
				if flip(t, dir, file, bit, want) {
					found++
				}
			}
			t.Logf("%d of %d bits found; the others are where nothing is kept", found, len(bits))
			if found < len(bits)/10 {
				t.Error("hardly any were found")
			}
		})
	}
}

// flip reports whether a flipped bit is found. One that is not must have changed nothing.
func flip(t *testing.T, dir string, file []byte, bit int, want string) bool {
	t.Helper()
	file[bit/8] ^= 1 << (bit % 8)
	defer func() { file[bit/8] ^= 1 << (bit % 8) }()
	if err := os.WriteFile(filepath.Join(dir, sqlite.File), file, 0o600); err != nil {
		t.Fatal(err)
	}
	found := len(verifies(t.Context(), dir)) > 0
	if !found {
		if got, err := meaning(t.Context(), dir); err != nil || got != want {
			t.Errorf("bit %d of byte %d of %d: not found, though runs are not what they were (error %v)", bit%8, bit/8, len(file), err)
		}
	}
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o750)); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestVerifyNames: each of several damaged things is named, once and for what it is.
func TestVerifyNames(t *testing.T) {
	t.Parallel()
	dir := unpackGolden(t, "testdata/journals/v1/ended.db.gz")
	db := rawDB(t, dir)
	ids := strings.Fields(ask1(t, db, `SELECT group_concat(id, ' ') FROM (SELECT id FROM run ORDER BY n)`))
	child := ids[slices.IndexFunc(ids, func(id string) bool { return len(id) == 16 })]
	for _, text := range []string{
		`UPDATE ev SET body = CAST(replace(CAST(body AS TEXT), 'did one', 'did two') AS BLOB) WHERE seq = 2 AND run = 1`,
		`DELETE FROM ev WHERE run = 1 AND seq IN (4, 5)`,
		`DELETE FROM ev WHERE seq = 1 AND run = (SELECT n FROM run WHERE id = '` + child + `')`,
		`UPDATE run SET status = 'succeeded' WHERE id = 'failed'`,
		`DELETE FROM blob`,
		`INSERT INTO ev (run, seq, body) VALUES (999, 0, 'x')`,
	} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	closeDB(t, db)
	got := verifies(t.Context(), dir)
	for _, want := range []string{
		"run main: entries 4 to 5 are missing", "run " + child + ": entry 1 is missing",
		"the row of run failed is damaged: the checksum of its status does not match",
		"output: blob ", "belong to no run: there is no row 999",
	} {
		if n := len(slices.Collect(func(yield func(string) bool) {
			for _, p := range got {
				if strings.Contains(p, want) && !yield(p) {
					return
				}
			}
		})); n != 1 {
			t.Errorf("%q is named %d times in:\n%s", want, n, strings.Join(got, "\n"))
		}
	}
}
