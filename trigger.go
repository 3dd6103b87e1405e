package orpine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/trigger"
)

// The kinds of the records of triggers: which run one has, and which hear an event.
const (
	triggerKind = "trigger" // tenant, name
	hearsKind   = "hears"   // tenant, event, name of the trigger
)

// triggerRecord is what is kept of a trigger beside its run.
type triggerRecord struct {
	Run        durable.RunID `json:"run"`
	Definition string        `json:"definition"` // hash of the one it goes by
	Hears      []string      `json:"hears,omitempty"`
}

// Trigger is a trigger as it is.
type Trigger struct {
	Name       string             `json:"name"`
	Tenant     string             `json:"tenant,omitempty"`
	Run        durable.RunID      `json:"run"`
	Status     durable.Status     `json:"status"`
	Reason     string             `json:"reason,omitempty"` // why it is blocked, canceled or killed
	Definition trigger.Definition `json:"definition"`
	State      trigger.State      `json:"state"`
	Next       time.Time          `json:"next,omitzero"` // when a schedule is due next
}

// SetTrigger sets a trigger of a tenant under the name of its definition: a new one is started, one
// that is there goes on by the definition, and keeps its counts. To set the same again changes nothing.
// It returns the run of the trigger. Errors: invalid, and conflict for one whose run is blocked.
func (r *Runtime) SetTrigger(ctx context.Context, tenant string, d trigger.Definition) (durable.RunID, error) {
	req, err := trigger.Request(d)
	if err != nil {
		return "", err
	}
	r.triggers.Lock()
	defer r.triggers.Unlock()
	now := triggerRecord{Definition: journal.HashOf(req.Definition), Hears: d.Hears()}
	before, version, err := r.triggerRecord(ctx, tenant, d.Name)
	switch {
	case errors.Is(err, durable.ErrNotFound):
		now.Run = NewRunID()
	case err != nil:
		return "", err
	default:
		run, err := r.store.Run(ctx, before.Run)
		switch {
		case errors.Is(err, durable.ErrNotFound): // the process died before it was started
			now.Run = before.Run
		case err != nil:
			return "", err
		case run.Status.Final():
			now.Run = NewRunID()
		default:
			return before.Run, r.updateTrigger(ctx, tenant, d.Name, before, now, version, req.Definition)
		}
	}
	if err := r.writeTrigger(ctx, tenant, d.Name, before.Hears, now, version); err != nil {
		return "", err
	}
	req.ID, req.Tenant = now.Run, tenant
	return r.engine.Start(ctx, req)
}

// updateTrigger lets a trigger go on by another definition. It may be told twice: when the process
// dies before that is written down.
func (r *Runtime) updateTrigger(ctx context.Context, tenant, name string, before, now triggerRecord, version int64, definition json.RawMessage) error {
	if before.Definition == now.Definition {
		return nil
	}
	now.Run = before.Run
	if err := r.engine.Signal(ctx, now.Run, durable.Signal{Name: trigger.UpdateSignal, Data: definition}); err != nil {
		return err
	}
	return r.writeTrigger(ctx, tenant, name, before.Hears, now, version)
}

// writeTrigger writes the record of a trigger, and which events it hears.
func (r *Runtime) writeTrigger(ctx context.Context, tenant, name string, heard []string, now triggerRecord, version int64) error {
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	changes := []store.RecordChange{{Kind: triggerKind, Key: store.KeyOf(tenant, name), Expect: version, Data: data}}
	return r.journal.Write(ctx, append(changes, r.hearing(tenant, name, heard, now.Hears)...)...)
}

// hearing are the changes from what was heard to what is heard now.
func (*Runtime) hearing(tenant, name string, before, now []string) []store.RecordChange {
	var changes []store.RecordChange
	key := func(event string) string { return store.KeyOf(tenant, event, name) }
	for _, event := range before {
		if !slices.Contains(now, event) {
			changes = append(changes, store.RecordChange{Kind: hearsKind, Key: key(event), Expect: store.AnyVersion})
		}
	}
	for i, event := range now {
		if !slices.Contains(before, event) && !slices.Contains(now[:i], event) {
			changes = append(changes, store.RecordChange{Kind: hearsKind, Key: key(event), Expect: store.AnyVersion, Data: []byte(name)})
		}
	}
	return changes
}

