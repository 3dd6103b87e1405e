package main

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/orpine-run/orpine/bench/peers/workload"
)

// steps are the activities.
type steps struct{ load *workload.Load }

// Step is an activity.
func (s *steps) Step(_ context.Context, id string, i int) (string, error) {
	return s.load.Step(id, i), nil
}

// Before is an activity.
func (s *steps) Before(_ context.Context, id string) (string, error) { return s.load.Before(id), nil }

// After is an activity.
func (s *steps) After(_ context.Context, id string) (string, error) { return s.load.After(id), nil }

// Model is an activity.
func (s *steps) Model(ctx context.Context, said []workload.Message) (workload.Message, error) {
	return s.load.Model(ctx, said)
}

// Tool is an activity.
func (s *steps) Tool(_ context.Context, id string, i int) (workload.Message, error) {
	return s.load.Tool(id, i), nil
}

// names gives the activities their names; it is never called.
var names *steps

// run is the workflow of every kind.
func run(ctx workflow.Context, kind workload.Kind, id string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	step := func(i int) error { return workflow.ExecuteActivity(ctx, names.Step, id, i).Get(ctx, new(string)) }
	switch kind {
	case workload.Steps:
		for i := range workload.StepsPerRun {
			if err := step(i); err != nil {
				return "", err
			}
		}
		return "ok", nil
	case workload.Cold:
		return "ok", step(0)
	case workload.Agent:
		return "ok", agent(ctx, id)
	case workload.Parked:
		return "ok", park(ctx, id)
	default:
		return "", fmt.Errorf("no program for %s", kind)
	}
}

func agent(ctx workflow.Context, id string) error {
	said := workload.Seed(id)
	hear := func(f workflow.Future) error {
		var m workload.Message
		err := f.Get(ctx, &m)
		said = append(said, m)
		return err
	}
	for round := range workload.Rounds {
		if err := hear(workflow.ExecuteActivity(ctx, names.Model, said)); err != nil {
			return err
		}
		var results [workload.ToolsPerTurn]workflow.Future
		for k := range results {
			results[k] = workflow.ExecuteActivity(ctx, names.Tool, id, round*workload.ToolsPerTurn+k)
		}
		for _, result := range results {
			if err := hear(result); err != nil {
				return err
			}
		}
	}
	return hear(workflow.ExecuteActivity(ctx, names.Model, said))
}

func park(ctx workflow.Context, id string) error {
	if err := workflow.ExecuteActivity(ctx, names.Before, id).Get(ctx, new(string)); err != nil {
		return err
	}
	workflow.GetSignalChannel(ctx, workload.Gate).Receive(ctx, new(string))
	return workflow.ExecuteActivity(ctx, names.After, id).Get(ctx, new(string))
}
