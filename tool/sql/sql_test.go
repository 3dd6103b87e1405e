package sql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/sql"
)

const bill = `id,service,cost,month,tags
1,disk,0.00000080000,2024-09,"{""env"": ""dev""}"
2,disk,1.50,2024-09,NULL
3,"cpu, big",-0.25,2024-10,"NULL"
4,cpu,,2024-10,
`

func open(t *testing.T, text string, edit func(*sql.Config)) (*sql.DB, error) {
	t.Helper()
	cfg := sql.Config{
		Tables: map[string]string{"bill": "bill.csv"},
		FS:     fstest.MapFS{"bill.csv": &fstest.MapFile{Data: []byte(text)}},
	}
	if edit != nil {
		edit(&cfg)
	}
	db, err := sql.Open(t.Context(), cfg)
	if err == nil {
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	return db, err
}

func mustOpen(t *testing.T, text string, edit func(*sql.Config)) *sql.DB {
	t.Helper()
	db, err := open(t, text, edit)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestQuery(t *testing.T) {
	db := mustOpen(t, bill, nil)
	tests := []struct {
		name   string
		query  string
		params map[string]any
		want   [][]any
	}{
		{"text stays as it is", "SELECT cost FROM bill WHERE id='1'", nil, [][]any{{"0.00000080000"}}},
		{"NULL and empty are NULL", "SELECT count(tags), count(cost), count(*) FROM bill", nil, [][]any{{int64(1), int64(3), int64(4)}}},
		{"exact sum", "SELECT decimal_sum(cost) FROM bill", nil, [][]any{{"1.25000080000"}}},
		{"sum of nothing", "SELECT decimal_sum(cost) FROM bill WHERE id='4'", nil, [][]any{{nil}}},
		{
			"exact where floats are not", "SELECT decimal_add('0.1','0.2'), decimal_sub('0.3','0.1'), decimal_mul('0.1','3'), decimal_cmp('1.50','1.5')",
			nil,
			[][]any{{"0.3", "0.2", "0.3", int64(0)}},
		},
		{"cut, not rounded up", "SELECT decimal_div('2','3',4), decimal_div('-2','3',4)", nil, [][]any{{"0.6666", "-0.6666"}}},
		{"median", "SELECT decimal_median(cost) FROM bill", nil, [][]any{{"0.00000080000"}}},
		{"median of two", "SELECT decimal_median(cost) FROM bill WHERE id IN ('1','2')", nil, [][]any{{"0.750000400000"}}},
		{"min, max, abs", "SELECT decimal_min('10','9'), decimal_max('10','9'), decimal_abs('-3.0')", nil, [][]any{{"9", "10", "3.0"}}},
		{"NULL in, NULL out", "SELECT decimal_add(NULL,'1')", nil, [][]any{{nil}}},
		{"numbers of SQLite", "SELECT decimal_sum(x) FROM (SELECT 1 AS x UNION ALL SELECT 0.5)", nil, [][]any{{"1.5"}}},
		{
			"running sum", "SELECT decimal_sum(cost) OVER (ORDER BY id ROWS 1 PRECEDING) FROM bill WHERE id<'4'", nil,
			[][]any{{"0.00000080000"}, {"1.50000080000"}, {"1.25000000000"}},
		},
		{"order by value", "SELECT id FROM bill WHERE cost NOT NULL ORDER BY cost COLLATE decimal", nil, [][]any{{"3"}, {"1"}, {"2"}}},
		{"named parameter", "SELECT id FROM bill WHERE month = :month ORDER BY id", map[string]any{"month": "2024-10"}, [][]any{{"3"}, {"4"}}},
		{"row id is the line", "SELECT _rowid_ FROM bill", nil, [][]any{{int64(2)}, {int64(3)}, {int64(4)}, {int64(5)}}},
		{"JSON", "SELECT json_extract(tags,'$.env') FROM bill WHERE json_valid(tags)", nil, [][]any{{"dev"}}},
		{"JSON as a table", "SELECT key FROM bill, json_each(bill.tags)", nil, [][]any{{"env"}}},
		{"order survives", "SELECT id FROM bill ORDER BY id DESC; -- the end", nil, [][]any{{"4"}, {"3"}, {"2"}, {"1"}}},
		{"its own WITH", "WITH a AS (SELECT 1 AS x), b(y) AS (SELECT x+1 FROM a) SELECT y FROM b", nil, [][]any{{int64(2)}}},
		{"semicolon in text", "SELECT ';--' AS x", nil, [][]any{{";--"}}},
		{"infinity is text", "SELECT 1e999", nil, [][]any{{"+Inf"}}},
		{"values", "VALUES (1),(2)", nil, [][]any{{int64(1)}, {int64(2)}}},
		{"blob is base64", "SELECT x'00ff'", nil, [][]any{{"AP8="}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := db.Query(t.Context(), tt.query, tt.params)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, r.Rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Errorf("result as JSON: %v", err)
			}
		})
	}
}

func TestQueryRefused(t *testing.T) {
	dir := t.TempDir()
	db := mustOpen(t, bill, func(c *sql.Config) { c.MaxStatement = 2000 })
	file := filepath.Join(dir, "out.db")
	tests := []struct {
		name  string
		query string
		code  durable.Code
		want  string
	}{
		{"empty", " ; ", durable.CodeInvalid, "empty"},
		{"only a comment", "/* SELECT 1 */", durable.CodeInvalid, "empty"},
		{"two statements", "SELECT 1; SELECT 2", durable.CodeInvalid, "more than one statement"},
		{"insert", "INSERT INTO bill(id) VALUES ('9')", durable.CodeDenied, "only reading"},
		{"update behind WITH", "WITH x AS (SELECT 1) UPDATE bill SET id='9'", durable.CodeDenied, "only reading"},
		{"delete returning", "DELETE FROM bill RETURNING id", durable.CodeDenied, "only reading"},
		{"drop", "DROP TABLE bill", durable.CodeDenied, "only reading"},
		{"attach", "ATTACH '" + file + "' AS x", durable.CodeDenied, "only reading"},
		{"vacuum into", "VACUUM INTO '" + file + "'", durable.CodeDenied, "only reading"},
		{"pragma", "PRAGMA query_only=OFF", durable.CodeDenied, "only reading"},
		{"pragma as a table", "SELECT * FROM pragma_table_info('bill')", durable.CodeDenied, "only reading"},
		{"raw pages", "SELECT * FROM sqlite_dbpage", durable.CodeDenied, "only reading"},
		{"extension", "SELECT load_extension('x')", durable.CodeDenied, "only reading"},
		{"recursion", "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT x FROM n", durable.CodeDenied, "only reading"},
		{"transaction", "BEGIN", durable.CodeDenied, "only reading"},
		{"out of the brackets", "SELECT 1) SELECT (2", durable.CodeInvalid, "syntax error"},
		{"syntax", "SELECT FROM", durable.CodeInvalid, "syntax error"},
		{"open quote", "SELECT 'x", durable.CodeInvalid, "never closed"},
		{"unknown table", "SELECT * FROM bil", durable.CodeInvalid, "did you mean bill?"},
		{"unknown column", "SELECT months FROM bill", durable.CodeInvalid, "did you mean month?"},
		{"far column", "SELECT b.zzzzzz FROM bill b", durable.CodeInvalid, "there are: id, service"},
		{"double quotes are names", `SELECT id FROM bill WHERE service = "disk"`, durable.CodeInvalid, "no such column"},
		{"missing parameter", "SELECT :month", durable.CodeInvalid, "missing named argument"},
		{"no number in a sum", "SELECT decimal_sum(service) FROM bill", durable.CodeInvalid, `decimal_sum: not a decimal number: "disk"`},
		{"division by zero", "SELECT decimal_div('1','0.0',2)", durable.CodeInvalid, "division by zero"},
		{"too long", "SELECT '" + strings.Repeat("x", 3000) + "'", durable.CodeInvalid, "at most 2000"},
		{"too large a value", "SELECT length(zeroblob(100000000))", durable.CodeInvalid, "too big"},
		{"NUL", "SELECT 1\x00", durable.CodeInvalid, "NUL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := db.Query(t.Context(), tt.query, nil)
			if err == nil {
				t.Fatalf("%s was allowed", tt.query)
			}
			if got := durable.CodeOf(err); got != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %s: %v, want %s: ...%s...", got, err, tt.code, tt.want)
			}
		})
	}
	if r, err := db.Query(t.Context(), "SELECT count(*) FROM bill", nil); err != nil || r.Rows[0][0] != int64(4) {
		t.Errorf("after all that: %v, %v; want the 4 rows as they were", r, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("files written: %v, %v", left, err)
	}
}

