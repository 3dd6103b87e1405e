package report_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func row(engine string, kind workload.Kind, runs int, figures map[report.Figure]float64) report.Row {
	return report.Row{Engine: engine, Workload: kind, Runs: runs, Figures: figures}
}

// rows are three repetitions of one engine, one of others, and what was skipped.
func rows() []report.Row {
	rate := func(v, p50 float64) map[report.Figure]float64 {
		return map[report.Figure]float64{report.Rate: v, report.P50: p50, report.P99: 3 * p50, report.CPU: .1, report.Disk: 1.25, report.RSS: 50, report.Errors: 0}
	}
	cold := func(ms float64) map[report.Figure]float64 {
		return map[report.Figure]float64{report.Total: ms, report.FirstStep: ms}
	}
	all := []report.Row{
		row("ours", workload.Steps, 64, rate(9000, 2)),
		row("ours", workload.Steps, 64, rate(12000, 1)),
		row("ours", workload.Steps, 64, rate(10000, 3)),
		row("slow", workload.Steps, 64, rate(500, 40)),
		row("fast", workload.Steps, 64, rate(2500, 20)),
		row("bound", workload.Steps, 64, rate(90000, .1)), // not held against
		row("ours", workload.Steps, 1, rate(800, 1)),
		row("ours", workload.Cold, 1, cold(30)),
		row("fast", workload.Cold, 1, cold(60)),
		row("slow", workload.Cold, 1, cold(90)),
	}
	for i := len(all) - 3; i < len(all); i++ {
		all[i].Case = "fresh"
	}
	missing := row("slow", workload.Parked, 500, nil)
	missing.Skipped = "it has no signals"
	troubled := row("slow", workload.Agent, 100, map[report.Figure]float64{report.Rate: 1, report.Errors: 2})
	troubled.Trouble = "the database is locked"
	return append(all, missing, missing, troubled)
}

func TestTables(t *testing.T) {
	engines := []report.Engine{
		{Name: "ours", Version: "v1", Setting: "all of it"},
		{Name: "slow", Version: "v2", Setting: "each for itself", Compared: true},
		{Name: "fast", Version: "v3", Setting: "together", Compared: true},
		{Name: "bound", Setting: "next to nothing"},
	}
	var b strings.Builder
	if err := report.Tables(&b, engines, "ours", rows()); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/tables.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the tables changed; look, then run with -update (-want +got):\n%s", diff)
	}
}

func TestParse(t *testing.T) {
	full := row("ours", workload.Steps, 64, map[report.Figure]float64{report.Rate: 1.5})
	full.Time, full.Rep, full.Load = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 2, .25
	full.Version, full.Setting, full.Case = "v1", "all of it", "warm"
	var b strings.Builder
	if err := full.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := report.Parse([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, got); diff != "" {
		t.Errorf("a row does not come back as it was written (-want +got):\n%s", diff)
	}
	for _, line := range []string{"", "listening on port 7", `{"engine":"ours"}`, `[]`} {
		if got, err := report.Parse([]byte(line)); err == nil {
			t.Errorf("%q was read as the row %+v", line, got)
		}
	}
}
