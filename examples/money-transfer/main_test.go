package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
)

// update writes the golden journal anew.
var update = flag.Bool("update", false, "write testdata/transfer.orpine")

// steps are those that have an effect, in the order in which they must have it.
var steps = []string{"withdraw", "deposit", "deposit_compensation", "withdraw_compensation"}

const told = "the other bank does not answer; compensated deposit_compensation; compensated withdraw_compensation"

// config is the transfer with a bank of its own.
func config(t *testing.T) (orpinetest.Config, *bank) {
	b := &bank{path: filepath.Join(t.TempDir(), "bank.jsonl")}
	return orpinetest.Config{Programs: []durable.Program{newTransfer(b)}}, b
}

// booked is what was booked, in order.
func booked(t *testing.T, b *bank) (names []string) {
	t.Helper()
	lines, err := b.read()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]int{}
	for _, l := range lines {
		names = append(names, l.Text)
		sums[l.Account] += l.Amount
	}
	if sums["ann"] != 0 || sums["bob"] != 0 {
		t.Errorf("the accounts are %v", sums)
	}
	return names
}

// transfer plays a transfer to its end.
func transfer(t *testing.T, e *orpinetest.Env) {
	r := e.Run("transfer", order{"ann", "bob", 150})
	if r.Status != durable.Failed || r.Error.Code != durable.CodeUnavailable || r.Error.Message != told {
		t.Errorf("the run is %s with %v", r.Status, r.Error)
	}
	if got := e.Effects(); !slices.Equal(got, steps) {
		t.Errorf("effects %q, want %q", got, steps)
	}
}

// TestTransfer: the step that fails is tried three times, after waits of 1 s and 2 s; then the
// deposit is taken back and the withdrawal given back, each once.
func TestTransfer(t *testing.T) {
	cfg, b := config(t)
	orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		transfer(t, e)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
		for _, name := range steps {
			if n := e.Calls(name); n != 1 {
				t.Errorf("%s was called %d times", name, n)
			}
		}
		if n := e.Calls("step_with_error"); n != 3 {
			t.Errorf("the step that fails was tried %d times", n)
		}
	})
	if got := booked(t, b); !slices.Equal(got, steps) {
		t.Errorf("booked %q, want %q", got, steps)
	}
}

// TestCrashes: wherever the process dies it comes to the same, in the same order.
func TestCrashes(t *testing.T) {
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		cfg, _ := config(t)
		return cfg
	}, transfer)
}

// TestGolden: a run of the first release is one that this build can go on with.
func TestGolden(t *testing.T) {
	cfg, _ := config(t)
	cfg.Update = *update
	path, err := filepath.Abs("testdata/transfer.orpine")
	if err != nil {
		t.Fatal(err)
	}
	orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
		transfer(t, e)
		e.Golden(path, "run-1")
	})
}

// TestKillBetween: a kill between the two compensations keeps their order, and neither is done twice.
func TestKillBetween(t *testing.T) {
	cfg, b := config(t)
	reached := make(chan bool, 1)
	cfg.Stubs = map[string]orpinetest.Stub{"withdraw_compensation": orpinetest.StubOf(func(ctx context.Context, o order) (int, error) {
		if durable.AttemptOf(ctx).Epoch == 1 {
			reached <- true
			<-ctx.Done() // the process dies before anything is booked
			return 0, ctx.Err()
		}
		return b.book(line{Key: durable.AttemptOf(ctx).Key, Account: o.From, Amount: o.Amount, Text: "withdraw_compensation"})
	})}
	orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
		id := e.Start("transfer", order{"ann", "bob", 150})
		for len(reached) == 0 {
			time.Sleep(time.Millisecond)
		}
		e.Crash()
		if r := e.Wait(id); r.Status != durable.Failed || r.Error.Message != told || e.Lives() != 2 {
			t.Errorf("in life %d the run is %s with %v", e.Lives(), r.Status, r.Error)
		}
		if n, m := e.Calls("deposit_compensation"), e.Calls("withdraw_compensation"); n != 1 || m != 2 {
			t.Errorf("the compensations were called %d and %d times", n, m)
		}
	})
	if got := booked(t, b); !slices.Equal(got, steps) {
		t.Errorf("booked %q, want %q", got, steps)
	}
}

// TestBothCauses: where a compensation fails too, the error says both, and the other is done.
func TestBothCauses(t *testing.T) {
	cfg, b := config(t)
	cfg.Stubs = map[string]orpinetest.Stub{"deposit_compensation": orpinetest.StubOf(func(context.Context, order) (int, error) {
		return 0, durable.Errorf(durable.CodeConflict, "bob has spent it")
	})}
	orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
		r := e.Run("transfer", order{"ann", "bob", 150})
		want := "the other bank does not answer; compensate deposit_compensation: bob has spent it; compensated withdraw_compensation"
		if r.Status != durable.Failed || r.Error.Code != durable.CodeUnavailable || r.Error.Message != want {
			t.Errorf("the run is %s with %+v", r.Status, r.Error)
		}
	})
	lines, err := b.read()
	if err != nil || len(lines) != 3 || lines[2].Text != "withdraw_compensation" {
		t.Errorf("booked %v, error %v", lines, err)
	}
}

// TestKilled kills the program itself once it has booked so far, and starts it again. What comes
// behind the waits is over too soon to be hit; see TestKillBetween.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits some seconds, as the program does")
	}
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "money-transfer")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range steps[:2] {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := &bank{path: filepath.Join(dir, "bank.jsonl")}
			first := exec.CommandContext(t.Context(), binary)
			first.Dir = dir
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			for found := false; !found && t.Context().Err() == nil; {
				data, err := os.ReadFile(b.path)
				found = err == nil && bytes.Contains(data, []byte(`"`+name+`"`))
				<-time.After(time.Millisecond)
			}
			if err := first.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = first.Wait() // it was killed
			second := exec.CommandContext(t.Context(), binary)
			second.Dir = dir
			out, err := second.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "failed: "+told+"\n") {
				t.Errorf("it ended with %v, and said\n%s", err, out)
			}
			if got := booked(t, b); !slices.Equal(got, steps) {
				t.Errorf("booked %q, want %q", got, steps)
			}
		})
	}
}
