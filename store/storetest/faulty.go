package storetest

import (
	"errors"
	"sync"

	"github.com/orpine-run/orpine/store"
)

// ErrCrash is what a crashed store answers.
var ErrCrash = errors.New("crash")

// Faulty is a store that dies at one commit, before or after it lands, as a
// process that is killed there would leave it. Every later commit is refused.
type Faulty struct {
	store.Store
	mu      sync.Mutex
	at      int
	after   bool
	commits int
}

// NewFaulty wraps s so that commit number at (from 1, 0 = never) crashes. With
// after set the commit reaches the disk, but nobody is told.
func NewFaulty(s store.Store, at int, after bool) *Faulty {
	return &Faulty{Store: s, at: at, after: after}
}

// Commits is how many commits were asked for.
func (f *Faulty) Commits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.commits
}

// Crashed reports whether the crash has happened.
func (f *Faulty) Crashed() bool { return f.at > 0 && f.Commits() >= f.at }

// Commit implements store.Journal.
func (f *Faulty) Commit(changes []*store.Change, done func(error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits++
	switch {
	case f.at == 0 || f.commits < f.at:
		f.Store.Commit(changes, done)
	case f.commits == f.at && f.after:
		f.Store.Commit(changes, func(error) { done(ErrCrash) })
	default:
		go done(ErrCrash)
	}
}
