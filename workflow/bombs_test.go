package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

// TestBombs: what would take for ever, or all memory, is an error that says what it is.
func TestBombs(t *testing.T) {
	million, err := json.Marshal(map[string]any{"list": make([]int, 1_000_000)})
	if err != nil {
		t.Fatal(err)
	}
	each := &workflow.Definition{Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
		{ID: "all", ForEach: "input.list", Tool: "echo", With: json.RawMessage(`{"say":"${{ item }}"}`)},
	}}}
	dear := &workflow.Definition{Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
		{ID: "dear", Tool: "echo", With: json.RawMessage(`{"say":"${{ input.list.map(a, input.list.map(b, a + b)) }}"}`)},
	}}}
	forever := &workflow.Definition{Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
		{ID: "loop", Loop: &workflow.Loop{Max: 10_000, Until: "false", Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
			{ID: "set", Set: workflow.Values{"n": json.RawMessage(`"${{ state.n + 1 }}"`)}},
		}}}},
	}}, State: map[string]workflow.Key{"n": {Initial: json.RawMessage("0")}}}
	for _, c := range []struct {
		name, input, want string
		def               *workflow.Definition
	}{
		{"a million items", string(million), "1000000 items, of at most 10000", each},
		{"an expression", `{"list":` + strings.TrimSuffix(string(million[8:8+2_000]), ",") + `]}`, "cost", dear},
		{"a loop", `{}`, "10000 rounds", forever},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := play(t, c.def, c.input, echo())
			if r.Status != durable.Failed || !strings.Contains(r.Error.Message, c.want) {
				t.Errorf("got %s %v, want %s", r.Status, r.Error, c.want)
			}
		})
	}
}
