package embedded

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// How many runs are looked up at once when a data directory opens, and how many are
// brought to life at the same time.
const (
	recoverPage = 1000
	recoverers  = 64
)

// recover takes up every run that was in motion when the last process ended: up to newest,
// for those that are started meanwhile have their places. It reads the index of those
// alone: runs that wait stay where they are.
func (e *Engine) recover(newest int64) {
	for after := int64(0); e.ctx.Err() == nil; {
		runs, err := e.store.Ready(e.ctx, after, recoverPage)
		if err != nil {
			e.fail(err)
			return
		}
		var placed []store.Run
		for _, r := range runs { // one after the other: who came first goes first
			if r.Fault != nil { // nothing is done by a row that is damaged
				e.complain(r.ID, r.Fault)
				continue
			}
			if r.N <= newest && e.queues.readmit(&r) {
				placed = append(placed, r)
			}
		}
		e.each(len(placed), func(i int) { e.start(placed[i].ID, placed[i].Queue) })
		if len(runs) < recoverPage || runs[len(runs)-1].N >= newest {
			return
		}
		after = runs[len(runs)-1].N
	}
}

// each calls do for 0 to n-1, several at a time, and returns when all of them are done.
func (e *Engine) each(n int, do func(int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(recoverers, n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}

// revive brings a parked run to life.
func (e *Engine) revive(id durable.RunID) error {
	l, err := e.acquire(e.ctx, id)
	if err != nil {
		e.complain(id, err)
		return err
	}
	l.turnHere()
	l.release()
	return nil
}

// complain logs that a run could not be taken up, unless it ended or was blocked meanwhile.
func (e *Engine) complain(id durable.RunID, err error) {
	if e.ctx.Err() == nil && !refused(err) {
		e.log.WarnContext(e.ctx, "take up a run", slog.String("run", string(id)), slog.Any("error", err))
	}
}
