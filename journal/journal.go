// Package journal gives stored entries their meaning: it encodes what the engine
// records, keeps large values as blobs, reads a run back and folds its entries
// into steps. It is the only package that appends.
//
// On the line request -> run -> step -> journal -> event -> client it stands
// between the engine, which decides what is true, and the store, which makes it
// durable. It may not run programs and does not decide anything.
package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// inlineMax is the size in bytes above which a value becomes a blob.
const inlineMax = 8 << 10

// pageSize is how many entries are read at once.
const pageSize = 1000

// Journal reads and appends entries. It is safe for concurrent use.
type Journal struct {
	store  store.Store
	packer *packer
	staged staging
}

// New makes a journal over an open store, which stays the caller's to close.
func New(s store.Store) (*Journal, error) {
	p, err := newPacker()
	return &Journal{store: s, packer: p}, err
}

// Change is what one run gains in one transaction.
type Change struct {
	Run     durable.RunID
	Create  *store.Run
	Head    *Head            // what the entries follow; moved past them
	Entries []*durable.Entry // their Seq is set
	State   *store.State
	Blobs   []Blob // staged; durable with the change, and dropped by it
	Records []store.RecordChange
}

// Append commits changes as one group; see store.Journal for order and errors. It
// gives every entry its Seq and moves the heads before it returns; nobody else may move
// them meanwhile. Values too large for an entry are also given their ref; the entry
// keeps the value, so that it need not be read back. Error: invalid, and nothing is
// appended, when an entry cannot be encoded.
func (j *Journal) Append(changes []*Change, done func(error)) error {
	stored := make([]*store.Change, len(changes))
	for i, c := range changes {
		s, err := j.prepare(c)
		if err != nil {
			return err
		}
		stored[i] = s
	}
	j.store.Commit(stored, func(err error) {
		for _, c := range changes {
			j.drop(c.Blobs, err == nil)
		}
		done(err)
	})
	return nil
}

// Write changes records, all or none, and returns once that is durable. Errors: those of
// store.Journal; the cause of ctx when it ends first, then it is not known what will be.
func (j *Journal) Write(ctx context.Context, changes ...store.RecordChange) error {
	done := make(chan error, 1)
	j.store.Commit([]*store.Change{{Records: changes}}, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// WriteLater is Write of what is asked for when something else is committed, in the order of the
// calls; it must not block. done is told, from a goroutine that must not be held up. Hurry ends
// the wait.
func (j *Journal) WriteLater(changes func() []store.RecordChange, done func(error)) {
	j.store.Commit([]*store.Change{{Later: changes}}, done)
}

// Hurry has what WriteLater was given committed now.
func (j *Journal) Hurry() { j.store.Commit(nil, func(error) {}) }

func (j *Journal) prepare(c *Change) (*store.Change, error) {
	s := &store.Change{Run: c.Run, Create: c.Create, State: c.State, Records: c.Records}
	for _, b := range c.Blobs {
		s.Blobs = append(s.Blobs, b.packed)
	}
	if len(c.Entries) == 0 {
		return s, nil
	}
	entries := make([]store.Entry, len(c.Entries)) // one piece of memory for all
	s.Entries = make([]*store.Entry, len(c.Entries))
	for i, e := range c.Entries {
		s.Blobs = j.spill(s.Blobs, e.Input, &e.InputRef)
		s.Blobs = j.spill(s.Blobs, e.Output, &e.OutputRef)
		body, err := encode(e)
		if err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "entry of run %s: %w", c.Run, err)
		}
		if e.Seq != c.Head.Next { // an engine that has set it may be applying the entry right now
			e.Seq = c.Head.Next
		}
		c.Head.seal(body)
		entries[i] = store.Entry{Seq: e.Seq, Body: body}
		s.Entries[i] = &entries[i]
	}
	return s, nil
}

// spill keeps a value that is too large for an entry as a blob.
func (j *Journal) spill(blobs []store.Blob, value json.RawMessage, ref **durable.Ref) []store.Blob {
	if len(value) <= inlineMax {
		return blobs
	}
	*ref = &durable.Ref{Hash: HashOf(value), Bytes: len(value)}
	return append(blobs, j.packer.blob((*ref).Hash, value))
}

// Get returns a blob, also one that is only staged, and checks it against its hash. Errors: not_found, internal when damaged.
func (j *Journal) Get(ctx context.Context, ref durable.Ref) ([]byte, error) {
	if data, ok := j.staged.get(ref.Hash); ok {
		return data, nil
	}
	stored, err := j.store.Blob(ctx, ref.Hash)
	if err != nil {
		return nil, err
	}
	data, err := j.packer.unpack(stored)
	if err != nil || HashOf(data) != ref.Hash {
		return nil, durable.Errorf(durable.CodeInternal, "blob %s is damaged", ref.Hash)
	}
	j.staged.read(ref.Hash, data)
	return data, nil
}

