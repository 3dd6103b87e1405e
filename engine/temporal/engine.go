package temporal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/orpine-run/orpine/durable"
)

var _ durable.Engine = (*Engine)(nil)

// Config says what an engine drives and through which Temporal.
type Config struct {
	Client    client.Client           // required; stays the caller's to close
	Queue     string                  // required: Temporal's task queue, shared by all processes with the same programs
	Programs  []durable.Program       // what runs may execute; names are unique
	Blobs     durable.Blobs           // where values over 8 KB and definitions go; shared by all processes. nil = all into the history
	Converter converter.DataConverter // the client's own, when it was given one; nil = Temporal's default
	Heartbeat time.Duration           // after this silence a step's worker is taken for dead; 0 = 10 s. A cancel reaches steps as fast
	Emit      func(durable.Delta)     // hears the deltas of steps that run in this process; nil = nobody
}

// Engine drives runs on Temporal. Any number of them, in any number of processes, may
// share one queue.
type Engine struct {
	client    client.Client
	worker    worker.Worker
	queue     string
	converter converter.DataConverter
	blobs     durable.Blobs
	heartbeat time.Duration
	unblock   time.Duration
	emit      func(durable.Delta)
	programs  map[string]durable.Program
	steps     map[string]durable.StepFunc
}

// New makes an engine and starts its worker: runs of these programs that wait on the
// queue go on at once. Errors: invalid for a wrong Config, unavailable when Temporal
// does not answer.
func New(cfg Config) (*Engine, error) {
	if cfg.Client == nil || cfg.Queue == "" {
		return nil, durable.Errorf(durable.CodeInvalid, "engine/temporal: Client and Queue are required")
	}
	e, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	e.worker = worker.New(cfg.Client, cfg.Queue, worker.Options{
		DeadlockDetectionTimeout: 2 * blobPatience, // replayed code reads and writes blobs
		WorkerStopTimeout:        stopPatience,
	})
	e.register(e.worker)
	if err := e.worker.Start(); err != nil {
		return nil, &durable.Error{Code: durable.CodeUnavailable, Op: "start a worker on " + cfg.Queue, Err: err}
	}
	return e, nil
}

// stopPatience is how long Close waits for steps that were told to stop.
const stopPatience = 10 * time.Second

// prepare makes an engine that is connected to nothing.
func prepare(cfg Config) (*Engine, error) {
	e := &Engine{
		client: cfg.Client, queue: cfg.Queue, converter: cfg.Converter, blobs: cfg.Blobs, emit: cfg.Emit,
		heartbeat: cmp.Or(cfg.Heartbeat, defaultHeartbeat), unblock: defaultUnblock, programs: map[string]durable.Program{}, steps: map[string]durable.StepFunc{},
	}
	if e.converter == nil {
		e.converter = converter.GetDefaultDataConverter()
	}
	for _, p := range cfg.Programs {
		if _, taken := e.programs[p.Name()]; taken {
			return nil, durable.Errorf(durable.CodeInvalid, "two programs are named %q", p.Name())
		}
		e.programs[p.Name()] = p
		for _, s := range p.Steps() {
			if _, taken := e.steps[s.Name]; taken {
				return nil, durable.Errorf(durable.CodeInvalid, "two step functions are named %q", s.Name)
			}
			e.steps[s.Name] = s
		}
	}
	return e, nil
}

// registry is the part of a worker, and of Temporal's test environment, that takes code.
type registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// register makes every program a workflow type of its name, and all steps one activity.
func (e *Engine) register(to registry) {
	for name, p := range e.programs {
		to.RegisterWorkflowWithOptions(e.execute(p), workflow.RegisterOptions{Name: name})
	}
	to.RegisterActivityWithOptions(e.attempt, activity.RegisterOptions{Name: stepName})
}

func (e *Engine) values() values { return values{e.blobs} }

// Close stops driving. Steps in flight are told to stop, irreversible ones excepted,
// and waited for up to ten seconds; runs go on wherever the queue has another worker,
// or when it has one again.
func (e *Engine) Close() { e.worker.Stop() }

// Start implements durable.Engine. An ID stays taken as long as Temporal retains its run.
func (e *Engine) Start(ctx context.Context, req durable.StartRequest) (durable.RunID, error) {
	if e.programs[req.Program] == nil {
		return "", durable.Errorf(durable.CodeInvalid, "no program %q; known: %s", req.Program, strings.Join(slices.Sorted(maps.Keys(e.programs)), ", "))
	}
	if len(req.Input) > 0 && !json.Valid(req.Input) {
		return "", durable.Errorf(durable.CodeInvalid, "start %s: the input is not JSON", req.Program)
	}
	now := time.Now().UTC()
	if req.ID == "" {
		req.ID = newRunID(now, randomTail())
	}
	input, err := e.values().pack(ctx, req.Input)
	if err != nil {
		return "", err
	}
	definition, err := e.values().pin(ctx, req.Definition)
	if err != nil {
		return "", err
	}
	_, err = e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: string(req.ID), TaskQueue: e.queue, WorkflowExecutionErrorWhenAlreadyStarted: true,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		Memo:                  map[string]any{memoKey: memo{Name: req.Name, Tenant: req.Tenant, Created: now, Definition: hashOf(req.Definition)}},
	}, req.Program, opening{Input: input, Definition: definition, Tenant: req.Tenant})
	if err != nil {
		return "", e.explain(ctx, "start "+req.Program, req.ID, err)
	}
	return req.ID, nil
}

