package embedded_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
	"github.com/orpine-run/orpine/store/storetest"
)

// soak makes the tests that search for faults go through everything they can reach.
var (
	soak = flag.Bool("soak", false, "the long form of the crash, simulation and linearity tests")
	seed = flag.Uint64("seed", 0, "the seed of these tests; 0 = a new one, which is printed")
)

// seedOf is the seed that a test uses.
func seedOf() uint64 {
	if *seed != 0 {
		return *seed
	}
	return rand.Uint64()
}

// brief picks the form of a test that searches for as long as it is given.
func brief[T any](long, short, shortest T) T {
	switch {
	case *soak:
		return long
	case testing.Short():
		return shortest
	}
	return short
}

// point is a moment of the scenario at which a process dies.
type point struct {
	at    int  // at this commit
	after bool // which lands, but nobody is told
	again int  // the recovery dies at this commit of its own; 0 = it does not
}

func (p point) String() string {
	return fmt.Sprintf("commit %d, after=%v, recovery crash %d", p.at, p.after, p.again)
}

// patience is how long one play may take; most take a second or two.
const patience = time.Minute

// scene is what is played again and again.
type scene struct {
	programs func(*ledger) []durable.Program
	play     func(context.Context, *embedded.Engine) (durable.Run, error) // to its end, or to the crash
	comesTo  string                                                       // the output of the run
	exactly  []string                                                     // effects that happen once, and not at most once like mail
}

// crashes is the search through all points.
type crashes struct {
	scene
	t      *testing.T
	want   [][]string // the journals of an undisturbed scenario
	output string
}

// TestCrashEverywhere kills the store at every commit of the scenario, before and
// after it lands, then at every commit of the recovery, and wants the same journal
// and the same effects each time. The short form takes part of the latter, at random.
func TestCrashEverywhere(t *testing.T) {
	t.Run("all there is", func(t *testing.T) {
		crashEverywhere(t, scene{programs: scenario, play: play, comesTo: comesTo, exactly: []string{"wire"}})
	})
	t.Run("losers", func(t *testing.T) { crashEverywhere(t, losers()) })
}

func crashEverywhere(t *testing.T, what scene) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), brief(2*time.Hour, 2*time.Minute, time.Minute))
	defer cancel()
	c := &crashes{scene: what, t: t}
	commits := c.calm(ctx)
	var first, second []point
	var mu sync.Mutex
	for _, after := range []bool{false, true} {
		for at := 1; at <= commits; at++ {
			first = append(first, point{at, after, 0})
		}
	}
	all(first, time.Time{}, func(p point) {
		recovery := c.crash(ctx, p)
		mu.Lock()
		defer mu.Unlock()
		for again := 1; again <= recovery; again++ {
			second = append(second, point{p.at, p.after, again})
		}
	})
	n := seedOf()
	r := rand.New(rand.NewPCG(n, 0))
	r.Shuffle(len(second), func(i, j int) { second[i], second[j] = second[j], second[i] })
	until := time.Time{}
	if limit := brief(0, 4*time.Second, time.Second); limit > 0 {
		until = time.Now().Add(limit)
	}
	began := time.Now()
	done := all(second, until, func(p point) { c.crash(ctx, p) })
	t.Logf("%d crash points: %d commits, before and after, and %d of the %d commits of their recoveries (%.1f s, seed %d)",
		len(first)+done, commits, done, len(second), time.Since(began).Seconds(), n)
	if done == 0 {
		t.Error("no recovery was killed: the test shows too little")
	}
}

// all calls do for each point, several at a time, because a recovery mostly waits: the
// rate of a limit is recorded ahead, and what a dead process had reserved is lost. It
// ends when the time is up and returns how many points it took.
func all(points []point, until time.Time, do func(point)) int {
	var next atomic.Int64
	var crew sync.WaitGroup
	wide := 32
	if raced {
		wide = 4 // it takes ten times the work
	}
	for range wide {
		crew.Go(func() {
			for {
				if !until.IsZero() && time.Now().After(until) {
					return
				}
				i := int(next.Add(1)) - 1
				if i >= len(points) {
					return
				}
				do(points[i])
			}
		})
	}
	crew.Wait()
	return min(int(next.Load()), len(points))
}

