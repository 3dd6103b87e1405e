// Command dbos is the worker of DBOS Transact for Go, a library over a database: SQLite
// in WAL mode with synchronous=FULL (its own default is NORMAL, which does not survive a
// power cut), or Postgres with the pool the library makes itself.
//
// On the line request -> run -> step -> journal -> event -> client its workflow is the
// run and its RunAsStep the step.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // the library's own driver

	"github.com/orpine-run/orpine/bench/peers/drive"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

func main() { os.Exit(drive.Main(open)) }

// conns bounds the connections to SQLite: one writes, the others read.
const conns = 8

// pragmas are the library's own, but for synchronous.
const pragmas = "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=foreign_keys(ON)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"

func open(ctx context.Context, o drive.Options, l *workload.Load) (workload.Engine, error) {
	cfg := dbos.Config{
		AppName: "bench", ApplicationVersion: "v1", ExecutorID: "local",
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if strings.HasPrefix(o.Store, "postgres:") {
		cfg.DatabaseURL = o.Store
	} else {
		db, err := sql.Open("sqlite", "file:"+o.Store+pragmas)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		cfg.SQLiteSystemDB = db
	}
	c, err := dbos.NewContext(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p := &programs{load: l}
	dbos.RegisterWorkflow(c, p.run, dbos.WithWorkflowName("bench"))
	if err := dbos.Launch(c); err != nil {
		return nil, err
	}
	return &engine{c: c, run: p.run}, nil
}

type input struct {
	Kind workload.Kind
	ID   string
}

type engine struct {
	c   dbos.Context
	run dbos.Workflow[input, string]
}

// Run implements workload.Engine.
func (e *engine) Run(_ context.Context, kind workload.Kind, id string) error {
	h, err := dbos.RunWorkflow(e.c, e.run, input{kind, id}, dbos.WithWorkflowID(id))
	if err != nil {
		return err
	}
	_, err = h.GetResult()
	return err
}

// Park implements workload.Engine.
func (e *engine) Park(_ context.Context, id string) error {
	_, err := dbos.RunWorkflow(e.c, e.run, input{workload.Parked, id}, dbos.WithWorkflowID(id))
	return err
}

// Signal implements workload.Engine.
func (e *engine) Signal(_ context.Context, id string) error {
	return dbos.Send(e.c, id, "ok", workload.Gate)
}

type programs struct{ load *workload.Load }

func (p *programs) run(ctx dbos.Context, in input) (string, error) {
	switch in.Kind {
	case workload.Steps:
		for i := range workload.StepsPerRun {
			if _, err := step(ctx, func() (string, error) { return p.load.Step(in.ID, i), nil }); err != nil {
				return "", err
			}
		}
		return "ok", nil
	case workload.Cold:
		return step(ctx, func() (string, error) { return p.load.Step(in.ID, 0), nil })
	case workload.Agent:
		return "ok", p.agent(ctx, in.ID)
	case workload.Parked:
		return "ok", p.park(ctx, in.ID)
	default:
		return "", fmt.Errorf("no program for %s", in.Kind)
	}
}

func step[T any](ctx dbos.Context, fn func() (T, error)) (T, error) {
	return dbos.RunAsStep(ctx, func(context.Context) (T, error) { return fn() }, dbos.WithStepName("step"))
}

func (p *programs) agent(ctx dbos.Context, id string) error {
	said := workload.Seed(id)
	call := func() (workload.Message, error) {
		return dbos.RunAsStep(ctx, func(ctx context.Context) (workload.Message, error) { return p.load.Model(ctx, said) }, dbos.WithStepName("model"))
	}
	for round := range workload.Rounds {
		reply, err := call()
		if err != nil {
			return err
		}
		said = append(said, reply)
		var results [workload.ToolsPerTurn]<-chan dbos.StepOutcome[workload.Message]
		for k := range results {
			results[k], err = dbos.Go(ctx, func(context.Context) (workload.Message, error) {
				return p.load.Tool(id, round*workload.ToolsPerTurn+k), nil
			}, dbos.WithStepName("tool"))
			if err != nil {
				return err
			}
		}
		for _, result := range results {
			out := <-result
			if out.Err != nil {
				return out.Err
			}
			said = append(said, out.Result)
		}
	}
	_, err := call()
	return err
}

func (p *programs) park(ctx dbos.Context, id string) error {
	if _, err := step(ctx, func() (string, error) { return p.load.Before(id), nil }); err != nil {
		return err
	}
	if _, err := dbos.Recv[string](ctx, workload.Gate, 24*time.Hour); err != nil {
		return err
	}
	_, err := step(ctx, func() (string, error) { return p.load.After(id), nil })
	return err
}
