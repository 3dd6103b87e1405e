// Package tool is the one door through which agents reach tools: a [Tool] says
// what it is with a [Spec], a [Registry] finds it, and [Registry.Dispatch] checks
// the arguments, bounds the time and turns every outcome into a [Result].
//
// It may not retry (the engine does), may not journal and does not know what an
// agent is. On the line request -> run -> step -> journal -> event -> client it
// stands inside a step: the agent's tool step calls Dispatch.
package tool

import (
	"context"
	"encoding/json"

	"github.com/orpine-run/orpine/durable"
)

// Tool is something a model can call.
type Tool interface {
	Spec() Spec
	// Call runs it. The arguments have passed the schema. A transient error
	// (durable.CodeUnavailable, CodeExhausted, CodeInternal) may be retried; every
	// other error is told to the model.
	Call(ctx context.Context, args json.RawMessage) (Result, error)
}

// Spec says what a tool is.
type Spec struct {
	Name        string
	Description string
	Schema      json.RawMessage     // JSON Schema of the arguments, an object
	Options     durable.StepOptions // effect (irreversible when empty), retry, timeout
}

// Result is what the model is told.
type Result struct {
	Content string `json:"content"`         // text, or JSON where the tool returned a value
	Error   bool   `json:"error,omitempty"` // the call failed and Content says why
}

// Declaration is a tool as data, for definitions that are pinned to a run: the same
// declaration makes the same tool in any process.
type Declaration struct {
	Name   string          `json:"name"`
	Kind   string          `json:"kind"` // which Maker understands Config
	Config json.RawMessage `json:"config"`
}

// Maker makes a tool of a declaration of its kind. It does no I/O: the tool opens
// what it needs when it is first called. Error: invalid.
type Maker func(Declaration) (Tool, error)
