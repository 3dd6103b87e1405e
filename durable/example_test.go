package durable_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store/sqlite"
)

// A program calls steps. Kill the process anywhere in it, open the same directory
// again, and it goes on behind the last step that was recorded.
func Example() {
	type order struct {
		Item  string
		Count int
	}
	price := durable.NewFunc("price", durable.StepOptions{Effect: durable.Read}, func(_ context.Context, item string) (int, error) {
		return len(item) * 100, nil // ask the shop here
	})
	buy := durable.NewFunc("buy", durable.StepOptions{Effect: durable.Irreversible}, func(_ context.Context, o order) (string, error) {
		return fmt.Sprintf("%d x %s", o.Count, o.Item), nil // order it here
	})
	program := durable.NewProgram("shopping", func(ctx durable.Context, o order) (string, error) {
		each, err := durable.Do(ctx, price, o.Item)
		if err != nil {
			return "", err
		}
		if err := durable.Sleep(ctx, time.Millisecond); err != nil { // days are fine too
			return "", err
		}
		bought, err := durable.Do(ctx, buy, o)
		return fmt.Sprintf("%s for %d", bought, each*o.Count), err
	}, price.StepFunc, buy.StepFunc)

	run, err := runOnce(context.Background(), program, `{"Item":"lamp","Count":2}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Status, string(run.Output))
	// Output: succeeded "2 x lamp for 800"
}

// runOnce runs a program in a data directory of its own.
func runOnce(ctx context.Context, program durable.Program, input string) (run durable.Run, err error) {
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		return run, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return run, err
	}
	defer func() { _ = s.Close() }()
	engine, err := embedded.New(ctx, embedded.Config{Store: s, Programs: []durable.Program{program}})
	if err != nil {
		return run, err
	}
	defer func() { _ = engine.Close(ctx) }()
	id, err := engine.Start(ctx, durable.StartRequest{Program: program.Name(), Input: []byte(input)})
	if err != nil {
		return run, err
	}
	return engine.Wait(ctx, id)
}