// triggerRecord reads the record of a trigger. Error: not_found.
func (r *Reader) triggerRecord(ctx context.Context, tenant, name string) (triggerRecord, int64, error) {
	var kept triggerRecord
	record, err := r.store.Record(ctx, triggerKind, store.KeyOf(tenant, name))
	if errors.Is(err, durable.ErrNotFound) {
		return kept, 0, durable.Errorf(durable.CodeNotFound, "there is no trigger %q", name)
	}
	if err != nil {
		return kept, 0, err
	}
	if err := json.Unmarshal(record.Data, &kept); err != nil {
		return kept, 0, durable.Errorf(durable.CodeInternal, "record of trigger %q: %w", name, err)
	}
	return kept, record.Version, nil
}

// RemoveTrigger removes a trigger: it is canceled, and what it has started goes on. Error: not_found.
func (r *Runtime) RemoveTrigger(ctx context.Context, tenant, name string) error {
	r.triggers.Lock()
	defer r.triggers.Unlock()
	kept, version, err := r.triggerRecord(ctx, tenant, name)
	if err != nil {
		return err
	}
	err = r.engine.Cancel(ctx, kept.Run, "the trigger was removed")
	if run, gone := r.store.Run(ctx, kept.Run); errors.Is(err, durable.ErrConflict) && gone == nil && run.Status == durable.Blocked {
		err = r.engine.Kill(ctx, kept.Run, "the trigger was removed") // it cannot clean up
	}
	if err != nil && !errors.Is(err, durable.ErrConflict) && !errors.Is(err, durable.ErrNotFound) {
		return err
	}
	changes := []store.RecordChange{{Kind: triggerKind, Key: store.KeyOf(tenant, name), Expect: version}}
	return r.journal.Write(ctx, append(changes, r.hearing(tenant, name, kept.Hears, nil)...)...)
}

// tellTrigger sends a trigger a signal.
func (r *Runtime) tellTrigger(ctx context.Context, tenant, name, signal string, data any) error {
	kept, _, err := r.triggerRecord(ctx, tenant, name)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return r.engine.Signal(ctx, kept.Run, durable.Signal{Name: signal, Data: raw})
}

// PauseTrigger lets a trigger start nothing until it is resumed. Errors: not_found, conflict when it
// is over.
func (r *Runtime) PauseTrigger(ctx context.Context, tenant, name string) error {
	return r.tellTrigger(ctx, tenant, name, trigger.PauseSignal, nil)
}

// ResumeTrigger lets a trigger go on. What was due while it was paused is not made up for.
func (r *Runtime) ResumeTrigger(ctx context.Context, tenant, name string) error {
	return r.tellTrigger(ctx, tenant, name, trigger.ResumeSignal, nil)
}

// FireTrigger starts a run of a trigger now, whatever goes on.
func (r *Runtime) FireTrigger(ctx context.Context, tenant, name string, f trigger.Fire) error {
	if f.Input != nil && !json.Valid(f.Input) {
		return durable.Errorf(durable.CodeInvalid, "fire trigger %q: the input is not JSON", name)
	}
	return r.tellTrigger(ctx, tenant, name, trigger.FireSignal, f)
}

// BackfillTrigger starts what was due in a stretch of time and has no run. Errors: not_found, invalid
// for a trigger that is no schedule, or a stretch that is none.
func (r *Runtime) BackfillTrigger(ctx context.Context, tenant, name string, b trigger.Backfill) error {
	t, err := r.Trigger(ctx, tenant, name)
	if err != nil {
		return err
	}
	if err := b.Check(&t.Definition); err != nil {
		return err
	}
	b.Done = time.Time{}
	return r.tellTrigger(ctx, tenant, name, trigger.BackfillSignal, b)
}

