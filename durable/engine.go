package durable

import (
	"context"
	"encoding/json"
)

// StartRequest asks for a new run.
type StartRequest struct {
	ID         RunID // chosen by the engine when empty; a taken one is a conflict
	Program    string
	Name       string
	Input      json.RawMessage
	Definition json.RawMessage // what an interpreted program walks; pinned by hash
	Queue      string          // where it waits until there is room for it; "" = the default queue
	Priority   int             // higher goes first, also with its steps; 0 = normal. Children inherit it
	Tenant     string          // whose run it is: who may see it. Children and forks inherit it
	Share      string          // whose share of queues and limits it uses; "" = that of the tenant. Children inherit it
}

// Engine drives runs. All methods are safe for concurrent use; each returns once
// what it did is durable.
type Engine interface {
	// Start creates a run. Errors: invalid for an unknown program or queue, conflict for a
	// taken ID, exhausted when too many runs wait in the queue already.
	Start(ctx context.Context, req StartRequest) (RunID, error)
	// Signal delivers s. Errors: not_found, conflict when the run has ended.
	Signal(ctx context.Context, run RunID, s Signal) error
	// Answer resumes the question with this id; with an empty id the only open one.
	// Errors: not_found, conflict when it was answered before or the run has ended.
	Answer(ctx context.Context, run RunID, id string, answer json.RawMessage) error
	// Cancel asks the run and its children to stop; clean-up code runs. Canceling an
	// ended run is a conflict, canceling twice is not an error.
	Cancel(ctx context.Context, run RunID, reason string) error
	// Kill ends the run and its children now; no program code runs.
	Kill(ctx context.Context, run RunID, reason string) error
	// Wait returns the run once it is final or blocked.
	Wait(ctx context.Context, run RunID) (Run, error)
	// Get returns the run as it is.
	Get(ctx context.Context, run RunID) (Run, error)
}
