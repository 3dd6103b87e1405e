package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store/sqlite"
)

// benchEngine opens an engine over a store that commits to the disk.
func benchEngine(b *testing.B, programs ...durable.Program) *embedded.Engine {
	b.Helper()
	s, err := sqlite.Open(b.Context(), sqlite.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	e, err := embedded.New(b.Context(), embedded.Config{Store: s, Programs: programs})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(e.Close(ctx), s.Close()); err != nil {
			b.Error(err)
		}
	})
	return e
}

// row is a program of n steps in a row, each with an output of 1 KB; then it waits for
// a signal. How fast such steps are written is what orpine bench steps measures.
func row() durable.Program {
	output := strings.Repeat("x", 1000)
	work := durable.NewFunc("work", durable.StepOptions{Effect: durable.Read}, func(context.Context, int) (string, error) { return output, nil })
	return durable.NewProgram("row", func(ctx durable.Context, steps int) (int, error) {
		for i := range steps {
			if _, err := durable.Do(ctx, work, i); err != nil {
				return 0, err
			}
		}
		return steps, ctx.Inbox("go").Receive(ctx, nil)
	}, work.StepFunc)
}

// BenchmarkReplay brings a parked run of 1,000 steps with 1 KB outputs back to life
// and lets go of it again. What it guards, on two cores: 50 ms, or 20,000 steps/s.
func BenchmarkReplay(b *testing.B) {
	const steps = 1000
	e := benchEngine(b, row())
	input, err := json.Marshal(steps)
	if err != nil {
		b.Fatal(err)
	}
	id, err := e.Start(b.Context(), durable.StartRequest{Program: "row", Input: input})
	if err != nil {
		b.Fatal(err)
	}
	r, err := e.Settle(b.Context(), id, time.Time{})
	if err != nil || r.Status != durable.Waiting {
		b.Fatalf("the run is %s (%s), error %v", r.Status, r.Reason, err)
	}
	for b.Loop() {
		// Whether it has such a question is known once it is replayed.
		if err := e.Answer(b.Context(), id, "none", json.RawMessage(`1`)); !errors.Is(err, durable.ErrNotFound) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(steps*float64(b.N)/b.Elapsed().Seconds(), "steps/s")
}
