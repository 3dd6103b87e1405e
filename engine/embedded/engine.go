package embedded

import (
	"context"
	"crypto/rand"
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
	lives sync.WaitGroup // goroutines of runs in motion
	clock *clock

	tree    sync.Mutex // held where more than one run is changed at once
	mu      sync.Mutex
	live    map[durable.RunID]*live
	waiters map[durable.RunID][]chan durable.Run
	closing bool
}

// New makes an engine and takes up every run that was in motion when the last
// process ended. Error: invalid when two programs or two step functions share a name.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	j, err := journal.New(cfg.Store)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		store: cfg.Store, journal: j, feed: event.New(j), log: cfg.Log,
		programs: map[string]durable.Program{}, steps: map[string]durable.StepFunc{},
		live: map[durable.RunID]*live{}, waiters: map[durable.RunID][]chan durable.Run{},
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if err := e.register(cfg.Programs); err != nil {
		return nil, err
	}
	e.ctx, e.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	e.clock = newClock(e) // runs that are taken up may park at once
	if err := e.recover(ctx); err != nil {
		e.stop(errClosing)
		e.lives.Wait()
		return nil, fmt.Errorf("take up unfinished runs: %w", err)
	}
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

// recover claims every run that nobody drives any more.
func (e *Engine) recover(ctx context.Context) error {
	for {
		ids, err := e.store.Ready(ctx, recoverPage)
		if err != nil {
			return err
		}
		fresh := 0
		for _, id := range ids {
			e.mu.Lock()
			if e.live[id] == nil {
				fresh++
				run, err := e.store.Run(ctx, id)
				if err != nil {
					e.mu.Unlock()
					return err
				}
				e.launch(e.newLive(run, run.Status == durable.Running))
			}
			e.mu.Unlock()
		}
		if len(ids) < recoverPage || fresh == 0 {
			return nil
		}
	}
}

// recoverPage is how many runs are looked up at once when a data directory opens.
const recoverPage = 100_000

// Feed is where the events and deltas of this engine's runs come out.
func (e *Engine) Feed() *event.Feed { return e.feed }

// Journal reads the runs of this engine.
func (e *Engine) Journal() *journal.Journal { return e.journal }

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
		e.lives.Wait()
		e.clock.stop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return durable.Errorf(durable.CodeUnavailable, "close the engine: some steps do not stop: %w", ctx.Err())
	}
}

var errClosing = durable.Errorf(durable.CodeUnavailable, "the engine is closing")

// fail stops the engine after a store error: nothing may be acknowledged any more.
func (e *Engine) fail(err error) {
	e.log.ErrorContext(e.ctx, "the engine stopped", slog.Any("error", err))
	e.stop(err)
}

// err says why the engine takes no more work, nil while it does.
func (e *Engine) err() error {
	if e.ctx.Err() == nil {
		return nil
	}
	return context.Cause(e.ctx)
}

// Start implements durable.Engine.
func (e *Engine) Start(ctx context.Context, req durable.StartRequest) (durable.RunID, error) {
	if _, ok := e.programs[req.Program]; !ok {
		return "", durable.Errorf(durable.CodeInvalid, "no program %q; known: %s", req.Program, strings.Join(e.names(), ", "))
	}
	if len(req.Input) > 0 && !json.Valid(req.Input) {
		return "", durable.Errorf(durable.CodeInvalid, "start %s: the input is not JSON", req.Program)
	}
	chosen := req.ID != ""
	if !chosen {
		req.ID = NewRunID(time.Now())
	}
	l, change := e.birth(req, "", 0)
	if err := e.enlist(ctx, l, chosen); err != nil {
		return "", fmt.Errorf("start %s: %w", req.Program, err)
	}
	if err := e.commit(ctx, l, change); err != nil {
		e.forget(l)
		return "", fmt.Errorf("start %s: %w", req.Program, err)
	}
	return req.ID, nil
}

func (e *Engine) names() []string { return slices.Sorted(maps.Keys(e.programs)) }

