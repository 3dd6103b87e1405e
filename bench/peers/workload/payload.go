package workload

import (
	"fmt"
	"strings"
)

// The sizes of payloads, in bytes.
const (
	stepBytes   = 1000
	toolBytes   = 768
	systemBytes = 500
	replyBytes  = 512
)

// Message is one message of the conversation of an agent run.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Output is what step i of a run returns. No two steps return the same, so that no
// engine can store it once for all.
func Output(run string, i int) string { return pad(fmt.Sprintf("%s-%d-", run, i), stepBytes) }

// Seed is how the conversation of an agent run begins.
func Seed(run string) []Message {
	return []Message{{Role: "system", Content: pad("", systemBytes)}, {Role: "user", Content: "run " + run}}
}

// Reply is what the fake model says.
func Reply() Message { return Message{Role: "assistant", Content: pad("", replyBytes)} }

func pad(prefix string, size int) string {
	return prefix + strings.Repeat("x", max(0, size-len(prefix)))
}