// calm plays the scenario undisturbed and returns how many commits it takes.
func (c *crashes) calm(ctx context.Context) int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var l ledger
	s, e := c.open(c.t.TempDir(), &l, 0, false)
	defer closeEngine(c.t, e, s)
	r, err := c.play(ctx, e)
	l.die()
	if err != nil || r.Status != durable.Succeeded {
		c.t.Fatal(r.Status, r.Reason, r.Error, err)
	}
	c.want, c.output = family(c.t, s), string(r.Output)
	if c.output != c.comesTo {
		c.t.Fatalf("undisturbed, the scenario comes to %s, want %s", c.output, c.comesTo)
	}
	return s.Commits()
}

func (c *crashes) open(dir string, l *ledger, at int, after bool) (*storetest.Faulty, *embedded.Engine) {
	c.t.Helper()
	inner, err := sqlite.Open(c.t.Context(), sqlite.Config{Dir: dir, ProcessDurability: true}) // nothing cuts the power here
	if err != nil {
		c.t.Fatal(err)
	}
	s := storetest.NewFaulty(inner, at, after)
	e, err := embedded.New(c.t.Context(), bounds(s, c.programs(l)))
	if err != nil {
		c.t.Fatal(err)
	}
	return s, e
}

// crash plays the scenario with one crash, or two, and to its end. It returns how many
// commits the last recovery took.
func (c *crashes) crash(ctx context.Context, p point) int {
	t := c.t
	if t.Failed() {
		return 0 // one is enough to look at
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Error(err)
		return 0
	}
	defer os.RemoveAll(dir) //nolint:errcheck // there are thousands of them; what is left goes with the test
	var l ledger
	faults := []int{p.at}
	if p.again > 0 {
		faults = append(faults, p.again)
	}
	for _, fault := range faults {
		s, e := c.open(dir, &l, fault, p.after)
		r, err := c.play(ctx, e)
		l.die()
		if err == nil && r.Status != durable.Succeeded {
			t.Errorf("%s: the run is %s (%s) without an error", p, r.Status, r.Reason)
		}
		closeEngine(t, e, s)
	}
	if p.again == 0 {
		c.replays(p, dir)
	}
	s, e := c.open(dir, &l, 0, false)
	defer closeEngine(t, e, s)
	r, err := c.play(ctx, e)
	l.die()
	if err != nil || r.Status != durable.Succeeded || string(r.Output) != c.output {
		t.Errorf("%s: the run is %s (%s) with %s, error %v", p, r.Status, r.Reason, r.Output, err)
	}
	c.verify(p, s, &l)
	return s.Commits()
}

// replays holds what a dead process has left against the programs.
func (c *crashes) replays(p point, dir string) {
	s, err := sqlite.Open(c.t.Context(), sqlite.Config{Dir: dir, ProcessDurability: true})
	if err != nil {
		c.t.Error(err)
		return
	}
	defer s.Close() //nolint:errcheck // it was only read
	if found := unfit(c.t, s, c.programs(&ledger{})); len(found) > 0 {
		c.t.Errorf("%s: journals do not replay after the crash: %v", p, found)
	}
}

// verify looks at what there is when the scenario has come to its end.
func (c *crashes) verify(p point, s store.Store, l *ledger) {
	t := c.t
	if diff := cmp.Diff(c.want, family(t, s)); diff != "" {
		t.Errorf("%s: -want +got\n%s", p, diff)
	}
	if n := l.times("mail"); n > 1 {
		t.Errorf("%s: the irreversible step ran %d times", p, n)
	}
	for _, effect := range c.exactly {
		if n := l.times(effect); n != 1 {
			t.Errorf("%s: %s happened %d times", p, effect, n)
		}
	}
	if keys := l.repeated(entriesOf(t, s)); len(keys) > 0 {
		t.Errorf("%s: steps were repeated after their result was recorded: %v", p, keys)
	}
	if left, err := s.Ready(t.Context(), 0, 10); err != nil || len(left) > 0 {
		t.Errorf("%s: unfinished runs are left: %v, error %v", p, left, err)
	}
	if found := unfit(t, s, c.programs(&ledger{})); len(found) > 0 {
		t.Errorf("%s: journals do not replay: %v", p, found)
	}
	if found := damage(t, s); len(found) > 0 {
		t.Errorf("%s: the store is damaged: %v", p, found)
	}
}
