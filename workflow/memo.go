package workflow

import (
	"encoding/json"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
)

// Input is what a run of the program starts with.
type Input struct {
	Input  json.RawMessage `json:"input,omitempty"`
	Select []string        `json:"select,omitempty"` // nodes or assets; +NAME is one with all it needs, NAME+ with all that needs it. Empty = all
	Again  durable.RunID   `json:"again,omitempty"`  // the run whose results are in the memo
	Seen   agent.Seen      `json:"seen,omitzero"`    // what was read before it began

	Definition json.RawMessage `json:"definition,omitempty"` // in place of the pinned one, since a migration
	Pinned     *durable.Ref    `json:"pinned,omitempty"`     // where the steps find that
	Memo
}

// Memo is how far a run has come: it goes on from there, in its next segment or as another run. What
// is in it is not done again.
type Memo struct {
	Results map[string]*Mark           `json:"results,omitempty"` // of nodes that have ended, by ID
	Rounds  map[string]int             `json:"rounds,omitempty"`  // of loops: those that have ended
	Backs   map[string]int             `json:"backs,omitempty"`   // of switches: how often they went back
	State   map[string]json.RawMessage `json:"state,omitempty"`
	Wrote   map[string][]wrote         `json:"wrote,omitempty"` // by key of the state that is not merged
	Undo    []undoing                  `json:"undo,omitempty"`
	Spent   Spent                      `json:"spent,omitzero"`
	Began   time.Time                  `json:"began,omitzero"`
	// Below is what the workflows start with that nodes run, by the name of the child: they did not
	// succeed in the run that this one tries again. Each is taken once.
	Below map[string]Input `json:"below,omitempty"`
}

// Spent is what the agents of a run have used.
type Spent struct {
	Usage model.Usage `json:"usage,omitzero"`
	Cost  float64     `json:"cost,omitempty"`
}

func (s *Spent) add(o Spent) { s.Usage, s.Cost = s.Usage.Add(o.Usage), s.Cost+o.Cost }

// Outcome is the output of a run. One that failed has one too, without an Output.
type Outcome struct {
	Output json.RawMessage `json:"output,omitempty"`
	Spent  Spent           `json:"spent,omitzero"`
	Seen   agent.Seen      `json:"seen,omitzero"`
}

// Status says where a node is.
type Status string

// The statuses of a node.
const (
	Pending     Status = "pending"  // what it needs is not there yet
	Running     Status = "running"  // also: it waits for a child of the run
	Waiting     Status = "waiting"  // for a person, a moment or an event
	Retrying    Status = "retrying" // it failed, and is tried again at Until
	Succeeded   Status = "succeeded"
	Cached      Status = "cached" // its output is one that was kept
	Failed      Status = "failed"
	Skipped     Status = "skipped"     // Reason says why
	Canceled    Status = "canceled"    // while it ran
	Compensated Status = "compensated" // it had succeeded, and was undone
)

// Ended reports whether a node will not change by itself any more.
func (s Status) Ended() bool {
	switch s {
	case Succeeded, Cached, Failed, Skipped, Canceled, Compensated:
		return true
	case Pending, Running, Waiting, Retrying:
	}
	return false
}

// good reports whether there is an output.
func (s Status) good() bool { return s == Succeeded || s == Cached }

// Mark is where a node, or one item of it, is.
type Mark struct {
	Status  Status           `json:"status"`
	Reason  string           `json:"reason,omitempty"` // why it is skipped
	Attempt int              `json:"attempt,omitempty"`
	Started time.Time        `json:"started,omitzero"`
	Ended   time.Time        `json:"ended,omitzero"`
	Until   time.Time        `json:"until,omitzero"` // retrying: when it is tried again; waiting: until when
	Output  json.RawMessage  `json:"output,omitempty"`
	Error   *durable.Failure `json:"error,omitempty"`
	Items   []*Mark          `json:"items,omitempty"` // of a for_each
	Next    string           `json:"next,omitempty"`  // the node that a switch, or on_error, goes on with
	Round   int              `json:"round,omitempty"` // of a loop
	Checks  []Checked        `json:"checks,omitempty"`
	Plans   []*Planned       `json:"plans,omitempty"`
	Kept    bool             `json:"kept,omitempty"` // it ended in the run that this one tries again

	value any // Output as expressions see it
}

// Checked is what became of a check of an asset.
type Checked struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Warns  bool   `json:"warns,omitempty"`
}

// undoing is a node that is to be undone if the run fails.
type undoing struct {
	ID     string          `json:"id"`
	Output json.RawMessage `json:"output,omitempty"`
	Item   json.RawMessage `json:"item,omitempty"` // of a for_each
	Index  *int            `json:"index,omitempty"`
	Round  int             `json:"round,omitempty"`
}

// wrote is a node that has written to the state, with the item of a for_each (-1 = there is none).
type wrote struct {
	ID   string `json:"id"`
	Item int    `json:"item"`
}
