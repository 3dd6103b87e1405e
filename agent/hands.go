package agent

import (
	"encoding/json"
	"slices"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/tool"
)

// Hands call tools for a program that is no agent, such as a workflow, at the same door: with the
// policies of a definition, approvals and the questions that tools have. What such a program calls
// was written down by whoever made it and not chosen by a model, so it is not held against what was
// read before; what agents read that it starts is theirs.
type Hands struct{ loop loop }

// Hands makes those of a run. The definition stands under hands in the JSON of the one that steps find
// under pinned, such as the one that is pinned to the run. Sources among its tools are asked what they have; that is a step of the run.
// Error: one of durable.Block when a tool cannot be made here.
func (s *Set) Hands(ctx durable.Context, d Definition, pinned durable.Ref) (*Hands, error) {
	d.Flow = FlowOff
	h := &Hands{loop{program: s.agent, ctx: ctx, definition: d, ref: pinned, hands: true}}
	return h, h.loop.equip()
}

// Errand is one call of a tool.
type Errand struct {
	Name    string // what the step is called in the run
	Tool    string
	Args    json.RawMessage
	Options durable.StepOptions // over those of the tool
	Key     string              // idempotency key, the same for each try; "" = that of the step
}

// Call makes a call to its end. A refusal, by a policy or a person, is an error: denied. What the tool
// itself says went wrong is the result, with Error set.
func (h *Hands) Call(ctx durable.Context, e Errand) (tool.Result, error) {
	l := h.loop
	l.ctx, l.label, l.orders, l.key, l.Rules = ctx, e.Name, e.Options, e.Key, slices.Clone(l.Rules)
	if l.tools.Lacks(e.Tool) {
		return tool.Result{}, durable.Errorf(durable.CodeNotFound, "there is no tool %s", e.Tool)
	}
	var out outcome
	err := l.begun(model.ToolCall{Name: e.Tool, Args: e.Args}, &out)()
	for _, rule := range l.Rules {
		if !slices.Contains(h.loop.Rules, rule) {
			h.loop.Rules = append(h.loop.Rules, rule)
		}
	}
	if spec, ok := l.tools.Spec(e.Tool); ok && out.made {
		h.loop.Seen.read(spec.Flow)
		h.loop.Seen.add(Seen{Untrusted: out.Untrusted})
	}
	switch {
	case err != nil:
		return tool.Result{}, err
	case !out.made && out.Error:
		return tool.Result{}, durable.Errorf(durable.CodeDenied, "%s", out.Content)
	}
	return tool.Result{Content: out.Content, Error: out.Error, Untrusted: out.Untrusted}, nil
}

// Seen is what was read with them.
func (h *Hands) Seen() Seen { return h.loop.Seen }

// handsIn returns what a pinned definition says under hands; false when it is that of an agent.
func handsIn(definition []byte) (Definition, bool, error) {
	var in struct {
		Hands *Definition `json:"hands"`
	}
	if err := json.Unmarshal(definition, &in); err != nil || in.Hands == nil {
		return Definition{}, false, err
	}
	in.Hands.Flow = FlowOff
	return *in.Hands, true, nil
}
