package orpine

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// Reader reads a data directory. It works beside a process that owns it, and on one
// that nobody drives.
type Reader struct {
	store   store.Store
	journal *journal.Journal
}

// followInterval is how often a Reader looks for new entries of another process.
const followInterval = 100 * time.Millisecond

// OpenReader opens a data directory for reading only. Error: not_found when there
// is none.
func OpenReader(ctx context.Context, dir string) (*Reader, error) {
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	j, err := journal.New(s)
	return &Reader{store: s, journal: j}, err
}

// Close gives the directory back.
func (r *Reader) Close() error { return r.store.Close() }

// Get returns a run as it is.
func (r *Reader) Get(ctx context.Context, id durable.RunID) (durable.Run, error) {
	return r.journal.Run(ctx, id)
}

// Count returns how many runs of each status match, whatever the filter says of statuses
// and pages; a status that none has is left out.
func (r *Reader) Count(ctx context.Context, f durable.Filter) (map[durable.Status]int64, error) {
	return r.store.Count(ctx, f)
}

// List returns the runs that match, newest first unless the filter says otherwise, without
// outputs.
func (r *Reader) List(ctx context.Context, f durable.Filter) ([]durable.Run, error) {
	runs, _, err := r.Page(ctx, f)
	return runs, err
}

// Page is List, and where the next page begins: to be given as Before, or After where the
// filter asks for the oldest first. It is 0 when there is no next page.
func (r *Reader) Page(ctx context.Context, f durable.Filter) (runs []durable.Run, next int64, err error) {
	if f.Limit == 0 {
		f.Limit = defaultPage
	}
	f.Limit++
	stored, err := r.store.List(ctx, f)
	if err != nil {
		return nil, 0, err
	}
	if len(stored) == f.Limit {
		stored = stored[:f.Limit-1]
		next = stored[len(stored)-1].N
	}
	runs = make([]durable.Run, len(stored))
	for i, s := range stored {
		runs[i] = journal.View(s)
	}
	return runs, next, nil
}

// defaultPage is how many runs a page has where the filter does not say.
const defaultPage = 100

// Find turns what a person types into a run: an ID, a unique prefix of one, a name
// (the newest run with it), or @last (the newest run without a parent). Errors:
// not_found, conflict when a prefix is not unique.
func (r *Reader) Find(ctx context.Context, ref string) (durable.RunID, error) {
	if ref == "@last" {
		runs, err := r.store.List(ctx, durable.Filter{Roots: true, Limit: 1})
		if err != nil {
			return "", err
		}
		if len(runs) == 0 {
			return "", durable.Errorf(durable.CodeNotFound, "there is no run yet")
		}
		return runs[0].ID, nil
	}
	const shown = 5
	ids, err := r.store.Find(ctx, ref, shown)
	if err != nil {
		return "", err
	}
	if len(ids) == 0 || ref == "" {
		return "", durable.Errorf(durable.CodeNotFound, "no run has an ID or name %q; orpine ps lists all", ref)
	}
	newest, err := r.store.Run(ctx, ids[0])
	if err != nil {
		return "", err
	}
	if len(ids) == 1 || newest.Name == ref {
		return ids[0], nil
	}
	return "", durable.Errorf(durable.CodeConflict, "%q fits several runs: %v; type more of the ID", ref, ids)
}

