package embedded

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

var _ durable.Engine = (*Engine)(nil)

// Config says what an engine drives and where it keeps it.
type Config struct {
	Store    store.Store       // required; stays the caller's to close
	Programs []durable.Program // what runs may execute; names are unique
	Log      *slog.Logger      // nil = no log

	// Limits bound attempts by the Limit their steps name, such as model:NAME or
	// tool:NAME, or by step:FUNC for all attempts of a step function that names none.
	Limits map[string]Limit
	// Queues bound runs by the queue they are started in; see Queue for the defaults.
	Queues map[string]Queue

	// Passive records what callers say and drives nothing: no step begins, no timer fires.
	// The next process does that.
	Passive bool

	// KeepDeltas keeps what steps stream before anybody watches, see event.Config.
	KeepDeltas bool

	// Settled is told of a run whenever a change of its status is durable that leaves it waiting,
	// paused, blocked or final, also by a kill of its family or where Passive records it; final
	// and blocked runs come with output and error, unless the output is large. It runs where the store
	// reports: it must not block, call the engine or change what it is given. nil = nobody is told.
	Settled func(durable.Run)

	// Spawn starts a goroutine of the engine; nil = go. A simulation puts them in an order
	// of its own. It must not run fn itself, and must run it some time.
	Spawn func(fn func())
}

// Engine drives the runs of one store. It is the only one to do so: the store's
// lock sees to that.
type Engine struct {
	store    store.Store
	journal  *journal.Journal
	feed     *event.Feed
	log      *slog.Logger
	programs map[string]durable.Program
	steps    map[string]durable.StepFunc

	ctx   context.Context //nolint:containedctx // the engine's own life, ended by Close
	stop  context.CancelCauseFunc
	firm  context.Context //nolint:containedctx // outlives ctx: under it run steps that must not be cut short
	crew  crew            // the goroutines of turns and attempts
	clock *clock
	began time.Time // when the engine was made

	tree    sync.Mutex // held where more than one run is changed at once
	mu      sync.Mutex
	live    map[durable.RunID]*live
	empty   *sync.Cond // of mu: no run is in memory
	waiters map[durable.RunID][]chan durable.Run
	closing bool
	told    func(durable.Run) // Config.Settled; nil = nobody

	draining atomic.Bool // no more attempts begin
	passive  bool        // see Config

	defs     definitions
	lanes    map[string]*lane // by the name of their limit
	patterns []*lane          // those whose name is a pattern, the longest first
	queues   queues
}

// New makes an engine and takes up every run that was in motion when the last
// process ended. Error: invalid when two programs or two step functions share a name.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	j, err := journal.New(cfg.Store)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		store: cfg.Store, journal: j, feed: event.New(j, event.Config{Epoch: cfg.Store.Epoch(), Keep: cfg.KeepDeltas}), log: cfg.Log,
		programs: map[string]durable.Program{}, steps: map[string]durable.StepFunc{},
		began: time.Now(), passive: cfg.Passive, told: cfg.Settled, live: map[durable.RunID]*live{}, waiters: map[durable.RunID][]chan durable.Run{},
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if err := e.register(cfg.Programs); err != nil {
		return nil, err
	}
	e.crew.spawn = cfg.Spawn
	e.empty = sync.NewCond(&e.mu)
	e.firm = context.WithoutCancel(ctx)
	e.ctx, e.stop = context.WithCancelCause(e.firm)
	if err := errors.Join(e.newLanes(ctx, cfg.Limits), e.newQueues(cfg.Queues)); err != nil {
		return nil, err
	}
	e.clock = newClock(e)
	newest, err := e.store.Newest(ctx)
	if err != nil {
		return nil, err
	}
	if e.passive {
		close(e.clock.gone)
		return e, nil
	}
	e.crew.Go(func() { e.recover(newest) })
	go e.clock.loop()
	return e, nil
}

func (e *Engine) register(programs []durable.Program) error {
	for _, p := range programs {
		if _, taken := e.programs[p.Name()]; taken {
			return durable.Errorf(durable.CodeInvalid, "two programs are named %q", p.Name())
		}
		e.programs[p.Name()] = p
		for _, s := range p.Steps() {
			if _, taken := e.steps[s.Name]; taken {
				return durable.Errorf(durable.CodeInvalid, "two step functions are named %q", s.Name)
			}
			e.steps[s.Name] = s
		}
	}
	return nil
}

// Feed is where the events and deltas of this engine's runs come out.
func (e *Engine) Feed() *event.Feed { return e.feed }

// Journal reads the runs of this engine.
func (e *Engine) Journal() *journal.Journal { return e.journal }

// lastWords is how long Drain waits, when its time is up, for steps that were told to stop.
const lastWords = 5 * time.Second

// Drain lets steps in flight end, until ctx does, and begins no others; then it closes.
// It is the gentle way to stop: nothing that is under way is done twice for it. Error:
// unavailable when steps went on for five seconds after they were told to stop.
func (e *Engine) Drain(ctx context.Context) error {
	e.mu.Lock()
	e.closing = true
	e.mu.Unlock()
	e.draining.Store(true)
	for _, l := range e.lanes {
		l.clear() // who waits for a turn under a limit has not begun
	}
	e.wakeAll()
	empty := make(chan struct{})
	go func() {
		defer close(empty)
		e.mu.Lock()
		defer e.mu.Unlock()
		for len(e.live) > 0 {
			e.empty.Wait()
		}
	}()
	select {
	case <-empty:
	case <-ctx.Done():
	}
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	return e.Close(rest)
}

