// Package workload says what is run on every engine alike: the bodies of the steps,
// their payloads, the model call, and the one interface by which an engine is driven.
// workloads.md beside it is the definition in words.
//
// It knows no engine and takes no measurements but those that only a step body can
// take: when it began. On the line request -> run -> step -> journal -> event -> client
// it is the inside of every step, and the client that starts the runs.
package workload

import "context"

// Kind names a workload. The words are those of the command line and of results.jsonl.
type Kind string

// The workloads.
const (
	Steps   Kind = "w1"      // runs of sequential steps
	Agent   Kind = "w2"      // runs of the agent loop
	Parked  Kind = "park"    // runs that wait for a signal
	Recover Kind = "recover" // the same runs, after everything was killed
	Cold    Kind = "w4"      // one run of one step, from the start of the process
)

// The size of the workloads.
const (
	StepsPerRun  = 20  // steps of a run of Steps
	Rounds       = 5   // rounds of a run of Agent; one more model step gives the answer
	ToolsPerTurn = 2   // tool steps of a round, in parallel
	Resumed      = 100 // parked runs whose resumption is timed one by one
)

// Engine is what is measured: a durable-execution engine with the programs of all
// kinds registered. All methods are called by many goroutines at once.
type Engine interface {
	// Run starts a run of Steps, Agent or Cold and returns when it has ended.
	Run(ctx context.Context, kind Kind, id string) error
	// Park starts a run of Parked and returns once the start is durable.
	Park(ctx context.Context, id string) error
	// Signal sends a parked run what it waits for.
	Signal(ctx context.Context, id string) error
}

// Gate is the name of the signal a parked run waits for.
const Gate = "approve"
