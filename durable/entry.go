package durable

import (
	"encoding/json"
	"time"
)

// EntryKind says what a journal entry records. The words are a file format: they
// are added to, never renamed or reused.
type EntryKind string

// The kinds of entries.
const (
	EntryStarted   EntryKind = "started"   // the run exists: program, input, definition
	EntryClaimed   EntryKind = "claimed"   // an engine took the run over after a crash
	EntryIntent    EntryKind = "intent"    // an irreversible step is about to run
	EntryAttempt   EntryKind = "attempt"   // an attempt failed and another will follow
	EntryDone      EntryKind = "done"      // a step ended: output or error
	EntryTimer     EntryKind = "timer"     // a timer was set
	EntryFired     EntryKind = "fired"     // a timer fired
	EntrySignal    EntryKind = "signal"    // a signal was accepted
	EntryAsked     EntryKind = "asked"     // a question was put
	EntryVoted     EntryKind = "voted"     // somebody answered a question that more have to
	EntryEscalated EntryKind = "escalated" // a question was put to more people
	EntryAnswered  EntryKind = "answered"  // a question was answered
	EntryChild     EntryKind = "child"     // a child was started
	EntryChildDone EntryKind = "childdone" // a child ended
	EntryCancel    EntryKind = "cancel"    // somebody asked the run to stop
	EntryContinued EntryKind = "continued" // a new segment begins
	EntryBlocked   EntryKind = "blocked"   // the run cannot go on by itself
	EntryUnblocked EntryKind = "unblocked" // an operator lets it try again
	EntryPaused    EntryKind = "paused"    // an operator stopped the run; it begins nothing
	EntryResumed   EntryKind = "resumed"   // and let it go on
	EntryEnded     EntryKind = "ended"     // the run is over
	EntryForked    EntryKind = "forked"    // what comes before is from the base of this fork
)

// AnyInput in the place of an InputHash fits every input: a fork with another input or
// definition keeps the results of its base although their steps are called with something else
// now. Number, kind and name still have to fit.
const AnyInput = "*"

// CommandKind is the kind of a command a program issued.
type CommandKind string

// The kinds of commands.
const (
	CommandStep  CommandKind = "step"
	CommandTimer CommandKind = "timer"
	CommandChild CommandKind = "child"
	CommandAsk   CommandKind = "ask"
)

// Entry is one fact in the journal of a run. Which fields are set depends on the
// kind; a fact becomes true when its entry commits.
type Entry struct {
	Seq        int64           `json:"seq"`
	Kind       EntryKind       `json:"kind"`
	Time       time.Time       `json:"time"`
	Command    int             `json:"command,omitempty"`
	Name       string          `json:"name,omitempty"`       // step, inbox, child name or program
	Func       string          `json:"func,omitempty"`       // steps: the step function
	Attempt    int             `json:"attempt,omitempty"`    // steps: which try
	Effect     Effect          `json:"effect,omitempty"`     // steps
	Started    time.Time       `json:"started,omitzero"`     // steps: when this try began
	Until      time.Time       `json:"until,omitzero"`       // timers: when due; attempts: when the next one is; questions: when the default counts
	Epoch      int64           `json:"epoch,omitempty"`      // which opening of the data directory wrote it
	InputHash  string          `json:"input_hash,omitempty"` // of the command's input, checked on replay unless it is AnyInput
	Input      json.RawMessage `json:"input,omitempty"`
	InputRef   *Ref            `json:"input_ref,omitempty"` // the input is a blob
	Output     json.RawMessage `json:"output,omitempty"`
	OutputRef  *Ref            `json:"output_ref,omitempty"` // the output is a blob
	Error      *Failure        `json:"error,omitempty"`
	Child      RunID           `json:"child,omitempty"` // forked: the base
	Parent     RunID           `json:"parent,omitempty"`
	Definition string          `json:"definition,omitempty"` // started, forked: hash of the pinned definition
	Interrupt  *Interrupt      `json:"ask,omitempty"`
	By         string          `json:"by,omitempty"`     // answered, voted, paused, resumed, cancel: who did it, where that is known
	Status     Status          `json:"status,omitempty"` // ended
	Reason     string          `json:"reason,omitempty"`
	Carry      []int64         `json:"carry,omitempty"`   // continued: seqs of signals not yet received
	After      int64           `json:"after,omitempty"`   // continued: last seq the old segment saw
	Segment    int             `json:"segment,omitempty"` // continued: the segment that begins; forked: that of the step it was forked at
}

// Event is an entry as a watcher sees it: a pure function of the run and the
// committed entry. Seq says where to go on behind it.
type Event struct {
	Run RunID `json:"run"`
	Entry
}

// Delta is a streamed piece of a step's work, such as tokens. It is never stored
// and best effort: after a reset everything since the step's start is void.
type Delta struct {
	Run     RunID           `json:"run"`
	Command int             `json:"command"`
	Step    string          `json:"step"`
	Attempt int             `json:"attempt"`
	Offset  int             `json:"offset"` // counts the deltas of an attempt from 0
	Kind    string          `json:"kind"`   // see DeltaBegun; a step's own word is "text"
	Data    json.RawMessage `json:"data,omitempty"`
}

// The kinds of deltas the engine itself sends; all others are a step's own words.
const (
	DeltaBegun = "begun" // an attempt of the step begins
	// DeltaReset voids all earlier deltas of the step. A watcher that has missed some of an attempt gets one too;
	// what follows then does not begin at its beginning, as Offset tells.
	DeltaReset = "reset"
)
