package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/sandbox"
)

// strangeBinary builds the MCP server that misbehaves, once per test run.
var strangeBinary = sync.OnceValues(func() (string, error) { return buildBinary("strange", "./testdata/e2e/strange") })

// needsJail skips a test where no process can be held.
func needsJail(t *testing.T) {
	t.Helper()
	for _, r := range sandbox.Probe() {
		if r.Tier == sandbox.TierJail && r.Err != nil {
			t.Skipf("this machine has no jail: %v", r.Err)
		}
	}
}

// mark is a text by which the processes of one test can be found; it is a fraction of a second too.
func mark() string { return fmt.Sprintf("%09d", 1+rand.IntN(999_999_998)) }

// holding lists the processes whose command line holds a mark.
func holding(mark string) []int {
	var pids []int
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(line), mark) {
			continue // it has ended meanwhile
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// within waits until something is so.
func within(t *testing.T, limit time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !so(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %s it is still not so: %s", limit, what)
		}
	}
}

// gone fails unless all processes of a mark end within two seconds.
func gone(t *testing.T, mark string) {
	t.Helper()
	from := time.Now()
	within(t, 2*time.Second, "the processes of the tool have ended", func() bool { return len(holding(mark)) == 0 })
	t.Logf("the processes of the tool were gone after %s", time.Since(from).Round(time.Millisecond))
}

// holder is a place with an agent whose tool starts two processes that sleep for ever.
func holder(t *testing.T, mark, more string) *place {
	t.Helper()
	needsJail(t)
	p := newPlace(t)
	p.write("agent.yaml", fmt.Sprintf(`
agents: { sleeper: { model: script/script.yaml, tools: [hold] } }
tools:
  hold: { run: [sh, -c, "sleep 1000.%[1]s & sleep 1000.%[1]s"], sandbox: { fs: read }, %[2]s }
`, mark, more))
	p.write("script.yaml", `
rules:
  - when: {turn: 1}
    reply: {calls: [{name: hold}]}
  - when: {turn: 2}
    reply: {text: "it says ${result}"}
`)
	return p
}

// asleep waits until both processes of the tool are there.
func asleep(t *testing.T, mark string) {
	t.Helper()
	within(t, 15*time.Second, "the tool has started its processes", func() bool {
		n := 0
		for _, pid := range holding("1000." + mark) {
			if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(name) == "sleep\n" {
				n++
			}
		}
		return n == 2
	})
}

// ending is a process that is killed when the test ends, unless it has ended before.
type ending struct {
	*process
	ended <-chan struct{}
}

func (p *place) ending(args ...string) ending {
	pr := p.start(nil, nil, args...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pr.wait()
	}()
	p.t.Cleanup(func() {
		pr.kill()
		<-ended
	})
	return ending{pr, ended}
}

func (p *place) lastRun() durable.Run {
	p.t.Helper()
	var r durable.Run
	p.decode(&r, "show", "@last", "-o", "json")
	return r
}

// TestStopReachesProcess: whatever ends a run, or the process that drives it, ends all that its
// tools have started.
func TestStopReachesProcess(t *testing.T) {
	t.Parallel()
	signal := func(s os.Signal) func(*place, *process) {
		return func(p *place, pr *process) {
			if err := pr.cmd.Process.Signal(s); err != nil {
				p.t.Error(err)
			}
		}
	}
	order := func(args ...string) func(*place, *process) { return func(p *place, _ *process) { p.ok(args...) } }
	for _, c := range []struct {
		name, tool string
		stop       func(*place, *process)
		status     durable.Status // of the run, in the end; "" = any
		waits      bool           // Orpine waits a while for a step that must not be cut short
	}{
		{"kill", "effect: irreversible", order("kill", "@last"), durable.Killed, false},
		{"kill of what only reads", "effect: read", order("kill", "@last"), durable.Killed, false},
		{"cancel", "effect: idempotent", order("cancel", "@last"), durable.Canceled, false},
		{"cancel of what only reads", "effect: read", order("cancel", "@last"), durable.Canceled, false},
		{"SIGKILL", "effect: irreversible", signal(syscall.SIGKILL), durable.Running, false},
		{"SIGKILL of what only reads", "effect: read", signal(syscall.SIGKILL), durable.Running, false},
		{"Ctrl-C", "effect: irreversible", signal(os.Interrupt), "", true},
		{"Ctrl-C of what only reads", "effect: read", signal(os.Interrupt), "", false},
		{"the time of the tool", "effect: irreversible, timeout: 300ms", func(*place, *process) {}, durable.Waiting, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := mark()
			p := holder(t, m, c.tool)
			pr := p.ending("run", "agent.yaml", "go")
			asleep(t, m)
			c.stop(p, pr.process)
			if c.waits {
				<-pr.ended
			}
			gone(t, m)
			<-pr.ended
			if got := p.lastRun().Status; c.status != "" && got != c.status {
				t.Errorf("the run is %s, want %s", got, c.status)
			}
		})
	}
}

// TestStopWhileServed: the process that drives the run lives on, and what its tool has started does
// not. A cancel leaves an irreversible step alone, as it may be done any moment; a kill does not.
func TestStopWhileServed(t *testing.T) {
	t.Parallel()
	m := mark()
	p := holder(t, m, "effect: irreversible")
	p.ok("run", "agent.yaml", "go", "--detach")
	pr := p.ending("serve", "--addr", "127.0.0.1:0")
	defer pr.kill()
	asleep(t, m)
	canceled := p.ending("cancel", "@last") // it waits for the end of the run
	within(t, 5*time.Second, "the run is to be canceled", func() bool {
		return strings.Contains(p.ok("logs", "@last", "-o", "jsonl"), `"kind":"cancel`)
	})
	if len(holding(m)) == 0 || p.lastRun().Status.Final() {
		t.Errorf("a cancel has ended an irreversible step: the run is %s", p.lastRun().Status)
	}
	p.ok("kill", "@last")
	gone(t, m)
	<-canceled.ended
	if got := p.lastRun().Status; got != durable.Killed {
		t.Errorf("the run is %s, want killed", got)
	}
}

