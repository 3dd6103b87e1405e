package orpine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/trigger"
	"github.com/orpine-run/orpine/workflow"
)

// The kinds of the records of workflows.
const (
	keptKind  = "kept"  // outputs that are kept, by tenant and key
	assetKind = "asset" // the newest materialization, by tenant, asset and partition
)

// workflows makes the program of workflows.
func workflows(cfg Config, agents *agent.Set) *workflow.Walks {
	w := workflow.Config{Agents: agents}
	if l := cfg.late; l != nil {
		w.Kept, w.Keep, w.Record = l.kept, l.keep, l.record
	}
	return workflow.New(w)
}

func (l *late) kept(ctx context.Context, id durable.RunID, key string) (k workflow.Kept, err error) {
	r, err := l.wait(ctx)
	if err != nil {
		return k, err
	}
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return k, err
	}
	record, err := r.store.Record(ctx, keptKind, store.KeyOf(run.Tenant, key))
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(record.Data, &k); err != nil {
		return k, durable.Errorf(durable.CodeNotFound, "what was kept is damaged: %w", err)
	}
	return k, nil
}

func (l *late) keep(ctx context.Context, id durable.RunID, key string, k workflow.Kept) error {
	return l.write(ctx, id, keptKind, k, key)
}

// record writes that an asset was made, and tells the triggers that wait for it. That may be done
// twice: they know the event by its ID.
func (l *late) record(ctx context.Context, m workflow.Materialization) error {
	if err := l.write(ctx, m.Run, assetKind, m, m.Asset, m.Partition); err != nil || !m.Good() {
		return err
	}
	r, err := l.wait(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = r.Emit(ctx, durable.AttemptOf(ctx).Tenant, trigger.Occurred{
		ID: durable.AttemptOf(ctx).Key, Name: trigger.AssetEvent + m.Asset, Time: m.At, Data: data,
	})
	return err
}

// write keeps a value of a run under a key of its tenant.
func (l *late) write(ctx context.Context, id durable.RunID, kind string, v any, key ...string) error {
	r, err := l.wait(ctx)
	if err != nil {
		return err
	}
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return r.journal.Write(ctx, store.RecordChange{Kind: kind, Key: store.KeyOf(slices.Concat([]string{run.Tenant}, key)...), Expect: store.AnyVersion, Data: data})
}

// Assets lists the newest materialization of every asset of a tenant, each partition by itself, in
// the order of their names; asset narrows to one. What is damaged is left out.
func (r *Reader) Assets(ctx context.Context, tenant, asset string) ([]workflow.Materialization, error) {
	prefix := store.KeyOf(tenant) + "/"
	if asset != "" {
		prefix = store.KeyOf(tenant, asset) + "/"
	}
	list := []workflow.Materialization{}
	err := r.eachRecord(ctx, assetKind, prefix, func(one *store.Record) error {
		var m workflow.Materialization
		if json.Unmarshal(one.Data, &m) == nil {
			list = append(list, m)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b workflow.Materialization) int {
		return cmp.Or(cmp.Compare(a.Asset, b.Asset), cmp.Compare(a.Partition, b.Partition))
	})
	return list, err
}

// Progress is how far a run of a workflow has come: its newest segment is replayed, offline, with the
// tools of cfg. Errors: not_found, invalid for a run of another program, one of durable.Block when
// this build lacks something.
func (r *Reader) Progress(ctx context.Context, cfg Config, id durable.RunID) (workflow.View, error) {
	p, err := r.progress(ctx, cfg, id)
	if err != nil {
		return workflow.View{}, err
	}
	return p.View(), nil
}

func (r *Reader) progress(ctx context.Context, cfg Config, id durable.RunID) (*workflow.Progress, error) {
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if run.Program != workflow.Program {
		return nil, durable.Errorf(durable.CodeInvalid, "run %s is of program %s, not of a workflow", id, run.Program)
	}
	agents, err := agent.NewSet(cfg.agents())
	if err != nil {
		return nil, err
	}
	var last *workflow.Progress
	watched := workflows(cfg, agents).Observed(func(p *workflow.Progress) { last = p })
	report, err := embedded.Replay(ctx, embedded.Source{Journal: r.journal, Run: run, Last: true}, append(agents.Programs(), watched))
	if _, lacks := errors.AsType[*durable.BlockError](err); err != nil && (last == nil || !lacks) {
		return nil, err
	}
	if report.Divergence != nil {
		return nil, durable.Errorf(durable.CodeConflict, "run %s does not replay: %s", id, report.Divergence.Text())
	}
	return last, nil
}

// again starts a run of the workflow of another, with its definition and its results that are good:
// what failed, was canceled or never ran is run, and what needs the node From.
func (r *Runtime) again(ctx context.Context, run store.Run, req ForkRequest) (durable.RunID, error) {
	switch {
	case !run.Status.Final():
		return "", durable.Errorf(durable.CodeConflict, "run %s is %s: wait for its end, or cancel it", run.ID, run.Status)
	case run.Status == durable.Succeeded && req.From == "":
		return "", durable.Errorf(durable.CodeConflict, "run %s has succeeded: say from which step on it is run again", run.ID)
	case req.Model != "" || req.Input != nil || len(req.Results) > 0:
		return "", durable.Errorf(durable.CodeInvalid, "a workflow is tried again as it is; see orpine fork, or start another run")
	}
	p, err := r.progress(ctx, r.cfg, run.ID)
	if err != nil {
		return "", err
	}
	in, err := p.Again(run.ID, req.From)
	if err != nil {
		return "", err
	}
	if req.From == "" {
		if in.Below, err = r.below(ctx, run.ID, p, in); err != nil {
			return "", err
		}
	}
	input, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	definition := req.Definition
	if definition == nil {
		if definition, err = json.Marshal(p.Definition()); err != nil { // it may have been migrated
			return "", err
		}
	}
	return r.engine.Start(ctx, durable.StartRequest{
		ID: req.ID, Program: workflow.Program, Name: cmp.Or(req.Name, run.Name), Input: input, Definition: definition,
		Queue: run.Queue, Priority: run.Priority, Tenant: run.Tenant, Share: run.Share,
	})
}

// Migrate has a run of a workflow go on by another definition, from where it is: see
// workflow.MigrateSignal. It returns when the run has been told. Errors: those of Progress, conflict when the
// run has ended or does not fit.
func (r *Runtime) Migrate(ctx context.Context, id durable.RunID, definition json.RawMessage) error {
	d, err := workflow.Decode(definition)
	if err != nil {
		return err
	}
	fit, err := r.Fits(ctx, r.cfg, id, d)
	if err != nil {
		return err
	}
	if fit.Status != workflow.FitOK {
		return durable.Errorf(durable.CodeConflict, "run %s does not fit: %s", id, fit)
	}
	return r.engine.Signal(ctx, id, durable.Signal{Name: workflow.MigrateSignal, Data: definition})
}

// Fits holds a run of a workflow against another definition. Errors: those of Progress.
func (r *Reader) Fits(ctx context.Context, cfg Config, id durable.RunID, d *workflow.Definition) (workflow.Fit, error) {
	p, err := r.progress(ctx, cfg, id)
	if err != nil {
		return workflow.Fit{}, err
	}
	return p.Fits(d)
}

// below is what the workflows start with that a run had as children and that are tried again with it:
// their results that are good, too.
func (r *Runtime) below(ctx context.Context, id durable.RunID, p *workflow.Progress, again workflow.Input) (map[string]workflow.Input, error) {
	below := map[string]workflow.Input{}
	for _, name := range p.Unfinished(again) {
		children, err := r.List(ctx, durable.Filter{Parent: id, Name: name, Program: workflow.Program, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(children) == 0 || !children[0].Status.Final() {
			continue // it never began
		}
		child, err := r.progress(ctx, r.cfg, children[0].ID)
		if err != nil {
			return nil, err
		}
		in, err := child.Again(children[0].ID, "")
		if err != nil {
			return nil, err
		}
		if in.Below, err = r.below(ctx, children[0].ID, child, in); err != nil {
			return nil, err
		}
		below[name] = in
	}
	return below, nil
}

// StartWorkflow starts a run of a workflow.
func (r *Runtime) StartWorkflow(ctx context.Context, d *workflow.Definition, in workflow.Input) (durable.RunID, error) {
	req, err := workflow.Start(d, in)
	if err != nil {
		return "", err
	}
	return r.engine.Start(ctx, req)
}
