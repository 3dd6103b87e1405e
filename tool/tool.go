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
	Name        string // such as clock, or files/read where it is one of several
	Description string
	Schema      json.RawMessage     // JSON Schema of the arguments, an object
	Output      json.RawMessage     // JSON Schema of what it returns; nil = it may be anything
	Options     durable.StepOptions // effect (irreversible when empty), retry, timeout
	Flow        Flow                // where what it returns comes from, and where what it is told goes
	// Subject is what its calls are about, for the rules of policies. Where it has none that is the
	// only argument that a call must have, if it is a text.
	Subject Subject
	// Asks says that a call may have questions for a person: see Result.
	Asks bool
}

// Flow says what calling a tool does to what an agent knows, and where it lets it go.
type Flow struct {
	Untrusted bool `json:"untrusted,omitempty"` // what it returns may be the words of a stranger, such as a page of the web
	Private   bool `json:"private,omitempty"`   // what it returns is not for everybody, such as files and mail
	Egress    bool `json:"egress,omitempty"`    // what it is told leaves the house
}

// Progress is the kind of the deltas by which a tool says how far it is: an object with line, of
// what a command prints, or with message, of an MCP server.
const Progress = "progress"

// Result is what the model is told.
type Result struct {
	Content string `json:"content"`         // text, or JSON where the tool returned a value
	Error   bool   `json:"error,omitempty"` // the call failed and Content says why

	// Asks is what a person must answer before there is a result; the rest is empty then. The
	// call is made again with the answers: see [AnswersOf].
	Asks []Question `json:"asks,omitempty"`
	// State goes unchanged from a Result with Asks to the call with the answers.
	State json.RawMessage `json:"state,omitempty"`

	// Found names tools that were looked up: the model is told of them from then on.
	Found []string `json:"found,omitempty"`

	// Untrusted says that this result may be the words of a stranger, whatever the Flow of the tool.
	Untrusted bool `json:"untrusted,omitempty"`
}

type untrustedKey struct{}

// WithUntrusted marks a call as one of an agent that has read words of strangers.
func WithUntrusted(ctx context.Context) context.Context {
	return context.WithValue(ctx, untrustedKey{}, true)
}

// UntrustedOf reports whether a call is one of an agent that has read words of strangers: what it is
// told to keep may be theirs.
func UntrustedOf(ctx context.Context) bool { return ctx.Value(untrustedKey{}) != nil }

// Question is one thing that a tool wants to know of a person.
type Question struct {
	Name   string          `json:"name"`             // names it among the questions of a result
	Prompt string          `json:"prompt"`           // what the person reads
	Schema json.RawMessage `json:"schema,omitempty"` // JSON Schema of the answer, an object; nil = a text

	Options []string `json:"options,omitempty"` // answers that are suggested, of a text
}

// Answers is what became of the questions of a result.
type Answers struct {
	State json.RawMessage            `json:"state,omitempty"`
	Given map[string]json.RawMessage `json:"given,omitempty"` // by the name of the question
	// Declined names the questions that a person refused to answer.
	Declined []string `json:"declined,omitempty"`
}

type answersKey struct{}

// WithAnswers hands a call what was answered to the questions of the call before.
func WithAnswers(ctx context.Context, a Answers) context.Context {
	return context.WithValue(ctx, answersKey{}, a)
}

// AnswersOf returns what was answered to the questions that this call had asked; false for the
// first call.
func AnswersOf(ctx context.Context) (Answers, bool) {
	a, ok := ctx.Value(answersKey{}).(Answers)
	return a, ok
}

// Declaration is a tool as data, for definitions that are pinned to a run: the same
// declaration makes the same tool in any process.
type Declaration struct {
	Name   string          `json:"name"`
	Kind   string          `json:"kind"` // which Maker understands Config
	Config json.RawMessage `json:"config"`
	Orders *Orders         `json:"orders,omitempty"` // nil = as the tool says of itself
}

// Maker makes a tool of a declaration of its kind. It does no I/O: the tool opens
// what it needs when it is first called. Error: invalid.
type Maker func(Declaration) (Tool, error)

// Source finds the tools of a declaration that stands for several, such as those of an MCP
// server. It is called in a step, once for each segment of a run, and what it found counts for
// all of it: each tool is a declaration of which the Maker of its kind makes the tool without
// asking again. The names it gives are NAME/…, with the name of the declaration. Errors: as for
// Tool.Call.
type Source func(ctx context.Context, d Declaration) ([]Declaration, error)