// Emit tells the triggers of a tenant that hear an event of it, and returns how many. One that was
// emitted in part, because the process died, is to be emitted again under its ID: a trigger takes it
// once. A trigger that is over or blocked hears nothing.
func (r *Runtime) Emit(ctx context.Context, tenant string, e trigger.Occurred) (int, error) {
	if e.Name == "" {
		return 0, durable.Errorf(durable.CodeInvalid, "an event has a name")
	}
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	if len(e.Data) > maxEvent {
		return 0, durable.Errorf(durable.CodeInvalid, "event %s: its data has %d bytes, and %d are possible: let it name where the rest is", e.Name, len(e.Data), maxEvent)
	}
	if len(e.Data) > 0 && !json.Valid(e.Data) {
		return 0, durable.Errorf(durable.CodeInvalid, "event %s: its data is not JSON", e.Name)
	}
	told := 0
	err := r.eachRecord(ctx, hearsKind, store.KeyOf(tenant, e.Name)+"/", func(record *store.Record) error {
		err := r.tellTrigger(ctx, tenant, string(record.Data), trigger.EventSignal, e)
		if err == nil {
			told++
		}
		if errors.Is(err, durable.ErrConflict) || errors.Is(err, durable.ErrNotFound) {
			err = nil // it is over, or was removed just now
		}
		return err
	})
	return told, err
}

// maxEvent bounds the data of an event, in bytes: those that wait are part of the state of a trigger.
const maxEvent = 256 << 10

// eachRecord visits the records of a kind whose keys begin with a prefix; those that are damaged are
// left out.
func (r *Reader) eachRecord(ctx context.Context, kind, prefix string, visit func(*store.Record) error) error {
	const page = 500
	for f := (store.RecordFilter{Prefix: prefix, Limit: page}); ; {
		records, err := r.store.Records(ctx, kind, f)
		if err != nil {
			return err
		}
		for i := range records {
			if records[i].Fault != nil {
				continue
			}
			if err := visit(&records[i]); err != nil {
				return err
			}
		}
		if len(records) < page {
			return nil
		}
		f.After = records[len(records)-1].Key
	}
}

// Trigger returns a trigger of a tenant. Error: not_found.
func (r *Reader) Trigger(ctx context.Context, tenant, name string) (Trigger, error) {
	kept, _, err := r.triggerRecord(ctx, tenant, name)
	if err != nil {
		return Trigger{}, err
	}
	return r.triggerOf(ctx, tenant, kept.Run)
}

// Triggers lists the triggers of a tenant by name. One that cannot be read is left out.
func (r *Reader) Triggers(ctx context.Context, tenant string) ([]Trigger, error) {
	var list []Trigger
	err := r.eachRecord(ctx, triggerKind, store.KeyOf(tenant)+"/", func(record *store.Record) error {
		var kept triggerRecord
		err := json.Unmarshal(record.Data, &kept)
		if err != nil {
			err = durable.Errorf(durable.CodeInternal, "record of a trigger: %w", err)
		}
		var t Trigger
		if err == nil {
			t, err = r.triggerOf(ctx, tenant, kept.Run)
		}
		if err == nil {
			list = append(list, t)
		}
		if errors.Is(err, durable.ErrNotFound) || errors.Is(err, durable.ErrInternal) {
			err = nil
		}
		return err
	})
	return list, err
}

