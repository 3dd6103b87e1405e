package orpinetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/orpine-run/orpine/store"
)

// errCrash is what a store answers whose process is dead.
var errCrash = errors.New("crash")

// point is the commit at which a process dies; the zero value is none.
type point struct {
	at    int  // from 1
	after bool // it reaches the disk, but nobody is told
}

// String implements fmt.Stringer.
func (p point) String() string {
	if p.after {
		return fmt.Sprintf("after commit %d", p.at)
	}
	return fmt.Sprintf("before commit %d", p.at)
}

// fragile is a store whose process dies at a point: from then on it takes no commit.
type fragile struct {
	store.Store
	dies point
	dead chan struct{} // closed at the crash

	mu      sync.Mutex
	down    bool
	commits int
}

// Commit implements store.Journal. What is refused goes to the store as a commit of nothing, so that
// all are told in their order.
func (f *fragile) Commit(changes []*store.Change, done func(error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		f.Store.Commit(nil, func(error) { done(errCrash) })
		return
	}
	f.commits++
	if f.dies.at == 0 || f.commits < f.dies.at {
		f.Store.Commit(changes, done)
		return
	}
	f.down = true
	if !f.dies.after {
		changes = nil
	}
	f.Store.Commit(changes, func(error) {
		close(f.dead)
		done(errCrash)
	})
}

// cut is a crash now.
func (f *fragile) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.down {
		f.down = true
		close(f.dead)
	}
}

// asked is how many commits there were.
func (f *fragile) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.commits
}