func TestQueryParameterTypes(t *testing.T) {
	db := mustOpen(t, bill, nil)
	r, err := db.Query(t.Context(), "SELECT :a, :b, :c, :d, :e", map[string]any{
		"a": nil, "b": true, "c": json.Number("7"), "d": json.Number("0.5"), "e": sql.NewDecimal(150, 2),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]any{{nil, int64(1), int64(7), 0.5, "1.50"}}, r.Rows); diff != "" {
		t.Error(diff)
	}
	for _, params := range []map[string]any{{"a": []string{"x"}}, {"a b": "x"}} {
		if _, err := db.Query(t.Context(), "SELECT 1", params); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%v: got %v, want invalid", params, err)
		}
	}
}

func TestQueryIsCut(t *testing.T) {
	db := mustOpen(t, bill, func(c *sql.Config) { c.MaxRows = 2; c.MaxBytes = 60 })
	for _, tt := range []struct {
		query     string
		rows      int
		truncated bool
	}{
		{"SELECT id FROM bill LIMIT 2", 2, false},
		{"SELECT id FROM bill", 2, true},
		{"SELECT '" + strings.Repeat("x", 50) + "' FROM bill LIMIT 2", 1, true},
	} {
		r, err := db.Query(t.Context(), tt.query, nil)
		if err != nil || len(r.Rows) != tt.rows || r.Truncated != tt.truncated {
			t.Errorf("%s: got %+v, %v; want %d rows, truncated %v", tt.query, r, err, tt.rows, tt.truncated)
		}
	}
}

