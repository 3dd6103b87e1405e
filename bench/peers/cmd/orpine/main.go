// Command orpine is the worker of Orpine: the embedded engine over SQLite in the
// process, through the public package, with its default durability. The steps have the
// default effect, so each result is durable before the next step starts.
//
// On the line request -> run -> step -> journal -> event -> client it has all of it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/bench/peers/drive"
	"github.com/orpine-run/orpine/bench/peers/workload"
	"github.com/orpine-run/orpine/durable"
)

func main() { os.Exit(drive.Main(open)) }

func open(ctx context.Context, o drive.Options, l *workload.Load) (workload.Engine, error) {
	r, err := orpine.Open(ctx, orpine.Config{Data: o.Store, Owner: "bench", Programs: programs(l)})
	if err != nil {
		return nil, err
	}
	return &engine{runtime: r}, nil
}

type engine struct{ runtime *orpine.Runtime }

// input is the input of every program: a run ID that all engines alike can use.
type input struct {
	ID    string `json:"id"`
	Steps int    `json:"steps,omitempty"`
}

func (e *engine) start(ctx context.Context, program string, in input) (durable.RunID, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	return e.runtime.Start(ctx, durable.StartRequest{ID: durable.RunID(in.ID), Program: program, Input: data})
}

// Run implements workload.Engine.
func (e *engine) Run(ctx context.Context, kind workload.Kind, id string) error {
	program, in := rowProgram, input{ID: id, Steps: workload.StepsPerRun}
	switch kind {
	case workload.Steps:
	case workload.Agent:
		program = agentProgram
	case workload.Cold:
		in.Steps = 1
	default:
		return fmt.Errorf("no program for %s", kind)
	}
	run, err := e.start(ctx, program, in)
	if err != nil {
		return err
	}
	r, err := e.runtime.Wait(ctx, run)
	if err != nil {
		return err
	}
	if r.Status != durable.Succeeded {
		return fmt.Errorf("run %s is %s: %s", id, r.Status, r.Reason)
	}
	return nil
}

// Park implements workload.Engine.
func (e *engine) Park(ctx context.Context, id string) error {
	_, err := e.start(ctx, parkProgram, input{ID: id})
	return err
}

// Signal implements workload.Engine.
func (e *engine) Signal(ctx context.Context, id string) error {
	return e.runtime.Signal(ctx, durable.RunID(id), durable.Signal{Name: workload.Gate, Data: json.RawMessage(`"ok"`)})
}
