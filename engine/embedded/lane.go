package embedded

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Limit bounds the attempts that share a name, such as those of one tool or model. Its
// own name may be a pattern, in which * stands for anything: then all that it fits share it.
// Of several that fit, the longest is the one that counts.
type Limit struct {
	AtOnce int           // how many run at once; 0 = no bound
	Count  int           // how many begin in each Per, evenly spread; 0 = no bound
	Per    time.Duration // 0 = a second
	Burst  int           // how many may begin at once after a pause; 0 = Count
	Depth  int           // how many may wait; 0 = 100,000. More fail as exhausted, and are retried
}

// defaultDepth bounds what waits where nothing else is said.
const defaultDepth = 100_000

// leaseAhead is how far ahead of its use a rate limit is recorded. A process that dies
// loses at most that much of it, and never exceeds it.
const leaseAhead = time.Second

// lane is where the attempts under one limit wait for their turn.
type lane struct {
	engine *Engine
	name   string
	limit  Limit

	mu      sync.Mutex
	running int
	waiting fair[*try]
	over    bool      // the engine stops: nobody waits any more
	used    time.Time // when the rate limit has recovered from all that has begun
	leased  time.Time // used may go up to here: it is on the disk
	leasing bool
	timer   *time.Timer
}

// newLanes makes a lane for each limit, its rate as far used as the last process left it.
func (e *Engine) newLanes(ctx context.Context, limits map[string]Limit) error {
	e.lanes = make(map[string]*lane, len(limits))
	for name, limit := range limits {
		if limit.AtOnce < 0 || limit.Count < 0 || limit.Per < 0 || limit.Burst < 0 || limit.Depth < 0 {
			return durable.Errorf(durable.CodeInvalid, "limit %s: its numbers must not be negative", name)
		}
		if limit.Per == 0 {
			limit.Per = time.Second
		}
		if limit.Burst == 0 {
			limit.Burst = max(limit.Count, 1)
		}
		if limit.Depth == 0 {
			limit.Depth = defaultDepth
		}
		l := &lane{engine: e, name: name, limit: limit}
		mark, err := e.store.Mark(ctx, l.key())
		if err != nil {
			return err
		}
		l.used = time.UnixMicro(mark)
		l.leased = l.used
		// After a jump of the clock back to before it, the mark would stop the lane for ever.
		if most := time.Now().Add(l.every()*time.Duration(limit.Burst) + leaseAhead); l.used.After(most) {
			l.used = most
		}
		e.lanes[name] = l
		if strings.Contains(name, "*") {
			e.patterns = append(e.patterns, l)
		}
		context.AfterFunc(e.ctx, l.clear)
	}
	slices.SortFunc(e.patterns, func(a, b *lane) int {
		return cmp.Or(cmp.Compare(len(b.name), len(a.name)), strings.Compare(a.name, b.name))
	})
	return nil
}

// fits reports whether a pattern stands for a name.
func fits(pattern, name string) bool {
	pieces := strings.Split(pattern, "*")
	last := len(pieces) - 1
	name, ok := strings.CutPrefix(name, pieces[0])
	if !ok || last == 0 {
		return ok && name == ""
	}
	for _, p := range pieces[1:last] { // the first place is as good as any: * takes the rest
		if _, name, ok = strings.Cut(name, p); !ok {
			return false
		}
	}
	return strings.HasSuffix(name, pieces[last])
}

func (l *lane) key() string { return "rate:" + l.name }

// every is the time between two attempts at the full rate.
func (l *lane) every() time.Duration {
	if l.limit.Count == 0 {
		return 0
	}
	return l.limit.Per / time.Duration(l.limit.Count)
}

// laneOf returns the lane an attempt must pass, nil for none: that of its limit, else
// that of its step function.
func (e *Engine) laneOf(t *try) *lane {
	if len(e.lanes) == 0 {
		return nil
	}
	name := t.call.Options.Limit
	if name == "" {
		name = "step:" + t.call.Func
	}
	if l := e.lanes[name]; l != nil {
		return l
	}
	for _, l := range e.patterns {
		if fits(l.name, name) {
			return l
		}
	}
	return nil
}

// enter lets an attempt wait for its turn. It does not block.
func (l *lane) enter(t *try) {
	l.mu.Lock()
	full, over := l.waiting.Len() >= l.limit.Depth && !t.reconcile, l.over
	if !full && !over {
		t.unwait = l.watch(t)
		l.waiting.Push(t, t.l.run.Share, t.l.run.Priority, time.Now())
	}
	l.mu.Unlock()
	if over {
		l.engine.crew.Go(t.run)
		return
	}
	if full {
		t.cancel(durable.Errorf(durable.CodeExhausted, "%d attempts wait under limit %s already", l.limit.Depth, l.name))
		l.engine.crew.Go(t.run)
		return
	}
	l.pump()
}

// watch takes an attempt that is told to stop, or runs out of time, out of the lane: it does
// not wait for a turn to say so. When the engine stops, clear is for all of them.
func (l *lane) watch(t *try) (stop func() bool) {
	return context.AfterFunc(t.ctx, func() {
		if l.engine.ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		waited := l.waiting.Remove(t, t.l.run.Share)
		l.mu.Unlock()
		if waited {
			l.engine.crew.Go(t.run)
		}
	})
}

// clear ends the waiting when the engine stops, also of what is irreversible: that
// outlives the engine's context only once it has begun.
func (l *lane) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for t, ok := l.waiting.Pop(); ok; t, ok = l.waiting.Pop() {
		l.engine.crew.Go(t.run)
	}
}

// pump begins whatever may begin now.
func (l *lane) pump() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.waiting.Len() > 0 && (l.limit.AtOnce == 0 || l.running < l.limit.AtOnce) && l.spend() {
		t, _ := l.waiting.Pop()
		t.unwait()
		l.running++
		t.lane, t.started = l, stamp(time.Time{})
		if t.intent && !t.promised && !t.reconcile {
			l.engine.crew.Go(t.promise)
		} else {
			l.engine.crew.Go(t.run)
		}
	}
}

// leave makes room for the next one; nil is no lane.
func (l *lane) leave() {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.running--
	l.mu.Unlock()
	l.pump()
}

// spend takes one attempt out of the rate, or has pump called again once there is one.
// It is the generic cell rate algorithm (ITU-T I.371): one moment is all there is to keep.
func (l *lane) spend() bool {
	every := l.every()
	if every == 0 {
		return true
	}
	now := time.Now()
	used := l.used
	if used.Before(now) {
		used = now
	}
	used = used.Add(every)
	if wait := used.Sub(now) - every*time.Duration(l.limit.Burst); wait > 0 {
		l.later(wait)
		return false
	}
	if used.After(l.leased) {
		l.lease(used.Add(leaseAhead))
		return false
	}
	l.used = used
	return true
}

func (l *lane) later(wait time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.pump)
		return
	}
	l.timer.Reset(wait)
}

// lease records how far the rate may be used.
func (l *lane) lease(to time.Time) {
	if l.leasing {
		return
	}
	l.leasing = true
	mark := store.Mark{Key: l.key(), Value: to.UnixMicro()}
	l.engine.store.Commit([]*store.Change{{Marks: []store.Mark{mark}}}, func(err error) {
		if err != nil {
			l.engine.fail(err)
			return
		}
		l.mu.Lock()
		l.leasing, l.leased = false, time.UnixMicro(mark.Value)
		l.mu.Unlock()
		l.engine.crew.Go(l.pump)
	})
}