// TestQueryStops uses a statement whose first row is found at once and whose
// second would take for ever.
func TestQueryStops(t *testing.T) {
	var b strings.Builder
	b.WriteString("n\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "%d\n", i)
	}
	db := mustOpen(t, b.String(), func(c *sql.Config) { c.Timeout = 200 * time.Millisecond })
	const slow = "SELECT 1 UNION ALL SELECT 2 FROM bill a, bill b, bill c, bill d WHERE a.n||b.n||c.n||d.n='x'"
	_, err := db.Query(t.Context(), slow, nil)
	if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "stopped after 200ms") {
		t.Errorf("timeout: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(20*time.Millisecond, cancel)
	defer stop.Stop()
	if _, err := db.Query(ctx, slow, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancel: got %v", err)
	}
	if r, err := db.Query(t.Context(), "SELECT count(*) FROM bill", nil); err != nil || r.Rows[0][0] != int64(2000) {
		t.Errorf("afterwards: got %v, %v", r, err)
	}
}

func TestOpenBadFiles(t *testing.T) {
	dir := t.TempDir()
	focus := sql.Schema{
		Required: []string{"BilledCost", "ServiceName", "BillingCurrency"},
		Optional: []string{"Tags"},
		Decimal:  []string{"BilledCost"}, Time: []string{"Tags"}, NotNull: []string{"BilledCost"},
	}
	const head = "BilledCost,ServiceName,BillingCurrency,Tags\n"
	write := func(text string) string {
		path := filepath.Join(dir, "bill.csv")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name, path, text string
		code             durable.Code
		want             string
	}{
		{"missing", filepath.Join(dir, "none.csv"), "", durable.CodeNotFound, "none.csv: no such file"},
		{"directory", dir, "", durable.CodeInvalid, "is a directory"},
		{"below a file", filepath.Join(write("x"), "bill.csv"), "", durable.CodeInvalid, "not the path of a file"},
		{"device", os.DevNull, "", durable.CodeInvalid, "not a regular file"},
		{"empty", "", "", durable.CodeInvalid, "bill.csv: the file is empty"},
		{"blank lines", "", "\n\n", durable.CodeInvalid, "the file is empty"},
		{"header only", "", head, durable.CodeInvalid, "a header and no rows"},
		{"NUL", "", "a,b\n1,\x002\n", durable.CodeInvalid, "NUL byte at offset 6"},
		{"latin-1", "", "a,b\n1,caf\xe9\n", durable.CodeInvalid, "not UTF-8 text: byte 0xe9 at offset 9"},
		{"late NUL", "", head + strings.Repeat("1,a,USD,NULL\n", 1000) + "1,\x00,USD,NULL\n", durable.CodeInvalid, "bill.csv:1002:3: column ServiceName is not UTF-8"},
		{"zip", "", "PK\x03\x04xxxx", durable.CodeInvalid, "ZIP archive"},
		{"gzip", "", "\x1f\x8bxxxx", durable.CodeInvalid, "gzip"},
		{"utf-16", "", "\xff\xfea\x00,\x00", durable.CodeInvalid, "UTF-16"},
		{"ragged, short", "", head + "1,a,USD,NULL\n1,a,USD\n", durable.CodeInvalid, "bill.csv:3: expected 4 fields as in the header, has 3"},
		{"ragged, long", "", head + "1,a,USD,NULL,x\n", durable.CodeInvalid, "bill.csv:2: expected 4 fields as in the header, has 5"},
		{"duplicate column", "", "a,b,A\n1,2,3\n", durable.CodeInvalid, `columns 1 and 3 are both called "A"`},
		{"nameless column", "", "a,,b\n1,2,3\n", durable.CodeInvalid, "column 2 has no name"},
		{"semicolons", "", "a;b;c\n1;2;3\n", durable.CodeInvalid, "separated by semicolons"},
		{"tabs", "", "a\tb\n1\t2\n", durable.CodeInvalid, "separated by tabs"},
		{"bare quote", "", head + "1,a\"b,USD,NULL\n", durable.CodeInvalid, `bill.csv:2:4: a bare "`},
		{"bad quoting", "", head + "1,\"a\"b,USD,NULL\n", durable.CodeInvalid, "bill.csv:2:"},
		{"quote never closed", "", head + "1,\"a,USD,NULL\n" + strings.Repeat("1,a,USD,NULL\n", 200_000), durable.CodeInvalid, "longer than 1 MB"},
		{
			"missing columns", "", "billed_cost,ServiceNames,x\n1,2,3\n", durable.CodeInvalid,
			`missing columns: BilledCost (did you mean "billed_cost"?), ServiceName (did you mean "ServiceNames"?), BillingCurrency`,
		},
		{"no number", "", head + "1,a,USD,NULL\n\"1,5\",a,USD,NULL\n", durable.CodeInvalid, `bill.csv:3:1: column BilledCost holds "1,5": want a number`},
		{"not a number", "", head + "NaN,a,USD,NULL\n", durable.CodeInvalid, `holds "NaN"`},
		{"no time", "", head + "1,a,USD,yesterday\n", durable.CodeInvalid, `column Tags holds "yesterday": want a UTC time`},
		{"local time", "", head + "1,a,USD,2024-09-01T00:00:00+02:00\n", durable.CodeInvalid, "want a UTC time"},
		{"no value", "", head + "NULL,a,USD,NULL\n", durable.CodeInvalid, "bill.csv:2:1: column BilledCost has no value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.path
			if path == "" {
				path = write(tt.text)
			}
			cfg := sql.Config{Tables: map[string]string{"bill": path}}
			if strings.HasPrefix(tt.text, "BilledCost") || tt.name == "missing columns" {
				cfg.Schemas = map[string]sql.Schema{"bill": focus}
			}
			_, err := sql.Open(t.Context(), cfg)
			if err == nil {
				t.Fatal("it was loaded")
			}
			if got := durable.CodeOf(err); got != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %s: %v\nwant %s: ...%s...", got, err, tt.code, tt.want)
			}
		})
	}
	if _, err := sql.Open(t.Context(), sql.Config{}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("no tables: got %v", err)
	}
	if _, err := open(t, bill, func(c *sql.Config) { c.Tables = map[string]string{"a b": "bill.csv"} }); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("table name: got %v", err)
	}
}

