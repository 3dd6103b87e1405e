package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

// inModule changes to the directory of the module, where the command is started.
func inModule(t *testing.T) {
	t.Helper()
	t.Chdir("../..")
}

// TestRealRun runs the engines that need no server through every workload, for real.
func TestRealRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	inModule(t)
	dir, results := t.TempDir(), filepath.Join(t.TempDir(), "results.jsonl")
	var out, log bytes.Buffer
	code := Main(t.Context(), []string{
		"--engines", "orpine,bare,floor", "--workloads", "w1/16,w2/8,park/120,w4", "--secs", "2", "--warm", "0.2", "--reps", "1",
		"--dir", dir, "--cache", filepath.Join(dir, "cache"), "--out", results,
	}, &out, &log)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &log)
	}
	rows := read(t, results)
	type cell struct {
		Engine string
		Kind   workload.Kind
		Case   string
	}
	got := map[cell]report.Row{}
	for _, r := range rows {
		got[cell{r.Engine, r.Workload, r.Case}] = r
	}
	for _, engine := range []string{"orpine", "bare", "floor"} {
		for kind, figures := range map[workload.Kind][]report.Figure{
			workload.Steps:  {report.Rate, report.P50, report.P99, report.CPU, report.RSS},
			workload.Agent:  {report.Rate, report.P50, report.P99, report.CPU, report.RSS},
			workload.Parked: {report.Rate, report.P50, report.RSS},
		} {
			sensible(t, got[cell{engine, kind, ""}], figures)
		}
		for _, store := range []string{"fresh", "warm"} {
			sensible(t, got[cell{engine, workload.Cold, store}], []report.Figure{report.FirstStep, report.Total, report.Binary})
		}
		if p50 := got[cell{engine, workload.Agent, ""}].Figures[report.P50]; p50 < 145 {
			t.Errorf("%s: an agent run took %.1f ms, less than the world takes", engine, p50)
		}
	}
	for _, engine := range []string{"orpine", "floor"} {
		r := got[cell{engine, workload.Recover, ""}]
		sensible(t, r, []report.Figure{report.FirstAfter, report.Drain})
		if n := r.Figures[report.Count]; n != 20 {
			t.Errorf("%s: %v of the 20 runs that were killed while they waited were resumed", engine, n)
		}
	}
	if r := got[cell{"bare", workload.Recover, ""}]; r.Skipped == "" {
		t.Errorf("bare recovered runs it never kept: %+v", r)
	}
	for _, title := range []string{"w1:", "w2:", "park:", "recover:", "w4:", "settings", "not measured: bare at 120"} {
		if !strings.Contains(out.String(), title) {
			t.Errorf("the tables have no %q:\n%s", title, &out)
		}
	}
	empty(t, dir)
}

func sensible(t *testing.T, r report.Row, figures []report.Figure) {
	t.Helper()
	if r.Skipped != "" || r.Figures == nil {
		t.Errorf("%s %s was not measured: %s", r.Engine, r.Workload, r.Skipped)
		return
	}
	if n := r.Figures[report.Errors]; n != 0 {
		t.Errorf("%s %s: %v errors", r.Engine, r.Workload, n)
	}
	for _, f := range figures {
		if r.Figures[f] <= 0 {
			t.Errorf("%s %s: %s is %v", r.Engine, r.Workload, f, r.Figures[f])
		}
	}
}

// TestInterrupted ends the command while a worker runs.
func TestInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("builds workers")
	}
	inModule(t)
	dir, results := t.TempDir(), filepath.Join(t.TempDir(), "results.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &watched{line: "bare:", seen: cancel}
	var out bytes.Buffer
	code := Main(ctx, []string{
		"--engines", "bare,floor", "--workloads", "w1/4", "--secs", "0.5", "--warm", "0", "--reps", "1000",
		"--dir", dir, "--out", results,
	}, &out, log)
	if code != exitInterrupted {
		t.Errorf("exit code %d, want %d\n%s", code, exitInterrupted, &log.Buffer)
	}
	if len(read(t, results)) == 0 || !strings.Contains(out.String(), "bare") {
		t.Errorf("what was measured before is lost:\n%s", &out)
	}
	empty(t, dir)
}

// watched is a log that calls seen when a line is written to it.
type watched struct {
	bytes.Buffer
	line string
	seen func()
}

func (w *watched) Write(data []byte) (int, error) {
	if strings.Contains(string(data), w.line) {
		w.seen()
	}
	return w.Buffer.Write(data)
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"engine", []string{"--engines", "nosuch"}, exitUsage, `there is no engine "nosuch"; there are orpine,`},
		{"workload", []string{"--workloads", "w9"}, exitUsage, `there is no workload "w9"`},
		{"flag", []string{"--nosuch"}, exitUsage, "nosuch"},
		{"argument", []string{"orpine"}, exitUsage, `there is no argument "orpine"`},
		{"reps", []string{"--reps", "0"}, exitUsage, "must be more than 0"},
		{"help", []string{"--help"}, exitOK, "dbos-sqlite"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, log bytes.Buffer
			if code := Main(t.Context(), tt.args, &out, &log); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(log.String(), tt.want) {
				t.Errorf("it says %q, not %q", &log, tt.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	o, err := parse([]string{"--short", "--secs", "3", "--engines", "dbos,floor", "--cache", t.TempDir()}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if o.window != 3*time.Second || o.warm != time.Second || o.reps != 1 {
		t.Errorf("window %s, warm %s, %d reps; what was given wins over --short", o.window, o.warm, o.reps)
	}
	if diff := cmp.Diff([]string{"dbos-sqlite", "dbos-pg", "floor"}, names(o.peers)); diff != "" {
		t.Errorf("engines (-want +got):\n%s", diff)
	}
}

func read(t *testing.T, path string) []report.Row {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []report.Row
	for line := range bytes.Lines(data) {
		r, err := report.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

// empty checks that no store and no process over it was left behind.
func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "orpine-peers-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	ours := regexp.MustCompile(regexp.QuoteMeta(dir) + "/orpine-peers-")
	for _, line := range lines {
		if data, err := os.ReadFile(line); err == nil && ours.Match(data) {
			t.Errorf("still running: %q", data)
		}
	}
}
