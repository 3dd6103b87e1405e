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
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

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
	Entries []*durable.Entry
	State   *store.State
	Pinned  json.RawMessage // a definition to keep as a blob; its hash is in Create
}

// Append commits changes as one group; see store.Journal for order and errors.
// Before done(nil) every entry has its Seq. Values too large for an entry are also
// given their ref; the entry keeps the value, so that it need not be read back.
func (j *Journal) Append(changes []*Change, done func(error)) {
	stored := make([]*store.Change, len(changes))
	for i, c := range changes {
		s, err := j.prepare(c)
		if err != nil {
			go done(err) // as a store does: never from within the caller
			return
		}
		stored[i] = s
	}
	j.store.Commit(stored, func(err error) {
		if err == nil {
			for i, c := range changes {
				for k, e := range c.Entries {
					e.Seq = stored[i].Entries[k].Seq
				}
			}
		}
		done(err)
	})
}

func (j *Journal) prepare(c *Change) (*store.Change, error) {
	s := &store.Change{Run: c.Run, Create: c.Create, State: c.State}
	if c.Pinned != nil {
		s.Blobs = append(s.Blobs, j.packer.blob(HashOf(c.Pinned), c.Pinned))
	}
	if len(c.Entries) > 0 {
		s.Entries = make([]*store.Entry, len(c.Entries))
	}
	for i, e := range c.Entries {
		for _, v := range []struct {
			value json.RawMessage
			ref   **durable.Ref
		}{{e.Input, &e.InputRef}, {e.Output, &e.OutputRef}} {
			if len(v.value) > inlineMax {
				*v.ref = &durable.Ref{Hash: HashOf(v.value), Bytes: len(v.value)}
				s.Blobs = append(s.Blobs, j.packer.blob((*v.ref).Hash, v.value))
			}
		}
		body, err := encode(e)
		if err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "entry of run %s: %w", c.Run, err)
		}
		s.Entries[i] = &store.Entry{Body: body}
	}
	return s, nil
}

// Put keeps data as a blob of a run. It does not wait: the blob commits no later
// than any change appended after it.
func (j *Journal) Put(run durable.RunID, data []byte) durable.Ref {
	ref := durable.Ref{Hash: HashOf(data), Bytes: len(data)}
	// A failed commit stops the store, so the change that would refer to the blob fails too.
	j.store.Commit([]*store.Change{{Run: run, Blobs: []store.Blob{j.packer.blob(ref.Hash, data)}}}, func(error) {})
	return ref
}

// Get returns a blob and checks it against its hash. Errors: not_found, internal when damaged.
func (j *Journal) Get(ctx context.Context, ref durable.Ref) ([]byte, error) {
	stored, err := j.store.Blob(ctx, ref.Hash)
	if err != nil {
		return nil, err
	}
	data, err := j.packer.unpack(stored)
	if err != nil || HashOf(data) != ref.Hash {
		return nil, durable.Errorf(durable.CodeInternal, "blob %s is damaged", ref.Hash)
	}
	return data, nil
}

// Entries returns up to limit entries of a run with seq > after, values in blobs
// left as refs.
func (j *Journal) Entries(ctx context.Context, run durable.RunID, after int64, limit int) ([]durable.Entry, error) {
	stored, err := j.store.Entries(ctx, run, after, limit)
	if err != nil {
		return nil, err
	}
	entries := make([]durable.Entry, len(stored))
	for i, s := range stored {
		if entries[i], err = decode(s.Seq, s.Body); err != nil {
			return nil, fmt.Errorf("run %s: %w", run, err)
		}
	}
	return entries, nil
}

// All returns every entry of a run from seq from on.
func (j *Journal) All(ctx context.Context, run durable.RunID, from int64) ([]durable.Entry, error) {
	var all []durable.Entry
	for after := from - 1; ; {
		page, err := j.Entries(ctx, run, after, pageSize)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < pageSize {
			return all, nil
		}
		after = page[len(page)-1].Seq
	}
}

// Load fills the input and output of an entry from its blobs.
func (j *Journal) Load(ctx context.Context, e *durable.Entry) error {
	var err error
	if e.InputRef != nil && e.Input == nil {
		if e.Input, err = j.Get(ctx, *e.InputRef); err != nil {
			return err
		}
	}
	if e.OutputRef != nil && e.Output == nil {
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
	end, err := decode(last.Seq, last.Body)
	if err != nil {
		return run, fmt.Errorf("run %s: %w", id, err)
	}
	if err := j.Load(ctx, &end); err != nil {
		return run, fmt.Errorf("run %s: %w", id, err)
	}
	run.Output, run.Error = end.Output, end.Error
	return run, nil
}

// View is a stored run as the world sees it, without output and error.
func View(s store.Run) durable.Run {
	return durable.Run{
		ID: s.ID, Name: s.Name, Program: s.Program, Definition: s.Definition, Status: s.Status, Reason: s.Reason,
		Parent: s.Parent, Command: s.Command, Created: s.Created, Updated: s.Updated, Waits: s.Waits,
	}
}

// HashOf is the name of a value: the hexadecimal SHA-256 of its bytes.
func HashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
