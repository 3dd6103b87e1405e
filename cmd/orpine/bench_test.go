package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// benchKeys is the contract: what every workload prints.
var benchKeys = []string{
	"workload", "engine", "durability", "runs", "steps", "payload", "secs", "steps_per_s", "runs_per_s", "p50_ms", "p99_ms",
	"bytes_written", "unique_bytes", "rss_mb", "cpu_s",
}

var floorKeys = []string{"raw_per_s", "sqlite_per_s", "sqlite_p50_ms", "nodurable_runs_per_s"}

// figure is a number of a result; a missing one fails the test.
func figure(t *testing.T, r map[string]any, key string) float64 {
	t.Helper()
	v, ok := r[key].(float64)
	if !ok {
		t.Errorf("%s is %v, want a number", key, r[key])
	}
	return v
}

// between checks that a figure lies between two bounds.
func between(t *testing.T, r map[string]any, key string, least, most float64) {
	t.Helper()
	if v := figure(t, r, key); v < least || v > most {
		t.Errorf("%s is %v, want from %v to %v", key, v, least, most)
	}
}

// TestBench runs every workload for a moment and looks at what it prints: all keys, and
// only figures that can be.
func TestBench(t *testing.T) {
	t.Parallel()
	const many = 1e9
	for _, tt := range []struct {
		args  string
		check func(t *testing.T, r map[string]any)
	}{
		{"steps --runs 8 --steps 5 --payload 500 --secs 0.3", func(t *testing.T, r map[string]any) {
			between(t, r, "secs", 0.3, 60)
			between(t, r, "steps_per_s", 1, many)
			between(t, r, "steps_total", 5*figure(t, r, "runs_total"), 5*figure(t, r, "runs_total"))
			between(t, r, "unique_bytes", 500*figure(t, r, "steps_total"), 500*figure(t, r, "steps_total"))
			between(t, r, "allocs_per_step", 1, 5000)
		}},
		{"steps --runs 1 --secs 0.2 --durability process", func(t *testing.T, r map[string]any) {
			if r["durability"] != "process" {
				t.Errorf("durability is %v", r["durability"])
			}
		}},
		{"agents --runs 2 --secs 2", agentsFigures},
		{"agents --runs 2 --secs 2 --loop agent", agentsFigures},
		{"parked --runs 150 --secs 0.2", func(t *testing.T, r map[string]any) {
			between(t, r, "unique_bytes", 150_000, 150_000)
			between(t, r, "idle_cpu_percent", 0, 90)
			between(t, r, "disk_bytes_per_run", 1000, 20_000)
		}},
		{"recover --runs 30 --secs 0.1", func(t *testing.T, r map[string]any) {
			between(t, r, "open_ms", 0.1, figure(t, r, "first_step_ms"))
			between(t, r, "cold_fresh_ms", 1, 60_000)
			between(t, r, "cold_existing_ms", 1, 60_000)
			between(t, r, "unique_bytes", 30_000, 30_000)
		}},
		{"thread --calls 40 --thread-tokens 10000 --tool-bytes 5000 --secs 0.1", func(t *testing.T, r map[string]any) {
			between(t, r, "steps", 80, 80)
			between(t, r, "steps_total", 80, 80)
			between(t, r, "written_per_unique", 0.5, 3)
			between(t, r, "unique_bytes", 40*5512, 40*5512+1000)
			between(t, r, "replay_ms", 0.01, 30_000)
		}},
		{"thread --calls 7 --tool-every 3 --secs 0.1", func(t *testing.T, r map[string]any) { between(t, r, "steps_total", 9, 9) }},
		{"floor --runs 2 --secs 1", func(t *testing.T, r map[string]any) {
			floor, _ := r["floor"].(map[string]any)
			between(t, floor, "nodurable_runs_per_s", 0.1, agentsMost)
		}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			args := strings.Fields(tt.args)
			var r map[string]any
			p.decode(&r, append([]string{"bench", "-o", "json"}, args...)...)
			for _, key := range benchKeys {
				if _, ok := r[key]; !ok {
					t.Errorf("there is no %s", key)
				}
			}
			floor, _ := r["floor"].(map[string]any)
			for _, key := range floorKeys {
				between(t, floor, key, 0, many)
			}
			between(t, floor, "raw_per_s", 1, many)
			between(t, floor, "sqlite_per_s", 1, many)
			between(t, floor, "sqlite_p50_ms", 0.001, 10_000)
			if r["workload"] != args[0] || r["engine"] != "embedded" {
				t.Errorf("workload %v, engine %v", r["workload"], r["engine"])
			}
			between(t, r, "rss_mb", 5, 4000)
			if args[0] != "floor" {
				between(t, r, "p50_ms", 0.001, figure(t, r, "p99_ms"))
				between(t, r, "bytes_written", figure(t, r, "unique_bytes")/2, 1e9)
				between(t, r, "cpu_s", 0.0001, 1000)
			}
			tt.check(t, r)
			if left, err := filepath.Glob(p.path("*bench*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, error %v", left, err)
			}
		})
	}
}

