package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/sandbox"
)

// TestExamples runs the YAML examples as the README says, without a key.
func TestExamples(t *testing.T) {
	var stdout, stderr strings.Builder
	none := func(string) (string, bool) { return "", false }
	args := []string{"--data", t.TempDir(), "run", "../../examples/first-agent/agent.yaml", "What day is it?"}
	if code := Main(t.Context(), args, strings.NewReader(""), &stdout, &stderr, none); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	if got := stdout.String(); !strings.HasPrefix(got, "It is ") || !strings.HasSuffix(got, "day in Berlin.\n") {
		t.Errorf("the answer is %q", got)
	}
}

// TestRepoKeeper runs the example of tools as its file says, without a key: what is allowed is done,
// what is asked about waits for a person, and what is denied is not done.
func TestRepoKeeper(t *testing.T) {
	if !slices.ContainsFunc(sandbox.Probe(), func(r sandbox.Report) bool { return r.Tier == sandbox.TierJail && r.Err == nil }) {
		t.Skip("this machine has no jail for the commands of the example")
	}
	dir, data := t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../examples/repo-keeper")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "orpine.yaml")
	for _, x := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"check", file}, exitOK, ""},
		{[]string{"run", file, "Which issues are open?"}, exitOK, "These are open:\n#12 The README"},
		{[]string{"run", file, "How long is the README?"}, exitOK, "3 README.md"},
		{[]string{"run", file, "Clean up"}, exitOK, "shell may not be called (deny shell(rm *))"},
		{[]string{"run", file, "Note the first issue in TODO.md"}, exitWaiting, ""},
		{[]string{"approve", "@last"}, exitOK, "That is noted: "},
	} {
		var stdout, stderr strings.Builder
		none := func(string) (string, bool) { return "", false }
		code := Main(t.Context(), append([]string{"--data", data}, x.args...), strings.NewReader(""), &stdout, &stderr, none)
		if code != x.code || !strings.Contains(stdout.String(), x.want) {
			t.Errorf("orpine %s: exit code %d, want %d and %q\n%s%s", x.args, code, x.code, x.want, &stdout, &stderr)
		}
	}
	if note, err := os.ReadFile(filepath.Join(dir, "repo", "TODO.md")); err != nil || string(note) != "#12 The README does not say how to build it\n" {
		t.Errorf("the note is %q, %v", note, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "repo", "README.md")); err != nil {
		t.Error(err)
	}
}
