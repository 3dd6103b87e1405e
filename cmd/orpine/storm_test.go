package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

// TestKillStorm kills a busy process at random moments of its whole life, many times a
// second and over several data directories at once, and holds what its users were told,
// what really ran and what was paid against what the journals say in the end.
func TestKillStorm(t *testing.T) {
	n := 250
	if testing.Short() {
		n = 60
	}
	if *kills > 0 {
		n = *kills
	}
	seed := *stormSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	began := time.Now()
	led := newStormLedger(t)
	var left, killed, young atomic.Int64
	left.Store(int64(n))
	var sum tally
	var mu sync.Mutex
	var lanes sync.WaitGroup
	for lane := range 4 {
		lanes.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(lane)))
			for left.Load() > 0 && !t.Failed() {
				d := newDirectory(t, led, "full")
				for range 25 {
					if left.Add(-1) < 0 {
						break
					}
					if !d.life(r.IntN(5) == 0, time.Duration(r.Float64()*float64(50*time.Millisecond))) {
						young.Add(1)
					}
					if k := killed.Add(1); k%1000 == 0 {
						t.Logf("%d kills, %.0f a second", k, float64(k)/time.Since(began).Seconds())
					}
				}
				d.calm()
				found := d.verify()
				_ = os.RemoveAll(d.path) // of some storms there are thousands; what is left goes with the test
				for _, p := range found.problems {
					t.Errorf("%s (seed %d)", p, seed)
				}
				mu.Lock()
				sum.add(found)
				mu.Unlock()
			}
		})
	}
	lanes.Wait()
	secs := time.Since(began).Seconds()
	t.Logf("%d kills (%d before the directory was open) in %.0f s, %.1f kills/s, seed %d: %s", killed.Load(), young.Load(), secs, float64(killed.Load())/secs, seed, sum)
	// A kill within the few milliseconds of a payment is rare where little gets done between two kills.
	if sum.acks == 0 || sum.recovered == 0 || sum.paid == 0 || (n >= 2000 && sum.doubts+sum.reconciled == 0) {
		t.Errorf("the kills show too little: %s", sum)
	}
}

// tally is what a storm comes to.
type tally struct {
	runs, acks, steps, lost, recovered, repeated, paid, twice, doubts, reconciled, resumed int
	problems                                                                               []string
}

func (s *tally) add(o tally) {
	s.runs += o.runs
	s.acks += o.acks
	s.steps += o.steps
	s.lost += o.lost
	s.recovered += o.recovered
	s.repeated += o.repeated
	s.paid += o.paid
	s.twice += o.twice
	s.doubts += o.doubts
	s.reconciled += o.reconciled
	s.resumed += o.resumed
}

func (s tally) String() string {
	return fmt.Sprintf("%d runs taken over %d times, %d acknowledged entries, %d of them steps, %d lost; %d steps repeated after their result was recorded; "+
		"%d payments, %d made twice, %d in doubt, %d found out; %d runs resumed after too many kills",
		s.runs, s.recovered, s.acks, s.steps, s.lost, s.repeated, s.paid, s.twice, s.doubts, s.reconciled, s.resumed)
}

// stormLedger is the ledger in a process of its own that all directories share.
type stormLedger struct {
	path, url string
}

func newStormLedger(t *testing.T) *stormLedger {
	t.Helper()
	binary, err := effectBinary()
	if err != nil {
		t.Fatal(err)
	}
	led := &stormLedger{path: filepath.Join(t.TempDir(), "ledger")}
	url := make(chan string, 1)
	cmd := exec.Command(binary, "ledger", led.path)
	cmd.Stdout = &lines{each: func(_ *process, line string) {
		if strings.HasPrefix(line, "http://") {
			url <- line
		}
	}}
	life, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(life.Close(), cmd.Wait()); err != nil {
			t.Errorf("the ledger: %v", err)
		}
	})
	led.url = <-url
	return led
}

// paid counts the payments of each step.
func (l *stormLedger) paid() (map[string]int, error) {
	data, err := os.ReadFile(l.path)
	paid := map[string]int{}
	for line := range strings.Lines(string(data)) {
		paid[strings.TrimSpace(line)]++
	}
	return paid, err
}

