package orpinetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// Env is a runtime under test. What fails that the test did not ask about ends the test. After a
// crash the next process takes over at once, as under a supervisor: a call that was cut short is made
// again there, unless it was recorded.
type Env struct {
	t        *testing.T
	cfg      Config
	root     string // a directory of its own
	calls    *calls
	kept     *kept
	programs []durable.Program
	life     atomic.Pointer[life]
	commits  int          // of the first process
	began    atomic.Int64 // how many processes there were
	started  []durable.RunID
	golden   int // how often Golden was called
	quit     chan struct{}
	gone     chan struct{} // closed when the supervisor is
}

// life is one process.
type life struct {
	store  *fragile
	engine *embedded.Engine
	next   chan struct{} // closed when the next one is there
}

// Run plays a test in virtual time: it stands still while anybody does something, and jumps to the
// next timer when everybody waits. In the end no goroutine may be left, and every journal must replay.
func Run(t *testing.T, cfg Config, test func(t *testing.T, e *Env)) {
	t.Helper()
	play(t, cfg, &calls{}, point{}, test)
}

// play plays a test whose first process dies at a point.
func play(t *testing.T, cfg Config, c *calls, dies point, test func(*testing.T, *Env)) *tale {
	t.Helper()
	root := t.TempDir()
	k := &kept{}
	programs := cfg.programs(t, c, k)
	var told *tale
	synctest.Test(t, func(t *testing.T) {
		e := &Env{t: t, cfg: cfg, root: root, calls: c, kept: k, programs: programs, quit: make(chan struct{}), gone: make(chan struct{})}
		e.life.Store(e.open(dies))
		go e.supervise()
		defer e.close()
		test(t, e)
		if !t.Failed() {
			told = e.tell()
		}
	})
	return told
}

// open begins a process.
func (e *Env) open(dies point) *life {
	inner, err := sqlite.Open(context.Background(), sqlite.Config{
		Dir: filepath.Join(e.root, "data"), Owner: "orpinetest", ProcessDurability: true, // nothing cuts the power here
	})
	if err != nil {
		e.t.Error(err)
		return nil
	}
	l := &life{store: &fragile{Store: inner, dies: dies, dead: make(chan struct{})}, next: make(chan struct{})}
	l.engine, err = embedded.New(context.Background(), embedded.Config{
		Store: l.store, Programs: e.programs, Limits: e.cfg.Limits, Queues: e.cfg.Queues,
	})
	if err != nil {
		e.t.Error(errors.Join(err, inner.Close()))
		return nil
	}
	e.began.Add(1)
	return l
}

// supervise begins a process whenever one has died.
func (e *Env) supervise() {
	defer close(e.gone)
	for l := e.life.Load(); l != nil; l = e.life.Load() {
		select {
		case <-l.store.dead:
		case <-e.quit:
			e.end(l)
			return
		}
		e.end(l)
		e.life.Store(e.open(point{}))
		close(l.next)
	}
}

// end ends a process, dead or not. It waits for steps that cannot be cut short: those go on in the world
// outside, whoever began them.
func (e *Env) end(l *life) {
	err := l.engine.Close(context.Background())
	if e.began.Load() == 1 {
		e.commits = l.store.asked()
	}
	if err = errors.Join(err, l.store.Close()); err != nil && !errors.Is(err, errCrash) {
		e.t.Error(err)
	}
}

func (e *Env) close() {
	close(e.quit)
	<-e.gone
}

// Crash kills the process, as kill -9 does: nothing is recorded after it. It returns when the next one is there.
func (e *Env) Crash() {
	l := e.life.Load()
	l.store.cut()
	<-l.next
}

// Lives is how many processes there were, this one included.
func (e *Env) Lives() int { return int(e.began.Load()) }

// do calls do with a process, and again with the next one when it died meanwhile.
func (e *Env) do(do func(*life) error) error {
	for {
		l := e.life.Load()
		if l == nil {
			e.t.FailNow() // it is said why
		}
		err := do(l)
		if err == nil {
			return nil
		}
		select {
		case <-l.store.dead:
			<-l.next
		default:
			return err
		}
	}
}

