package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// failDir, in the environment, makes this test binary the process whose disk fails.
const (
	failDir = "ORPINE_TEST_FAIL_DIR"
	failHow = "ORPINE_TEST_FAIL_HOW"
)

// TestDiskFails lets the disk fail under a process that works: its flushes, its writes, or
// by a bound on the size of files. From then on nothing is acknowledged and no effect
// begins; a clean start has all that was acknowledged, and knows of all effects.
func TestDiskFails(t *testing.T) {
	if os.Getenv(failDir) != "" {
		failing(t, os.Getenv(failDir), os.Getenv(failHow))
		return
	}
	for how, says := range map[string]string{
		"flush": "the disk failed", "space": "the disk is full", "size": "the disk ",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDiskFails$", "-test.v") //nolint:gosec // this binary
			cmd.Env = append(os.Environ(), failDir+"="+dir, failHow+"="+how)
			out, err := cmd.CombinedOutput()
			said := lines(string(out))
			if len(said["cannot"]) > 0 {
				t.Skipf("this machine does not let a disk fail so: %v", said["cannot"])
			}
			if err != nil {
				t.Fatalf("the process: %v\n%s", err, out)
			}
			if len(said["signaled"]) < 20 || len(said["refused"]) != 4 || len(said["paid"]) == 0 {
				t.Errorf("it says: %d signaled, %d refused, %d paid\n%s", len(said["signaled"]), len(said["refused"]), len(said["paid"]), out)
			}
			for _, text := range said["refused"] {
				if !strings.Contains(text, says) || !strings.Contains(text, "nothing acknowledged is lost") {
					t.Errorf("refused with %q, want %q and what to do", text, says)
				}
			}
			kept(t, dir, said)
		})
	}
}

// lines sorts what a process said by the first word.
func lines(out string) map[string][]string {
	said := map[string][]string{}
	for line := range strings.Lines(out) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[word] = append(said[word], rest)
	}
	return said
}

// kept holds a directory, after a clean start, against what was said.
func kept(t *testing.T, dir string, said map[string][]string) {
	t.Helper()
	s := openStore(t, dir)
	j, err := journal.New(s)
	if err != nil {
		t.Fatal(err)
	}
	var signals, intents []string
	for _, id := range []durable.RunID{"box", "payer0", "payer1", "payer2"} {
		entries, err := j.All(t.Context(), id, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			switch e.Kind {
			case durable.EntrySignal:
				signals = append(signals, string(e.Input))
			case durable.EntryIntent:
				intents = append(intents, fmt.Sprintf("%s %d", id, e.Command))
			default:
			}
		}
	}
	for _, n := range said["signaled"] {
		if !slices.Contains(signals, n) {
			t.Errorf("signal %s was acknowledged and is lost", n)
		}
	}
	for _, what := range said["paid"] {
		if !slices.Contains(intents, what) {
			t.Errorf("%s was paid, and no intent is recorded", what)
		}
	}
	e := openEngine(t, s, payers(func(string) {})...)
	if err := e.Signal(t.Context(), "box", durable.Signal{Name: "n", Data: json.RawMessage(`-1`)}); err != nil {
		t.Errorf("after a clean start: %v", err)
	}
	for _, id := range []durable.RunID{"payer0", "payer1", "payer2"} {
		if err := e.Kill(t.Context(), id, "seen enough"); err != nil {
			t.Error(err)
		}
	}
	closeEngine(t, e, s)
	t.Logf("%d signals acknowledged, %d paid", len(said["signaled"]), len(said["paid"]))
}

// payers are a run that takes signals and runs that pay again and again.
func payers(paid func(string)) []durable.Program {
	pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, func(ctx context.Context, run string) (string, error) {
		paid(fmt.Sprintf("%s %d", run, durable.AttemptOf(ctx).Command))
		return strings.Repeat("receipt ", 100), nil
	})
	box := durable.NewProgram("box", func(ctx durable.Context, _ int) (int, error) {
		for {
			if n, err := durable.Receive[int](ctx, "n"); err != nil || n < 0 {
				return n, err
			}
		}
	})
	payer := durable.NewProgram("payer", func(ctx durable.Context, _ int) (int, error) {
		for {
			if _, err := durable.Do(ctx, pay, string(ctx.Info().Run)); err != nil {
				return 0, err
			}
		}
	}, pay.StepFunc)
	return []durable.Program{box, payer}
}

