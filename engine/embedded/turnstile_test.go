package embedded_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/storetest"
)

// turnstile lets the goroutines of an engine through one at a time, in an order that a
// seed decides: those that read the store wait at it, those the engine starts begin
// behind it, and what is to be committed lies there until it is let through. It is a
// store around the real one, and dies as a process does: with whatever part of what
// lies there has reached the disk.
type turnstile struct {
	store.Store
	rng  *rand.Rand
	news chan struct{} // holds a token while something may wait

	mu     sync.Mutex
	calls  []*passage
	begins []func()
	groups []*group
	dead   bool
	open   bool              // everybody may pass: the simulation is over
	acked  map[string]string // what the engine was told is durable: run and seq -> body
	wayMu  sync.Mutex
	way    []string // what happened, to see where two simulations part
}

// passage is a read that waits.
type passage struct {
	key string
	let chan struct{}
}

// group is one commit that waits.
type group struct {
	changes []*store.Change
	done    func(error)
}

func newTurnstile(rng *rand.Rand) *turnstile {
	return &turnstile{rng: rng, news: make(chan struct{}, 1), acked: map[string]string{}}
}

// around puts the turnstile around a store that was just opened.
func (g *turnstile) around(s store.Store) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Store, g.dead = s, false
}

// note keeps what happened.
func (g *turnstile) note(format string, args ...any) {
	g.wayMu.Lock()
	defer g.wayMu.Unlock()
	g.way = append(g.way, time.Now().Format("15:04:05.000000 ")+fmt.Sprintf(format, args...))
}

func (g *turnstile) tell() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// pass waits for its turn. The key orders those who came at the same moment.
func (g *turnstile) pass(format string, args ...any) {
	p := &passage{fmt.Sprintf(format, args...), make(chan struct{})}
	g.mu.Lock()
	open := g.open
	if !open {
		g.calls = append(g.calls, p)
	}
	g.mu.Unlock()
	if !open {
		g.tell()
		<-p.let
	}
}

// spawn is the engine's go.
func (g *turnstile) spawn(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		go fn()
		return
	}
	g.begins = append(g.begins, fn)
	g.tell()
}

// Commit implements store.Journal.
func (g *turnstile) Commit(changes []*store.Change, done func(error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups = append(g.groups, &group{changes, done})
	g.tell()
}

// next lets one of those through who wait, or some of the commits; false when nobody does.
func (g *turnstile) next() bool {
	synctest.Wait()
	g.mu.Lock()
	slices.SortStableFunc(g.calls, func(a, b *passage) int { return strings.Compare(a.key, b.key) })
	ways := len(g.calls) + len(g.begins)
	if ways == 0 && len(g.groups) == 0 {
		g.mu.Unlock()
		return false
	}
	if len(g.groups) > 0 {
		ways++
	}
	n := g.rng.IntN(ways)
	switch {
	case n < len(g.calls):
		p := g.calls[n]
		g.note("pass %s", p.key)
		g.calls = slices.Delete(g.calls, n, n+1)
		g.mu.Unlock()
		close(p.let)
	case n < len(g.calls)+len(g.begins):
		n -= len(g.calls)
		fn := g.begins[n]
		g.note("begin %d of %d", n, len(g.begins))
		g.begins = slices.Delete(g.begins, n, n+1)
		g.mu.Unlock()
		go fn()
	default:
		batch := g.groups[:1+g.rng.IntN(len(g.groups))]
		g.groups = g.groups[len(batch):]
		dead := g.dead
		g.mu.Unlock()
		for _, w := range batch {
			g.land(w, dead)
		}
	}
	return true
}

// land commits one group and tells the engine.
func (g *turnstile) land(w *group, dead bool) {
	if dead {
		w.done(storetest.ErrCrash)
		return
	}
	err := g.write(w)
	if err == nil {
		for _, c := range w.changes {
			for _, e := range c.Entries {
				g.acked[fmt.Sprintf("%s %d", c.Run, e.Seq)] = string(e.Body)
			}
		}
	}
	w.done(err)
}

func (g *turnstile) write(w *group) error {
	for _, c := range w.changes {
		state := c.State
		if c.Create != nil {
			state = &c.Create.State
		}
		if state != nil {
			g.note("commit %s: %s until %s", c.Run, state.Status, state.Wake)
		}
		for _, e := range c.Entries {
			g.note("commit %s: %s", c.Run, e.Body[17:])
		}
	}
	told := make(chan error, 1)
	g.Store.Commit(w.changes, func(err error) { told <- err })
	return <-told
}

// die leaves on the disk what a dying process leaves: some of what was asked for, in
// order, and nobody is told of it.
func (g *turnstile) die() error {
	synctest.Wait()
	g.mu.Lock()
	g.dead = true
	groups := g.groups
	g.mu.Unlock()
	for _, w := range groups[:g.rng.IntN(len(groups)+1)] {
		if err := g.write(w); err != nil {
			return err
		}
	}
	return nil
}

// wait sleeps until somebody new waits, or d has gone by; never until a moment at which
// something else may happen, because a select draws where both are ready.
func (g *turnstile) wait(d time.Duration) {
	synctest.Wait()
	select {
	case <-g.news:
	default:
	}
	timer := time.NewTimer(d + 137*time.Nanosecond)
	defer timer.Stop()
	select {
	case <-g.news:
	case <-timer.C:
	}
}

// The reads.

func (g *turnstile) Mark(ctx context.Context, key string) (int64, error) {
	g.pass("mark %s", key)
	return g.Store.Mark(ctx, key)
}

func (g *turnstile) Entries(ctx context.Context, run durable.RunID, after int64, limit int) ([]store.Entry, error) {
	g.pass("entries %s %d", run, after)
	return g.Store.Entries(ctx, run, after, limit)
}

func (g *turnstile) Last(ctx context.Context, run durable.RunID) (store.Entry, error) {
	g.pass("last %s", run)
	return g.Store.Last(ctx, run)
}

func (g *turnstile) Blob(ctx context.Context, hash string) ([]byte, error) {
	g.pass("blob %s", hash)
	return g.Store.Blob(ctx, hash)
}

func (g *turnstile) Run(ctx context.Context, id durable.RunID) (store.Run, error) {
	g.pass("run %s", id)
	return g.Store.Run(ctx, id)
}

func (g *turnstile) List(ctx context.Context, f durable.Filter) ([]store.Run, error) {
	g.pass("list %s", f.Parent)
	return g.Store.List(ctx, f)
}

func (g *turnstile) Ready(ctx context.Context, after int64, limit int) ([]store.Run, error) {
	g.pass("ready %d", after)
	return g.Store.Ready(ctx, after, limit)
}

func (g *turnstile) Due(ctx context.Context, now time.Time, after store.Wakeup, limit int) ([]store.Wakeup, time.Time, error) {
	g.pass("due %s", after.Run)
	return g.Store.Due(ctx, now, after, limit)
}
