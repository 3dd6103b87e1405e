package embedded

import (
	"encoding/json"
	"sync"

	"github.com/orpine-run/orpine/durable"
)

// definitionsMax is how many pinned definitions are kept in memory.
const definitionsMax = 256

// definitions keeps pinned definitions by their hash. The zero value is ready.
type definitions struct {
	mu   sync.Mutex
	data map[string]json.RawMessage
}

// keep remembers a definition; nil is none.
func (e *Engine) keep(hash string, data json.RawMessage) {
	if hash == "" || data == nil {
		return
	}
	e.defs.mu.Lock()
	defer e.defs.mu.Unlock()
	if e.defs.data == nil || len(e.defs.data) >= definitionsMax {
		e.defs.data = map[string]json.RawMessage{} // they are few; whoever needs one reads it again
	}
	e.defs.data[hash] = data
}

// definition returns the definition with this hash, nil for none.
func (e *Engine) definition(hash string) (json.RawMessage, error) {
	if hash == "" {
		return nil, nil
	}
	e.defs.mu.Lock()
	data, ok := e.defs.data[hash]
	e.defs.mu.Unlock()
	if ok {
		return data, nil
	}
	data, err := e.journal.Get(e.ctx, durable.Ref{Hash: hash})
	if err == nil {
		e.keep(hash, data)
	}
	return data, err
}
