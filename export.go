package orpine

import (
	"context"
	"io"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
)

// ExportConfig says what to export: a run, by default with its children.
type ExportConfig = journal.ExportConfig

// Contents counts what is in an export.
type Contents = journal.Contents

// Imported says what an import has made.
type Imported = journal.Imported

// Export writes a run as one file, in the format of docs/export.md; see journal.Export.
func (r *Reader) Export(ctx context.Context, w io.Writer, cfg ExportConfig) (Contents, error) {
	if cfg.Now.IsZero() {
		cfg.Now = time.Now().UTC()
	}
	return r.journal.Export(ctx, w, cfg)
}

// ImportConfig says how to import. The zero value takes runs up with their IDs.
type ImportConfig struct {
	AsNew bool // every run gets a new ID
	// Seed is an ID from which the new ones are made, so that the same import again makes the
	// same ones; "" = they are made at random.
	Seed  durable.RunID
	Again bool // what is there already was taken up by this import before: that is no conflict
}

// Import takes up the runs of an export. Those that had not ended are blocked until Resume; see
// journal.Import.
func (r *Runtime) Import(ctx context.Context, file io.ReadSeeker, cfg ImportConfig) (Imported, error) {
	how := journal.ImportConfig{Now: time.Now().UTC().Truncate(time.Microsecond), Again: cfg.Again}
	switch {
	case cfg.AsNew && cfg.Seed != "":
		how.NewID = idsFrom(cfg.Seed)
	case cfg.AsNew:
		how.NewID = NewRunID
	}
	return r.journal.Import(ctx, file, how)
}

// idsFrom makes IDs that are always the same for a seed.
func idsFrom(seed durable.RunID) func() durable.RunID {
	n := 0
	return func() durable.RunID {
		n++
		return embedded.Sibling(seed, n)
	}
}
