package durable

import (
	"encoding/json"
	"time"
)

// The words in which people and other programs speak of runs from outside.

// Filter narrows List and Count. Zero fields do not narrow.
//
// To go on behind the last run of a page set Before, or with Oldest After, to its N: then
// each run that matches comes once, also while new ones are added.
type Filter struct {
	Statuses []Status
	Program  string
	Tenant   string
	Name     string // all of it
	Parent   RunID
	Base     RunID     // only forks of this run
	Roots    bool      // only runs without a parent
	Search   string    // part of the name, the program or the reason, or the beginning of the ID; in ASCII A is a
	Since    time.Time // created then or later
	Until    time.Time // created before
	Before   int64     // only runs with a lower N
	After    int64     // only runs with a higher N
	Oldest   bool      // the oldest first
	Limit    int       // 0 = 100
}

// Resolution is what an operator says of a step in doubt: exactly one of these. What is
// not said stays out of its JSON, so that it is not read as a result that is null.
type Resolution struct {
	Done  json.RawMessage `json:"done,omitempty"`  // it happened, with this result
	Retry bool            `json:"retry,omitempty"` // it did not happen: do it
	Fail  string          `json:"fail,omitempty"`  // it did not happen: fail the step with this reason
}

// Action is what a person does with a wish.
type Action string

// The actions.
const (
	Accept  Action = "accept"  // the call is made
	Edit    Action = "edit"    // it is made with other arguments
	Reject  Action = "reject"  // it is not made, and the model is told why
	Respond Action = "respond" // it is not made: the model is told this in place of a result
)

// Scope says for which calls of the same tool a decision to accept stands.
type Scope string

// The scopes.
const (
	Once      Scope = ""       // for this call
	ThisRun   Scope = "run"    // until the run ends
	ThisAgent Scope = "agent"  // for all runs of agents of this name
	Anybody   Scope = "tenant" // for all agents of the tenant
)

// Decision is the answer to an approval.
type Decision struct {
	Action Action          `json:"action"`
	Args   json.RawMessage `json:"args,omitempty"`   // edit: the arguments in place of those of the wish
	Reason string          `json:"reason,omitempty"` // reject: why, as the model is told
	Text   string          `json:"text,omitempty"`   // respond: what the model is told
	Always Scope           `json:"always,omitempty"` // accept: for which calls to come; default this one
}
