package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestMain lets the test binary be the process that a workload starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "child" {
		if err := Child(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestWorkloads drives those that need another process in this one, where the race
// detector looks on; the command tests their figures.
func TestWorkloads(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{
		{Workload: Agents, Runs: 3, Loop: LoopProgram},
		{Workload: Agents, Runs: 3, Loop: LoopAgent},
		{Workload: Recover, Runs: 5},
		{Workload: Thread, Runs: 1, Calls: 10, ThreadTokens: 1000, ToolEvery: 1},
	} {
		t.Run(c.Workload+c.Loop, func(t *testing.T) {
			c.Payload, c.Secs, c.Durability = 768, 0.1, Full
			c.Dir, c.Self, c.Stderr = filepath.Join(t.TempDir(), "d"), []string{self, "child"}, t.Output()
			r, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if r.StepsTotal == 0 || r.Unique == 0 || r.Written < r.Unique/2 || r.Floor.SQLite == 0 {
				t.Errorf("the figures cannot be: %+v", r)
			}
			if _, err := os.Stat(c.Dir); !os.IsNotExist(err) {
				t.Errorf("the directory is still there: %v", err)
			}
		})
	}
}