func TestOpenAccepts(t *testing.T) {
	plain, err := mustOpen(t, bill, nil).Query(t.Context(), "SELECT * FROM bill", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text string }{
		{"byte order mark", "\xef\xbb\xbf" + bill},
		{"CRLF", strings.ReplaceAll(bill, "\n", "\r\n")},
		{"no last newline", strings.TrimSuffix(bill, "\n")},
		{"quoted header behind a mark", "\xef\xbb\xbf\"id\"" + strings.TrimPrefix(bill, "id")},
	} {
		got, err := mustOpen(t, tt.text, nil).Query(t.Context(), "SELECT * FROM bill", nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(plain, got); diff != "" {
			t.Errorf("%s (-plain +got):\n%s", tt.name, diff)
		}
	}
}

func TestTables(t *testing.T) {
	var seen []sql.Progress
	db := mustOpen(t, bill, func(c *sql.Config) {
		c.Schemas = map[string]sql.Schema{"bill": {Required: []string{"cost"}, Optional: []string{"region", "id"}}}
		c.Progress = func(p sql.Progress) { seen = append(seen, p) }
	})
	want := []sql.Table{{
		Name: "bill", Path: "bill.csv", Columns: []string{"cost", "region", "id"}, Missing: []string{"region"},
		Rows: 4, Bytes: int64(len(bill)), SHA256: "8e3bf19d3b6a2a3ea1ab8e3d0a0f1e6d",
	}}
	got := db.Tables()
	want[0].SHA256 = got[0].SHA256
	if diff := cmp.Diff(want, got); diff != "" || len(got[0].SHA256) != 64 {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	size := int64(len(bill))
	if diff := cmp.Diff([]sql.Progress{{Table: "bill", Rows: 4, Bytes: size, Size: size}}, seen); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestOpenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	text := "n\n" + strings.Repeat("1\n", 20_000)
	_, err := sql.Open(ctx, sql.Config{
		Tables:   map[string]string{"bill": "bill.csv"},
		FS:       fstest.MapFS{"bill.csv": &fstest.MapFile{Data: []byte(text)}},
		Progress: func(sql.Progress) { cancel() },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestTool(t *testing.T) {
	db := mustOpen(t, bill, nil)
	free, err := db.Tool(sql.ToolConfig{Description: "The bill."})
	if err != nil {
		t.Fatal(err)
	}
	spec := free.Spec()
	if spec.Name != "sql" || spec.Options.Effect != durable.Read || !strings.Contains(spec.Description, `Table bill (`) {
		t.Errorf("spec: %+v", spec)
	}
	r, err := free.Call(t.Context(), json.RawMessage(`{"query":"SELECT id, cost, '<a>' AS x FROM bill LIMIT 1"}`))
	if want := `{"columns":["id","cost","x"],"rows":[["1","0.00000080000","<a>"]],"truncated":false}`; err != nil || r.Content != want {
		t.Errorf("got %s, %v\nwant %s", r.Content, err, want)
	}
	for _, args := range []string{`{}`, `[`, `{"query":7}`, `{"query":"DROP TABLE bill"}`} {
		if _, err := free.Call(t.Context(), json.RawMessage(args)); err == nil {
			t.Errorf("%s: no error", args)
		}
	}

	fixed, err := db.Tool(sql.ToolConfig{Name: "costs", Query: "SELECT decimal_sum(cost) AS c FROM bill WHERE month=:month -- :no", MaxRows: 5})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"additionalProperties":false,"properties":{"month":{"type":"string"}},"required":["month"],"type":"object"}`; string(fixed.Spec().Schema) != want {
		t.Errorf("schema %s, want %s", fixed.Spec().Schema, want)
	}
	r, err = fixed.Call(t.Context(), json.RawMessage(`{"month":"2024-09"}`))
	if want := `{"columns":["c"],"rows":[["1.50000080000"]],"truncated":false}`; err != nil || r.Content != want {
		t.Errorf("got %s, %v\nwant %s", r.Content, err, want)
	}
	for _, c := range []sql.ToolConfig{
		{Query: "SELECT x FROM bill"},
		{Query: "DELETE FROM bill"},
		{Query: "SELECT :month", Schema: json.RawMessage(`{"properties":{"year":{}}}`)},
		{Query: "SELECT 1", Schema: json.RawMessage(`{`)},
	} {
		if _, err := db.Tool(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	db, err := sql.Open(t.Context(), sql.Config{
		Tables: map[string]string{"bill": "bill.csv"}, FS: fstest.MapFS{"bill.csv": {Data: []byte(bill)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Error(err)
	}
	if _, err := db.Query(t.Context(), "SELECT 1", nil); err == nil {
		t.Error("a closed database answered")
	}
}
