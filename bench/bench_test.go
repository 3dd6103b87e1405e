package bench

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
)

func TestLatency(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, 1, 63, 64, 127, 128, 12345, time.Millisecond, 3 * time.Second, 90 * time.Hour, math.MaxInt64} {
		got := middle(bucket(uint64(d)))
		if off := math.Abs(float64(got-d)) / float64(max(d, 1)); off > 0.01 {
			t.Errorf("%d ns is counted as %d ns: %.1f %% off", d, got, 100*off)
		}
	}
	var l latency
	if got := l.quantile(0.5); got != 0 {
		t.Errorf("the median of nothing: got %v, want 0", got)
	}
	for i := range 100 {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]float64{0.01: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := l.quantile(q); math.Abs(got-want) > want/100 {
			t.Errorf("quantile %v of 1 to 100 ms: got %v, want %v", q, got, want)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	a, b := newText(1), newText(2)
	seen := map[string]bool{}
	for range 5000 {
		for _, s := range []string{a.next(40), a.next(1000), b.next(1000)} {
			if seen[s] {
				t.Fatalf("a text came twice: %.60q", s)
			}
			seen[s] = true
		}
	}
	if got, want := a.unique.Load(), int64(5000*1040); got != want {
		t.Errorf("bytes given out: got %d, want %d", got, want)
	}
	for _, size := range []int{1, 2, maxPayload} {
		if got := len(a.next(size)); got != size {
			t.Errorf("a text of %d bytes has %d", size, got)
		}
	}
	if strings.ContainsAny(alphabet, `"\<>&`) {
		t.Error("the alphabet has letters that JSON escapes: a text would be longer where it is stored")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := Config{
		Workload: Steps, Runs: 1, Steps: 1, Payload: 1, Secs: 1, Durability: Full, Dir: "d",
		Loop: LoopProgram, Calls: 1, ThreadTokens: 1, ToolEvery: 1,
	}
	for _, w := range []string{Steps, Agents, Parked, Recover, Thread, Floors} {
		c := good
		c.Workload = w
		if err := c.check(); err != nil {
			t.Errorf("workload %s: %v", w, err)
		}
	}
	for name, spoil := range map[string]func(*Config){
		"workload": func(c *Config) { c.Workload = "sleep" }, "runs": func(c *Config) { c.Runs = 0 },
		"steps": func(c *Config) { c.Steps = -1 }, "payload": func(c *Config) { c.Payload = maxPayload + 1 },
		"secs": func(c *Config) { c.Secs = 0 }, "no number": func(c *Config) { c.Secs = math.NaN() },
		"durability": func(c *Config) { c.Durability = "none" }, "dir": func(c *Config) { c.Dir = "" },
		"loop":  func(c *Config) { c.Workload, c.Loop = Agents, "x" },
		"calls": func(c *Config) { c.Workload, c.Calls = Thread, 0 },
	} {
		c := good
		spoil(&c)
		if err := c.check(); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: got %v, want an invalid error", name, err)
		}
	}
}

func TestTakeDir(t *testing.T) {
	t.Parallel()
	there, missing := t.TempDir(), filepath.Join(t.TempDir(), "a", "b")
	for _, dir := range []string{there, missing} {
		remove, err := takeDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "data", "x"), 0o750); err != nil {
			t.Fatal(err)
		}
		if _, err := takeDir(dir); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("a directory with something in it: got %v, want an invalid error", err)
		}
		if err := remove(); err != nil {
			t.Fatal(err)
		}
	}
	if entries, err := os.ReadDir(there); err != nil || len(entries) > 0 {
		t.Errorf("what was there before: got %v, %v; want it there and empty", entries, err)
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("what was made: got %v, want it gone", err)
	}
}

func TestGroupCommit(t *testing.T) {
	t.Parallel()
	const submitters = 8
	batches, records, biggest := 0, 0, 0
	perS, err := groupCommit(t.Context(), 50*time.Millisecond, submitters, 1000, func(who []int) error {
		batches, records, biggest = batches+1, records+len(who), max(biggest, len(who))
		for i, w := range who {
			for _, v := range who[:i] {
				if v == w {
					t.Errorf("submitter %d has two records in one commit", w)
				}
			}
		}
		return nil
	})
	if err != nil || perS <= 0 || records < batches || biggest > submitters {
		t.Errorf("got %v/s, %d records in %d commits of at most %d, error %v", perS, records, batches, biggest, err)
	}
	broken := errors.New("no disk")
	if _, err := groupCommit(t.Context(), time.Minute, submitters, 1, func([]int) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
