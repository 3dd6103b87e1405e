// Command bare is the worker of no engine at all: the workloads in memory, without any
// durability. It is the floor of what HTTP, JSON and the harness itself cost.
//
// On the line request -> run -> step -> journal -> event -> client it has the run and
// its steps, and no journal.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/orpine-run/orpine/bench/peers/drive"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

func main() { os.Exit(drive.Main(open)) }

func open(_ context.Context, _ drive.Options, l *workload.Load) (workload.Engine, error) {
	return &engine{load: l}, nil
}

type engine struct {
	load  *workload.Load
	gates sync.Map // run -> chan struct{}
}

// Run implements workload.Engine.
func (e *engine) Run(ctx context.Context, kind workload.Kind, id string) error {
	switch kind {
	case workload.Steps:
		for i := range workload.StepsPerRun {
			e.load.Step(id, i)
		}
	case workload.Cold:
		e.load.Step(id, 0)
	case workload.Agent:
		return e.agent(ctx, id)
	default:
		return fmt.Errorf("no program for %s", kind)
	}
	return nil
}

func (e *engine) agent(ctx context.Context, id string) error {
	said := workload.Seed(id)
	for round := range workload.Rounds {
		reply, err := e.load.Model(ctx, said)
		if err != nil {
			return err
		}
		var results [workload.ToolsPerTurn]workload.Message
		var wg sync.WaitGroup
		for k := range results {
			wg.Go(func() { results[k] = e.load.Tool(id, round*workload.ToolsPerTurn+k) })
		}
		wg.Wait()
		said = append(append(said, reply), results[:]...)
	}
	_, err := e.load.Model(ctx, said)
	return err
}

// Park implements workload.Engine.
func (e *engine) Park(_ context.Context, id string) error {
	gate := make(chan struct{})
	e.gates.Store(id, gate)
	go func() {
		e.load.Before(id)
		<-gate
		e.load.After(id)
	}()
	return nil
}

// Signal implements workload.Engine.
func (e *engine) Signal(_ context.Context, id string) error {
	gate, ok := e.gates.LoadAndDelete(id)
	if !ok {
		return fmt.Errorf("run %s does not wait", id)
	}
	close(gate.(chan struct{})) //nolint:errcheck // only Park writes to the map
	return nil
}