// No agent can be faster than its model and its tools; those that began before the
// window and ended in it count as well.
const (
	agentLeast = 145                     // milliseconds
	agentsMost = 2*1000.0/agentLeast + 2 // a second, two at once
)

func agentsFigures(t *testing.T, r map[string]any) {
	between(t, r, "p50_ms", agentLeast, 30_000)
	between(t, r, "runs_per_s", 0.1, agentsMost)
	between(t, r, "steps_total", 16*figure(t, r, "runs_total"), 16*figure(t, r, "runs_total"))
	between(t, r, "unique_bytes", 10_852*figure(t, r, "runs_total"), 10_852*figure(t, r, "runs_total"))
	floor, _ := r["floor"].(map[string]any)
	between(t, floor, "nodurable_runs_per_s", 0.1, agentsMost)
}

// What a step may cost, where it can be counted: a machine may be slow, but it counts
// right. Times are measured by orpine bench, and judged by its floor.
const (
	syncsAlone   = 1.1  // flushes of the disk a step, one run of 20 steps after the other
	syncsMany    = 0.02 // the same, 256 runs at once
	syncsProcess = 0.1  // one run after the other, with --durability process
	diskPerStep  = 1400 // bytes of disk for a step that returns 1,000 bytes
	allocs       = 90   // allocations a step: 58 with 256 runs, 65 with one
)

// TestCounts counts what a step costs, in the built binary.
func TestCounts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, tt := range []struct {
		name string
		args []string
		most float64
	}{
		{"one run", []string{"--runs", "1"}, syncsAlone},
		{"256 runs", []string{"--runs", "256"}, syncsMany},
		{"one run, process", []string{"--runs", "1", "--durability", "process"}, syncsProcess},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, syncs := traced(t, append([]string{"bench", "steps", "--secs", "2", "--no-floor", "-o", "json"}, tt.args...)...)
			perStep := syncs / figure(t, r, "steps_total")
			t.Logf("%v steps: %.4f flushes, %v bytes of disk, %v allocations a step",
				r["steps_total"], perStep, r["disk_bytes_per_step"], r["allocs_per_step"])
			between(t, r, "steps_total", 100, 1e9)
			between(t, r, "disk_bytes_per_step", 1000, diskPerStep)
			between(t, r, "allocs_per_step", 1, allocs)
			if perStep > tt.most {
				t.Errorf("%.4f flushes of the disk a step, want at most %v", perStep, tt.most)
			}
		})
	}
}

// traced runs a command under strace and returns its result and how often it flushed
// files to the disk.
func traced(t *testing.T, args ...string) (map[string]any, float64) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("flushes of the disk are counted with strace, which is not installed here")
	}
	p := newPlace(t)
	options := []string{"-f", "-c", "-o", p.path("calls"), "-e", "trace=fdatasync,fsync"}
	if exec.Command(strace, append(options, "--seccomp-bpf", "true")...).Run() == nil {
		options = append(options, "--seccomp-bpf") // stops for what it counts only
	} else if out, err := exec.Command(strace, append(options, "true")...).CombinedOutput(); err != nil {
		t.Skipf("flushes of the disk are counted with strace, which may not trace here: %s", out)
	}
	args = append(append(options, p.binary), args...)
	p.binary = strace
	var r map[string]any
	p.decode(&r, args...)
	table, err := os.ReadFile(p.path("calls"))
	if err != nil {
		t.Fatal(err)
	}
	// % time, seconds, usecs/call, calls, errors, syscall
	syncs := 0.0
	for _, m := range regexp.MustCompile(`(?m)^ *\S+ +\S+ +\d+ +(\d+) .*(?:fsync|fdatasync)$`).FindAllSubmatch(table, -1) {
		n, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		syncs += n
	}
	if syncs == 0 {
		t.Fatalf("no flush at all was counted:\n%s", table)
	}
	return r, syncs
}