// directory is a data directory that a storm goes over, and what its users were told.
type directory struct {
	t       *testing.T
	led     *stormLedger
	path    string
	flush   string // full, or process
	acks    map[string]string
	started map[string]bool
	signals map[string]bool
	ran     map[string][]int64 // epochs in which a step was executed, by key
	resumed int
}

func newDirectory(t *testing.T, led *stormLedger, flush string) *directory {
	t.Helper()
	return directoryAt(t, led, flush, filepath.Join(t.TempDir(), "data"))
}

func directoryAt(t *testing.T, led *stormLedger, flush, path string) *directory {
	t.Helper()
	return &directory{
		t: t, led: led, flush: flush, path: path,
		acks: map[string]string{}, started: map[string]bool{}, signals: map[string]bool{}, ran: map[string][]int64{},
	}
}

// launch starts a process; hear is told of each line. It lives no longer than life is open.
func (d *directory) launch(verb string, hear func(string)) (cmd *exec.Cmd, life io.Closer, out *lines) {
	binary, err := effectBinary()
	if err != nil {
		d.t.Error(err)
		return nil, nil, nil
	}
	cmd = exec.Command(binary, verb, d.path, d.led.url, d.flush)
	out = &lines{}
	cmd.Stdout, cmd.Stderr = &lines{each: func(_ *process, line string) { hear(line) }}, out
	if life, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.t.Error(err)
		return nil, nil, nil
	}
	return cmd, life, out
}

// life is one process, which is killed a while after its birth, if it is to die young, or
// after it has opened the directory; true if it had.
func (d *directory) life(young bool, after time.Duration) (ready bool) {
	doom := make(chan struct{}, 2)
	cmd, life, out := d.launch("storm", func(line string) {
		if line == "ready" {
			ready = true
			doom <- struct{}{}
		}
		d.hear(line)
	})
	if cmd == nil {
		return false
	}
	if young {
		doom <- struct{}{}
	}
	gone, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-doom:
			<-time.After(after)
		case <-time.After(time.Minute): // it hangs, and never said that it was ready
		case <-gone:
		}
		_ = cmd.Process.Kill()
	}()
	_ = cmd.Wait()
	close(gone)
	<-watched
	_ = life.Close()
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		d.t.Errorf("a process of the storm ended with exit code %d before it was killed\n%s", code, out)
	}
	return ready
}

// hear notes what a process said. Its last line may be cut short, and is not a line then.
func (d *directory) hear(line string) {
	words := strings.Fields(line)
	switch words[0] {
	case "started":
		d.started[words[1]] = true
	case "signaled":
		d.signals[words[1]] = true
	case "ack":
		key := words[1] + " " + words[2]
		if before, ok := d.acks[key]; ok && before != line {
			d.t.Errorf("watchers were told two things:\n%s\n%s", before, line)
		}
		d.acks[key] = line
	case "resumed":
		d.resumed++
	case "ran":
		epoch, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			d.t.Errorf("line %q: %v", line, err)
		}
		d.ran[words[1]] = append(d.ran[words[1]], epoch)
	default:
	}
}

// calm has a process drive everything to where it can get without a person.
func (d *directory) calm() {
	cmd, life, out := d.launch("calm", d.hear)
	if cmd == nil {
		return
	}
	dead := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer dead.Stop()
	err := cmd.Wait()
	_ = life.Close()
	if err != nil {
		d.t.Errorf("after the storm: %v\n%s", err, out)
	}
}

// verify holds what was said, run and paid against the journals.
func (d *directory) verify() (found tally) {
	bad := func(format string, args ...any) {
		found.problems = append(found.problems, fmt.Sprintf(format, args...))
	}
	ctx := context.Background()
	r, err := orpine.OpenReader(ctx, d.path)
	if err != nil {
		if len(d.acks)+len(d.started) > 0 {
			found.lost = len(d.acks) + len(d.started)
			bad("the directory cannot be read: %v", err)
		}
		return found
	}
	defer r.Close() //nolint:errcheck // it was only read
	health, err := r.Verify(ctx, orpine.Verification{Deep: true})
	if err != nil || len(health.Problems) > 0 {
		bad("damaged: %v, error %v", health.Problems, err)
	}
	if health.Unfinished > 0 {
		bad("%d runs are unfinished", health.Unfinished)
	}
	paid, errPaid := d.led.paid()
	runs, errRuns := r.List(ctx, durable.Filter{Limit: 1 << 20})
	if err := errors.Join(errPaid, errRuns); err != nil {
		bad("%v", err)
		return found
	}
	said := map[string]bool{}
	for _, run := range runs {
		found.runs++
		said[string(run.ID)] = true
		d.verifyRun(ctx, r, run, paid, &found, bad)
	}
	for id := range d.started {
		if !said[id] {
			found.lost++
			bad("run %s was acknowledged, and is lost", id)
		}
	}
	for _, line := range d.acks { // each that was found has been taken out
		found.lost++
		bad("lost: %s", line)
	}
	return found
}

