package orpine

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

// Health is what Verify finds in a data directory.
type Health struct {
	Runs, Unfinished, Waiting, Blocked int
	Entries, Blobs                     int64    // read and checked
	Problems                           []string // what is damaged, by name
	Notes                              []string // what is odd, and may be meant
}

// Verification says how Verify looks. The zero value looks quickly.
type Verification struct {
	Deep     bool                  // read everything: each entry, each blob, each row
	Progress func(done, total int) // of a deep one: runs; nil = nobody wants to know
}

// maxProblems bounds Health.Problems and Health.Notes.
const maxProblems = 100

// Verify counts the runs, by rows whose checksums fit, and, with Deep set, looks for
// damage in all that is stored; see journal.Verify. Damage goes into Problems; the error
// says that reading was not possible at all.
func (r *Reader) Verify(ctx context.Context, v Verification) (Health, error) {
	var h Health
	if err := r.count(ctx, &h, !v.Deep); err != nil { // a deep one names damaged rows too
		return h, err
	}
	if !v.Deep {
		return h, nil
	}
	read, err := r.journal.Verify(ctx, journal.Verification{
		Problem:  func(text string) { h.Problems = bounded(h.Problems, text) },
		Note:     func(text string) { h.Notes = bounded(h.Notes, text) },
		Progress: v.Progress,
	})
	h.Entries, h.Blobs = read.Entries, read.Blobs
	return h, err
}

// count counts the runs by status, and names rows that are damaged.
func (r *Reader) count(ctx context.Context, h *Health, name bool) error {
	for run, err := range r.runs(ctx, durable.Filter{}) {
		if err != nil {
			return err
		}
		h.Runs++
		switch run.Status {
		case durable.Queued, durable.Running, durable.Paused:
			h.Unfinished++
		case durable.Waiting:
			h.Waiting++
		case durable.Blocked:
			h.Blocked++
		case durable.Succeeded, durable.Failed, durable.Canceled, durable.Killed:
		}
		if run.Fault != nil && name {
			h.Problems = bounded(h.Problems, run.Fault.Error())
		}
	}
	return nil
}

// bounded adds a text to a list; past the bound the last one counts those left out.
func bounded(list []string, text string) []string {
	if len(list) < maxProblems {
		return append(list, text)
	}
	more := 1
	if len(list) > maxProblems {
		_, _ = fmt.Sscanf(list[maxProblems], "and %d more", &more)
		more++
	}
	return append(list[:maxProblems], fmt.Sprintf("and %d more", more))
}
