package temporal

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	sdk "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/orpine-run/orpine/durable"
)

// environment is a durable.Engine over the SDK's test environment, which needs no
// server. That knows one workflow and a clock that jumps as soon as nothing is on its
// way. So the one workflow is a root that starts every run as its child and does what
// it is told, and an activity that lasts as long as the engine keeps the clock at the
// pace of the wall.
//
// Programs, contexts and attempts are the real ones; what [Engine] itself says to a
// server is not: kills, refused starts and reasons are proven on a dev server only.
type environment struct {
	peer  *testsuite.TestWorkflowEnvironment
	e     *Engine
	close chan struct{} // closed to let the root end
	ended chan struct{} // closed when it has

	mu     sync.Mutex
	orders []func(workflow.Context)
	runs   map[durable.RunID]*child
}

// child is a run as the root knows it.
type child struct {
	done   chan struct{} // closed when run is final
	run    durable.Run
	cancel workflow.CancelFunc
	reason string // of the cancel
}

const (
	rootName  = "root"
	holdName  = "hold"
	orderName = "order"
)

func newEnvironment(t *testing.T, cfg Config) *environment {
	t.Helper()
	cfg.Heartbeat = time.Second
	e, err := prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e.unblock = 10 * time.Millisecond
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := &environment{peer: suite.NewTestWorkflowEnvironment(), e: e, close: make(chan struct{}), ended: make(chan struct{}), runs: map[durable.RunID]*child{}}
	env.peer.SetTestTimeout(time.Minute)
	e.register(env.peer)
	env.peer.RegisterWorkflowWithOptions(env.root, workflow.RegisterOptions{Name: rootName})
	env.peer.RegisterActivityWithOptions(env.hold, activity.RegisterOptions{Name: holdName})
	env.peer.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, args converter.EncodedValues) {
		c := env.know(durable.RunID(info.WorkflowExecution.ID))
		var o opening
		if err := args.Get(&o); err != nil {
			t.Error(err)
		}
		c.run.Tenant = o.Tenant
	})
	env.peer.SetOnChildWorkflowCompletedListener(func(info *workflow.Info, out converter.EncodedValue, err error) {
		env.end(env.know(durable.RunID(info.WorkflowExecution.ID)), out, err)
	})
	begun := make(chan struct{})
	go func() {
		defer close(env.ended)
		env.peer.ExecuteWorkflow(rootName)
	}()
	env.order(func(workflow.Context) { close(begun) })
	<-begun
	t.Cleanup(func() {
		close(env.close)
		<-env.ended
		if err := env.peer.GetWorkflowError(); err != nil {
			t.Errorf("the root ended with %v", err)
		}
	})
	return env
}

// hold is the activity during which no time is skipped.
func (env *environment) hold(context.Context) error {
	<-env.close
	return nil
}

// root obeys orders until hold ends.
func (env *environment) root(wc workflow.Context) error {
	wc = workflow.WithActivityOptions(wc, workflow.ActivityOptions{StartToCloseTimeout: endless})
	held, over := workflow.ExecuteActivity(wc, holdName), false
	workflow.Go(wc, func(wc workflow.Context) {
		_ = held.Get(wc, nil)
		over = true
	})
	orders := workflow.GetSignalChannel(wc, orderName)
	for {
		if err := workflow.Await(wc, func() bool { return over || orders.Len() > 0 }); err != nil || over {
			return err
		}
		orders.ReceiveAsync(nil)
		env.mu.Lock()
		next := env.orders[0]
		env.orders = env.orders[1:]
		env.mu.Unlock()
		workflow.Go(wc, next)
	}
}

func (env *environment) order(do func(workflow.Context)) {
	env.mu.Lock()
	env.orders = append(env.orders, do)
	env.mu.Unlock()
	env.peer.RegisterDelayedCallback(func() { env.peer.SignalWorkflow(orderName, nil) }, 0)
}

