package durable

import (
	"encoding/json"
	"time"
)

// Context is all a program sees of the world. Every method is deterministic: the
// same journal gives the same answers in the same order. It belongs to the one
// coroutine it was handed to and must not be kept past its end.
type Context interface {
	// Info describes the run; it is the same on every replay of a moment.
	Info() Info
	// Step runs a registered step function outside the program and records its result.
	Step(StepCall) Future
	// Timer fires after d, however often the process dies in between.
	Timer(d time.Duration) Future
	// Child starts another run; the future is its output.
	Child(ChildCall) Future
	// Inbox is the durable queue of the signals with this name.
	Inbox(name string) Inbox
	// Ask puts a question to the world outside; the future is the answer.
	Ask(Interrupt) Future
	// Select waits until one of them is ready and returns its index. The order of
	// the journal decides, the order of the arguments where that says nothing.
	// After a cancel, of the run or of the coroutine, it returns -1.
	Select(...Ready) int
	// Go starts a deterministic coroutine; the future is its end. A program waits
	// for its coroutines before it returns.
	Go(name string, fn func(Context) error) Future
	// Shield returns a context that a cancel, of the run or of a coroutine, does not
	// reach, for clean-up.
	Shield() Context
}

// Info describes a run to its program.
type Info struct {
	Run        RunID
	Program    string
	Parent     RunID
	Tenant     string          // whose run it is; "" = nobody's
	Segment    int             // how often the run was continued
	Definition json.RawMessage // the pinned definition, nil if the program has none
	Now        time.Time       // time of the last journal entry the program has seen
}

// Ready is anything [Context.Select] can wait for.
type Ready interface{ Ready() bool }

// Future is the result of a command, ready when the journal holds it.
type Future interface {
	Ready
	// Get waits for the result and decodes it into out, which may be nil. The
	// context is that of the coroutine that waits. The error is a *Failure, or
	// matches ErrCanceled after a cancel.
	Get(ctx Context, out any) error
	// Cancel gives up what the future stands for, if it is not ready. It does not wait.
	// The future of a command reads ErrCanceled at once, for whoever waits and whoever
	// comes later: a step is cut short or never begins, a child is canceled, also one that
	// is abandoned, a timer is dropped and a question withdrawn. An irreversible step that
	// is under way is not cut short; its result is recorded, and the run does not end
	// before. To a coroutine, and to those that were started in it, it is what a cancel is
	// to a run; its future is ready when the coroutine has ended, with what it returned.
	Cancel()
}

// Inbox is a durable FIFO of signals.
type Inbox interface {
	Ready
	// Receive waits for the next signal and decodes its data into out.
	Receive(ctx Context, out any) error
}

// StepCall asks for one step.
type StepCall struct {
	Func    string          // the registered step function
	Name    string          // what the step is called in this run; Func when empty
	Input   json.RawMessage // at most a few KB inline: larger values belong in blobs
	Options StepOptions     // zero fields take the function's own
}

// ChildCall asks for a child run.
type ChildCall struct {
	Program    string
	Name       string
	Input      json.RawMessage
	Definition json.RawMessage // pinned to the child; nil if its program has none
	Abandon    bool            // the child outlives its parent; by default it is canceled with it
	ID         RunID           // of the child, where it is known beforehand; "" = the engine chooses. One that is taken fails the child with conflict
}

// Program is what a run executes.
type Program interface {
	// Name is how runs refer to it; it is stored and must never change its meaning.
	Name() string
	// Run executes it. It returns the output, an error, or Continue(state). What it returns
	// beside an error is kept as what it had by then, and reaches the parent with the error.
	Run(ctx Context, input json.RawMessage) (json.RawMessage, error)
	// Steps are the step functions it calls, registered with the engine once.
	Steps() []StepFunc
}

// Continue is the error a program returns to go on in a new segment of the same
// run with state as its input: the journal before it is never replayed again.
// Signals that were not received are carried over.
func Continue(state json.RawMessage) error { return &ContinueError{State: state} }

// ContinueError carries the state of [Continue] to the engine.
type ContinueError struct{ State json.RawMessage }

// Error implements error.
func (*ContinueError) Error() string { return "continue as a new segment" }

// Block is the error a program or a step function returns when this build or this
// machine lacks what the run needs, such as a key: the run is blocked with the
// reason, not failed, and can be resumed where it is there. A step that returns it is
// not recorded and runs again; an irreversible one fails instead.
func Block(err error) error { return &BlockError{Err: err} }

// BlockError carries the reason of [Block] to the engine.
type BlockError struct{ Err error }

// Error implements error.
func (e *BlockError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *BlockError) Unwrap() error { return e.Err }

// InDoubt is the error a step function returns when it cannot know whether the effect happened,
// such as when the connection was lost after a request was sent. An irreversible step is then in
// doubt, as it is when its time is up; for any other it is an error that may pass.
func InDoubt(err error) error { return &DoubtError{Err: err} }

// DoubtError carries the reason of [InDoubt] to the engine.
type DoubtError struct{ Err error }

// Error implements error.
func (e *DoubtError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *DoubtError) Unwrap() error { return e.Err }
