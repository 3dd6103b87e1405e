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

// TestProgressOfWaits: a call that failed is marked as such, and a wait says how long it is.
func TestProgressOfWaits(t *testing.T) {
	t.Parallel()
	a, _ := person()
	p := newProgress(a)
	noon := time.Date(2026, 10, 5, 12, 0, 0, 0, time.Local)
	for _, c := range []struct {
		name  string
		entry durable.Entry
		want  string
	}{
		{"a tool that failed", durable.Entry{Kind: durable.EntryDone, Name: "study[2]", Output: json.RawMessage(`{"content":"503","error":true}`), Started: noon, Time: noon}, "✗ study[2]       503"},
		{"one that did not", durable.Entry{Kind: durable.EntryDone, Name: "study[2]", Output: json.RawMessage(`{"content":"503"}`), Started: noon, Time: noon.Add(time.Second)}, "✓ study[2]       1.0s"},
		{"a short wait", durable.Entry{Kind: durable.EntryTimer, Time: noon, Until: noon.Add(1999 * time.Millisecond)}, "◷ waits 2.0s, until 12:00:01"},
		{"a wait over midnight", durable.Entry{Kind: durable.EntryTimer, Time: noon, Until: noon.Add(24 * time.Hour)}, "◷ waits 1d00h, until 2026-10-06 12:00:00"},
	} {
		if got := p.line(&c.entry); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
