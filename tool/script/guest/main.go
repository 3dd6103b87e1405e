// Command guest runs a script inside of WebAssembly, for package script: it reads one
// request from its standard input and writes one answer to its standard output.
//
// It is built for wasip1, and what package script embeds is the result; nothing else runs
// it. It may not ask for files, time or the network: where it runs there are none.
package main

import (
	"encoding/json"
	"io"
	"os"
	"runtime/debug"
)

// request is what the host asks for.
type request struct {
	Code     string          `json:"code"`
	Input    json.RawMessage `json:"input,omitempty"`
	Steps    uint64          `json:"steps"`
	MemoryMB int64           `json:"memory_mb"` // of this module
}

// answer is what became of it.
type answer struct {
	Printed string `json:"printed,omitempty"`
	Value   string `json:"value,omitempty"` // a string as it is, all else as JSON
	Error   string `json:"error,omitempty"`
}

func main() {
	in, err := io.ReadAll(os.Stdin)
	var q request
	var a answer
	if err == nil {
		err = json.Unmarshal(in, &q)
	}
	if err == nil {
		// The collector must work harder before memory is used up, not after.
		debug.SetMemoryLimit(q.MemoryMB << 20 * 7 / 10)
		debug.SetMaxStack(int(q.MemoryMB) << 20 / 8)
		a, err = run(q)
	}
	if err != nil {
		a.Error = err.Error()
	}
	if out, err := json.Marshal(a); err == nil {
		_, _ = os.Stdout.Write(out) // nobody else would hear of it
	}
}
