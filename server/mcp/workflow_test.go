package mcp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/workflow"
)

// TestWorkflowTool: a workflow is a tool that takes its input; an agent that runs as one is told a text.
func TestWorkflowTool(t *testing.T) {
	s := open(t, server.Config{})
	parse := func(text string) *workflow.Definition {
		d := &workflow.Definition{}
		if err := json.Unmarshal([]byte(text), d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	agents := `"agents": {"chatty": {"name": "chatty", "model": "script/talk"}}`
	planned := parse(`{"name": "thinker", "description": "Thinks.", "input": {"type": "object", "properties": {"text": {"type": "string"}}},
		"body": {"ordered": true, "nodes": [{"id": "say", "agent": "chatty", "prompt": "${{ input.text }}"}]}, ` + agents + `}`)
	greet := parse(`{"name": "greet", "description": "Greets.", "input": {"type": "object", "required": ["who"], "properties": {"who": {"type": "string"}}},
		"output": {"to": "${{ input.who }}", "said": "${{ steps.say.output }}"},
		"body": {"ordered": true, "nodes": [{"id": "say", "agent": "chatty", "prompt": "${{ input.who }}"}]}, ` + agents + `}`)
	err := s.s.Load(t.Context(), server.File{
		Planned: map[string]*workflow.Definition{"thinker": planned}, Workflows: map[string]*workflow.Definition{"greet": greet, "chatty": greet},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, protocol := range protocols {
		c := s.connect(protocol, nil)
		list, err := c.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]string{}
		for _, one := range list.Tools {
			said[one.Name] = one.Description + fmt.Sprint(one.InputSchema)
		}
		if len(said) != 6 || !strings.Contains(said["greet"], "Greets.") || !strings.Contains(said["greet"], "who") || !strings.Contains(said["thinker"], "text") || !strings.Contains(said["chatty"], "Talks.") {
			t.Errorf("%s: tools %v", protocol, said)
		}
		r, err := c.CallTool(t.Context(), &sdk.CallToolParams{Name: "greet", Arguments: map[string]string{"who": "Ann"}})
		if err != nil || r.IsError || fmt.Sprint(r.StructuredContent) != "map[said:heard Ann to:Ann]" {
			t.Errorf("%s: %+v, error %v: %s", protocol, r, err, textOf(r))
		}
		if run := s.runOf(r); run.Program != workflow.Program || run.Name != "greet" {
			t.Errorf("%s: run %+v", protocol, run)
		}
		if r, err := c.CallTool(t.Context(), call("thinker", "Bob")); err != nil || textOf(r) != "heard Bob" {
			t.Errorf("%s: %+v, error %v: %s", protocol, r, err, textOf(r))
		}
		if r, err := c.CallTool(t.Context(), call("greet", "Bob")); err != nil || !r.IsError || !strings.Contains(textOf(r), "who") {
			t.Errorf("%s: without what it needs: %+v, error %v", protocol, r, err)
		}
	}
}
