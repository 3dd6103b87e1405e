package orpinetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/workflow"
)

// kept is what workflows keep beside their runs: outputs for other runs, and which assets were made.
// As with calls, it outlives every process of a play.
type kept struct {
	mu      sync.Mutex
	outputs map[string]workflow.Kept
	assets  map[[2]string]workflow.Materialization // the newest, by asset and partition
}

// keeping is the program of workflows that keeps things here.
func (k *kept) keeping(p *workflow.Walks) *workflow.Walks {
	k.outputs, k.assets = map[string]workflow.Kept{}, map[[2]string]workflow.Materialization{}
	return p.Keeping(workflow.Config{
		Kept: func(_ context.Context, _ durable.RunID, key string) (workflow.Kept, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			one, ok := k.outputs[key]
			if !ok {
				return one, durable.Errorf(durable.CodeNotFound, "nothing is kept under %s", key)
			}
			return one, nil
		},
		Keep: func(_ context.Context, _ durable.RunID, key string, one workflow.Kept) error {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.outputs[key] = one
			return nil
		},
		Record: func(_ context.Context, m workflow.Materialization) error {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.assets[[2]string{m.Asset, m.Partition}] = m
			return nil
		},
	})
}

// Assets lists the newest materialization of every asset, each partition by itself, in the order of
// their names; see orpine.Reader.
func (e *Env) Assets() []workflow.Materialization {
	e.kept.mu.Lock()
	defer e.kept.mu.Unlock()
	list := slices.Collect(maps.Values(e.kept.assets))
	slices.SortFunc(list, func(a, b workflow.Materialization) int {
		return cmp.Or(cmp.Compare(a.Asset, b.Asset), cmp.Compare(a.Partition, b.Partition))
	})
	return list
}

// Progress is how far a run of a workflow has come, as orpine show tells it: its last segment is
// replayed. The test ends if the run is of another program.
func (e *Env) Progress(id durable.RunID) workflow.View {
	e.t.Helper()
	return e.progress(id).View()
}

func (e *Env) progress(id durable.RunID) (last *workflow.Progress) {
	e.t.Helper()
	programs := slices.Clone(e.programs)
	for i, p := range programs {
		if w, ok := p.(*program).Program.(*workflow.Walks); ok {
			programs[i] = w.Observed(func(p *workflow.Progress) { last = p })
		}
	}
	var report embedded.Report
	err := e.do(func(l *life) error {
		s, err := l.store.Run(context.Background(), id)
		if err == nil {
			report, err = embedded.Replay(context.Background(), embedded.Source{Journal: l.engine.Journal(), Run: s, Last: true}, programs)
		}
		return err
	})
	if lacks := new(durable.BlockError); !errors.As(err, &lacks) {
		e.must("progress of run "+string(id), err)
	}
	if last == nil || report.Divergence != nil {
		e.t.Fatalf("run %s is of no workflow, or does not replay: %+v", id, report.Divergence)
	}
	return last
}

// Retry starts a run of the workflow of another one, which has ended, as orpine retry does: with its
// results that were good, and those of the workflows that it ran, but for those of the step from ("" = none) and
// of all that needs it.
func (e *Env) Retry(id durable.RunID, from string) durable.RunID {
	e.t.Helper()
	p := e.progress(id)
	in := e.again(id, p, from)
	definition, err := json.Marshal(p.Definition())
	e.must("retry run "+string(id), err)
	return e.StartAs(durable.StartRequest{Program: workflow.Program, Name: e.Get(id).Name, Input: e.encode(in), Definition: definition})
}

// again is what a run starts with that tries another one again.
func (e *Env) again(id durable.RunID, p *workflow.Progress, from string) workflow.Input {
	e.t.Helper()
	in, err := p.Again(id, from)
	e.must("retry run "+string(id), err)
	if from != "" {
		return in
	}
	in.Below = map[string]workflow.Input{}
	for _, name := range p.Unfinished(in) {
		for _, r := range e.list() {
			if r.Parent == id && r.Name == name && r.Program == workflow.Program && r.Status.Final() {
				in.Below[name] = e.again(r.ID, e.progress(r.ID), "")
			}
		}
	}
	return in
}