// TestStopReachesServer: a call of an MCP server that hangs is given up when its run is killed, and
// the server ends with the process that has started it.
func TestStopReachesServer(t *testing.T) {
	t.Parallel()
	needsJail(t)
	for _, c := range []struct {
		name string
		end  os.Signal
	}{{"SIGTERM", syscall.SIGTERM}, {"SIGKILL", syscall.SIGKILL}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := mark()
			p := strangePlace(t, m)
			p.ok("run", "agent.yaml", "wait", "--detach")
			pr := p.ending("serve", "--addr", "127.0.0.1:0")
			within(t, 15*time.Second, "the call is under way", func() bool {
				var steps []durable.Step
				if o := p.run("steps", "@last", "-o", "name"); o.code == 0 && strings.Contains(o.out, "strange/wait") {
					p.decode(&steps, "steps", "@last", "-o", "json")
				}
				return slices.ContainsFunc(steps, func(s durable.Step) bool { return s.Name == "strange/wait" }) && len(holding(m)) > 0
			})
			p.ok("kill", "@last")
			within(t, 2*time.Second, "the server was told to give the call up", func() bool { return isFile(p.path("there", "given-up")) })
			if err := pr.cmd.Process.Signal(c.end); err != nil {
				t.Fatal(err)
			}
			gone(t, m)
		})
	}
}

// TestCrashAndEffects kills the process in the middle of a command that has left its key in a ledger.
// One that cannot be repeated is in doubt and is not; one that can be is, with the same key.
func TestCrashAndEffects(t *testing.T) {
	t.Parallel()
	needsJail(t)
	for _, c := range []struct {
		effect string
		times  int // that it was begun
		code   int // of orpine wait
		says   string
	}{
		{"irreversible", 1, 5, "in doubt: step 1 pay"},
		{"idempotent", 2, 0, "it says paid"},
		{"read", 2, 0, "it says paid"},
	} {
		t.Run(c.effect, func(t *testing.T) {
			t.Parallel()
			m := mark()
			p := newPlace(t)
			p.write("agent.yaml", fmt.Sprintf(`
agents: { payer: { model: script/script.yaml, tools: [pay] } }
tools:
  pay:
    effect: %s
    run: [sh, -c, 'echo "$ORPINE_IDEMPOTENCY_KEY" >> ledger; if [ "$(wc -l < ledger)" -gt 1 ]; then echo paid; else sleep 1000.%s; fi']
    sandbox: { workspace: shop }
`, c.effect, m))
			p.write("script.yaml", "rules:\n  - when: {turn: 1}\n    reply: {calls: [{name: pay}]}\n  - when: {turn: 2}\n    reply: {text: \"it says ${result}\"}\n")
			if err := os.Mkdir(p.path("shop"), 0o755); err != nil { //nolint:gosec // a process of another user looks into it
				t.Fatal(err)
			}
			pr := p.ending("run", "agent.yaml", "go")
			within(t, 15*time.Second, "the payment is under way", func() bool {
				return slices.ContainsFunc(holding(m), func(pid int) bool {
					name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
					return err == nil && string(name) == "sleep\n"
				})
			})
			pr.kill()
			gone(t, m)
			<-pr.ended
			for range 2 { // what is in doubt stays so
				if o := p.run("wait", "@last"); o.code != c.code || !strings.Contains(o.out+o.err, c.says) {
					t.Errorf("orpine wait: exit code %d, want %d and %q\n%s%s", o.code, c.code, c.says, o.out, o.err)
				}
			}
			data, err := os.ReadFile(p.path("shop", "ledger"))
			if err != nil {
				t.Fatal(err)
			}
			keys := strings.Fields(string(data))
			if run := string(p.lastRun().ID); len(keys) != c.times || len(slices.Compact(slices.Clone(keys))) != 1 || !strings.HasPrefix(keys[0], run+"/") {
				t.Errorf("the ledger of run %s has the keys %q, want one of that run, %d times", run, keys, c.times)
			}
		})
	}
}

// strangePlace is a place with an agent that calls the tool of the server strange that it is told.
func strangePlace(t *testing.T, mark string) *place {
	t.Helper()
	needsJail(t)
	bin, err := strangeBinary()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	if err := os.Mkdir(p.path("there"), 0o755); err != nil { //nolint:gosec // a process of another user looks into it
		t.Fatal(err)
	}
	p.write("agent.yaml", fmt.Sprintf(`
mcp:
  strange: { command: %[1]s, args: [serve, "%[2]s"], cwd: there, timeout: 5s, sandbox: { read_only: [%[1]s] } }
agents:
  caller: { model: script/script.yaml, tools: [strange/*], flow: off }
`, bin, mark))
	rules := "rules:\n  - when: {turn: 2}\n    reply: {text: \"it says ${result}\"}\n"
	for _, name := range strangeTools {
		rules += fmt.Sprintf("  - when: {last_user: ^%[1]s$}\n    reply: {calls: [{name: strange/%[1]s}]}\n", name)
	}
	p.write("script.yaml", rules)
	return p
}

// strangeTools are the tools of the server; each does one thing wrong.
var strangeTools = []string{"wait", "die", "garbage", "flood", "typed", "utf8", "huge", "wrong", "strict", "crooked"}
