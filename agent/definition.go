package agent

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/orpine-run/orpine/tool"
)

// Definition is an agent as data. A run pins it by hash when it starts, so a
// changed file never changes a run in flight.
type Definition struct {
	Name         string             `json:"name"`
	Description  string             `json:"description,omitempty"`
	Model        string             `json:"model"`           // provider/name
	Price        *Price             `json:"price,omitempty"` // needed where Budget.Cost is set
	MaxTokens    int                `json:"max_tokens,omitempty"`
	Temperature  *float64           `json:"temperature,omitempty"`
	Instructions string             `json:"instructions,omitempty"`
	Tools        []string           `json:"tools,omitempty"`    // names or patterns such as files/*
	Declared     []tool.Declaration `json:"declared,omitempty"` // tools that come with the definition
	Output       json.RawMessage    `json:"output,omitempty"`   // JSON Schema of the answer; nil = text
	Budget       Budget             `json:"budget,omitzero"`
	Agents       []Definition       `json:"agents,omitempty"`      // those it may put something to, each as the tool agents/NAME
	ToolTokens   int                `json:"tool_tokens,omitempty"` // how much its tools may take up of a request; see defaultToolTokens
	Permissions  tool.Policy        `json:"permissions,omitzero"`  // what becomes of its calls of tools; nothing = all are made
	Above        []tool.Policy      `json:"above,omitempty"`       // policies of whoever gave it its work: they narrow its own
	Flow         string             `json:"flow,omitempty"`        // FlowOff, or "": see Seen
	Approval     Approval           `json:"approval,omitzero"`     // of the calls that a person decides on
}

// policies are all that count for its calls, outermost first.
func (d Definition) policies() []tool.Policy { return append(slices.Clone(d.Above), d.Permissions) }

// Price is what a model costs, in the currency of the budget, per million tokens.
type Price struct {
	Input  float64 `json:"input"`
	Output float64 `json:"output"`
}

// Budget bounds a run of the agent. A zero field means the default.
type Budget struct {
	Turns  int           `json:"turns,omitempty"`  // model calls; default 50
	Tokens int           `json:"tokens,omitempty"` // input plus output; default unbounded
	Cost   float64       `json:"cost,omitempty"`   // money by Price; default unbounded
	Time   time.Duration `json:"time,omitempty"`   // wall time in nanoseconds; default unbounded
}
