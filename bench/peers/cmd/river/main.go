// Command river is the worker of River, a queue in a database. A run is one job of it; a
// step is a resumable step of that job, whose name is recorded in one transaction with a
// row of ours that holds the result. The free edition has no signals, so it does not park.
//
// On the line request -> run -> step -> journal -> event -> client its job is the run.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/riverqueue/river"

	"github.com/orpine-run/orpine/bench/peers/drive"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

func main() { os.Exit(drive.Main(open)) }

// workers is how many runs may be under way: as many as any workload has at once.
const workers = 1000

func open(ctx context.Context, o drive.Options, l *workload.Load) (workload.Engine, error) {
	e := &engine{}
	w := &worker{load: l, ended: &e.ended}
	cfg := &river.Config{
		Logger:  slog.New(slog.DiscardHandler),
		Workers: river.NewWorkers(),
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
	}
	river.AddWorker(cfg.Workers, w)
	var err error
	if strings.HasPrefix(o.Store, "postgres:") {
		e.insert, w.commit, err = overPostgres(ctx, o.Store, cfg)
	} else {
		e.insert, w.commit, err = overSQLite(ctx, o.Store, cfg)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// insertFunc starts a run, commitFunc makes the result of its current step durable.
type (
	insertFunc func(ctx context.Context, a args) error
	commitFunc func(ctx context.Context, job *river.Job[args], seq int, result []byte) error
)

type engine struct {
	insert insertFunc
	ended  sync.Map // run -> chan error
}

// Run implements workload.Engine.
func (e *engine) Run(ctx context.Context, kind workload.Kind, id string) error {
	ended := make(chan error, 1)
	e.ended.Store(id, ended)
	if err := e.insert(ctx, args{Workload: kind, ID: id}); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errNoSignals = errors.New("the free edition of River has no signals")

// Park implements workload.Engine.
func (*engine) Park(context.Context, string) error { return errNoSignals }

// Signal implements workload.Engine.
func (*engine) Signal(context.Context, string) error { return errNoSignals }
