package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/tool"
)

// agentsPrefix begins the names of the tools by which an agent puts something to another.
const agentsPrefix = "agents/"

// asTool is an agent as another one sees it. Its calls are children of the run, not steps.
func asTool(d Definition) tool.Tool { return agentTool{d} }

type agentTool struct{ definition Definition }

// Spec implements tool.Tool.
func (t agentTool) Spec() tool.Spec {
	doc := t.definition.Description
	if doc == "" {
		doc = "Has the agent " + t.definition.Name + " do something, and returns its answer."
	}
	return tool.Spec{
		Name: agentsPrefix + t.definition.Name, Description: doc, Options: durable.StepOptions{Effect: durable.Idempotent},
		Schema: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string","description":"what it is to do; it knows nothing of this conversation"}},"required":["text"],"additionalProperties":false}`),
	}
}

// Call implements tool.Tool: the program starts a child instead.
func (t agentTool) Call(context.Context, json.RawMessage) (tool.Result, error) {
	return tool.Result{}, durable.Errorf(durable.CodeInternal, "agent %s is called as a step", t.definition.Name)
}

// spending is what agents that were put something to have used.
type spending struct {
	Usage model.Usage `json:"usage,omitzero"`
	Cost  float64     `json:"cost,omitempty"`
}

// delegate puts something to another agent, which may do no more than this one may.
func (l *loop) delegate(ctx durable.Context, d Definition, c model.ToolCall, out *outcome) error {
	var args struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(c.Args, &args); err != nil {
		return durable.Errorf(durable.CodeInvalid, "arguments of %s: %w", c.Name, err)
	}
	d.Above = slices.Concat(l.definition.Above, []tool.Policy{l.definition.Permissions}, d.Above)
	d.Flow = l.definition.Flow
	definition, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode agent %s: %w", d.Name, err)
	}
	input, err := json.Marshal(Input{Text: args.Text, Seen: l.Seen})
	if err != nil {
		return err
	}
	answer, err := durable.Promise[Answer]{Future: ctx.Child(durable.ChildCall{Program: Program, Name: d.Name, Input: input, Definition: definition})}.Await(ctx)
	l.Below.Usage, l.Below.Cost = l.Below.Usage.Add(answer.Usage), l.Below.Cost+answer.Cost
	l.Seen.add(answer.Seen)
	switch {
	case durable.CodeOf(err) == durable.CodeCanceled:
		return err
	case err != nil:
		out.refuse("agent %s came to no answer: %v", d.Name, err)
	case answer.Value != nil:
		out.Content = string(answer.Value)
	default:
		out.Content = answer.Text
	}
	return nil
}
