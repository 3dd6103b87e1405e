package orpine_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	soak = flag.Bool("soak", false, "plant every bug, not only a few")
	bugs = flag.String("bugs", "", "plant only the bugs whose name has this in it")
)

// TestPlantedBugs builds the tests over a tree in which one line is wrong, without
// touching the tree, and wants the harness that is there for it to fail. Which line is
// in planted, and why it is done so in docs/decisions/0007.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() && *bugs == "" {
		t.Skip("each builds a test of its own")
	}
	for _, p := range planted {
		p.check(t)
	}
	list := planted
	if !*soak && *bugs == "" {
		list = quick()
	}
	caught := 0
	began := time.Now()
	for _, p := range list {
		if !strings.Contains(p.name, *bugs) {
			continue
		}
		if t.Run(p.name, p.plant) {
			caught++
		}
	}
	t.Logf("%d of %d planted bugs were caught, in %.0f s", caught, len(list), time.Since(began).Seconds())
}

// quick is a few of them, others each time, which are caught by tests that take a moment.
func quick() (few []bug) {
	for _, i := range rand.Perm(len(planted)) {
		if p := planted[i]; len(few) < 3 && p.pkg != "./cmd/orpine" && p.test != crashTest && p.test != "TestPoison" {
			few = append(few, p)
		}
	}
	return few
}

// check wants the line to be there, once: code moves, and a bug that cannot be planted
// any more shows nothing.
func (p bug) check(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(p.file)
	if err != nil {
		t.Error(err)
		return
	}
	if n := strings.Count(string(data), p.old); n != 1 {
		t.Errorf("%s: what it replaces is %d times in %s, want once: mend planted", p.name, n, p.file)
	}
}

// draws is how often a harness may look for a bug: what it does is drawn, and on a busy machine it
// gets to less of it in its few seconds.
const draws = 3

// plant runs the tests with the bug in them, and wants them to fail for it.
func (p bug) plant(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(dir, "wrong.go")
	if err := os.WriteFile(wrong, []byte(strings.Replace(string(data), p.old, p.bad, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Abs(p.file)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: wrong}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	said, passes := "", 0
	for ; passes < draws; passes++ {
		cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-timeout=4m", "-run=^"+p.test+"$", p.pkg)
		// By the environment, so that what the tests build has the bug as well.
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -overlay="+list)
		out, err := cmd.CombinedOutput()
		said = string(out)
		if err != nil {
			break
		}
	}
	switch {
	case passes == draws:
		t.Errorf("%s of %s passes %d times with the bug: %s\n%s", p.test, p.pkg, draws, p.name, said)
	case strings.Contains(said, "[build failed]") || strings.Contains(said, "[setup failed]"):
		t.Errorf("the bug does not build: %s", said)
	case !strings.Contains(said, "--- FAIL: "+strings.Split(p.test, "/")[0]) && !strings.Contains(said, "panic: "):
		t.Errorf("the tests fail, but not as they should: %s", tail(said))
	default:
		t.Logf("%s of %s, after %.0f s, %s", p.test, p.pkg, time.Since(began).Seconds(), firstComplaint(said))
	}
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

// firstComplaint is how the harness says what is wrong.
func firstComplaint(said string) string {
	for line := range strings.Lines(said) {
		if (strings.Contains(line, "_test.go:") && !strings.Contains(line, "===")) || strings.HasPrefix(line, "panic: ") {
			line = strings.TrimSpace(line)
			return fmt.Sprintf("says %.200s", line)
		}
	}
	return "fails"
}
