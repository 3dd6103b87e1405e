package orpine

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine/durable"
)

// Health is what Verify finds in a data directory.
type Health struct {
	Runs, Unfinished, Waiting, Blocked int
	Entries                            int      // read and decoded
	Problems                           []string // what is damaged, by name
}

// maxProblems bounds Health.Problems.
const maxProblems = 100

// Verify counts the runs and, with deep set, lets the database check itself and
// reads every entry and every value it refers to. Damage goes into Problems; the
// error says that reading was not possible at all.
func (r *Reader) Verify(ctx context.Context, deep bool, h *Health) error {
	if deep {
		problems, err := r.store.Check(ctx)
		if err != nil {
			return err
		}
		h.Problems = append(h.Problems, problems...)
	}
	const all = 1 << 40
	runs, err := r.store.List(ctx, Filter{Limit: all})
	if err != nil {
		return err
	}
	h.Runs = len(runs)
	for _, run := range runs {
		switch run.Status {
		case durable.Queued, durable.Running, durable.Paused:
			h.Unfinished++
		case durable.Waiting:
			h.Waiting++
		case durable.Blocked:
			h.Blocked++
		case durable.Succeeded, durable.Failed, durable.Canceled, durable.Killed:
		}
		if deep && len(h.Problems) < maxProblems {
			r.verifyRun(ctx, run.ID, h)
		}
	}
	return nil
}

func (r *Reader) verifyRun(ctx context.Context, id durable.RunID, h *Health) {
	entries, err := r.journal.All(ctx, id, 0)
	if err != nil {
		h.Problems = append(h.Problems, err.Error())
		return
	}
	for i := range entries {
		e := &entries[i]
		if e.Seq != int64(i) {
			h.Problems = append(h.Problems, fmt.Sprintf("run %s: entry %d is missing", id, i))
			return
		}
		if err := r.journal.Load(ctx, e); err != nil {
			h.Problems = append(h.Problems, fmt.Sprintf("run %s: entry %d: %v", id, e.Seq, err))
		}
		h.Entries++
	}
}