// Close stops driving. Steps in flight are told to stop and waited for until ctx
// ends; what they returned is recorded. Unfinished runs go on when the store is
// opened again.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closing = true
	e.mu.Unlock()
	e.stop(errClosing)
	done := make(chan struct{})
	go func() {
		e.clock.stop()
		e.rest()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return durable.Errorf(durable.CodeUnavailable, "close the engine: some steps do not stop: %w", ctx.Err())
	}
}

// rest returns once every run has left memory and nobody works for the engine any more.
func (e *Engine) rest() {
	e.wakeAll()
	e.mu.Lock()
	for len(e.live) > 0 {
		e.empty.Wait()
	}
	e.mu.Unlock()
	e.crew.Wait()
}

// wakeAll has every run notice that the engine stops.
func (e *Engine) wakeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(e.live)) { // in an order, so that a simulation comes to the same
		e.live[id].wake()
	}
}

var errClosing = durable.Errorf(durable.CodeUnavailable, "the engine is closing")

// fail stops the engine after a store error: nothing may be acknowledged any more.
func (e *Engine) fail(err error) {
	if e.ctx.Err() != nil {
		return
	}
	e.log.ErrorContext(e.ctx, "the engine stopped", slog.Any("error", err))
	e.stop(err)
	e.crew.Go(e.wakeAll)
}

// err says why the engine takes no more work, nil while it does.
func (e *Engine) err() error {
	if e.ctx.Err() == nil {
		return nil
	}
	return context.Cause(e.ctx)
}

// Ready says why the engine takes no more work, nil while it does. Error: unavailable.
func (e *Engine) Ready() error {
	if e.draining.Load() {
		return errClosing
	}
	return e.err()
}

// Start implements durable.Engine.
func (e *Engine) Start(ctx context.Context, req durable.StartRequest) (durable.RunID, error) {
	run, err := e.Begin(ctx, req)
	return run.ID, err
}

// Begin is Start for who wants to know what the run is by the time it is durable; one that has
// ended by then comes without its output.
func (e *Engine) Begin(ctx context.Context, req durable.StartRequest) (durable.Run, error) {
	if _, ok := e.programs[req.Program]; !ok {
		return durable.Run{}, durable.Errorf(durable.CodeInvalid, "no program %q; known: %s", req.Program, strings.Join(e.names(), ", "))
	}
	if len(req.Input) > 0 && !json.Valid(req.Input) {
		return durable.Run{}, durable.Errorf(durable.CodeInvalid, "start %s: the input is not JSON", req.Program)
	}
	chosen := req.ID != ""
	if !chosen {
		req.ID = NewRunID(time.Now())
	}
	run, started := e.birth(req, "", 0)
	l, err := e.enlist(ctx, run, chosen)
	if err != nil {
		return durable.Run{}, fmt.Errorf("start %s: %w", req.Program, e.sure(ctx, req.ID, err))
	}
	defer l.release()
	done := make(chan error, 1)
	l.mu.Lock()
	err = l.bear(started, req.Definition, func(err error) { done <- err })
	l.mu.Unlock()
	close(l.opened)
	if err == nil {
		l.turnHere()
		err = await(ctx, done)
	}
	if err != nil {
		return durable.Run{}, fmt.Errorf("start %s: %w", req.Program, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return journal.View(l.run), nil
}

func (e *Engine) names() []string { return slices.Sorted(maps.Keys(e.programs)) }

// await waits for the outcome of a commit as long as ctx lives.
func await(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// record appends an entry to the journal of any run that has not ended.
func (e *Engine) record(ctx context.Context, id durable.RunID, entry *durable.Entry) error {
	l, err := e.acquire(ctx, id)
	if err != nil {
		return e.sure(ctx, id, err)
	}
	defer l.release()
	return e.recordIn(ctx, l, entry)
}

func (e *Engine) recordIn(ctx context.Context, l *live, entry *durable.Entry) error {
	done := make(chan error, 1)
	if err := l.append(entry, func(err error) { done <- err }); err != nil {
		return e.sure(ctx, l.id, err)
	}
	l.turnHere()
	return await(ctx, done)
}

// Get implements durable.Engine.
func (e *Engine) Get(ctx context.Context, id durable.RunID) (durable.Run, error) {
	return e.journal.Run(ctx, id)
}

// stamp is the time of a new entry: never before the one it follows, even when
// the clock jumps back, and no finer than the journal keeps it.
func stamp(after time.Time) time.Time {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if now.Before(after) {
		return after
	}
	return now
}

// NewRunID makes an ID whose order is that of creation: 40 bits of milliseconds/16
// and 40 random bits, in lower-case base32 (RFC 4648 extended hex alphabet).
func NewRunID(now time.Time) durable.RunID {
	var tail [5]byte
	rand.Read(tail[:]) // never fails, by its documentation
	return RunIDOf(now, tail)
}

// Sibling makes the ID of the nth run that is made together with one that [NewRunID] has named,
// always the same: its place in the order is beside that one.
func Sibling(id durable.RunID, n int) durable.RunID {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", id, n))
	return id[:8] + RunIDOf(time.Time{}, [5]byte(sum[:5]))[8:]
}

// RunIDOf makes an ID whose place in the order is that of a time, and the rest of which is
// given: who starts a run twice for the same reason comes to the same ID, and to a conflict.
func RunIDOf(at time.Time, tail [5]byte) durable.RunID {
	var raw [13]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(at.UnixMilli()/16)<<24) //nolint:gosec // positive until the year 2527
	copy(raw[5:], tail[:])
	return durable.RunID(strings.ToLower(base32.HexEncoding.EncodeToString(raw[:10])))
}
