package embedded

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Queue bounds the runs that are started in it. A run that waits in a queue costs a row
// in the store and a few words of memory; one that has begun and waits for something
// does not count, and goes on when that comes whether there is room or not. The queue
// without a name is always there.
type Queue struct {
	AtOnce int // how many may be in motion for one to begin; 0 = 10,000
	Depth  int // how many may wait to begin; 0 = 100,000. Start refuses more as exhausted
}

// defaultAtOnce bounds the runs in motion where nothing else is said.
const defaultAtOnce = 10_000

// queues lets runs begin when there is room for them.
type queues struct {
	mu     sync.Mutex
	byName map[string]*runQueue
	queued map[durable.RunID]*runQueue // who waits, and where
}

type runQueue struct {
	Queue
	running int
	waiting fair[durable.RunID]
}

func (e *Engine) newQueues(config map[string]Queue) error {
	e.queues = queues{byName: map[string]*runQueue{"": {}}, queued: map[durable.RunID]*runQueue{}}
	for name, q := range config {
		if q.AtOnce < 0 || q.Depth < 0 {
			return durable.Errorf(durable.CodeInvalid, "queue %q: its numbers must not be negative", name)
		}
		e.queues.byName[name] = &runQueue{Queue: q}
	}
	for _, q := range e.queues.byName {
		if q.AtOnce == 0 {
			q.AtOnce = defaultAtOnce
		}
		if q.Depth == 0 {
			q.Depth = defaultDepth
		}
	}
	return nil
}

// admit gives a new run a place: true when it may begin now, false when it waits.
// Errors: invalid for an unknown queue, exhausted when that is full.
func (q *queues) admit(run *store.Run) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	place := q.byName[run.Queue]
	switch {
	case place == nil:
		return false, durable.Errorf(durable.CodeInvalid, "no queue %q; there are: %q", run.Queue, slices.Sorted(maps.Keys(q.byName)))
	case place.running < place.AtOnce:
		place.running++
		return true, nil
	case place.waiting.Len() >= place.Depth:
		return false, durable.Errorf(durable.CodeExhausted, "%d runs wait in queue %q already: start it later", place.Depth, run.Queue)
	}
	q.wait(place, run)
	return false, nil
}

// readmit gives a run of an earlier process its place. One that was in motion goes on
// whether there is room or not, and a queue that is full is no reason to lose one.
func (q *queues) readmit(run *store.Run) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	place := q.place(run.Queue)
	if place.running < place.AtOnce || run.Status == durable.Running {
		place.running++
		return true
	}
	q.wait(place, run)
	return false
}

// place finds a queue; one that is no longer there is the default one.
func (q *queues) place(name string) *runQueue {
	if place := q.byName[name]; place != nil {
		return place
	}
	return q.byName[""]
}

func (q *queues) wait(place *runQueue, run *store.Run) {
	place.waiting.Push(run.ID, run.Share, run.Priority, time.Now())
	q.queued[run.ID] = place
}

// waits reports whether a run waits to begin.
func (q *queues) waits(id durable.RunID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queued[id] != nil
}

// skip takes a run out of its queue because it cannot wait any longer, such as one that
// is canceled.
func (q *queues) skip(id durable.RunID, share string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if place := q.queued[id]; place != nil {
		place.waiting.Remove(id, share)
		delete(q.queued, id)
	}
}

// leave gives back the place of a run and returns who has it now; "" for nobody.
func (q *queues) leave(queue string) durable.RunID {
	q.mu.Lock()
	defer q.mu.Unlock()
	place := q.place(queue)
	next, ok := place.waiting.Pop()
	if !ok {
		place.running--
		return ""
	}
	delete(q.queued, next) // the place goes from hand to hand
	return next
}

// start begins a run that was given a place; if it cannot be begun, the next one is.
func (e *Engine) start(id durable.RunID, queue string) {
	for id != "" {
		l, err := e.acquire(e.ctx, id)
		if err != nil {
			if e.ctx.Err() != nil {
				return
			}
			e.complain(id, err)
			id = e.queues.leave(queue)
			continue
		}
		l.mu.Lock()
		taken := l.placed // somebody could not wait for this
		l.queued, l.placed = false, true
		l.mu.Unlock()
		l.turnHere()
		l.release()
		if !taken {
			return
		}
		id = e.queues.leave(queue)
	}
}
