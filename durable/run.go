package durable

import (
	"encoding/json"
	"time"
)

// RunID names one run for ever. It is 16 lower-case base32 characters that sort
// by creation time; a unique prefix of it is accepted wherever a person types one.
type RunID string

// Status says where a run is in its life. Only an engine changes it.
type Status string

// The statuses of a run. Succeeded, failed, canceled and killed are final.
const (
	Queued    Status = "queued"    // waits for the engine to take it
	Running   Status = "running"   // the engine holds it
	Waiting   Status = "waiting"   // parked: a timer, a signal, a person or a child will wake it
	Paused    Status = "paused"    // an operator stopped it; steps in flight were recorded
	Succeeded Status = "succeeded" // the program returned an output
	Failed    Status = "failed"    // the program returned an error
	Canceled  Status = "canceled"  // the program ended after a cancel
	Killed    Status = "killed"    // ended at once, no program code ran
	Blocked   Status = "blocked"   // cannot go on by itself; Reason says why
)

// Final reports whether the run will never change again.
func (s Status) Final() bool {
	switch s {
	case Succeeded, Failed, Canceled, Killed:
		return true
	case Queued, Running, Waiting, Paused, Blocked:
	}
	return false
}

// Run is what is known of a run without reading its journal.
type Run struct {
	ID         RunID           `json:"id"`
	Name       string          `json:"name,omitempty"`       // given by the starter, need not be unique
	Program    string          `json:"program"`              // what it executes
	Tenant     string          `json:"tenant,omitempty"`     // whose run it is: who may see it; "" = nobody's
	Definition string          `json:"definition,omitempty"` // hash of the pinned definition, if the program is interpreted
	Status     Status          `json:"status"`
	Reason     string          `json:"reason,omitempty"` // why it is canceled, killed or blocked
	Parent     RunID           `json:"parent,omitempty"`
	Base       RunID           `json:"base,omitempty"`           // the run it is a fork of
	Command    int             `json:"parent_command,omitempty"` // the parent's command that started it, when Parent is set
	Created    time.Time       `json:"created"`
	Updated    time.Time       `json:"updated"` // last change of status
	Waits      []Wait          `json:"waits,omitempty"`
	Output     json.RawMessage `json:"output,omitempty"`
	Error      *Failure        `json:"error,omitempty"`
}

// NeedsPerson reports whether the run stands still until somebody answers or
// resolves something.
func (r Run) NeedsPerson() bool {
	if r.Status != Waiting {
		return false
	}
	for _, w := range r.Waits {
		if w.Kind == WaitAnswer || w.Kind == WaitInDoubt {
			return true
		}
	}
	return false
}

// WaitKind says what a parked run waits for.
type WaitKind string

// The things a run can wait for.
const (
	WaitTimer   WaitKind = "timer"
	WaitSignal  WaitKind = "signal"
	WaitAnswer  WaitKind = "answer"
	WaitChild   WaitKind = "child"
	WaitInDoubt WaitKind = "in-doubt"
)

// Wait is one thing a parked run waits for.
type Wait struct {
	Kind      WaitKind   `json:"kind"`
	Command   int        `json:"command"`
	Name      string     `json:"name,omitempty"`  // inbox, child run or step
	Until     time.Time  `json:"until,omitzero"`  // timers: when it fires; answers: when the default counts
	Interrupt *Interrupt `json:"ask,omitempty"`   // answers only
	Child     RunID      `json:"child,omitempty"` // children only
}

// Interrupt is a question to the world outside the run: an approval, a form, a question.
// It is resumed by ID with [Engine.Answer]; the answer that counts is the first one, or
// with a Quorum the first that enough people gave.
type Interrupt struct {
	ID      string          `json:"id"`                // unique in the run; set by the engine
	Kind    string          `json:"kind"`              // "question" unless the asker says otherwise
	Prompt  string          `json:"prompt"`            // what the person reads
	Value   json.RawMessage `json:"value,omitempty"`   // what it is about
	Options []string        `json:"options,omitempty"` // suggested answers; free text is accepted too
	Schema  json.RawMessage `json:"schema,omitempty"`  // JSON Schema of the answer; nil = anything
	Digest  string          `json:"digest,omitempty"`  // of what is decided: who answers may name it, and is refused if it differs
	To      []string        `json:"to,omitempty"`      // whom it is for, by name; empty = whoever may answer

	// Within is how long an answer is waited for, in nanoseconds; 0 = for ever. Then Default
	// is the answer; without one the question fails with exhausted.
	Within  time.Duration   `json:"within,omitempty"`
	Default json.RawMessage `json:"default,omitempty"`
	// Escalate asks more people, each some time after the question was put.
	Escalate []Escalation `json:"escalate,omitempty"`
	// Quorum is how many people must give the same answer; 0 = 1. One who rejects, with an
	// answer whose action is "reject", needs no second.
	Quorum int `json:"quorum,omitempty"`
}

// Escalation asks more people when a question is not answered.
type Escalation struct {
	After time.Duration `json:"after"` // the question was put, in nanoseconds
	To    []string      `json:"to"`
}

// Reply is an answer to an interrupt, and who gave it.
type Reply struct {
	Interrupt string          `json:"interrupt,omitempty"` // its ID; empty = the only open one
	Value     json.RawMessage `json:"value"`
	By        string          `json:"by,omitempty"`     // who says so; needed for a quorum
	Digest    string          `json:"digest,omitempty"` // of what was decided on; "" = not looked at
}

// OwnSignals begins the names of the signals by which the runtime itself tells programs something.
// Nobody else sends them, and a run is not said to wait for one.
const OwnSignals = "orpine."

// Signal is a durable message to a run, delivered to the inbox of its name in
// the order in which signals were accepted.
type Signal struct {
	Name string          `json:"name"`
	Data json.RawMessage `json:"data,omitempty"`
}

// Failure is an error in the form in which it is journaled.
type Failure struct { //nolint:errname // the word of the journal; it is data first and an error second
	Code    Code   `json:"code"`
	Reason  string `json:"reason,omitempty"` // a program's own word for it, such as max_turns
	Message string `json:"message"`
}

// Error makes a recorded failure usable as an error; it matches the sentinel of its code.
func (f *Failure) Error() string { return f.Message }

// Is reports whether target is the sentinel of this failure's code.
func (f *Failure) Is(target error) bool { return target == error(codeError(f.Code)) }