// birth prepares a run and the change that creates it.
func (e *Engine) birth(req durable.StartRequest, parent durable.RunID, command int) (*live, *journal.Change) {
	now := stamp(time.Time{})
	run := store.Run{
		ID: req.ID, Name: req.Name, Program: req.Program, Parent: parent, Command: command, Created: now,
		State: store.State{Status: durable.Running, Updated: now},
	}
	if req.Definition != nil {
		run.Definition = journal.HashOf(req.Definition)
	}
	started := &durable.Entry{
		Kind: durable.EntryStarted, Time: now, Name: req.Program, Input: req.Input, InputHash: shortHash(req.Input),
		Parent: parent, Definition: run.Definition, Epoch: e.store.Epoch(),
	}
	l := e.newLive(run, false)
	l.born, l.definition = true, req.Definition
	return l, &journal.Change{Run: req.ID, Create: &run, Entries: []*durable.Entry{started}, Pinned: req.Definition}
}

// enlist makes a new run known before it is committed, so that nobody else brings it
// to life. An ID that somebody chose may be taken: that is found out here, because to
// whoever asks for the run meanwhile this live would be it.
func (e *Engine) enlist(ctx context.Context, l *live, chosen bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return errClosing
	}
	taken := e.live[l.run.ID] != nil
	if !taken && chosen {
		_, err := e.store.Run(ctx, l.run.ID)
		if err != nil && !errors.Is(err, durable.ErrNotFound) {
			return err
		}
		taken = err == nil
	}
	if taken {
		return durable.Errorf(durable.CodeConflict, "a run %s exists", l.run.ID)
	}
	e.launch(l)
	return nil
}

// launch starts driving; the caller holds e.mu.
func (e *Engine) launch(l *live) {
	e.live[l.run.ID] = l
	e.lives.Go(l.drive)
}

func (e *Engine) forget(l *live) {
	l.abandon()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live[l.run.ID] == l {
		delete(e.live, l.run.ID)
	}
}

// acquire returns the live of a run, bringing it to life if it is parked. It does
// not park again before the caller lets go with release. Errors: not_found,
// conflict when it has ended or is blocked.
func (e *Engine) acquire(ctx context.Context, id durable.RunID) (*live, error) {
	return e.revive(ctx, id, false)
}

// revive is acquire for those who may take up blocked runs too.
func (e *Engine) revive(ctx context.Context, id durable.RunID, blocked bool) (*live, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return nil, errClosing
	}
	if l := e.live[id]; l != nil && (blocked || !l.still) {
		l.hold()
		return l, nil
	}
	run, err := e.store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if run.Status.Final() {
		return nil, durable.Errorf(durable.CodeConflict, "run %s has ended: %s", id, run.Status)
	}
	if run.Status == durable.Blocked {
		if !blocked {
			return nil, durable.Errorf(durable.CodeConflict, "run %s is blocked: %s", id, run.Reason)
		}
		l := e.newLive(run, false)
		l.still = true // nobody drives it: it is only there to be ended, or to be told of a child's end
		l.hold()
		e.live[id] = l
		return l, nil
	}
	if run.Status == durable.Running {
		run.Status = durable.Waiting // not in motion here means parked, whatever the row still says
	}
	l := e.newLive(run, false)
	l.hold()
	e.launch(l)
	return l, nil
}

// commit appends one change of a live run and waits until it is durable.
func (e *Engine) commit(ctx context.Context, l *live, change *journal.Change) error {
	done := make(chan error, 1)
	if err := l.append(change, func(err error) { done <- err }); err != nil {
		return err
	}
	return await(ctx, done)
}

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
		return err
	}
	defer l.release()
	return e.commit(ctx, l, &journal.Change{Run: id, Entries: []*durable.Entry{entry}})
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
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(now.UnixMilli()/16)<<24) //nolint:gosec // positive until the year 2527
	rand.Read(raw[5:10])                                                // never fails, by its documentation
	return durable.RunID(strings.ToLower(base32.HexEncoding.EncodeToString(raw[:10])))
}
