package orpine

import (
	"context"
	"io"
	"time"

	"github.com/orpine-run/orpine/durable"
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

// Import takes up the runs of an export: with their IDs, or with new ones. Those that had
// not ended are blocked until Resume; see journal.Import.
func (r *Runtime) Import(ctx context.Context, file io.ReadSeeker, newIDs bool) (Imported, error) {
	cfg := journal.ImportConfig{Now: time.Now().UTC().Truncate(time.Microsecond)}
	if newIDs {
		cfg.NewID = func() durable.RunID { return NewRunID() }
	}
	return r.journal.Import(ctx, file, cfg)
}
