package sql_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/sql"
)

// FuzzOpen compares what was loaded with what encoding/csv reads.
func FuzzOpen(f *testing.F) {
	for _, s := range []string{bill, "a\n1\n", "a,b\n1\n", "a;b\n", "\xef\xbb\xbfa\r\n\"x\ny\"\r\n", "a,a\n1,2\n", "a\n\"", "a\n\n\n1\n", "a,\xff\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		db, err := sql.Open(t.Context(), sql.Config{
			Tables: map[string]string{"t": "t.csv"}, FS: fstest.MapFS{"t.csv": {Data: data}}, MaxRows: 100_000, MaxBytes: 1 << 30,
		})
		if err != nil {
			if c := durable.CodeOf(err); c != durable.CodeInvalid || !strings.Contains(err.Error(), "t.csv") {
				t.Fatalf("%s: %v", c, err)
			}
			return
		}
		defer func() { _ = db.Close() }()
		records, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))).ReadAll()
		if err != nil {
			t.Fatalf("loaded what encoding/csv refuses: %v", err)
		}
		want := [][]any{}
		for _, record := range records[1:] {
			row := make([]any, len(record))
			for i, v := range record {
				if v != "" && v != "NULL" {
					row[i] = v
				}
			}
			want = append(want, row)
		}
		got, err := db.Query(t.Context(), "SELECT * FROM t ORDER BY _rowid_", nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Rows); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

// FuzzQuery checks that no text changes the data or panics.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"SELECT 1", "SELECT * FROM bill;", "SELECT 1;;", "DELETE FROM bill", "SELECT 1) SELECT (2", "SELECT '--;' /* ; */ ; -- x", "WITH a AS (SELECT 1) SELECT * FROM a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		db := mustOpen(t, bill, func(c *sql.Config) { c.Timeout = time.Second })
		if _, err := db.Query(t.Context(), query, nil); err != nil && durable.CodeOf(err) == durable.CodeInternal {
			t.Errorf("internal: %v", err)
		}
		if r, err := db.Query(t.Context(), "SELECT count(*), decimal_sum(cost) FROM bill", nil); err != nil || r.Rows[0][0] != int64(4) || r.Rows[0][1] != "1.25000080000" {
			t.Errorf("after %q: %v, %v", query, r, err)
		}
	})
}
