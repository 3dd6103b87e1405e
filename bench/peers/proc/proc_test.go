package proc_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/bench/peers/proc"
)

// shell starts a shell that prints the id of a process beneath it, and waits for both.
func shell(t *testing.T, script string) (p *proc.Process, line string) {
	t.Helper()
	lines := make(chan string, 1)
	p, err := proc.Start(proc.Spec{Path: "sh", Args: []string{"-c", script}, Line: func(l string) { lines <- l }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p, <-lines
}

func TestKillTakesTheTree(t *testing.T) {
	p, _ := shell(t, "sleep 600 & echo started; wait")
	tree := proc.Tree(p.PID())
	if len(tree) != 2 || !slices.Contains(tree, p.PID()) {
		t.Fatalf("the tree of %d is %v, want it and one more", p.PID(), tree)
	}
	p.Kill()
	for _, pid := range tree {
		// What is killed may stay a moment until its parent has taken note.
		deadline := time.Now().Add(5 * time.Second)
		for len(proc.Tree(pid)) > 0 && proc.Memory(pid) > 0 {
			if time.Now().After(deadline) {
				t.Fatalf("process %d is still there", pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
	if p.Err() == nil {
		t.Error("a killed process ended well")
	}
}

func TestStopAsksFirst(t *testing.T) {
	p, _ := shell(t, "trap 'exit 0' INT; echo ready; while :; do sleep 0.01; done")
	p.Stop()
	if err := p.Err(); err != nil {
		t.Errorf("it was not asked to end: %v", err)
	}
}

func TestUntil(t *testing.T) {
	p, err := proc.Start(proc.Spec{Path: "sh", Args: []string{"-c", "echo no luck >&2; exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Until(t.Context(), time.Minute, func(context.Context) error { return errors.New("not yet") })
	if !errors.Is(err, proc.ErrEnded) || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("got %v, want that it has ended, with its last words", err)
	}
}

func TestRunIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := proc.Run(ctx, proc.Spec{Path: "sleep", Args: []string{"600"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time is up", err)
	}
}

func TestCost(t *testing.T) {
	self := os.Getpid()
	before := proc.CPU(self)
	for begun := time.Now(); time.Since(begun) < 100*time.Millisecond; { // burn time
	}
	if spent := proc.CPU(self) - before; spent <= 0 || spent > 10*time.Second {
		t.Errorf("100 ms of work cost %s", spent)
	}
	if m := proc.Memory(self); m < 1<<20 {
		t.Errorf("this process holds %d bytes", m)
	}
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"a": 1000, "b/c": 24} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int64{dir: 1024, filepath.Join(dir, "a"): 1000, filepath.Join(dir, "none"): 0} {
		if got, err := proc.Disk(name); err != nil || got != want {
			t.Errorf("%s: %d bytes (%v), want %d", name, got, err, want)
		}
	}
}
