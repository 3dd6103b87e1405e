package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/orpine-run/orpine/bench/peers/workload"
)

// args are what a run starts with.
type args struct {
	Workload workload.Kind `json:"workload"`
	ID       string        `json:"id"`
}

// Kind implements river.JobArgs.
func (args) Kind() string { return "bench" }

type worker struct {
	river.WorkerDefaults[args]
	load   *workload.Load
	commit commitFunc
	ended  *sync.Map
}

// Timeout implements river.Worker: none.
func (*worker) Timeout(*river.Job[args]) time.Duration { return -1 }

// Work implements river.Worker. It tells whoever waits for the run how it ended; the end
// of the job itself is recorded a little later, by River, for many at once.
func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	r := &run{ctx: ctx, job: job, commit: w.commit}
	w.steps(ctx, r, job.Args)
	if c, ok := w.ended.LoadAndDelete(job.Args.ID); ok {
		c.(chan error) <- r.err //nolint:errcheck // only Run writes to the map
	}
	return r.err
}

func (w *worker) steps(ctx context.Context, r *run, a args) {
	switch a.Workload {
	case workload.Steps:
		for i := range workload.StepsPerRun {
			r.step(func() (any, error) { return w.load.Step(a.ID, i), nil })
		}
	case workload.Cold:
		r.step(func() (any, error) { return w.load.Step(a.ID, 0), nil })
	case workload.Agent:
		w.agent(ctx, r, a.ID)
	default:
		r.err = fmt.Errorf("no program for %s", a.Workload)
	}
}

// agent has one step for the tools of a round: River's steps are sequential.
func (w *worker) agent(ctx context.Context, r *run, id string) {
	said := workload.Seed(id)
	call := func() (any, error) {
		reply, err := w.load.Model(ctx, said)
		said = append(said, reply)
		return reply, err
	}
	for round := range workload.Rounds {
		r.step(call)
		r.step(func() (any, error) {
			var results [workload.ToolsPerTurn]workload.Message
			var wg sync.WaitGroup
			for k := range results {
				wg.Go(func() { results[k] = w.load.Tool(id, round*workload.ToolsPerTurn+k) })
			}
			wg.Wait()
			said = append(said, results[:]...)
			return results, nil
		})
	}
	r.step(call)
}

// run is one job under way.
type run struct {
	ctx    context.Context //nolint:containedctx // of the job, which outlives no call of Work
	job    *river.Job[args]
	commit commitFunc
	seq    int
	err    error // the first; no step is taken after it
}

func (r *run) step(body func() (any, error)) {
	if r.err != nil {
		return
	}
	r.seq++
	river.ResumableStep(r.ctx, "step"+strconv.Itoa(r.seq), nil, func(ctx context.Context) error {
		out, err := body()
		if err == nil {
			var data []byte
			if data, err = json.Marshal(out); err == nil {
				err = r.commit(ctx, r.job, r.seq, data)
			}
		}
		r.err = err
		return err
	})
}