// Steps returns the steps of a run as its journal tells them.
func (r *Reader) Steps(ctx context.Context, id durable.RunID) ([]durable.Step, error) {
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	entries, err := r.journal.All(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	steps := journal.Steps(entries, run.Waits)
	for i := range steps {
		if err := r.childInput(ctx, &steps[i]); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// childInput fills in what a child was started with, which the child's journal holds.
func (r *Reader) childInput(ctx context.Context, s *durable.Step) error {
	if s.Child == "" {
		return nil
	}
	first, err := r.journal.Entries(ctx, s.Child, -1, 1)
	if err != nil || len(first) == 0 {
		return err
	}
	s.In, s.Input = first[0].Input, journal.RefOf(first[0].Input, first[0].InputRef)
	return nil
}

// Entries returns up to limit entries of a run with seq > after.
func (r *Reader) Entries(ctx context.Context, id durable.RunID, after int64, limit int) ([]durable.Entry, error) {
	return r.journal.Entries(ctx, id, after, limit)
}

// Blob returns a value by its content.
func (r *Reader) Blob(ctx context.Context, ref durable.Ref) ([]byte, error) {
	return r.journal.Get(ctx, ref)
}

// Follow yields the events of a run with seq > after as another process commits
// them, until its last event, an error or the end of ctx. There are no deltas.
func (r *Reader) Follow(ctx context.Context, id durable.RunID, after int64) iter.Seq2[*event.Item, error] {
	return func(yield func(*event.Item, error) bool) {
		tick := time.NewTicker(followInterval)
		defer tick.Stop()
		for {
			entries, err := r.journal.All(ctx, id, after+1)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range entries {
				after = e.Seq
				if !yield(&event.Item{Event: &durable.Event{Run: id, Entry: e}, Cursor: event.After(e.Seq)}, nil) || e.Kind == durable.EntryEnded {
					return
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

// runs yields the runs that match, newest first, read a page at a time.
func (r *Reader) runs(ctx context.Context, filter durable.Filter) iter.Seq2[store.Run, error] {
	return func(yield func(store.Run, error) bool) {
		const page = 500
		for filter.Limit = page; ; {
			runs, err := r.store.List(ctx, filter)
			if err != nil {
				yield(store.Run{}, err)
				return
			}
			for _, run := range runs {
				if !yield(run, nil) {
					return
				}
			}
			if len(runs) < page || runs[page-1].N <= 1 { // the first run has 1; only a damaged one has less
				return
			}
			filter.Before = runs[page-1].N
		}
	}
}

// Record returns a record. Error: not_found.
func (r *Reader) Record(ctx context.Context, kind, key string) (store.Record, error) {
	return r.store.Record(ctx, kind, key)
}

// Records lists the records of a kind by key.
func (r *Reader) Records(ctx context.Context, kind string, f store.RecordFilter) ([]store.Record, error) {
	return r.store.Records(ctx, kind, f)
}

// Epoch says which opening of the data directory for writing this is, from 1; 0 for one that
// only reads.
func (r *Reader) Epoch() int64 { return r.store.Epoch() }

// LastSeq is the seq of the last entry of a run. Error: not_found.
func (r *Reader) LastSeq(ctx context.Context, id durable.RunID) (int64, error) {
	e, err := r.store.Last(ctx, id)
	return e.Seq, err
}

// Refers reports whether an entry of a run is what a blob was made for: its input, output or
// definition. What looks like a reference inside of those does not count: anybody can write
// it there.
func (r *Reader) Refers(ctx context.Context, id durable.RunID, hash string) (bool, error) {
	entries, err := r.journal.All(ctx, id, 0)
	for i := range entries {
		e := &entries[i]
		if e.Definition == hash || (e.InputRef != nil && e.InputRef.Hash == hash) || (e.OutputRef != nil && e.OutputRef.Hash == hash) {
			return true, err
		}
	}
	return false, err
}

// AgentUsage adds up the model calls of an agent that is at work.
func (r *Reader) AgentUsage(ctx context.Context, id durable.RunID) (calls int, used model.Usage, err error) {
	entries, err := r.journal.All(ctx, id, 0)
	for i := range entries {
		e := &entries[i]
		if e.Kind != durable.EntryDone || e.Func != agent.ModelFunc || e.Error != nil {
			continue
		}
		if err := r.journal.Load(ctx, e); err != nil {
			return calls, used, err
		}
		var out struct {
			Usage model.Usage `json:"usage"`
		}
		if err := json.Unmarshal(e.Output, &out); err != nil {
			return calls, used, durable.Errorf(durable.CodeInternal, "entry %d of run %s: %w", e.Seq, id, err)
		}
		calls++
		used = used.Add(out.Usage)
	}
	return calls, used, err
}