// ask gives an order and waits for its outcome.
func (env *environment) ask(ctx context.Context, do func(workflow.Context) error) error {
	done := make(chan error, 1)
	env.order(func(wc workflow.Context) { done <- do(wc) })
	select {
	case err := <-done:
		return err
	case <-env.ended:
		return fmt.Errorf("the root has ended: %w", env.peer.GetWorkflowError())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// to is ask for what a living run is told. While a run continues the test
// environment has nobody to hand a message to, and would panic.
func (env *environment) to(ctx context.Context, id durable.RunID, do func(workflow.Context, *child) error) error {
	env.mu.Lock()
	c := env.runs[id]
	env.mu.Unlock()
	if c == nil {
		return durable.Errorf(durable.CodeNotFound, "no run %s", id)
	}
	return env.ask(ctx, func(wc workflow.Context) error {
		for {
			select {
			case <-c.done:
				return durable.Errorf(durable.CodeConflict, "run %s has ended", id)
			default:
			}
			if env.listens(id) {
				return do(wc, c)
			}
			if err := workflow.Sleep(wc, time.Millisecond); err != nil {
				return err
			}
		}
	})
}

func (env *environment) listens(id durable.RunID) (ok bool) {
	defer func() { ok = recover() == nil && ok }()
	_, err := env.peer.QueryWorkflowByID(string(id), viewName)
	return err == nil
}

// Start implements durable.Engine.
func (env *environment) Start(ctx context.Context, req durable.StartRequest) (durable.RunID, error) {
	id := newRunID(time.Now(), randomTail())
	input, err := env.e.values().pack(ctx, req.Input)
	if err != nil {
		return "", err
	}
	definition, err := env.e.values().pin(ctx, req.Definition)
	if err != nil {
		return "", err
	}
	c := env.know(id)
	return id, env.ask(ctx, func(wc workflow.Context) error {
		wc = workflow.WithChildOptions(wc, workflow.ChildWorkflowOptions{
			WorkflowID: string(id), WaitForCancellation: true, ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_TERMINATE,
		})
		wc, c.cancel = workflow.WithCancel(wc)
		f := workflow.ExecuteChildWorkflow(wc, req.Program, opening{Input: input, Definition: definition, Tenant: req.Tenant})
		return f.GetChildWorkflowExecution().Get(wc, nil)
	})
}

// know finds a run, one that a program starts included.
func (env *environment) know(id durable.RunID) *child {
	env.mu.Lock()
	defer env.mu.Unlock()
	c := env.runs[id]
	if c == nil {
		c = &child{done: make(chan struct{}), run: durable.Run{ID: id, Status: durable.Running}}
		env.runs[id] = c
	}
	return c
}

// end is told of every run's end, once.
func (env *environment) end(c *child, result converter.EncodedValue, err error) {
	defer close(c.done)
	var out value
	if err == nil {
		err = result.Get(&out)
	}
	if err == nil {
		c.run.Status = durable.Succeeded
		c.run.Output, err = env.e.values().unpack(context.Background(), out)
	}
	if err == nil {
		return
	}
	c.run.Status, c.run.Error, c.run.Reason = durable.Failed, failureOf(err), c.reason
	if sdk.IsCanceledError(err) {
		c.run.Status = durable.Canceled
	}
}

// Signal implements durable.Engine.
func (env *environment) Signal(ctx context.Context, id durable.RunID, s durable.Signal) error {
	v, err := env.e.values().pack(ctx, s.Data)
	if err != nil {
		return err
	}
	raw, err := v.payload()
	if err != nil {
		return err
	}
	return env.to(ctx, id, func(wc workflow.Context, _ *child) error {
		return workflow.SignalExternalWorkflow(wc, string(id), "", s.Name, raw).Get(wc, nil)
	})
}

// Answer implements durable.Engine.
func (env *environment) Answer(ctx context.Context, id durable.RunID, question string, answer json.RawMessage) error {
	done := make(chan error, 1)
	err := env.to(ctx, id, func(workflow.Context, *child) error {
		return env.peer.UpdateWorkflowByID(string(id), answerName, string(newRunID(time.Now(), randomTail())), &testsuite.TestUpdateCallback{
			OnAccept: func() {}, OnReject: func(err error) { done <- err },
			OnComplete: func(_ any, err error) { done <- err },
		}, question, value{JSON: answer})
	})
	if err != nil {
		return err
	}
	if err := <-done; err != nil {
		return recorded(err)
	}
	return nil
}

// Cancel implements durable.Engine.
func (env *environment) Cancel(ctx context.Context, id durable.RunID, reason string) error {
	return env.to(ctx, id, func(_ workflow.Context, c *child) error {
		c.reason = reason
		c.cancel()
		return nil
	})
}

// Kill implements durable.Engine: the test environment cannot terminate.
func (env *environment) Kill(_ context.Context, id durable.RunID, _ string) error {
	return fmt.Errorf("kill %s: the test environment cannot", id)
}

// Wait implements durable.Engine.
func (env *environment) Wait(ctx context.Context, id durable.RunID) (durable.Run, error) {
	env.mu.Lock()
	c := env.runs[id]
	env.mu.Unlock()
	if c == nil {
		return durable.Run{}, durable.Errorf(durable.CodeNotFound, "no run %s", id)
	}
	select {
	case <-c.done:
		return c.run, nil
	case <-ctx.Done():
		return durable.Run{}, ctx.Err()
	}
}

// Get implements durable.Engine.
func (env *environment) Get(ctx context.Context, id durable.RunID) (durable.Run, error) {
	var answer converter.EncodedValue
	err := env.to(ctx, id, func(workflow.Context, *child) (err error) {
		answer, err = env.peer.QueryWorkflowByID(string(id), viewName)
		return err
	})
	if err != nil {
		return env.Wait(ctx, id)
	}
	var v view
	run := durable.Run{ID: id, Status: durable.Running}
	err = answer.Get(&v)
	v.tell(&run)
	return run, err
}
