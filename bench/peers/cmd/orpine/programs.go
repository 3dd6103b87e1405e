package main

import (
	"context"
	"slices"

	"github.com/orpine-run/orpine/bench/peers/workload"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
)

// The names of the programs.
const (
	rowProgram   = "row"
	agentProgram = "agent-loop"
	parkProgram  = "park"
)

func programs(l *workload.Load) []durable.Program {
	return []durable.Program{row(l), loop(l), park(l)}
}

// stepInput is the input of a step: which run, and which step of it.
type stepInput struct {
	ID string `json:"id"`
	I  int    `json:"i,omitempty"`
}

// row is a program of steps in a row.
func row(l *workload.Load) durable.Program {
	step := durable.NewFunc("step", durable.StepOptions{}, func(_ context.Context, in stepInput) (string, error) {
		return l.Step(in.ID, in.I), nil
	})
	return durable.NewProgram(rowProgram, func(ctx durable.Context, in input) (string, error) {
		for i := range in.Steps {
			if _, err := durable.Do(ctx, step, stepInput{ID: in.ID, I: i}); err != nil {
				return "", err
			}
		}
		return "ok", nil
	}, step.StepFunc)
}

// park is a program that waits for a signal between two steps.
func park(l *workload.Load) durable.Program {
	before := durable.NewFunc("before", durable.StepOptions{}, func(_ context.Context, in stepInput) (string, error) {
		return l.Before(in.ID), nil
	})
	after := durable.NewFunc("after", durable.StepOptions{}, func(_ context.Context, in stepInput) (string, error) {
		return l.After(in.ID), nil
	})
	return durable.NewProgram(parkProgram, func(ctx durable.Context, in input) (string, error) {
		if _, err := durable.Do(ctx, before, stepInput{ID: in.ID}); err != nil {
			return "", err
		}
		if err := ctx.Inbox(workload.Gate).Receive(ctx, nil); err != nil {
			return "", err
		}
		_, err := durable.Do(ctx, after, stepInput{ID: in.ID})
		return "ok", err
	}, before.StepFunc, after.StepFunc)
}

// modelInput is the input of a model step: the thread so far and what is new. Like the
// agent program it never carries the conversation.
type modelInput struct {
	Thread memory.Head      `json:"thread,omitzero"`
	Say    []memory.Message `json:"say,omitempty"`
}

// toolOutput is the result of a tool step. It is kept as a blob, which the thread refers
// to as well, as the agent program keeps all but short results.
type toolOutput struct {
	Content durable.Ref `json:"content"`
}

// loop is the agent loop.
func loop(l *workload.Load) durable.Program {
	steps := &agentSteps{load: l}
	call := durable.NewFunc("model", durable.StepOptions{}, steps.model)
	tool := durable.NewFunc("tool", durable.StepOptions{}, steps.tool)
	return durable.NewProgram(agentProgram, func(ctx durable.Context, in input) (string, error) {
		next := modelInput{Say: seed(in.ID)}
		for round := range workload.Rounds {
			thread, err := durable.Do(ctx, call, next)
			if err != nil {
				return "", err
			}
			var results [workload.ToolsPerTurn]durable.Promise[toolOutput]
			for k := range results {
				results[k] = durable.Start(ctx, tool, stepInput{ID: in.ID, I: round*workload.ToolsPerTurn + k})
			}
			next = modelInput{Thread: thread}
			for _, promise := range results {
				result, err := promise.Await(ctx)
				if err != nil {
					return "", err
				}
				next.Say = append(next.Say, heard(result))
			}
		}
		_, err := durable.Do(ctx, call, next)
		return "ok", err
	}, call.StepFunc, tool.StepFunc)
}

// agentSteps are the two places where the loop meets the world.
type agentSteps struct {
	load    *workload.Load
	threads memory.Threads
}

// model appends what is new to the thread, sends all of it, and appends the reply.
func (s *agentSteps) model(ctx context.Context, in modelInput) (memory.Head, error) {
	blobs := durable.AttemptOf(ctx).Blobs
	said, err := s.threads.Load(ctx, blobs, in.Thread, in.Say...)
	if err != nil {
		return memory.Head{}, err
	}
	reply, err := s.load.Model(ctx, plain(said))
	if err != nil {
		return memory.Head{}, err
	}
	answer := memory.Message{Message: model.Text(model.Role(reply.Role), reply.Content)}
	return s.threads.Append(ctx, blobs, in.Thread, append(slices.Clip(in.Say), answer)...)
}

func (s *agentSteps) tool(ctx context.Context, in stepInput) (toolOutput, error) {
	ref, err := durable.AttemptOf(ctx).Blobs.Put(ctx, []byte(s.load.Tool(in.ID, in.I).Content))
	return toolOutput{Content: ref}, err
}

func seed(id string) []memory.Message {
	var say []memory.Message
	for _, m := range workload.Seed(id) {
		say = append(say, memory.Message{Message: model.Text(model.Role(m.Role), m.Content)})
	}
	return say
}

// heard is the message that tells the model a tool's result.
func heard(out toolOutput) memory.Message {
	return memory.Message{
		Message: model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &model.ToolResult{}}}},
		Content: &out.Content,
	}
}

// plain makes the messages what every engine sends to the fake model.
func plain(said []model.Message) []workload.Message {
	out := make([]workload.Message, len(said))
	for i, m := range said {
		out[i] = workload.Message{Role: string(m.Role), Content: m.Text()}
		for _, p := range m.Parts {
			if p.Result != nil {
				out[i].Content = p.Result.Content
			}
		}
	}
	return out
}