// Signal implements durable.Engine. Any client of Temporal may do the same: the
// signal's name is the inbox, its argument the data.
func (e *Engine) Signal(ctx context.Context, run durable.RunID, s durable.Signal) error {
	if len(s.Data) > 0 && !json.Valid(s.Data) {
		return durable.Errorf(durable.CodeInvalid, "signal %s: the data is not JSON", s.Name)
	}
	v, err := e.values().pack(ctx, s.Data)
	if err != nil {
		return err
	}
	raw, err := v.payload()
	if err != nil {
		return err
	}
	return e.explain(ctx, "signal "+s.Name, run, e.client.SignalWorkflow(ctx, string(run), "", s.Name, raw))
}

// Answer implements durable.Engine, by an update: the run itself decides which answer
// is first, so it needs a live worker and waits for one.
func (e *Engine) Answer(ctx context.Context, run durable.RunID, id string, answer json.RawMessage) error {
	if !json.Valid(answer) {
		return durable.Errorf(durable.CodeInvalid, "answer %s: the answer is not JSON", run)
	}
	v, err := e.values().pack(ctx, answer)
	if err != nil {
		return err
	}
	h, err := e.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: string(run), UpdateName: answerName, Args: []any{id, v}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = h.Get(ctx, nil)
	}
	return e.explain(ctx, "answer", run, err)
}

// Cancel implements durable.Engine.
func (e *Engine) Cancel(ctx context.Context, run durable.RunID, reason string) error {
	d, err := e.client.DescribeWorkflowExecution(ctx, string(run), "")
	if err != nil {
		return e.explain(ctx, "cancel", run, err)
	}
	if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		// Temporal itself would take a second cancel of a canceled run for the first.
		return durable.Errorf(durable.CodeConflict, "cancel: run %s has ended", run)
	}
	err = e.client.CancelWorkflowWithOptions(ctx, client.CancelWorkflowOptions{WorkflowID: string(run), Reason: reason})
	return e.explain(ctx, "cancel", run, err)
}

// Kill implements durable.Engine. The run ends first and its descendants right after;
// in between they may have learned of it as of a cancel.
func (e *Engine) Kill(ctx context.Context, run durable.RunID, reason string) error {
	family, err := e.family(ctx, run)
	if err != nil {
		return err
	}
	for i, id := range family {
		err := e.explain(ctx, "kill", id, e.client.TerminateWorkflow(ctx, string(id), "", reason))
		if err != nil && (i == 0 || !errors.Is(err, durable.ErrConflict)) { // a conflict: it has ended by itself
			return err
		}
	}
	return nil
}

// family lists a run and its living descendants, parents first.
func (e *Engine) family(ctx context.Context, run durable.RunID) ([]durable.RunID, error) {
	d, err := e.client.DescribeWorkflowExecution(ctx, string(run), "")
	if err != nil {
		return nil, e.explain(ctx, "kill", run, err)
	}
	list := []durable.RunID{run}
	for _, c := range d.GetPendingChildren() {
		more, err := e.family(ctx, durable.RunID(c.GetWorkflowId()))
		if err != nil && !errors.Is(err, durable.ErrNotFound) {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// explain gives an error of Temporal's the code a caller of durable.Engine acts on.
func (e *Engine) explain(ctx context.Context, op string, run durable.RunID, err error) error {
	if err == nil {
		return nil
	}
	op += " (run " + string(run) + ")"
	if f := failureOf(err); f.Code != durable.CodeInternal {
		return &durable.Error{Code: f.Code, Op: op, Err: err, Reason: f.Reason} // the run's own refusal
	}
	code := durable.CodeInternal
	if _, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		code = durable.CodeConflict
	}
	if _, ok := errors.AsType[*serviceerror.InvalidArgument](err); ok {
		code = durable.CodeInvalid
	}
	if _, ok := errors.AsType[*serviceerror.Unavailable](err); ok {
		code = durable.CodeUnavailable
	}
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		code = durable.CodeNotFound // Temporal says so of ended runs too
		if _, err := e.client.DescribeWorkflowExecution(ctx, string(run), ""); err == nil {
			code = durable.CodeConflict
		}
	}
	return &durable.Error{Code: code, Op: op, Err: err}
}
