package orpine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/workflow"
)

// ForkRequest asks for a run that goes another way from a step of a run on.
type ForkRequest struct {
	embedded.ForkRequest
	Model string `json:"model,omitempty"` // for forks of agents: this model instead of the definition's
	From  string `json:"from,omitempty"`  // for a Retry of a workflow: this node, and what needs it, are run again too
}

// ForkPlan is what a fork will consist of.
type ForkPlan = embedded.ForkPlan

// Result is what a fork records as the output of a step.
type Result = embedded.Result

// PlanFork says what a fork of a run would take over and what it would do again. Nothing
// is written. Errors: those of Runtime.Fork that need no program to be found.
func (r *Reader) PlanFork(ctx context.Context, id durable.RunID, req ForkRequest) (*ForkPlan, error) {
	full, err := r.forkRequest(ctx, id, req)
	if err != nil {
		return nil, err
	}
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	entries, err := r.journal.All(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	return embedded.PlanFork(journal.View(run), entries, full)
}

// forkRequest puts the model into the definition.
func (r *Reader) forkRequest(ctx context.Context, id durable.RunID, req ForkRequest) (embedded.ForkRequest, error) {
	if req.Model == "" {
		return req.ForkRequest, nil
	}
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return req.ForkRequest, err
	}
	if run.Program != agent.Program || req.Definition != nil {
		return req.ForkRequest, durable.Errorf(durable.CodeInvalid, "run %s is of program %s: only a fork of an agent takes another model", id, run.Program)
	}
	definition, err := r.journal.Get(ctx, durable.Ref{Hash: run.Definition})
	if err != nil {
		return req.ForkRequest, fmt.Errorf("load the definition: %w", err)
	}
	req.Definition, err = agent.WithModel(definition, req.Model)
	return req.ForkRequest, err
}

// Fork starts a run that shares the journal of another up to a step and goes its own way
// from there: see embedded.Engine.Fork. Besides its errors: invalid and unavailable for a
// model that cannot be had here.
func (r *Runtime) Fork(ctx context.Context, id durable.RunID, req ForkRequest) (durable.RunID, error) {
	if req.Model != "" {
		if err := checkModel(r.cfg.Providers, req.Model); err != nil {
			return "", err
		}
	}
	full, err := r.forkRequest(ctx, id, req)
	if err != nil {
		return "", err
	}
	return r.engine.Fork(ctx, id, full)
}

// Retry starts a run that takes up one that did not succeed: it has all results that were
// good and does again what was not: of a workflow the steps that did not succeed, of others
// everything from the first step on that failed in the last segment.
// Errors: not_found, conflict when the run has not ended or did succeed.
func (r *Runtime) Retry(ctx context.Context, id durable.RunID, req ForkRequest) (durable.RunID, error) {
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return "", err
	}
	if run.Program == workflow.Program {
		return r.again(ctx, run, req)
	}
	if req.From != "" {
		return "", durable.Errorf(durable.CodeInvalid, "run %s is of program %s: only a workflow is tried again from a step on; see orpine fork", id, run.Program)
	}
	if !run.Status.Final() || run.Status == durable.Succeeded {
		return "", durable.Errorf(durable.CodeConflict, "run %s is %s: only one that failed, was canceled or killed is tried again; see orpine fork", id, run.Status)
	}
	steps, err := r.Steps(ctx, id)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(steps, func(s durable.Step) bool { return s.Segment == run.Segment && s.Status != durable.StepDone })
	switch {
	case len(steps) == 0:
		return r.startAgain(ctx, run, req)
	case at < 0:
		at = len(steps) - 1
	}
	req.At = steps[at].StepID()
	return r.Fork(ctx, id, req)
}

// startAgain starts a run that did not come to its first step anew.
func (r *Runtime) startAgain(ctx context.Context, run store.Run, req ForkRequest) (durable.RunID, error) {
	first, err := r.journal.Entries(ctx, run.ID, -1, 1)
	if err != nil || len(first) == 0 {
		return "", cmp.Or(err, error(durable.Errorf(durable.CodeInternal, "run %s has no journal", run.ID)))
	}
	if err := r.journal.Load(ctx, &first[0]); err != nil {
		return "", err
	}
	start := durable.StartRequest{
		ID: req.ID, Program: run.Program, Name: cmp.Or(req.Name, run.Name), Input: first[0].Input,
		Queue: run.Queue, Priority: run.Priority, Tenant: run.Tenant, Share: run.Share,
	}
	full, err := r.forkRequest(ctx, run.ID, req)
	if err != nil {
		return "", err
	}
	if full.Input != nil {
		start.Input = full.Input
	}
	if start.Definition = full.Definition; start.Definition == nil && run.Definition != "" {
		if start.Definition, err = r.journal.Get(ctx, durable.Ref{Hash: run.Definition}); err != nil {
			return "", err
		}
	}
	return r.Start(ctx, start)
}

