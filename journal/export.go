package journal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// ExportConfig says what to export.
type ExportConfig struct {
	Run   durable.RunID
	Alone bool      // without the children
	Build string    // the version of this build, for people
	Now   time.Time // for people
}

// Contents counts what is in an export.
type Contents struct {
	Runs    int   `json:"runs"`
	Entries int64 `json:"entries"`
	Blobs   int64 `json:"blobs"`
	Absent  int   `json:"absent,omitempty"` // what looks like a reference, to no blob that there is
}

// Export writes a run as one file: its row, its entries and every blob that these name,
// directly or through other blobs, and the same of its children. What it reads is of one
// moment, and is checked on the way: entries against their chain, blobs against their
// hash, the row against the entries. A fork is written whole. It holds one blob at a time
// in memory. Errors: not_found, conflict for a run that waits for a child and is to be
// exported alone, internal for damage, which is named.
func (j *Journal) Export(ctx context.Context, w io.Writer, cfg ExportConfig) (Contents, error) {
	view, err := j.store.Snapshot(ctx)
	if err != nil {
		return Contents{}, err
	}
	x := &exporter{ctx: ctx, cfg: cfg, j: &Journal{store: view, packer: j.packer}, wanted: map[string]bool{}, written: map[durable.RunID]bool{}}
	err = x.export(w)
	if err != nil {
		err = fmt.Errorf("export run %s: %w", cfg.Run, err)
	}
	return x.sum, errors.Join(err, view.Close())
}

type exporter struct {
	ctx     context.Context //nolint:containedctx // of one call of Export
	cfg     ExportConfig
	j       *Journal // over the snapshot
	out     *exportWriter
	wanted  map[string]bool // hashes; true = it must be there, false = it may be none of ours
	queue   []string        // those not yet written
	written map[durable.RunID]bool
	sum     Contents
}

func (x *exporter) export(w io.Writer) error {
	var err error
	if x.out, err = newExportWriter(w); err != nil {
		return err
	}
	if err := x.out.put(record{Kind: recordFile, Build: x.cfg.Build, Created: &x.cfg.Now}, nil); err != nil {
		return err
	}
	if err := x.tree(x.cfg.Run); err != nil {
		return err
	}
	if err := x.blobs(); err != nil {
		return err
	}
	if err := x.out.put(record{Kind: recordEnd, Runs: x.sum.Runs, Entries: x.sum.Entries, Blobs: x.sum.Blobs}, nil); err != nil {
		return err
	}
	return x.out.end()
}

// tree writes a run and what it started, parents first.
func (x *exporter) tree(id durable.RunID) error {
	x.written[id] = true
	children, err := x.run(id)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := x.tree(child); err != nil {
			return err
		}
	}
	return nil
}

// run writes one run and returns its children.
func (x *exporter) run(id durable.RunID) ([]durable.RunID, error) {
	r, err := x.j.store.Run(x.ctx, id)
	if err != nil {
		return nil, err
	}
	head, err := x.j.Head(x.ctx, id)
	if err != nil {
		return nil, err
	}
	x.sum.Runs++
	if err := x.out.put(record{Kind: recordRun, Run: exportedOf(&r), Entries: head.Next}, nil); err != nil {
		return nil, err
	}
	if r.Definition != "" {
		x.want(r.Definition, true)
	}
	seen := newAudit(&r)
	err = x.j.scan(x.ctx, id, func(e *durable.Entry, text []byte, chain Chain) error {
		seen.entry(e)
		named(e, func(_, hash string) { x.want(hash, true) })
		within(e, x.want)
		x.sum.Entries++
		return x.out.put(record{Kind: recordEntry, Seq: e.Seq, Chain: hex.EncodeToString(chain[:])}, text)
	})
	if err != nil {
		return nil, err
	}
	if problems := seen.end(); len(problems) > 0 {
		return nil, durable.Errorf(durable.CodeInternal, "run %s is damaged: %s; orpine doctor --verify names all of it", id, problems[0])
	}
	return x.children(&r, seen)
}

// children are those of a run that are its own: a fork names those of its base, which
// are not to be told from.
func (x *exporter) children(r *store.Run, seen *audit) ([]durable.RunID, error) {
	if x.cfg.Alone {
		if len(seen.open) > 0 && !r.Status.Final() {
			return nil, durable.Errorf(durable.CodeConflict, "run %s waits for a child: export it with its children", r.ID)
		}
		return nil, nil
	}
	var own []durable.RunID
	for _, id := range seen.children {
		if x.written[id] || slices.Contains(own, id) {
			continue
		}
		child, err := x.j.store.Run(x.ctx, id)
		switch {
		case errors.Is(err, durable.ErrNotFound) && (r.Status.Final() || !seen.open[id]):
			// it was exported alone before, and is not needed
		case err != nil:
			return nil, fmt.Errorf("child of run %s: %w", r.ID, err)
		case child.Parent == r.ID:
			own = append(own, id)
		}
	}
	return own, nil
}

// want notes a blob to be written; must says that without it the export is not whole.
func (x *exporter) want(hash string, must bool) {
	known, seen := x.wanted[hash]
	if !seen {
		x.queue = append(x.queue, hash)
	}
	x.wanted[hash] = known || must
}

// blobs writes every blob that is wanted, and those that these name.
func (x *exporter) blobs() error {
	for len(x.queue) > 0 {
		hash := x.queue[0]
		x.queue = x.queue[1:]
		data, err := x.j.Get(x.ctx, durable.Ref{Hash: hash})
		switch {
		case errors.Is(err, durable.ErrNotFound) && !x.wanted[hash]:
			x.sum.Absent++
			err = x.out.put(record{Kind: recordAbsent, Hash: hash}, nil)
		case errors.Is(err, durable.ErrNotFound):
			err = durable.Errorf(durable.CodeInternal, "blob %s is missing", hash)
		case err == nil:
			eachRef(data, x.want)
			x.sum.Blobs++
			err = x.out.put(record{Kind: recordBlob, Hash: hash}, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scan calls visit with every entry of a run in order, the values in blobs left as refs,
// with its JSON and the chain as of it. Error: internal when one is damaged or missing.
func (j *Journal) scan(ctx context.Context, run durable.RunID, visit func(*durable.Entry, []byte, Chain) error) error {
	for h := (Head{}); ; {
		page, err := j.store.Entries(ctx, run, h.Next-1, pageSize)
		if err != nil {
			return err
		}
		for _, s := range page {
			text, err := h.open(s)
			var e durable.Entry
			if err == nil {
				err = decode(s.Seq, text, &e)
			}
			if err != nil {
				return fmt.Errorf("run %s: %w", run, err)
			}
			if err := visit(&e, text, h.Chain); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
	}
}
