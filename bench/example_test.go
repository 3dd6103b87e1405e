package bench_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/orpine-run/orpine/bench"
)

// Sixteen runs at once, each of sequential steps, for a tenth of a second.
func ExampleRun() {
	dir := filepath.Join(os.TempDir(), fmt.Sprint("orpine-bench-example-", os.Getpid()))
	r, err := bench.Run(context.Background(), bench.Config{
		Workload: bench.Steps, Runs: 16, Steps: 5, Payload: 1000, Secs: 0.1, Durability: bench.Full, Dir: dir,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.StepsPerS > 0, r.Floor.SQLite > 0)
	// Output: true true
}
