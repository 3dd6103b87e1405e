package orpinetest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
)

// wrong names the test that a process of TestCatches is to fail, and wrongDir a directory for it.
const (
	wrong    = "ORPINETEST_WRONG"
	wrongDir = "ORPINETEST_DIR"
)

// note is a step that does what it is told to.
func note() durable.Func[string, string] {
	return durable.NewFunc("note", durable.StepOptions{}, func(_ context.Context, s string) (string, error) { return s, nil })
}

// one is a program with one step, whose input is what make says.
func one(input func() string) func() orpinetest.Config {
	step := note()
	return func() orpinetest.Config {
		return orpinetest.Config{Programs: []durable.Program{
			durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
				if _, err := durable.Do(ctx, step, input()); err != nil {
					return "", err
				}
				return durable.Do(ctx, step, "end")
			}, step.StepFunc),
		}}
	}
}

func runP(_ *testing.T, e *orpinetest.Env) { e.Run("p", 0) }

// mistakes are tests that must fail, and what they must say.
var mistakes = map[string]struct {
	says string
	test func(t *testing.T)
}{
	"not deterministic": {"run run-1 is not deterministic: replay mismatch at step 0", func(t *testing.T) {
		var n atomic.Int64
		orpinetest.Run(t, one(func() string { return fmt.Sprint(n.Add(1)) })(), runP)
	}},
	"forgets after a crash": {"a crash after commit", func(t *testing.T) {
		var crashed atomic.Bool
		cfg := one(func() string { return "x" })()
		cfg.Stubs = map[string]orpinetest.Stub{"note": orpinetest.StubOf(func(ctx context.Context, s string) (string, error) {
			if durable.AttemptOf(ctx).Epoch > 1 {
				crashed.Store(true)
			}
			return fmt.Sprint(s, crashed.Load()), nil
		})}
		orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config { crashed.Store(false); return cfg }, runP)
	}},
	"stands still": {`run run-1 never ends: ` + "\n" + `run-1 (p) waits for answer 0.0 "well?"`, func(t *testing.T) {
		p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
			return durable.Ask[string](ctx, durable.Interrupt{Prompt: "well?"})
		})
		orpinetest.Run(t, orpinetest.Config{Programs: []durable.Program{p}}, runP)
	}},
	"unknown stub": {`there is a stub for the step function "nota", and no program has one; there are agent.model,`, func(t *testing.T) {
		cfg := one(func() string { return "" })()
		cfg.Stubs = map[string]orpinetest.Stub{"nota": nil}
		orpinetest.Run(t, cfg, runP)
	}},
	"bad script": {"no-such-file.yaml", func(t *testing.T) {
		orpinetest.Run(t, orpinetest.Config{Script: "no-such-file.yaml"}, runP)
	}},
	"no golden journal": {"write it by running the test with Config.Update set", func(t *testing.T) {
		orpinetest.Run(t, one(func() string { return "" })(), func(_ *testing.T, e *orpinetest.Env) { e.Golden("no-such-file.orpine", "") })
	}},
	"another program": {"replay mismatch at step 0", func(t *testing.T) {
		path := filepath.Join(os.Getenv(wrongDir), "p.orpine")
		cfg := one(func() string { return "old" })()
		cfg.Update = true
		orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
			runP(t, e)
			e.Golden(path, "run-1")
		})
		orpinetest.Run(t, one(func() string { return "new" })(), func(_ *testing.T, e *orpinetest.Env) { e.Golden(path, "") })
	}},
	"not its output": {"run run-1 is failed", func(t *testing.T) {
		p := durable.NewProgram("p", func(durable.Context, int) (int, error) { return 0, durable.Errorf(durable.CodeDenied, "no") })
		orpinetest.Run(t, orpinetest.Config{Programs: []durable.Program{p}}, func(_ *testing.T, e *orpinetest.Env) { orpinetest.Output[int](e, e.Run("p", 0)) })
	}},
	"no commit": {"no process died", func(t *testing.T) {
		orpinetest.CrashAfterEveryStep(t, one(func() string { return "" }), func(*testing.T, *orpinetest.Env) {})
	}},
}

// TestCatches: what is wrong with a program or a test is found, and said.
func TestCatches(t *testing.T) {
	if name := os.Getenv(wrong); name != "" {
		mistakes[name].test(t)
		return
	}
	for name, m := range mistakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCatches$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), wrong+"="+name, wrongDir+"="+t.TempDir())
			out, err := cmd.CombinedOutput()
			text := strings.ReplaceAll(string(out), "\n        ", "\n")
			if err == nil || !strings.Contains(text, m.says) || strings.Contains(text, "panic:") {
				t.Errorf("after %s it ended with %v, and said, without %q:\n%s", time.Since(began), err, m.says, out)
			}
		})
	}
}