// failing is the process whose disk fails. What it says goes out in one write a line.
func failing(t *testing.T, dir, how string) {
	t.Helper()
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) }
	ctx := t.Context()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	e := openEngine(t, s, payers(func(what string) { say("paid %s", what) })...)
	for id, program := range map[durable.RunID]string{"box": "box", "payer0": "payer", "payer1": "payer", "payer2": "payer"} {
		if _, err := e.Start(ctx, durable.StartRequest{ID: id, Program: program}); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; ; n++ {
		if n == 20 {
			if err := breakDisk(dir, how); err != nil {
				say("cannot %v", err)
				return
			}
		}
		err := e.Signal(ctx, "box", durable.Signal{Name: "n", Data: json.RawMessage(fmt.Sprint(n))})
		if err != nil {
			say("refused %v", err)
			break
		}
		say("signaled %d", n)
		if n > 100_000 {
			t.Fatal("the disk does not fail")
		}
	}
	_, errStart := e.Start(ctx, durable.StartRequest{ID: "late", Program: "box"})
	say("refused %v", errStart)
	say("refused %v", e.Signal(ctx, "box", durable.Signal{Name: "n", Data: json.RawMessage(`7`)}))
	done := make(chan error, 1)
	s.Commit([]*store.Change{{Marks: []store.Mark{{Key: "k", Value: 1}}}}, func(err error) { done <- err })
	say("refused %v", <-done)
	ended, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_ = errors.Join(e.Close(ended), s.Close()) // it has failed; what they say is not what is tested
}

// breakDisk makes writes to files, or their flushes, fail in this process from now on.
func breakDisk(dir, how string) error {
	switch how {
	case "flush":
		return refuse(syscall.EIO, syscall.SYS_FSYNC, syscall.SYS_FDATASYNC)
	case "space":
		return refuse(syscall.ENOSPC, syscall.SYS_PWRITE64)
	}
	info, err := os.Stat(filepath.Join(dir, sqlite.File+"-wal"))
	if err != nil {
		return err
	}
	limit := uint64(info.Size()) + 40_000 //nolint:gosec // not negative
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit})
}

// refuse has the kernel answer some calls of this process with an error, by a seccomp
// filter for all its threads.
func refuse(errno syscall.Errno, calls ...uint32) error {
	const (
		load, equal, give = 0x20, 0x15, 0x06 // BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
		allow, answer     = 0x7fff0000, 0x00050000
		setFilter, all    = 1, 1 // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
		noNewPrivileges   = 38
	)
	number, ok := map[string]uintptr{"amd64": 317, "arm64": 277}[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("no filter on %s", runtime.GOARCH)
	}
	program := []syscall.SockFilter{{Code: load}}
	for i, call := range calls {
		program = append(program, syscall.SockFilter{Code: equal, K: call, Jt: uint8(len(calls) - i)}) //nolint:gosec // few
	}
	program = append(program, syscall.SockFilter{Code: give, K: allow}, syscall.SockFilter{Code: give, K: answer | uint32(errno)}) //nolint:gosec // small
	filter := syscall.SockFprog{Len: uint16(len(program)), Filter: &program[0]}                                                    //nolint:gosec // few
	runtime.LockOSThread()                                                                                                         // what is set for this thread, the filter takes to the others
	defer runtime.UnlockOSThread()
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, noNewPrivileges, 1, 0, 0, 0, 0); e != 0 {
		return fmt.Errorf("prctl: %w", e)
	}
	if _, _, e := syscall.RawSyscall(number, setFilter, all, uintptr(unsafe.Pointer(&filter))); e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	return nil
}
