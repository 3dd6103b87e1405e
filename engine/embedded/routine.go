package embedded

import (
	"cmp"
	"iter"
	"runtime/debug"
	"slices"
)

// routine is a coroutine of the program.
type routine struct {
	x      *exec
	name   string
	number int // in order of creation; the first is the program itself
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	extent *extent // how far its cancel goes

	wait  func() bool // what it is blocked on; nil = it can go on
	on    []string    // the inboxes among what it is blocked on
	from  []*sleepers // what else than a cancel can end that
	naps  int         // how often it was put to sleep
	awake bool        // it is to be looked at
	polls bool        // it is blocked on something that gives no news

	done bool
	err  error
	news sleepers // who waits for its end
}

// sleepers are the coroutines that wait for news of something. Those that have been woken
// by something else meanwhile are not taken out but stale.
type sleepers []sleeper

type sleeper struct {
	r   *routine
	nap int
}

func (s sleeper) stale() bool { return s.r.done || s.nap != s.r.naps }

// add puts a coroutine to sleep here. Stale ones go when there is no room, so that they are
// never more than those that sleep.
func (l *sleepers) add(r *routine) {
	if s := *l; len(s) > 0 && len(s) == cap(s) {
		s = slices.DeleteFunc(s, sleeper.stale)
		*l = slices.Grow(s, len(s)+1)
	}
	*l = append(*l, sleeper{r, r.naps})
}

// wake has all of them looked at.
func (l *sleepers) wake() {
	for _, s := range *l {
		if !s.stale() {
			s.r.x.awaken(s.r)
		}
	}
	*l = nil
}

// newsOf is where to wait for news of something; nil when it gives none.
func newsOf(of any) *sleepers {
	switch of := of.(type) {
	case *future:
		return &of.c.news
	case *routineFuture:
		return &of.news
	case *inbox:
		return &of.news
	default:
		return nil
	}
}

// routines are the coroutines of a program and the order in which they go on: again and again
// from the oldest to the youngest, each that can. Only those of which there is news are
// looked at, because there may be many.
type routines struct {
	living  []*routine // in order of creation, among them some that have ended
	gone    int        // so many
	created int
	queue   []place // to be looked at, in order
	round   int
	at      int        // number of the one that was looked at last in this round
	polled  []*routine // which nothing wakes
}

// place is where a coroutine comes in the order.
type place struct {
	round int
	r     *routine
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.round, o.round), cmp.Compare(p.r.number, o.r.number))
}

// awaken has a coroutine looked at: in this round if its turn is still to come.
func (q *routines) awaken(r *routine) {
	if r.awake || r.done {
		return
	}
	r.awake = true
	p := place{q.round, r}
	if r.number <= q.at {
		p.round++
	}
	i, _ := slices.BinarySearchFunc(q.queue, p, place.compare)
	q.queue = slices.Insert(q.queue, i, p)
}

// awakenAll has all coroutines looked at that a cancel of this extent reaches; nil is that
// of the run.
func (q *routines) awakenAll(of *extent) {
	for _, r := range q.living {
		if of == nil || r.extent.canceled() {
			q.awaken(r)
		}
	}
}

// sleep notes what a coroutine that is blocked waits for.
func (r *routine) sleep(from []*sleepers) {
	r.naps++
	r.from = append(r.from[:0], from...)
	for _, news := range from {
		if news != nil {
			news.add(r)
		} else if !r.polls {
			r.polls = true
			r.x.polled = append(r.x.polled, r)
		}
	}
}

// start adds a coroutine; it first runs when resume reaches it.
func (x *exec) start(name string, above *extent, fn func(*scope) error) *routine {
	r := &routine{x: x, name: name, number: x.created, extent: &extent{above: above}}
	r.next, r.stop = iter.Pull(func(yield func(struct{}) bool) {
		r.yield = yield
		defer func() {
			r.done = true
			x.gone++
			switch v := recover(); v.(type) {
			case nil, unwind:
			default:
				x.err, x.ended = &programPanic{v, debug.Stack()}, true
			}
			r.news.wake()
		}()
		r.err = fn(&scope{x: x, r: r, extent: r.extent})
	})
	x.created++
	if x.gone > len(x.living)/2 {
		x.living, x.gone = slices.DeleteFunc(x.living, func(r *routine) bool { return r.done }), 0
	}
	x.living = append(x.living, r)
	x.awaken(r)
	return r
}

// resume runs every coroutine until all of them are blocked or the program ended.
func (x *exec) resume() {
	x.poll()
	for len(x.queue) > 0 && !x.ended {
		p := x.queue[0]
		x.queue = x.queue[1:]
		r := p.r
		x.round, x.at, r.awake = p.round, r.number, false
		switch {
		case r.done:
		case r.wait != nil && !r.wait():
			r.sleep(r.from) // somebody else took what woke it
		default:
			r.wait = nil
			r.next()
			x.poll()
		}
	}
	x.round, x.at = x.round+1, -1
}

// poll has those looked at that wait for what gives no news.
func (x *exec) poll() {
	x.polled = slices.DeleteFunc(x.polled, func(r *routine) bool {
		r.polls = !r.done && r.wait != nil && slices.Contains(r.from, nil)
		return !r.polls
	})
	for _, r := range x.polled {
		x.awaken(r)
	}
}

// stop unwinds all coroutines; their deferred functions run, nothing else.
func (x *exec) stop() {
	x.unwound = true
	for _, r := range x.living {
		r.stop()
	}
}

// stoppable reports whether a coroutine is left to unwind.
func (x *exec) stoppable() bool {
	return slices.ContainsFunc(x.living, func(r *routine) bool { return !r.done })
}
