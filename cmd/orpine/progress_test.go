package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// TestProgressOfTools: tools that cannot be used are named with why, and what a tool says of how far
// it is stands in the moving line.
func TestProgressOfTools(t *testing.T) {
	t.Parallel()
	a, _ := person()
	p := newProgress(a)
	now := time.Now()
	output, err := json.Marshal(agent.Finds{Left: []string{"github/odd: its schema: no object"}})
	if err != nil {
		t.Fatal(err)
	}
	line := p.line(&durable.Entry{Kind: durable.EntryDone, Name: "tools", Func: agent.FindFunc, Output: output, Started: now, Time: now.Add(time.Millisecond)})
	if !strings.Contains(line, "tools") || !strings.Contains(line, "left out: github/odd: its schema: no object") {
		t.Errorf("it says %q", line)
	}
	for data, want := range map[string]string{`{"line":"compiling"}`: "compiling", `{"progress":1,"message":"half"}`: "half"} {
		p.delta(&durable.Delta{Run: "r", Command: 1, Step: "build", Kind: tool.Progress, Data: json.RawMessage(data)})
		if p.tail != want {
			t.Errorf("the moving line ends with %q, want %q", p.tail, want)
		}
	}
}
