package vet_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/orpine-run/orpine/vet"
)

// TestFindings: each package of testdata says in its comments what must be found in it, and nothing
// else may be.
func TestFindings(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), vet.New(), // at once, because each reads the standard library
		"clock", "chance", "outside", "threads", "order", "keeps", "free", "comments", "engine", "reach", "github.com/orpine-run/orpine/durable")
}

// tool builds the command.
func tool(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "orpinevet")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/orpinevet").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// TestOurs: the programs of this module hold to it, as go vet tells.
func TestOurs(t *testing.T) {
	binary := tool(t)
	cmd := exec.CommandContext(t.Context(), "go", "vet", "-vettool="+binary,
		"./durable", "./agent", "./workflow", "./trigger", "./demo/...", "./examples/...", "./orpinetest", "./server/webhook", "./bench", "./engine/...")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestCommand: the command, used as go vet uses it, finds what is wrong in a module of a user.
func TestCommand(t *testing.T) {
	binary := tool(t)
	cmd := exec.CommandContext(t.Context(), "go", "vet", "-vettool="+binary, "./testdata/wrong")
	out, err := cmd.CombinedOutput()
	if want := "wrong.go:12:14: time.Now tells another time on replay"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("error %v, want %q in\n%s", err, want, out)
	}
}
