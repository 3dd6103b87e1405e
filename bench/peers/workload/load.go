package workload

import (
	"hash/maphash"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Load is the worker's side of the workloads: the bodies of the steps and what they
// note when they begin. All methods are safe for concurrent use.
type Load struct {
	model  string
	client *http.Client

	measuring atomic.Bool
	steps     atomic.Int64
	seed      maphash.Seed
	shards    [64]shard

	parked  atomic.Int64
	resumed atomic.Int64
	watched sync.Map // run -> chan struct{}, closed by After

	first   sync.Once
	onFirst func()
}

// shard keeps when the last step of some of the runs began.
type shard struct {
	mu   sync.Mutex
	last map[string]time.Time
	gaps []time.Duration
}

// New makes a load whose model steps call the model at this URL. If first is not nil it
// is called by the first step of all.
func New(model string, first func()) *Load {
	l := &Load{model: model, client: Client(), seed: maphash.MakeSeed(), onFirst: first}
	for i := range l.shards {
		l.shards[i].last = map[string]time.Time{}
	}
	return l
}

// Step is the body of step i of a run of Steps or Cold.
func (l *Load) Step(run string, i int) string {
	now := time.Now()
	l.first.Do(func() {
		if l.onFirst != nil {
			l.onFirst()
		}
	})
	l.note(run, i, now)
	return Output(run, i)
}

// note counts the step and, if the one before it began in the window as well, the time
// between the two: persist the result, wake the run, dispatch the next step.
func (l *Load) note(run string, i int, now time.Time) {
	s := &l.shards[maphash.String(l.seed, run)%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.measuring.Load() {
		l.steps.Add(1)
		if last, ok := s.last[run]; ok && i > 0 {
			s.gaps = append(s.gaps, now.Sub(last))
		}
	}
	if i == StepsPerRun-1 {
		delete(s.last, run)
	} else {
		s.last[run] = now
	}
}

// Before is the body of the step in front of a parked run's wait.
func (l *Load) Before(run string) string {
	l.parked.Add(1)
	return Output(run, 0)
}

// After is the body of the step behind a parked run's wait.
func (l *Load) After(run string) string {
	if c, ok := l.watched.LoadAndDelete(run); ok {
		close(c.(chan struct{})) //nolint:errcheck // only Watch writes to the map
	}
	l.resumed.Add(1)
	return Output(run, 1)
}

// Watch returns a channel that After closes for this run.
func (l *Load) Watch(run string) <-chan struct{} {
	c := make(chan struct{})
	l.watched.Store(run, c)
	return c
}

// Measure opens or closes the window in which steps are counted.
func (l *Load) Measure(on bool) { l.measuring.Store(on) }

// Measuring says whether the window is open.
func (l *Load) Measuring() bool { return l.measuring.Load() }

// StepsBegun is how many steps began in the window.
func (l *Load) StepsBegun() int64 { return l.steps.Load() }

// Parked is how many runs have done the step in front of their wait.
func (l *Load) Parked() int64 { return l.parked.Load() }

// Resumed is how many runs have reached the step behind their wait.
func (l *Load) Resumed() int64 { return l.resumed.Load() }

// Gaps are the times between successive steps of a run, in no order.
func (l *Load) Gaps() []time.Duration {
	var all []time.Duration
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		all = append(all, s.gaps...)
		s.mu.Unlock()
	}
	return all
}
