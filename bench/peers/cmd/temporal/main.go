// Command temporal is the worker of Temporal, against its development server over a
// SQLite file. Steps are ordinary activities: a local activity's result is not durable
// before the next one starts.
//
// On the line request -> run -> step -> journal -> event -> client its workflow is the
// run and its activity the step.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/orpine-run/orpine/bench/peers/drive"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

func main() { os.Exit(drive.Main(open)) }

const (
	queue = "bench"
	// pollers is how many long polls for work of each kind are open; the default, 2, is
	// what one run at a time needs.
	pollers = 16
	// upLimit is how long the server may take to accept a worker.
	upLimit = 30 * time.Second
)

func open(ctx context.Context, o drive.Options, l *workload.Load) (workload.Engine, error) {
	logs := log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	var c client.Client
	err := insist(ctx, func() (err error) {
		c, err = client.DialContext(ctx, client.Options{HostPort: o.Store, Logger: logs})
		return err
	})
	if err != nil {
		return nil, err
	}
	w := worker.New(c, queue, worker.Options{MaxConcurrentActivityTaskPollers: pollers, MaxConcurrentWorkflowTaskPollers: pollers})
	w.RegisterWorkflow(run)
	w.RegisterActivity(&steps{load: l})
	if err := insist(ctx, w.Start); err != nil {
		return nil, err
	}
	return &engine{c: c}, nil
}

// insist tries until it works or takes too long: the server answers before it is able.
func insist(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(upLimit)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("reach the Temporal server: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

type engine struct{ c client.Client }

func (e *engine) start(ctx context.Context, kind workload.Kind, id string) (client.WorkflowRun, error) {
	return e.c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: queue}, run, kind, id)
}

// Run implements workload.Engine.
func (e *engine) Run(ctx context.Context, kind workload.Kind, id string) error {
	r, err := e.start(ctx, kind, id)
	if err != nil {
		return err
	}
	return r.Get(ctx, nil)
}

// Park implements workload.Engine.
func (e *engine) Park(ctx context.Context, id string) error {
	_, err := e.start(ctx, workload.Parked, id)
	return err
}

// Signal implements workload.Engine.
func (e *engine) Signal(ctx context.Context, id string) error {
	return e.c.SignalWorkflow(ctx, id, "", workload.Gate, "ok")
}
