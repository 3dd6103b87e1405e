package temporal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/workflow"
)

// TestWorkflow walks a workflow, unchanged, on every engine: a graph with items, a race whose loser
// is canceled, a child, and compensations behind a step that fails.
func TestWorkflow(t *testing.T) {
	want := walkOn(t, openEmbedded)
	if len(want) != 9 || want[len(want)-1] != "undo first" {
		t.Fatalf("embedded: %q", want)
	}
	for _, c := range []struct {
		name string
		open func(*testing.T, ...durable.Program) durable.Engine
	}{{"environment", openInEnvironment}, {"server", openOnServer}} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(want, walkOn(t, c.open)); diff != "" {
				t.Errorf("-embedded +temporal\n%s", diff)
			}
		})
	}
}

// walkOn runs the workflow on an engine and says what its tools were told: what is told at the same
// time in the order of the alphabet.
func walkOn(t *testing.T, open func(*testing.T, ...durable.Program) durable.Engine) []string {
	t.Helper()
	var mu sync.Mutex
	var told []string
	type words struct {
		Say string `json:"say"`
	}
	say := tool.Func("say", "Says something", func(_ context.Context, in words) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, in.Say)
		if in.Say == "fail" {
			return "", fmt.Errorf("it does not work")
		}
		return in.Say, nil
	}, tool.Idempotent)
	agents, err := agent.NewSet(agent.Config{Tools: []tool.Tool{say}})
	if err != nil {
		t.Fatal(err)
	}
	node := func(id, text string, needs ...string) workflow.Node {
		with, _ := json.Marshal(words{text})
		return workflow.Node{ID: id, Tool: "say", With: with, Needs: needs}
	}
	hands := agent.Definition{Name: "test", Tools: []string{"say"}}
	below := &workflow.Definition{Name: "below", Hands: hands, Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{node("inner", "child ${{ input.n }}")}}}
	first, each, win := node("first", "first"), node("each", "item ${{ item }} of ${{ steps.first.output }}", "first"), node("win", "won", "quick", "late")
	undo := node("", "undo ${{ output }}")
	first.Compensate, each.ForEach, win.Join = &undo, "['a', 'b']", workflow.Join{Rule: workflow.JoinFirst}
	d := &workflow.Definition{
		Name: "test", Hands: hands, Workflows: map[string]*workflow.Definition{"below": below},
		Body: workflow.Body{Nodes: []workflow.Node{
			first, each, node("quick", "quick", "each"),
			{ID: "late", Needs: []string{"each"}, Wait: &workflow.Wait{For: "20d"}},
			win,
			{ID: "child", Needs: []string{"win"}, Workflow: "below", With: json.RawMessage(`{"n":7}`)},
			node("bad", "fail", "child"), node("never", "never", "bad"),
			node("more", "more", "child"),
		}},
	}
	e := open(t, append(agents.Programs(), workflow.New(workflow.Config{Agents: agents}))...)
	req, err := workflow.Start(d, workflow.Input{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := e.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	run, err := e.Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != durable.Failed || !strings.Contains(run.Error.Message, "it does not work") || !strings.Contains(run.Error.Message, "compensated") {
		t.Errorf("%s: %v", run.Status, run.Error)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("the loser was waited for: %s", took)
	}
	slices.Sort(told[1:3]) // the items
	slices.Sort(told[6:8]) // what stands beside what fails
	return told
}
