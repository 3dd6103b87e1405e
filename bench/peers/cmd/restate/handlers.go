package main

import (
	restate "github.com/restatedev/sdk-go"

	"github.com/orpine-run/orpine/bench/peers/workload"
)

// Input is what a run starts with.
type Input struct {
	Kind workload.Kind
	ID   string
}

// Bench is the service of the runs that do not wait.
type Bench struct{ load *workload.Load }

// Run is its handler.
func (b Bench) Run(ctx restate.Context, in Input) (string, error) {
	step := func(i int) error {
		_, err := restate.Run(ctx, func(restate.RunContext) (string, error) { return b.load.Step(in.ID, i), nil })
		return err
	}
	switch in.Kind {
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
		return "ok", b.agent(ctx, in.ID)
	default:
		return "", restate.TerminalErrorf("no program for %s", in.Kind)
	}
}

func (b Bench) agent(ctx restate.Context, id string) error {
	said := workload.Seed(id)
	call := func() (workload.Message, error) {
		return restate.Run(ctx, func(ctx restate.RunContext) (workload.Message, error) { return b.load.Model(ctx, said) })
	}
	for round := range workload.Rounds {
		reply, err := call()
		if err != nil {
			return err
		}
		said = append(said, reply)
		var results [workload.ToolsPerTurn]restate.RunAsyncFuture[workload.Message]
		for k := range results {
			results[k] = restate.RunAsync(ctx, func(restate.RunContext) (workload.Message, error) {
				return b.load.Tool(id, round*workload.ToolsPerTurn+k), nil
			})
		}
		for _, result := range results {
			m, err := result.Result()
			if err != nil {
				return err
			}
			said = append(said, m)
		}
	}
	_, err := call()
	return err
}

// Gate is the workflow of the runs that wait, for a durable promise.
type Gate struct{ load *workload.Load }

// Run is the run itself.
func (g Gate) Run(ctx restate.WorkflowContext, id string) (string, error) {
	if _, err := restate.Run(ctx, func(restate.RunContext) (string, error) { return g.load.Before(id), nil }); err != nil {
		return "", err
	}
	if _, err := restate.Promise[string](ctx, workload.Gate).Result(); err != nil {
		return "", err
	}
	_, err := restate.Run(ctx, func(restate.RunContext) (string, error) { return g.load.After(id), nil })
	return "ok", err
}

// Approve is the signal.
func (Gate) Approve(ctx restate.WorkflowSharedContext, v string) (string, error) {
	return "ok", restate.Promise[string](ctx, workload.Gate).Resolve(v)
}