func (d *directory) verifyRun(ctx context.Context, r *orpine.Reader, run durable.Run, paid map[string]int, found *tally, bad func(string, ...any)) {
	entries, err := r.Entries(ctx, run.ID, -1, 1<<20)
	if err != nil {
		bad("run %s: %v", run.ID, err)
		return
	}
	segment, signals := 0, 0
	doubts := map[string]bool{} // steps with an intent and no outcome
	for _, e := range entries {
		name := fmt.Sprintf("%s %d", run.ID, e.Seq)
		if line, told := d.acks[name]; told {
			found.acks++
			delete(d.acks, name)
			if want := fmt.Sprintln("ack", run.ID, e.Seq, e.Kind, e.Command, e.Attempt, e.Time.UnixMicro()); strings.TrimSpace(want) != line {
				bad("a watcher was told %q, the journal says %q", line, want)
			}
			if e.Kind == durable.EntryDone {
				found.steps++
			}
		}
		key := fmt.Sprintf("%s/%d/%d", run.ID, segment, e.Command)
		switch e.Kind {
		case durable.EntryContinued:
			segment = e.Segment
		case durable.EntryClaimed:
			found.recovered++
		case durable.EntrySignal:
			signals++
		case durable.EntryIntent:
			doubts[key] = true
		case durable.EntryAttempt:
			delete(doubts, key)
		case durable.EntryDone:
			d.verifyStep(key, e, doubts[key], paid[key], found, bad)
			delete(doubts, key)
		default:
		}
	}
	if d.signals[string(run.ID)] && signals == 0 {
		found.lost++
		bad("the signal to run %s was acknowledged, and is lost", run.ID)
	}
	d.verifyEnd(run, doubts, paid, found, bad)
}

// verifyStep looks at a step whose result is recorded.
func (d *directory) verifyStep(key string, e durable.Entry, intended bool, paid int, found *tally, bad func(string, ...any)) {
	epochs := d.ran[key]
	slices.Sort(epochs)
	for _, epoch := range epochs {
		if epoch > e.Epoch {
			found.repeated++
			bad("step %s %s ran in epoch %d, after epoch %d had recorded it", key, e.Name, epoch, e.Epoch)
		}
	}
	if e.Effect != durable.Irreversible {
		return
	}
	found.paid += paid
	if e.Reason == "reconciled" {
		found.reconciled++
	}
	if paid > 1 {
		found.twice++
	}
	if !intended || paid != 1 {
		bad("step %s %s is done, with an intent: %v, and was paid %d times", key, e.Name, intended, paid)
	}
}

// verifyEnd looks at where a run got: a step that nobody can know of must be shown.
func (d *directory) verifyEnd(run durable.Run, doubts map[string]bool, paid map[string]int, found *tally, bad func(string, ...any)) {
	shown := map[string]bool{}
	for _, w := range run.Waits {
		if w.Kind == durable.WaitInDoubt {
			shown[fmt.Sprintf("%s/1/%d", run.ID, w.Command)] = true
		}
	}
	if !maps.Equal(shown, doubts) {
		bad("run %s (%s): steps %v are in doubt, and %v are shown to be", run.ID, run.Status, doubts, shown)
	}
	for key := range doubts {
		found.doubts++
		found.paid += paid[key]
		if paid[key] > 1 {
			found.twice++
			bad("step %s is in doubt, and was paid %d times", key, paid[key])
		}
	}
	if want := (map[bool]durable.Status{true: durable.Waiting, false: durable.Succeeded})[len(doubts) > 0]; run.Status != want {
		bad("run %s is %s (%s), waits for %v, want %s", run.ID, run.Status, run.Reason, run.Waits, want)
	}
	found.resumed, d.resumed = found.resumed+d.resumed, 0
}
