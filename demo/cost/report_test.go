package cost_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/demo/cost"
	"github.com/orpine-run/orpine/durable"
)

// revised is the report of the built-in bill after one round of feedback.
func revised(t *testing.T) cost.Report {
	t.Helper()
	b, err := loadFile(t, "")
	if err != nil {
		t.Fatal(err)
	}
	in := analyse(t, b)
	worded, w, err := cost.Apply(in.Candidates, json.RawMessage(
		`{"summary":"","proposals":[{"id":"R1","title":"Commit to compute","why":"It runs all day."}]}`))
	if err != nil {
		t.Fatal(err)
	}
	in.Feedback = "drop R4; and call me"
	in.Candidates, in.Changes = cost.Revise(worded, in.Feedback)
	in.Summary = w.Summary
	in.Iteration, in.WordedBy = 2, "script/advice"
	in.Run, in.Restored = cost.Run{ID: "0abc", Status: "succeeded"}, 3
	return cost.BuildReport(in)
}

func TestReportGolden(t *testing.T) {
	dir := t.TempDir()
	r := revised(t)
	if err := errors.Join(r.WriteJSON(filepath.Join(dir, "report.json")), r.WriteMarkdown(filepath.Join(dir, "report.md"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.json", "report.md", cost.ChartName} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got; rewrite with -update):\n%s", name, diff)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestReportKeys(t *testing.T) {
	data, err := revised(t).JSON()
	if err != nil {
		t.Fatal(err)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		t.Fatal(err)
	}
	has := func(what string, raw json.RawMessage, keys ...string) {
		t.Helper()
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			var l []map[string]json.RawMessage
			if err := json.Unmarshal(raw, &l); err != nil || len(l) == 0 {
				t.Fatalf("%s: %v", what, err)
			}
			m = l[0]
		}
		for _, k := range keys {
			if _, ok := m[k]; !ok {
				t.Errorf("%s has no %q", what, k)
			}
		}
	}
	has("report", data, "currency", "period", "rows", "total_billed", "total_effective", "services", "hotspots", "recommendations",
		"projected_saving", "run", "restored_steps", "repeated_steps")
	has("period", top["period"], "start", "end")
	has("service", top["services"], "name", "provider", "billed", "effective", "share")
	has("hotspot", top["hotspots"], "resource_id", "service", "billed", "share")
	has("recommendation", top["recommendations"], "id", "kind", "resource_id", "service", "monthly_saving", "evidence", "title", "why")
	has("run", top["run"], "id", "status")
	if got := string(top["total_billed"]); got != "7125.50888860" {
		t.Errorf("total_billed %s is not a plain number with the bill's own decimals", got)
	}
}

func TestMarkdownIsSafe(t *testing.T) {
	nasty := "<script>alert(1)</script> | `x` *b* [l](u) \n# h \"q\" & 'a' ]]>"
	quoted := `"` + strings.ReplaceAll(nasty, `"`, `""`) + `"`
	b := mustLoad(t, head+"\n"+line("5", "USD", quoted, quoted, "2025-06-03 00:00:00")+line("7", "USD", "x", "y", "2025-06-03 00:00:00"))
	in := analyse(t, b)
	in.Feedback, in.Summary, in.WordedBy = nasty, nasty, nasty
	_, in.Changes = cost.Revise(in.Candidates, nasty)
	r := cost.BuildReport(in)
	md := r.Markdown()
	if strings.Contains(md, "<script") || strings.Contains(md, "\n# h") {
		t.Errorf("markup gets through:\n%s", md)
	}
	for l := range strings.SplitSeq(md, "\n") {
		if strings.HasPrefix(l, "| ") && strings.Contains(l, "script") {
			if cells := strings.Count(strings.ReplaceAll(l, `\|`, ""), "|") - 1; cells != 6 && cells != 5 {
				t.Errorf("%d cells in %s", cells, l)
			}
		}
	}
	dec := xml.NewDecoder(strings.NewReader(r.SVG()))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the chart is no XML: %v\n%s", err, r.SVG())
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "script" {
			t.Error("a script in the chart")
		}
	}
}

func TestManyServices(t *testing.T) {
	var text strings.Builder
	text.WriteString(head + "\n")
	for i := range 60 {
		text.WriteString(line(strings.Repeat("1", 1+i%5), "USD", "Service "+string(rune('A'+i%26))+strings.Repeat("x", i), "r", "2025-06-03 00:00:00"))
	}
	r := cost.BuildReport(analyse(t, mustLoad(t, text.String())))
	if len(r.Services) != 60 {
		t.Errorf("%d services in the report, want all 60", len(r.Services))
	}
	if md := r.Markdown(); !strings.Contains(md, "20 smaller services are in report.json") {
		t.Error("the table does not say what it leaves out")
	}
	if svg := r.SVG(); strings.Count(svg, `class="bar"`) != 10 || !strings.Contains(svg, "50 others") {
		t.Error("the chart does not sum up the rest")
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := cost.Report{}
	tests := []struct {
		name, path string
		want       error
	}{
		{"below a file", filepath.Join(file, "report.json"), durable.ErrUnavailable},
		{"a folder", dir, durable.ErrUnavailable},
	}
	if os.Geteuid() != 0 { // root may write everywhere
		locked := filepath.Join(dir, "locked")
		if err := os.Mkdir(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		tests = append(tests, struct {
			name, path string
			want       error
		}{"no permission", filepath.Join(locked, "report.json"), durable.ErrUnavailable})
	}
	for _, tt := range tests {
		for _, write := range []func(string) error{r.WriteJSON, r.WriteMarkdown} {
			if err := write(tt.path); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), filepath.Base(dir)) {
				t.Errorf("%s: got %v, want %v with the path", tt.name, err, tt.want)
			}
		}
	}
	old := filepath.Join(dir, "new", "deep", "report.json")
	if err := errors.Join(r.WriteJSON(old), r.WriteJSON(old)); err != nil {
		t.Errorf("into a new folder, twice: %v", err)
	}
}