// checkModel finds out whether a model can be had here.
func checkModel(providers map[string]model.Provider, name string) error {
	prefix, rest, _ := strings.Cut(name, "/")
	provider, ok := providers[prefix]
	if !ok {
		return durable.Errorf(durable.CodeInvalid, "this build has no provider for model %q; a model is named provider/name", name)
	}
	if _, err := provider(rest); err != nil {
		return durable.Errorf(durable.CodeUnavailable, "%w", err)
	}
	return nil
}

// Report is what a replay found.
type Report = embedded.Report

// Divergence is where a program leaves the way its journal went.
type Divergence = embedded.Divergence

// Replay lets programs, as Programs makes them, go through the whole journal of a run
// again, without effects: see embedded.Replay.
func (r *Reader) Replay(ctx context.Context, programs []durable.Program, id durable.RunID) (Report, error) {
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return Report{}, err
	}
	return embedded.Replay(ctx, embedded.Source{Journal: r.journal, Run: run}, programs)
}

// Checked is what became of a run that was held against a build.
type Checked struct {
	Run        durable.Run `json:"run"`
	Steps      int         `json:"steps"`                // of its last segment, from the journal
	Divergence *Divergence `json:"divergence,omitempty"` // it would be blocked
	Lacks      string      `json:"lacks,omitempty"`      // why it cannot be loaded here

	Fit *workflow.Fit `json:"fit,omitempty"` // of a workflow: whether it could go on by the definition that it has now
}

// CheckRuns replays the last segment of every run that has not ended, with what a runtime
// of this configuration would have: what it would do if it took them up now. With a tenant only
// its runs are looked at. Nothing is executed or written; it works beside the process that
// drives them.
func (r *Reader) CheckRuns(ctx context.Context, cfg Config, tenant string) iter.Seq2[Checked, error] {
	return func(yield func(Checked, error) bool) {
		programs, err := Programs(cfg)
		if err != nil {
			yield(Checked{}, err)
			return
		}
		for run, err := range r.runs(ctx, durable.Filter{Tenant: tenant, Statuses: []durable.Status{durable.Queued, durable.Running, durable.Waiting, durable.Paused, durable.Blocked}}) {
			if err != nil {
				yield(Checked{}, err)
				return
			}
			if !yield(r.checkRun(ctx, cfg, programs, run), ctx.Err()) || ctx.Err() != nil {
				return
			}
		}
	}
}

func (r *Reader) checkRun(ctx context.Context, cfg Config, programs []durable.Program, run store.Run) Checked {
	if run.Fault != nil {
		return Checked{Run: journal.View(run), Lacks: run.Fault.Error()}
	}
	report, err := embedded.Replay(ctx, embedded.Source{Journal: r.journal, Run: run, Last: true}, programs)
	c := Checked{Run: journal.View(run), Steps: report.Steps, Divergence: report.Divergence}
	switch {
	case err != nil || c.Divergence != nil:
	case run.Program == agent.Program:
		err = r.checkAgent(ctx, cfg, run)
	case run.Program == workflow.Program && cfg.Now != nil:
		c.Fit, err = r.fitNow(ctx, cfg, run)
	}
	if err != nil {
		c.Lacks = err.Error()
	}
	return c
}

// fitNow holds a run of a workflow against the definition that it has now; nil where there is none.
func (r *Reader) fitNow(ctx context.Context, cfg Config, run store.Run) (*workflow.Fit, error) {
	data, err := r.journal.Get(ctx, durable.Ref{Hash: run.Definition})
	if err != nil {
		return nil, err
	}
	pinned, err := workflow.Decode(data)
	if err != nil {
		return nil, err
	}
	now, err := cfg.Now(ctx, pinned.Name)
	if errors.Is(err, durable.ErrNotFound) {
		return nil, nil //nolint:nilnil // it is not in what there is now
	}
	if err != nil {
		return nil, err
	}
	fit, err := r.Fits(ctx, cfg, run.ID, now)
	return &fit, err
}

// checkAgent finds out whether the model of an agent can be had here.
func (r *Reader) checkAgent(ctx context.Context, cfg Config, run store.Run) error {
	data, err := r.journal.Get(ctx, durable.Ref{Hash: run.Definition})
	if err != nil {
		return err
	}
	d, err := agent.Decode(data)
	if err != nil {
		return err
	}
	return checkModel(cfg.Providers, d.Model)
}
