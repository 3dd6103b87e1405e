package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// The step functions of workflows.
const (
	KeptFunc   = "workflow.kept"   // looks for an output that was kept
	KeepFunc   = "workflow.keep"   // keeps one
	RecordFunc = "workflow.record" // records that an asset was made
	PinFunc    = "workflow.pin"    // keeps a definition that is taken up
)

// Kept is an output that is kept for other runs.
type Kept struct {
	Output json.RawMessage `json:"output"`
	At     time.Time       `json:"at"` // when it was kept
	Run    durable.RunID   `json:"run"`
}

type keptInput struct {
	Key string `json:"key"`
}

type keptOutput struct {
	Kept *Kept `json:"kept,omitempty"` // nil = there is none
}

type keepInput struct {
	Key  string `json:"key"`
	Kept Kept   `json:"kept"`
}

// steps makes the step functions.
func (p *Walks) steps(cfg Config) {
	p.kept = durable.NewFunc(KeptFunc, durable.StepOptions{Effect: durable.Idempotent}, func(ctx context.Context, in keptInput) (keptOutput, error) {
		if cfg.Kept == nil {
			return keptOutput{}, nil
		}
		k, err := cfg.Kept(ctx, durable.AttemptOf(ctx).Run, in.Key)
		if errors.Is(err, durable.ErrNotFound) {
			return keptOutput{}, nil
		}
		return keptOutput{&k}, err
	})
	p.keep = durable.NewFunc(KeepFunc, durable.StepOptions{Effect: durable.Idempotent}, func(ctx context.Context, in keepInput) (bool, error) {
		if cfg.Keep == nil {
			return false, nil
		}
		return true, cfg.Keep(ctx, durable.AttemptOf(ctx).Run, in.Key, in.Kept)
	})
	p.record = durable.NewFunc(RecordFunc, durable.StepOptions{Effect: durable.Idempotent}, func(ctx context.Context, m Materialization) (bool, error) {
		if cfg.Record == nil {
			return false, nil
		}
		return true, cfg.Record(ctx, m)
	})
	p.pin = durable.NewFunc(PinFunc, durable.StepOptions{Effect: durable.Idempotent}, func(ctx context.Context, definition json.RawMessage) (durable.Ref, error) {
		return durable.AttemptOf(ctx).Blobs.Put(ctx, definition)
	})
}

// found is an output that was kept, as expressions see it.
type found struct{ value any }

// lookUp looks for an output that was kept; nil where there is none. The key is "" for a node that
// keeps nothing.
func (w *walker) lookUp(ctx durable.Context, n *node, s scope) (key string, hit *found, err error) {
	if n.Cache == nil {
		return "", nil, nil
	}
	if key, err = w.cacheKey(n, s); err != nil {
		return "", nil, err
	}
	out, err := durable.StartAs(ctx, label(n, s)+" kept", w.kept, keptInput{key}).Await(ctx)
	if err != nil || out.Kept == nil {
		return key, nil, err
	}
	if ttl := n.Cache.TTL; ttl > 0 && durable.Now(ctx).Sub(out.Kept.At) > ttl {
		return key, nil, nil
	}
	v, err := expr.Decode(out.Kept.Output)
	return key, &found{v}, err
}

// keepIt keeps an output for other runs.
func (w *walker) keepIt(ctx durable.Context, n *node, key string, out any) error {
	if key == "" {
		return nil
	}
	data, err := json.Marshal(out)
	if err != nil {
		return invalid("output", err)
	}
	_, err = durable.StartAs(ctx, n.ID+" keep", w.keep, keepInput{key, Kept{Output: data, At: durable.Now(ctx), Run: ctx.Info().Run}}).Await(ctx)
	return err
}

// cacheKey tells an output from those of other inputs and other code.
func (w *walker) cacheKey(n *node, s scope) (string, error) {
	own, err := n.key.String(w.eval(s))
	if err != nil {
		return "", invalid("cache.key", err)
	}
	by := n.Cache.By
	if len(by) == 0 && n.Cache.Key == "" {
		by = []string{"inputs", "code"}
	}
	parts := []string{w.graph.def.Name, n.ID, own}
	if slices.Contains(by, "code") {
		parts = append(parts, w.code(n))
	}
	if slices.Contains(by, "inputs") {
		in, err := w.inputs(n, s)
		if err != nil {
			return "", err
		}
		parts = append(parts, in)
	}
	return durable.RefOf([]byte(strings.Join(parts, "\x00"))).Hash, nil
}

// code is what a node does, as text.
func (w *walker) code(n *node) string {
	does := struct {
		Node
		Who  any `json:"who,omitempty"`
		Whom any `json:"whom,omitempty"`
	}{Node: Node{Agent: n.Agent, Prompt: n.Prompt, Tool: n.Tool, Workflow: n.Workflow, With: n.With, Output: n.Output, Plan: n.Plan}}
	switch n.verb {
	case VerbAgent:
		does.Who = w.graph.def.Agents[n.Agent]
	case VerbWorkflow:
		does.Who = w.graph.def.Workflows[n.Workflow]
	case VerbTool:
		for _, d := range w.graph.def.Hands.Declared {
			if d.Name == n.Tool || strings.HasPrefix(n.Tool, d.Name+"/") {
				does.Whom = d
			}
		}
	}
	data, err := json.Marshal(does)
	if err != nil {
		return cmp.Or(err.Error(), n.ID) // a definition that was read marshals
	}
	return string(data)
}

// inputs is what a node is called with, as text.
func (w *walker) inputs(n *node, s scope) (string, error) {
	prompt, err := n.prompt.String(w.eval(s))
	if err != nil {
		return "", invalid("prompt", err)
	}
	with, err := n.with.Value(w.eval(s))
	if err != nil {
		return "", invalid("with", err)
	}
	return prompt + "\x00" + string(with), nil
}