// once is do for what must not be recorded twice: matches finds its entry.
func (e *Env) once(run durable.RunID, matches func(*durable.Entry) bool, do func(*life) error) error {
	count := func(l *life) (n int, err error) {
		entries, err := l.engine.Journal().All(context.Background(), run, 0)
		for i := range entries {
			if matches(&entries[i]) {
				n++
			}
		}
		return n, err
	}
	before, tried := 0, false
	return e.do(func(l *life) error {
		n, err := count(l)
		switch {
		case err != nil && !errors.Is(err, durable.ErrNotFound):
			return err
		case !tried:
			before, tried = n, true
		case n > before:
			return nil // it was recorded, and nobody was told
		}
		return do(l)
	})
}

// must ends the test on an error.
func (e *Env) must(what string, err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("%s: %v", what, err)
	}
}

// encode makes JSON of a value; a json.RawMessage stays what it is.
func (e *Env) encode(v any) json.RawMessage {
	e.t.Helper()
	if raw, ok := v.(json.RawMessage); ok {
		return raw
	}
	data, err := json.Marshal(v)
	e.must("encode", err)
	return data
}

// Start starts a run of a program and returns its ID: run-1, run-2 and so on. A nil input is none.
func (e *Env) Start(program string, input any) durable.RunID {
	e.t.Helper()
	req := durable.StartRequest{Program: program}
	if input != nil {
		req.Input = e.encode(input)
	}
	return e.StartAs(req)
}

// StartAs is Start for who has more to say. Without an ID the run gets one as from Start.
func (e *Env) StartAs(req durable.StartRequest) durable.RunID {
	e.t.Helper()
	if req.ID == "" {
		req.ID = durable.RunID(fmt.Sprintf("run-%d", len(e.started)+1))
	}
	again := false
	err := e.do(func(l *life) error {
		_, err := l.engine.Start(context.Background(), req)
		if again && errors.Is(err, durable.ErrConflict) {
			return nil // it was recorded before the crash
		}
		again = true
		return err
	})
	e.must("start "+req.Program, err)
	e.started = append(e.started, req.ID)
	return req.ID
}

// Run starts a run of a program and returns it once it is over.
func (e *Env) Run(program string, input any) durable.Run {
	e.t.Helper()
	return e.Wait(e.Start(program, input))
}

// forEver is longer than any program waits, and shorter than what a time.Duration holds.
const forEver = 200 * 365 * 24 * time.Hour

// Wait returns a run once it is final or blocked. If that never happens unless somebody does
// something, the test ends with what is waited for.
func (e *Env) Wait(id durable.RunID) durable.Run {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), forEver)
	defer cancel()
	var r durable.Run
	err := e.do(func(l *life) (err error) {
		r, err = l.engine.Wait(ctx, id)
		return err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		e.t.Fatalf("run %s never ends: %s", id, e.stuck())
	}
	e.must("wait for run "+string(id), err)
	return r
}

// stuck says what runs wait for.
func (e *Env) stuck() (text string) {
	for _, s := range e.list() {
		r := e.Get(s.ID)
		for _, w := range r.Waits {
			what := w.Name
			if w.Interrupt != nil {
				what = fmt.Sprintf("%s %q", w.Interrupt.ID, w.Interrupt.Prompt)
			}
			text += fmt.Sprintf("\n%s (%s) waits for %s %s", r.ID, r.Program, w.Kind, what)
		}
	}
	return text
}

// list is all runs, the oldest first.
func (e *Env) list() []store.Run {
	e.t.Helper()
	var runs []store.Run
	err := e.do(func(l *life) (err error) {
		runs, err = l.store.List(context.Background(), durable.Filter{Oldest: true, Limit: 100_000})
		return err
	})
	e.must("list runs", err)
	return runs
}

// Settle returns a run once nothing drives it: it is final, blocked or waits.
func (e *Env) Settle(id durable.RunID) durable.Run {
	e.t.Helper()
	var r durable.Run
	err := e.do(func(l *life) (err error) {
		r, err = l.engine.Settle(context.Background(), id, time.Time{})
		return err
	})
	e.must("settle run "+string(id), err)
	return r
}

// Get returns a run as it is.
func (e *Env) Get(id durable.RunID) durable.Run {
	e.t.Helper()
	var r durable.Run
	err := e.do(func(l *life) (err error) {
		r, err = l.engine.Get(context.Background(), id)
		return err
	})
	e.must("get run "+string(id), err)
	return r
}
