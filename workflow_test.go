package orpine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/workflow"
)

// picky is a tool that notes what it is told and fails for one argument, until it is mended.
type picky struct {
	mended atomic.Bool
	mu     sync.Mutex
	calls  []string
}

func (*picky) Spec() tool.Spec {
	return tool.Spec{Name: "picky", Description: "a tool of the tests", Options: durable.StepOptions{Effect: durable.Idempotent, Retry: durable.Retry{Attempts: 1}}, Schema: json.RawMessage(`{"type":"object"}`)}
}

func (p *picky) Call(_ context.Context, args json.RawMessage) (tool.Result, error) {
	var in struct {
		Step string
		N    int
	}
	if err := json.Unmarshal(args, &in); err != nil {
		return tool.Result{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, fmt.Sprintf("%s-%d", in.Step, in.N))
	if in.Step == "second" && in.N == 2 && !p.mended.Load() {
		return tool.Result{}, durable.Errorf(durable.CodeInternal, "not yet")
	}
	return tool.Result{Content: fmt.Sprint(in.N)}, nil
}

// TestRetryOfWorkflows: only what failed is run again, also within the workflows that a workflow
// runs; --from runs what succeeded again; a run that has not ended is not tried again.
func TestRetryOfWorkflows(t *testing.T) {
	p := &picky{}
	rt, err := orpine.Open(t.Context(), orpine.Config{Data: t.TempDir(), Tools: []tool.Tool{p}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	}()
	step := func(id string) workflow.Node {
		return workflow.Node{ID: id, Tool: "picky", With: json.RawMessage(`{"step":"` + id + `","n":"${{ input.n }}"}`)}
	}
	inner := &workflow.Definition{Name: "inner", Hands: agent.Definition{Name: "inner", Tools: []string{"picky"}}, Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{step("first"), step("second")}}}
	outer := &workflow.Definition{Name: "outer", Workflows: map[string]*workflow.Definition{"inner": inner}, Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
		{ID: "all", ForEach: "[1, 2, 3]", AtOnce: 1, Workflow: "inner", With: json.RawMessage(`{"n":"${{ item }}"}`)},
	}}}
	req, err := workflow.Start(outer, workflow.Input{})
	if err != nil {
		t.Fatal(err)
	}
	run, err := rt.Run(t.Context(), req)
	if err != nil || run.Status != durable.Failed {
		t.Fatal(run.Status, err)
	}
	p.mended.Store(true)
	again, err := rt.Retry(t.Context(), run.ID, orpine.ForkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if run, err = rt.Wait(t.Context(), again); err != nil || run.Status != durable.Succeeded {
		t.Fatal(run.Status, run.Error, err)
	}
	want := []string{"first-1", "second-1", "first-2", "second-2", "first-3", "second-3", "second-2"}
	if !slices.Equal(p.calls, want) {
		t.Errorf("calls %v, want %v", p.calls, want)
	}
	if _, err := rt.Retry(t.Context(), again, orpine.ForkRequest{}); durable.CodeOf(err) != durable.CodeConflict {
		t.Errorf("a run that succeeded was tried again: %v", err)
	}
	if again, err = rt.Retry(t.Context(), again, orpine.ForkRequest{From: "all"}); err != nil {
		t.Fatal(err)
	}
	if run, err = rt.Wait(t.Context(), again); err != nil || run.Status != durable.Succeeded || len(p.calls) != len(want)+6 {
		t.Errorf("%s %v %v", run.Status, err, p.calls)
	}
	if _, err := rt.Retry(t.Context(), again, orpine.ForkRequest{From: "nope"}); durable.CodeOf(err) != durable.CodeNotFound {
		t.Errorf("from a step that there is not: %v", err)
	}
}
