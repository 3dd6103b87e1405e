//go:build linux && amd64

package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/orpine-run/orpine/sandbox"
)

// limits are those of the attempts that go for them.
var limits = sandbox.Limits{
	Wall: 5 * time.Second, CPU: time.Second, Memory: mostMemory, Processes: mostProcesses, OpenFiles: mostFiles,
	FileSize: mostFile, Disk: mostDisk, Temp: mostTemp,
}

// TestEscapes makes every attempt of the corpus in a jail, where none may get through, and
// then in none, where most of them do: what could not get through anyway proves nothing.
// Where the tests run as root both are done as an ordinary user too.
func TestEscapes(t *testing.T) {
	if n := len(corpus()); n < 150 {
		t.Errorf("the corpus has %d attempts", n)
	}
	floor := 120 // of those that get through without a jail
	if os.Getuid() == 0 {
		floor = 200
	}
	for _, tier := range []sandbox.Tier{sandbox.TierJail, sandbox.TierNone} {
		t.Run(string(tier), func(t *testing.T) {
			lines := attack(t, box(t, tier))
			leaks := 0
			for _, a := range corpus() {
				line, ok := lines[a.name]
				if !ok {
					t.Errorf("%s: %s: no answer", a.category, a.name)
				}
				leaked := strings.HasPrefix(line, "LEAK")
				if leaked {
					leaks++
				}
				if testing.Verbose() || (leaked && tier == sandbox.TierJail) {
					t.Log(a.category, line)
				}
			}
			t.Logf("as user %d: %d of %d attempts got through", os.Getuid(), leaks, len(lines))
			if tier == sandbox.TierJail && leaks > 0 {
				t.Errorf("%d attempts got through the jail", leaks)
			}
			if tier == sandbox.TierNone && leaks < floor {
				t.Errorf("only %d attempts get through without a jail, of %d that should", leaks, floor)
			}
		})
	}
	if os.Getuid() == 0 {
		t.Run("ordinary", func(t *testing.T) { asOrdinary(t, "^TestEscapes$") })
	}
}

// attack makes all attempts and returns what each came to.
func attack(t *testing.T, s *sandbox.Sandbox) map[string]string {
	t.Helper()
	workspace := t.TempDir()
	b, bitten := baits(t, workspace)
	lines := attackIn(t, s, "all", b, sandbox.Limits{Wall: 30 * time.Second})
	var all sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, 3)
	for _, a := range corpus() {
		if !a.alone {
			continue
		}
		own := b
		own.Workspace = t.TempDir()
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			one := attackIn(t, s, a.name, own, limits)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(lines, one)
		})
	}
	all.Wait()
	if s.Tier() == sandbox.TierJail {
		if n := bitten.Load(); n != 0 {
			t.Errorf("%d connections came out of the jail", n)
		}
		left, err := filepath.Glob(filepath.Join(b.Outside, "*"))
		if want := []string{b.Public, b.Secret, b.Socket}; err != nil || !slices.Equal(left, want) {
			t.Errorf("outside there are %v, want %v", left, want)
		}
	}
	return lines
}

// attackIn starts this program as the one that attacks.
func attackIn(t *testing.T, s *sandbox.Sandbox, role string, b bait, limits sandbox.Limits) map[string]string {
	bait, err := json.Marshal(b)
	if err != nil {
		t.Error(err)
	}
	var out, errs bytes.Buffer
	exit, err := s.Run(t.Context(), sandbox.Spec{
		Command: []string{self(t)}, Env: []string{"ORPINE_ATTACK=" + role, "ORPINE_BAIT=" + string(bait)},
		Workspace: b.Workspace, ReadOnly: []string{self(t)}, Limits: limits,
	}, sandbox.Streams{Out: &out, Err: &errs})
	if err != nil {
		t.Errorf("%s: %v", role, err)
	}
	if role != "all" && exit.Signal != 0 { // the whole jail was ended for it
		return map[string]string{role: "BLOCKED " + role + ": killed for " + string(exit.Limit)}
	}
	if exit.Code != 0 {
		t.Errorf("%s ended with %+v: %s", role, exit, errs.Bytes())
	}
	lines := map[string]string{}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		verdict, rest, _ := strings.Cut(line, " ")
		name, _, _ := strings.Cut(rest, ":")
		if verdict != "LEAK" && verdict != "BLOCKED" {
			t.Errorf("%s says %q", role, line)
		}
		lines[name] = line
	}
	return lines
}

// asOrdinary runs a test of this binary again as user 1000.
func asOrdinary(t *testing.T, name string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // for somebody else to go through
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "sandbox.test")
	if err := copyFile(exe, self(t)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, exe} {
		if err := os.Chown(path, 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", name, "-test.v")
	cmd.Dir = dir
	cmd.Env = []string{"TMPDIR=" + dir, "HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("\nPASS\n")) {
		t.Errorf("as user 1000: %v\n%s", err, out)
		return
	}
	for line := range strings.Lines(string(out)) {
		if testing.Verbose() || strings.Contains(line, "got through") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}