// Entries returns up to limit entries of a run with seq > after, values in blobs
// left as refs. Error: internal when one of them is damaged or missing, which the
// checksums tell; it is named.
func (j *Journal) Entries(ctx context.Context, run durable.RunID, after int64, limit int) ([]durable.Entry, error) {
	var h Head
	before := 0 // how many entries are read only for their chain
	if after >= 0 {
		before = 1
	}
	stored, err := j.store.Entries(ctx, run, after-int64(before), limit+before)
	if err != nil || len(stored) == 0 {
		return nil, err
	}
	if before == 1 {
		if stored[0].Seq != after {
			return nil, durable.Errorf(durable.CodeInternal, "run %s: entry %d is missing", run, after)
		}
		if h, err = j.headAt(ctx, run, stored[0]); err != nil {
			return nil, err
		}
		stored = stored[1:]
	}
	entries := make([]durable.Entry, len(stored))
	for i, s := range stored {
		text, err := h.open(s)
		if err == nil {
			err = decode(s.Seq, text, &entries[i])
		}
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", run, err)
		}
	}
	return entries, nil
}

// All returns every entry of a run from seq from on.
func (j *Journal) All(ctx context.Context, run durable.RunID, from int64) ([]durable.Entry, error) {
	return j.Range(ctx, run, from, math.MaxInt64)
}

// Range returns the entries of a run with from <= seq < to.
func (j *Journal) Range(ctx context.Context, run durable.RunID, from, to int64) ([]durable.Entry, error) {
	var all []durable.Entry
	for from < to {
		limit := int(min(pageSize, to-from))
		page, err := j.Entries(ctx, run, from-1, limit)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = page
		} else {
			all = append(all, page...)
		}
		if len(page) < limit {
			break
		}
		from += int64(limit)
	}
	return all, nil
}

// Load fills the input and output of an entry from its blobs.
func (j *Journal) Load(ctx context.Context, e *durable.Entry) error {
	var err error
	if e.Input == nil && e.InputRef != nil { // in this order: Append sets the ref beside a value
		if e.Input, err = j.Get(ctx, *e.InputRef); err != nil {
			return err
		}
	}
	if e.Output == nil && e.OutputRef != nil {
		e.Output, err = j.Get(ctx, *e.OutputRef)
	}
	return err
}

// Run returns a run with its output or error, which its last entry holds; the error
// of a blocked run is what blocked it.
func (j *Journal) Run(ctx context.Context, id durable.RunID) (durable.Run, error) {
	s, err := j.store.Run(ctx, id)
	if err != nil {
		return durable.Run{}, err
	}
	run := View(s)
	if !run.Status.Final() && run.Status != durable.Blocked {
		return run, nil
	}
	last, err := j.store.Last(ctx, id)
	if err != nil {
		return run, err
	}
	tail, err := j.Entries(ctx, id, last.Seq-1, 1)
	if err != nil {
		return run, err
	}
	if len(tail) == 0 {
		return run, durable.Errorf(durable.CodeInternal, "run %s: entry %d is missing", id, last.Seq)
	}
	end := tail[0]
	if run.Status == durable.Blocked && end.Kind != durable.EntryBlocked {
		if end, err = j.lastBlocked(ctx, id, last.Seq); err != nil {
			return run, err
		}
	}
	if err := j.Load(ctx, &end); err != nil {
		return run, fmt.Errorf("run %s: %w", id, err)
	}
	run.Output, run.Error = end.Output, end.Error
	return run, nil
}

// lastBlocked returns the last entry before one that blocked a run, which others may
// follow, such as the end of a child; an empty one if there is none.
func (j *Journal) lastBlocked(ctx context.Context, id durable.RunID, before int64) (durable.Entry, error) {
	for before > 0 {
		from := max(0, before-pageSize)
		page, err := j.Range(ctx, id, from, before)
		if err != nil {
			return durable.Entry{}, err
		}
		for _, e := range slices.Backward(page) {
			if e.Kind == durable.EntryBlocked {
				return e, nil
			}
		}
		before = from
	}
	return durable.Entry{}, nil
}

// View is a stored run as the world sees it, without output and error. One whose row is
// damaged is blocked: nobody drives it.
func View(s store.Run) durable.Run {
	if s.Fault != nil {
		return durable.Run{ID: s.ID, Status: durable.Blocked, Reason: s.Fault.Error()}
	}
	return durable.Run{
		ID: s.ID, Name: s.Name, Program: s.Program, Tenant: s.Tenant, Definition: s.Definition, Status: s.Status, Reason: s.Reason,
		Parent: s.Parent, Base: s.Base, Command: s.Command, Created: s.Created, Updated: s.Updated, Waits: s.Waits,
	}
}

// HashOf is the name of a value: the hexadecimal SHA-256 of its bytes.
func HashOf(data []byte) string {
	return durable.RefOf(data).Hash
}
