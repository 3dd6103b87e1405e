package main

import (
	"bufio"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// build builds a command into a directory.
func build(t *testing.T, dir, name, pkg string) string {
	t.Helper()
	binary := filepath.Join(dir, name)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, pkg).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// process is the example on its way.
type process struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

// start starts it in a directory, and reads what it says before it waits.
func start(ctx context.Context, t *testing.T, binary, dir string) process {
	t.Helper()
	cmd := exec.CommandContext(ctx, binary)
	cmd.Dir = dir
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := process{cmd, bufio.NewScanner(pipe)}
	if line := p.line(); !strings.HasPrefix(line, "approve it with: orpine answer ") {
		t.Errorf("it says %q", line)
	}
	return p
}

func (p process) line() string {
	p.out.Scan()
	return p.out.Text()
}

// TestOtherProcess: the answer comes from another process, through the door of the one that waits.
func TestOtherProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two commands")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bin := t.TempDir()
	expense, orpine := build(t, bin, "expense", "."), build(t, bin, "orpine", "../../cmd/orpine")
	answer := func(dir string, args ...string) (string, int) {
		cmd := exec.CommandContext(ctx, orpine, append([]string{"answer", "@last"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	ended := func(p process, dir, want string, paid int) {
		t.Helper()
		if line := p.line(); line != want {
			t.Errorf("it says %q, want %q", line, want)
		}
		if err := p.cmd.Wait(); err != nil {
			t.Error(err)
		}
		if n := payments(t, &books{path: filepath.Join(dir, "books.jsonl")}); n != paid {
			t.Errorf("%d payments, want %d", n, paid)
		}
	}

	t.Run("through the door", func(t *testing.T) {
		dir := t.TempDir()
		p := start(ctx, t, expense, dir)
		if said, code := answer(dir, `{"approve": "yes"}`); code == 0 {
			t.Errorf("an answer that is none: code %d, %s", code, said)
		}
		if said, code := answer(dir, `{"approve": true}`, "--detach"); code != 0 {
			t.Fatalf("code %d, %s", code, said)
		}
		ended(p, dir, `succeeded {"paid":120}`, 1)
		if said, code := answer(dir, "--question", "approval", `{"approve": true}`); code == 0 {
			t.Errorf("a second answer: code %d, %s", code, said)
		}
	})
	t.Run("after a kill", func(t *testing.T) {
		dir := t.TempDir()
		p := start(ctx, t, expense, dir)
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.cmd.Wait() // it was killed
		p = start(ctx, t, expense, dir)
		if said, code := answer(dir, `{"approve": false, "why": "fly"}`, "--detach"); code != 0 {
			t.Fatalf("code %d, %s", code, said)
		}
		ended(p, dir, `succeeded {"paid":0,"why":"fly"}`, 0)
	})
}
