package embedded_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Runs that are taken over after a crash may park before all of them are taken over.
func TestParkWhileTakingOver(t *testing.T) {
	const n = 1000
	begun, held := make(chan int, n), make(chan struct{})
	wait := durable.NewFunc("wait", durable.StepOptions{}, func(ctx context.Context, i int) (int, error) {
		begun <- i
		select {
		case <-held:
			return i, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	program := durable.NewProgram("p", func(ctx durable.Context, i int) (int, error) {
		if _, err := durable.Do(ctx, wait, i); err != nil {
			return 0, err
		}
		return i, durable.Sleep(ctx, 24*time.Hour)
	}, wait.StepFunc)
	dir := t.TempDir()
	s := openStore(t, dir)
	e := openEngine(t, s, program)
	for range n {
		if _, err := e.Start(t.Context(), durable.StartRequest{Program: "p"}); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		<-begun
	}
	copied := dead(t, dir)
	closeEngine(t, e, s)
	close(held)
	begun = make(chan int, n)
	s = openStore(t, copied)
	e = openEngine(t, s, program)
	defer closeEngine(t, e, s)
	eventually := time.After(20 * time.Second)
	for {
		waiting, err := s.List(t.Context(), durable.Filter{Statuses: []durable.Status{durable.Waiting}, Limit: 2 * n})
		if err != nil {
			t.Fatal(err)
		}
		if len(waiting) == n {
			return
		}
		select {
		case <-eventually:
			t.Fatal(fmt.Sprint(len(waiting), " are parked"))
		default:
		}
	}
}
