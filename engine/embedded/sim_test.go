package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// TestSimulation lets a seed draw a workload, its faults and the order in which the
// goroutines of the engine go on, and plays it twice in a bubble over the real store: it
// must come to the same journals, byte for byte, and to what the plans foretell.
func TestSimulation(t *testing.T) {
	first, n := seedOf(), brief(300, 10, 3)
	if *seed != 0 {
		n = 1
	}
	// One goroutine runs at a time, so that what one step of the simulation wakes goes on
	// in the order in which it was woken.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	began := time.Now()
	var sum simTally
	for i := range uint64(n) {
		one, way := simulate(t, first+i, &sum)
		two, other := simulate(t, first+i, &sum)
		if one != two && !raced {
			t.Errorf("seed %d: two simulations came to different journals; they part here:\n%s", first+i, parting(way, other))
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d seeds from %d, each twice, in %.1f s: %+v", n, first, time.Since(began).Seconds(), sum)
	if sum.Crashes == 0 || sum.Succeeded == 0 || sum.Killed == 0 || sum.Canceled == 0 || sum.Failed == 0 {
		if !testing.Short() && *seed == 0 {
			t.Errorf("the simulations show too little: %+v", sum)
		}
	}
}

// simTally counts what happened in simulations.
type simTally struct {
	Runs, Entries, Passages, Crashes, Closes, Orders, Succeeded, Failed, Canceled, Killed, Replayed int

	Virtual time.Duration
}

// order is something a client asked of the engine.
type order struct {
	what   string
	run    durable.RunID
	ended  bool
	err    error
	answer string
}

// simulation is one play.
type simulation struct {
	t      *testing.T
	rng    *rand.Rand
	dir    string
	gate   *turnstile
	store  store.Store
	engine *embedded.Engine
	world  *world
	plans  map[durable.RunID][]act // of the runs that were asked for
	orders []*order
	sum    *simTally
}

// parting is where two ways part.
func parting(one, two []string) string {
	i := 0
	for i < len(one) && i < len(two) && one[i] == two[i] {
		i++
	}
	tail := func(way []string) string { return strings.Join(way[min(i, len(way)):min(i+5, len(way))], "\n") }
	return strings.Join(one[max(0, i-20):i], "\n") + "\n--- one\n" + tail(one) + "\n--- other\n" + tail(two)
}

// simulate plays one seed and returns the hash of all journals, and the way there.
func simulate(t *testing.T, seed uint64, sum *simTally) (hash string, way []string) {
	t.Helper()
	dir := t.TempDir()
	defer func() {
		if t.Failed() {
			t.Logf("run it again with -seed %d", seed)
		}
	}()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would come at another moment each time
	defer runtime.GC()
	cryptotest.SetGlobalRandom(t, seed) // run IDs
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		rng := rand.New(rand.NewPCG(seed, 0))
		s := &simulation{t: t, rng: rng, dir: dir, gate: newTurnstile(rng), plans: map[durable.RunID][]act{}, sum: sum}
		s.world = newWorld(s.gate)
		s.begin()
		s.stir()
		s.settle()
		s.halt()
		hash, way = s.verify(), s.gate.way
		sum.Virtual += time.Since(began).Truncate(time.Second)
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return hash, way
}

// begin opens the data directory, as a process does.
func (s *simulation) begin() {
	inner, err := sqlite.Open(s.t.Context(), sqlite.Config{Dir: s.dir, ProcessDurability: true})
	if err != nil {
		s.t.Fatal(err)
	}
	s.store = inner
	s.gate.around(inner)
	made := false
	go func() {
		s.engine, err = embedded.New(s.t.Context(), embedded.Config{
			Store: s.gate, Programs: s.world.programs(), Spawn: s.gate.spawn,
			Limits: map[string]embedded.Limit{"api": {Count: 20, Burst: 2, AtOnce: 2}},
			Queues: map[string]embedded.Queue{"narrow": {AtOnce: 2}},
		})
		made = true
	}()
	s.until(func() bool { return made })
	if err != nil {
		s.t.Fatal(err)
	}
}

// until lets goroutines through, and time pass, until it holds.
func (s *simulation) until(holds func() bool) {
	for idle := 0; ; {
		for s.gate.next() {
			s.sum.Passages++
			idle = 0
		}
		if holds() {
			return
		}
		if idle++; idle > 100_000 {
			stacks := make([]byte, 1<<20)
			s.t.Fatalf("nothing happens any more\n%s", stacks[:runtime.Stack(stacks, true)])
		}
		s.gate.wait(time.Minute)
	}
}

// mostCrashes is how often the processes of a simulation die. A run that is taken over
// more than five times without progress is blocked.
const mostCrashes = 5

// stir drives the workload: clients give orders, processes die, time passes.
func (s *simulation) stir() {
	crashes := 0
	for range 25 + s.rng.IntN(30) {
		for range s.rng.IntN(40) { // however far that gets
			if !s.gate.next() {
				break
			}
			s.sum.Passages++
			if crashes < mostCrashes && s.rng.IntN(25) == 0 { // in the middle of something
				crashes++
				s.crash()
			}
		}
		switch n := s.rng.IntN(20); {
		case n < 6:
			s.start()
		case n < 13:
			s.meddle()
		case n < 16:
			s.gate.wait(time.Duration(s.rng.IntN(1000)) * time.Millisecond)
		case n < 17:
			s.gate.wait(time.Duration(s.rng.IntN(3600)) * time.Second)
		case n < 18 && crashes < mostCrashes:
			crashes++
			s.crash()
		case n < 19 && crashes < mostCrashes:
			crashes++
			s.halt()
			s.sum.Closes++
			s.gate.note("closed")
			s.close()
			s.begin()
		default:
		}
	}
}

// start asks for a new run.
func (s *simulation) start() {
	id := durable.RunID(fmt.Sprintf("run%02d", len(s.plans)))
	acts := drawPlan(s.rng, 2)
	s.plans[id] = acts
	input, err := json.Marshal(plan{Acts: acts})
	if err != nil {
		s.t.Fatal(err)
	}
	req := durable.StartRequest{ID: id, Program: "planned", Input: input, Queue: []string{"", "narrow"}[s.rng.IntN(2)]}
	s.order("start", id, "", func(ctx context.Context, e *embedded.Engine) error {
		_, err := e.Start(ctx, req)
		return err
	})
}

// meddle does what a run needs from outside, or ends one.
func (s *simulation) meddle() {
	runs := s.list(durable.Filter{Limit: 1000})
	if len(runs) == 0 {
		return
	}
	r := runs[s.rng.IntN(len(runs))]
	switch s.rng.IntN(30) {
	case 0, 1:
		s.order("cancel", r.ID, "", func(ctx context.Context, e *embedded.Engine) error { return e.Cancel(ctx, r.ID, "canceled") })
	case 2, 3:
		s.order("kill", r.ID, "", func(ctx context.Context, e *embedded.Engine) error { return e.Kill(ctx, r.ID, "killed") })
	case 4, 5, 6:
		s.order("pause", r.ID, "", func(ctx context.Context, e *embedded.Engine) error { return e.Pause(ctx, r.ID, "") })
	default:
		s.serve(r)
	}
}

// serve gives a run that waits what it waits for, sometimes twice, and lets one go on that
// is paused.
func (s *simulation) serve(r store.Run) {
	if r.Status == durable.Paused {
		s.order("resume", r.ID, "", func(ctx context.Context, e *embedded.Engine) error { return e.Resume(ctx, r.ID) })
	}
	for _, w := range r.Waits {
		word := fmt.Sprintf("word %d", len(s.orders))
		data, err := json.Marshal(word)
		if err != nil {
			s.t.Fatal(err)
		}
		switch w.Kind {
		case durable.WaitSignal:
			s.order("signal", r.ID, word, func(ctx context.Context, e *embedded.Engine) error {
				return e.Signal(ctx, r.ID, durable.Signal{Name: w.Name, Data: data})
			})
		case durable.WaitAnswer:
			for range 1 + s.rng.IntN(2) {
				s.order("answer", r.ID, word, func(ctx context.Context, e *embedded.Engine) error {
					return e.Answer(ctx, r.ID, w.Interrupt.ID, data)
				})
			}
		case durable.WaitInDoubt: // the operator looks
			key := fmt.Sprintf("%s/%d/%d", r.ID, r.Segment, w.Command)
			res := durable.Resolution{Retry: true}
			if s.world.times(key) > 0 {
				res = durable.Resolution{Done: s.inputOf(r.ID, w.Command)}
			}
			s.order("resolve", r.ID, "", func(ctx context.Context, e *embedded.Engine) error { return e.Resolve(ctx, r.ID, w.Command, res) })
		default:
		}
	}
}

// inputOf is what a step in doubt was asked for, which is also what it answers.
func (s *simulation) inputOf(id durable.RunID, command int) (input json.RawMessage) {
	for _, e := range entriesOf(s.t, s.store)[id] {
		if e.Kind == durable.EntryIntent && e.Command == command {
			input = e.Input
		}
	}
	return input
}

// order gives an order, on a goroutine of its own.
func (s *simulation) order(what string, run durable.RunID, answer string, give func(context.Context, *embedded.Engine) error) {
	o := &order{what: what, run: run, answer: answer}
	s.orders = append(s.orders, o)
	s.sum.Orders++
	e := s.engine
	go func() {
		s.gate.note("order %s %s", what, run)
		o.err = give(s.t.Context(), e)
		s.gate.note("told %s %s %v", what, run, o.err)
		o.ended = true
	}()
}

func (s *simulation) list(f durable.Filter) []store.Run {
	runs, err := s.store.List(s.t.Context(), f)
	if err != nil {
		s.t.Fatal(err)
	}
	return runs
}

// crash is the sudden death of the process: what it had in memory is gone.
func (s *simulation) crash() {
	s.sum.Crashes++
	s.gate.note("crash")
	if err := s.gate.die(); err != nil {
		s.t.Errorf("what a dying process writes: %v", err)
	}
	s.halt()
	s.close()
	s.begin()
}

// halt ends the engine and waits for whoever works for it.
func (s *simulation) halt() {
	closed := false
	var err error
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		err = s.engine.Close(ctx)
		closed = true
	}()
	s.until(func() bool { return closed && !slices.ContainsFunc(s.orders, func(o *order) bool { return !o.ended }) })
	if err != nil {
		s.t.Errorf("close: %v", err)
	}
}

func (s *simulation) close() {
	if err := s.store.Close(); err != nil {
		s.t.Errorf("close the store: %v", err)
	}
}

// settle lets every run come to its end; nothing goes wrong any more.
func (s *simulation) settle() {
	for round := range 2000 {
		for s.gate.next() {
			s.sum.Passages++
		}
		open := s.list(durable.Filter{Limit: 1000, Statuses: []durable.Status{durable.Queued, durable.Running, durable.Waiting, durable.Paused}})
		busy := slices.ContainsFunc(s.orders, func(o *order) bool { return !o.ended })
		if len(open) == 0 && !busy {
			return
		}
		if !busy {
			for _, r := range open {
				s.serve(r)
			}
		}
		s.gate.wait(time.Minute)
		if round == 1999 {
			s.t.Errorf("%d runs do not end, such as %s, which is %s and waits for %v", len(open), open[0].ID, open[0].Status, open[0].Waits)
		}
	}
}
