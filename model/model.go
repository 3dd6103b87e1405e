// Package model holds the words for talking to language models: messages, tool
// specs, requests, replies, streamed deltas and usage. It is standard library
// only; the adapters in its sub-folders speak the wire formats of providers.
//
// On the line request -> run -> step -> journal -> event -> client it stands
// inside a step: the agent's model step builds a [Request], an adapter makes one
// attempt, and the engine retries what failed. Adapters never retry themselves.
package model

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Role says who a message is from.
type Role string

// The roles.
const (
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool" // its parts are results
)

// Message is one turn of a conversation.
type Message struct {
	Role  Role   `json:"role"`
	Parts []Part `json:"parts"`
}

// Text makes a message of one text part.
func Text(role Role, text string) Message {
	return Message{Role: role, Parts: []Part{{Text: text}}}
}

// Text joins the text parts of the message.
func (m Message) Text() string {
	var b strings.Builder
	for _, p := range m.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// Calls returns the tool calls of the message in order.
func (m Message) Calls() []ToolCall {
	var calls []ToolCall
	for _, p := range m.Parts {
		if p.Call != nil {
			calls = append(calls, *p.Call)
		}
	}
	return calls
}

// Part is a piece of a message: exactly one field is set, or Text with neither.
type Part struct {
	Text      string      `json:"text,omitempty"`
	Reasoning *Reasoning  `json:"reasoning,omitempty"`
	Call      *ToolCall   `json:"call,omitempty"`
	Result    *ToolResult `json:"result,omitempty"`
}

// Reasoning is a model's thinking, kept because some providers demand it back.
type Reasoning struct {
	Text      string `json:"text,omitempty"`
	Signature string `json:"signature,omitempty"` // opaque, returned to the provider as it came
}

// ToolSpec describes a tool to the model.
type ToolSpec struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"` // JSON Schema of the arguments, an object
}

// ToolCall is the model's wish to call a tool.
type ToolCall struct {
	ID        string          `json:"id"` // unique in the conversation, made by the provider
	Name      string          `json:"name"`
	Args      json.RawMessage `json:"args"`                // a JSON object; null when Malformed is set
	Malformed string          `json:"malformed,omitempty"` // what the model wrote where it is not JSON
}

// ToolResult answers a ToolCall.
type ToolResult struct {
	CallID  string `json:"call_id"`
	Name    string `json:"name"`
	Content string `json:"content"`         // also when it is empty: steps of agents are known by the hash of this
	Error   bool   `json:"error,omitempty"` // the call failed; Content says why
}

// Usage counts tokens as the provider reported them.
type Usage struct {
	Input      int `json:"input"` // all input tokens, cached ones included
	Output     int `json:"output"`
	CacheRead  int `json:"cache_read,omitempty"`
	CacheWrite int `json:"cache_write,omitempty"`
}

// Add sums two usages.
func (u Usage) Add(v Usage) Usage {
	return Usage{u.Input + v.Input, u.Output + v.Output, u.CacheRead + v.CacheRead, u.CacheWrite + v.CacheWrite}
}

// Request is one model call.
type Request struct {
	Messages    []Message
	Tools       []ToolSpec
	Output      json.RawMessage // JSON Schema the final answer must match; nil = free text
	MaxTokens   int             // of the reply; 0 = the adapter's default
	Temperature *float64        // nil = the provider's default
}

// Stop says why the model ended its reply.
type Stop string

// The reasons a reply ends.
const (
	StopEnd     Stop = "end"     // it said all it wanted
	StopCalls   Stop = "calls"   // it wants tools called
	StopLength  Stop = "length"  // it ran into MaxTokens or its context length
	StopRefusal Stop = "refusal" // it, or a filter, declined
)

// Reply is the whole answer to a Request.
type Reply struct {
	Message Message `json:"message"`
	Stop    Stop    `json:"stop"`
	Usage   Usage   `json:"usage"`
	Model   string  `json:"model,omitempty"` // as the provider names what answered
}

// DeltaKind says what a Delta carries.
type DeltaKind string

// The kinds of deltas.
const (
	DeltaText      DeltaKind = "text"
	DeltaReasoning DeltaKind = "reasoning"
	DeltaCall      DeltaKind = "call" // a piece of a tool call
)

// Delta is a streamed piece of a reply.
type Delta struct {
	Kind  DeltaKind `json:"kind"`
	Text  string    `json:"text,omitempty"`  // text and reasoning
	Index int       `json:"index,omitempty"` // calls: which call of the reply, from 0
	ID    string    `json:"id,omitempty"`    // calls: on the first piece
	Name  string    `json:"name,omitempty"`  // calls: on the first piece
	Args  string    `json:"args,omitempty"`  // calls: a piece of the arguments' JSON
}

// Model is one model of one provider. Generate makes one attempt: it calls emit
// for each streamed piece (emit may be nil) and returns the whole reply. A stream
// that ends early is an *Error with Code "unavailable". Errors are *Error.
type Model interface {
	Generate(ctx context.Context, req Request, emit func(Delta)) (Reply, error)
}

// Provider makes models by the name behind the slash of provider/name. An unknown
// name or a missing key is an *Error with Code "invalid" or "denied".
type Provider func(name string) (Model, error)

// Error is what an adapter returns when a call fails.
type Error struct {
	Code       string        // invalid, denied, not_found, exhausted, unavailable, internal
	Status     int           // HTTP status, 0 if none
	RetryAfter time.Duration // from Retry-After, 0 if absent
	Message    string        // what happened and how to mend it, without secrets
}

// Error implements error.
func (e *Error) Error() string {
	if e.Status == 0 {
		return e.Message
	}
	return fmt.Sprintf("%s (HTTP %d)", e.Message, e.Status)
}
