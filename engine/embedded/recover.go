package embedded

import (
	"log/slog"
	"sync"

	"github.com/orpine-run/orpine/durable"
)

// How many runs are looked up at once when a data directory opens, and how many are
// brought to life at the same time.
const (
	recoverPage = 1000
	recoverers  = 64
)

// recover takes up every run that was in motion when the last process ended. It reads
// the index of those alone: runs that wait stay where they are.
func (e *Engine) recover() {
	for after := int64(0); e.ctx.Err() == nil; {
		runs, err := e.store.Ready(e.ctx, after, recoverPage)
		if err != nil {
			e.fail(err)
			return
		}
		ids := make([]durable.RunID, len(runs))
		for i, r := range runs {
			ids[i], after = r.ID, r.N
		}
		e.revive(ids)
		if len(runs) < recoverPage {
			return
		}
	}
}

// revive brings runs to life, several at a time, and returns when all of them are.
func (e *Engine) revive(ids []durable.RunID) {
	next := make(chan durable.RunID)
	var all sync.WaitGroup
	for range min(recoverers, len(ids)) {
		all.Go(func() {
			for id := range next {
				e.reviveOne(id)
			}
		})
	}
	for _, id := range ids {
		next <- id
	}
	close(next)
	all.Wait()
}

func (e *Engine) reviveOne(id durable.RunID) {
	l, err := e.acquire(e.ctx, id)
	if err == nil {
		l.turnHere()
		l.release()
	} else if e.ctx.Err() == nil && !refused(err) { // refused: it ended, or was blocked, meanwhile
		e.log.WarnContext(e.ctx, "take up a run", slog.String("run", string(id)), slog.Any("error", err))
	}
}
