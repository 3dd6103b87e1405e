package main

import (
	"strings"
	"testing"
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
