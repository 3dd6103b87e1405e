package temporal

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/orpine-run/orpine/durable"
)

const (
	viewPatience = 2 * time.Second // for a run to say what it waits for
	waitPeriod   = 5 * time.Second // between two looks whether a run is blocked
	stuckTurns   = 3               // failed turns in a row that make a run blocked
)

// Get implements durable.Engine. What a run in motion waits for is asked of the run
// itself; where no worker answers within two seconds, Waits is empty.
func (e *Engine) Get(ctx context.Context, id durable.RunID) (durable.Run, error) {
	d, err := e.client.DescribeWorkflowExecution(ctx, string(id), "")
	if err != nil {
		return durable.Run{}, e.explain(ctx, "get", id, err)
	}
	info := d.GetWorkflowExecutionInfo()
	run := durable.Run{ID: id, Program: info.GetType().GetName(), Updated: info.GetStartTime().AsTime(), Created: info.GetStartTime().AsTime()}
	var m memo
	if p := info.GetMemo().GetFields()[memoKey]; p != nil {
		if err := e.converter.FromPayload(p, &m); err != nil {
			return run, durable.Errorf(durable.CodeInternal, "read the memo of run %s: %w", id, err)
		}
		run.Name, run.Parent, run.Tenant, run.Command, run.Definition, run.Created = m.Name, m.Parent, m.Tenant, m.Command, m.Definition, m.Created
	}
	if info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return e.moving(ctx, run, d)
	}
	run.Updated = info.GetCloseTime().AsTime()
	return e.ended(ctx, run, info.GetExecution().GetRunId(), info.GetStatus())
}

// moving completes the picture of a run that has not ended.
func (e *Engine) moving(ctx context.Context, run durable.Run, d *workflowservice.DescribeWorkflowExecutionResponse) (durable.Run, error) {
	run.Status = durable.Running
	if d.GetPendingWorkflowTask().GetAttempt() > stuckTurns {
		run.Status = durable.Blocked
		return run, e.scan(ctx, run.ID, "", func(ev *historypb.HistoryEvent) {
			if a := ev.GetWorkflowTaskFailedEventAttributes(); a != nil {
				run.Reason = a.GetFailure().GetMessage()
			}
		})
	}
	ctx, cancel := context.WithTimeout(ctx, viewPatience)
	defer cancel()
	answer, err := e.client.QueryWorkflow(ctx, string(run.ID), "", viewName)
	if err != nil {
		return run, nil // no worker can say more just now; the rest is true
	}
	var v view
	if err := answer.Get(&v); err != nil {
		return run, durable.Errorf(durable.CodeInternal, "read the view of run %s: %w", run.ID, err)
	}
	v.tell(&run)
	return run, nil
}

// tell completes a run in motion by what it says of itself.
func (v view) tell(run *durable.Run) {
	run.Waits, run.Reason = v.Waits, v.Blocked
	switch {
	case v.Blocked != "":
		run.Status = durable.Blocked
	case !v.Busy && len(v.Waits) > 0:
		run.Status = durable.Waiting
	}
}

// ended completes the picture of a run that has.
func (e *Engine) ended(ctx context.Context, run durable.Run, execution string, status enumspb.WorkflowExecutionStatus) (durable.Run, error) {
	var out value
	err := e.client.GetWorkflow(ctx, string(run.ID), execution).Get(ctx, &out)
	if err != nil && ctx.Err() != nil {
		return run, ctx.Err()
	}
	run.Error = failureOf(err)
	switch status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		if err != nil {
			return run, e.explain(ctx, "read the output", run.ID, err)
		}
		run.Status = durable.Succeeded
		run.Output, err = e.values().unpack(ctx, out)
		return run, err
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		run.Status = durable.Canceled
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
		run.Status, run.Error = durable.Killed, nil
	default:
		run.Status = durable.Failed
	}
	return run, e.scan(ctx, run.ID, execution, func(ev *historypb.HistoryEvent) {
		if a := ev.GetWorkflowExecutionCancelRequestedEventAttributes(); a != nil && run.Status == durable.Canceled {
			run.Reason = a.GetCause()
			if a.GetExternalWorkflowExecution() != nil {
				run.Reason = "the parent was canceled or has ended"
			}
		}
		if a := ev.GetWorkflowExecutionTerminatedEventAttributes(); a != nil {
			run.Reason = a.GetReason()
		}
	})
}

// scan reads the history of a run's last segment, for what only events tell.
func (e *Engine) scan(ctx context.Context, run durable.RunID, execution string, see func(*historypb.HistoryEvent)) error {
	events := e.client.GetWorkflowHistory(ctx, string(run), execution, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		ev, err := events.Next()
		if err != nil {
			return e.explain(ctx, "read the history", run, err)
		}
		see(ev)
	}
	return nil
}

// Wait implements durable.Engine.
func (e *Engine) Wait(ctx context.Context, id durable.RunID) (durable.Run, error) {
	for {
		look, cancel := context.WithTimeout(ctx, waitPeriod)
		err := e.client.GetWorkflow(look, string(id), "").Get(look, nil)
		over := look.Err()
		cancel()
		if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
			return durable.Run{}, e.explain(ctx, "wait", id, err)
		}
		if ctx.Err() != nil {
			return durable.Run{ID: id}, ctx.Err()
		}
		run, err := e.Get(ctx, id)
		if err != nil || run.Status.Final() || run.Status == durable.Blocked {
			return run, err
		}
		if over == nil { // Temporal did not answer, or the run has just continued
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return run, ctx.Err()
			}
		}
	}
}