// triggerOf reads a trigger from the last segment of its run.
func (r *Reader) triggerOf(ctx context.Context, tenant string, id durable.RunID) (Trigger, error) {
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return Trigger{}, err
	}
	pinned, err := r.journal.Get(ctx, durable.Ref{Hash: run.Definition})
	if err != nil {
		return Trigger{}, err
	}
	entries, err := r.journal.All(ctx, id, run.Start)
	if err != nil {
		return Trigger{}, err
	}
	v := trigger.NewView(id, pinned)
	for i := range entries {
		if err := r.journal.Load(ctx, &entries[i]); err != nil {
			return Trigger{}, err
		}
		if err := v.See(&entries[i]); err != nil {
			return Trigger{}, err
		}
	}
	d, err := v.Now()
	if err != nil {
		return Trigger{}, err
	}
	t := Trigger{Name: d.Name, Tenant: tenant, Run: id, Status: run.Status, Reason: run.Reason, Definition: d, State: v.State}
	if !run.Status.Final() {
		t.Next, _ = v.Next(time.Now())
	}
	t.State.Seen, t.State.Definition = "", nil
	return t, nil
}

// endsCursor is how far the ends of runs were told: the runs up to number After are known, and of
// those the Open ones have not ended.
type endsCursor struct {
	After int64           `json:"after"`
	Open  []durable.RunID `json:"open,omitempty"`
}

const (
	maxOpen   = 10_000  // runs that have not ended which a trigger waits for
	maxOutput = 8 << 10 // bytes of an output that it is told
)

// ends returns the runs that have ended behind a cursor; see trigger.Config.Ended.
func (r *Reader) ends(ctx context.Context, cursor json.RawMessage, tenant string, which trigger.RunEnd) ([]durable.Run, json.RawMessage, error) {
	if len(cursor) == 0 {
		return r.endsFrom(ctx, tenant, which)
	}
	var c, next endsCursor
	if err := json.Unmarshal(cursor, &c); err != nil {
		return nil, nil, durable.Errorf(durable.CodeInternal, "cursor of the ends of runs: %w", err)
	}
	next.After = c.After
	var ended []durable.Run
	see := func(run *store.Run) error {
		if !run.Status.Final() {
			next.Open = append(next.Open, run.ID)
			return nil
		}
		if len(which.Statuses) > 0 && !slices.Contains(which.Statuses, run.Status) {
			return nil
		}
		whole, err := r.journal.Run(ctx, run.ID)
		if len(whole.Output) > maxOutput {
			whole.Output = nil
		}
		ended = append(ended, whole)
		return err
	}
	for _, id := range c.Open {
		run, err := r.store.Run(ctx, id)
		if errors.Is(err, durable.ErrNotFound) || errors.Is(err, durable.ErrInternal) {
			continue // it is damaged: nobody can say
		}
		if err == nil {
			err = see(&run)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	runs, err := r.store.List(ctx, durable.Filter{
		Program: which.Program, Name: which.Name, Tenant: tenant, After: c.After, Oldest: true, Limit: max(0, min(defaultPage, maxOpen-len(next.Open))),
	})
	if err != nil {
		return nil, nil, err
	}
	for i := range runs {
		next.After = runs[i].N
		if runs[i].Fault != nil {
			continue
		}
		if err := see(&runs[i]); err != nil {
			return nil, nil, err
		}
	}
	slices.SortStableFunc(ended, func(a, b durable.Run) int { return a.Updated.Compare(b.Updated) })
	data, err := json.Marshal(next)
	return ended, data, err
}

// endsFrom is the cursor of now: of the runs that there are, those count that have not ended.
func (r *Reader) endsFrom(ctx context.Context, tenant string, which trigger.RunEnd) ([]durable.Run, json.RawMessage, error) {
	newest, err := r.store.Newest(ctx)
	if err != nil {
		return nil, nil, err
	}
	c := endsCursor{After: newest}
	open, err := r.store.List(ctx, durable.Filter{
		Program: which.Program, Name: which.Name, Tenant: tenant, Before: newest + 1, Limit: maxOpen,
		Statuses: []durable.Status{durable.Queued, durable.Running, durable.Waiting, durable.Paused, durable.Blocked},
	})
	for _, run := range open {
		c.Open = append(c.Open, run.ID)
	}
	if err != nil {
		return nil, nil, err
	}
	data, err := json.Marshal(c)
	return nil, data, err
}
