package embedded

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// Fork starts a run that shares the journal of a base up to a step and goes its own way
// from there. The base is not touched; it may be in motion, or over. Before anything is
// written the programs of this engine replay what the fork would consist of. Errors:
// not_found for the base or the step, invalid for a request that cannot be, conflict when
// the program does not come to the step on this journal or the ID is taken, exhausted from
// the queue.
func (e *Engine) Fork(ctx context.Context, base durable.RunID, req ForkRequest) (durable.RunID, error) {
	if err := e.err(); err != nil {
		return "", err
	}
	from, err := e.store.Run(ctx, base)
	if err != nil {
		return "", err
	}
	entries, err := e.journal.All(ctx, base, 0)
	if err != nil {
		return "", err
	}
	plan, err := PlanFork(journal.View(from), entries, req)
	if err == nil {
		err = e.readable(plan, req)
	}
	if err != nil {
		return "", err
	}
	run := e.branch(from, plan, req)
	d, err := e.rehearseFork(ctx, run, plan, entries, req)
	if err == nil && d != nil && d.onlyInput && e.identity(ctx, from, plan, entries) {
		req.lenient = true
		if plan, err = PlanFork(journal.View(from), entries, req); err == nil {
			run.Shared = plan.Shared
			d, err = e.rehearseFork(ctx, run, plan, entries, req)
		}
	}
	if err == nil && d != nil {
		err = durable.Errorf(durable.CodeConflict, "the program does not come to it on this journal: %s; fork at that step or before it", d.Text())
	}
	if err != nil {
		return "", fmt.Errorf("fork %s at step %s: %w", base, req.At, err)
	}
	own := e.stampOwn(plan.own, run.Created)
	l, err := e.plant(ctx, run, base, own, req)
	if err != nil {
		return "", fmt.Errorf("fork %s: %w", base, err)
	}
	l.turnHere()
	l.release()
	return run.ID, nil
}

// readable wants results that the program can read.
func (e *Engine) readable(plan *ForkPlan, req ForkRequest) error {
	for i, r := range req.Results {
		if s := plan.Set[i]; s.Kind == durable.CommandStep {
			if err := e.steps[cmp.Or(s.Func, s.Name)].Check(r.Output); err != nil {
				return fmt.Errorf("step %s (%s): %w", r.Step, s.Name, err)
			}
		}
	}
	return nil
}

// branch makes the row of a fork.
func (e *Engine) branch(from store.Run, plan *ForkPlan, req ForkRequest) store.Run {
	now := stamp(time.Time{})
	run := store.Run{
		ID: req.ID, Name: req.Name, Program: from.Program, Definition: from.Definition, Created: now,
		Queue: from.Queue, Priority: from.Priority, Tenant: from.Tenant, Share: from.Share, Base: from.ID, Shared: plan.Shared,
		State: store.State{Status: durable.Running, Updated: now, Segment: plan.Segment, Start: plan.Start},
	}
	if run.ID == "" {
		run.ID = NewRunID(time.Now())
	}
	if run.Name == "" {
		run.Name = from.Name
	}
	if req.Definition != nil {
		run.Definition = journal.HashOf(req.Definition)
	}
	return run
}

// stampOwn gives what the fork itself adds its time; what it copies keeps its own.
func (e *Engine) stampOwn(own []durable.Entry, now time.Time) []durable.Entry {
	fresh := false
	for i := range own {
		if fresh = fresh || own[i].Kind == durable.EntryForked && own[i].Time.IsZero(); fresh {
			own[i].Time, own[i].Epoch = now, e.store.Epoch()
		}
	}
	return own
}

// rehearseFork replays the segment in which a fork begins, as the fork would have it.
func (e *Engine) rehearseFork(ctx context.Context, run store.Run, plan *ForkPlan, entries []durable.Entry, req ForkRequest) (*Divergence, error) {
	if req.Definition != nil {
		defer e.journal.Drop([]journal.Blob{e.journal.Stage(req.Definition)}) // the replay reads it
	}
	segment := slices.Concat(entries[plan.Start:max(plan.Start, plan.Shared)], e.stampOwn(plan.own, run.Created))
	return e.rehearse(ctx, run, plan.Base, segment)
}

// identity reports whether the base itself replays up to the cut: then what differs in a
// fork differs because it is another run, as where its ID goes into the input of a step.
func (e *Engine) identity(ctx context.Context, from store.Run, plan *ForkPlan, entries []durable.Entry) bool {
	d, err := e.rehearse(ctx, from, from.ID, slices.Clone(entries[plan.Start:plan.cut]))
	return err == nil && d == nil
}

// rehearse replays one segment that may not be in the store.
func (e *Engine) rehearse(ctx context.Context, run store.Run, base durable.RunID, entries []durable.Entry) (*Divergence, error) {
	program, ok := e.programs[run.Program]
	if !ok {
		return nil, durable.Errorf(durable.CodeNotFound, "this build has no program %q", run.Program)
	}
	r := replayer{ctx: ctx, journal: e.journal, run: run, carrier: base, program: program, definition: run.Definition}
	err := r.segment(entries, nil)
	if r.x != nil {
		r.x.stop()
	}
	return r.report.Divergence, err
}

// plant commits a fork and returns its live, held.
func (e *Engine) plant(ctx context.Context, run store.Run, base durable.RunID, own []durable.Entry, req ForkRequest) (*live, error) {
	head, err := e.journal.HeadAt(ctx, base, run.Shared)
	if err != nil {
		return nil, err
	}
	l, err := e.makeRoom(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	l.mu.Lock()
	if l.placed, err = e.queues.admit(&run); err == nil {
		if l.queued = !l.placed || e.passive; l.queued {
			run.Status = durable.Queued
		}
		l.is(run, head)
		b := l.batch()
		b.create, b.done = true, []func(error){func(err error) { done <- err }}
		for i := range own {
			b.entries = append(b.entries, &own[i])
		}
		if req.Definition != nil {
			b.blobs = append(b.blobs, e.journal.Stage(req.Definition))
			e.keep(run.Definition, req.Definition)
		}
		l.next += int64(len(own))
		l.base = l.next // all of it is read from the store, once it is there
		l.flush()
	}
	l.mu.Unlock()
	if err == nil {
		err = <-done // the store always reports
	}
	if err != nil {
		l.mu.Lock()
		l.fault = errLeaving
		e.queues.skip(run.ID, run.Share)
		l.mu.Unlock()
		close(l.opened)
		l.release()
		return nil, err
	}
	close(l.opened)
	return l, nil
}
