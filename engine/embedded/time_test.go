package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
)

// The tests below run the real store inside a synctest bubble: what SQLite does takes
// no time there, and while everybody waits the clock jumps to the next timer.

const day = 24 * time.Hour

// sleeper sleeps as long as it is told and says how long that took by the journal.
func sleeper() durable.Program {
	return durable.NewProgram("p", func(ctx durable.Context, d time.Duration) (time.Duration, error) {
		before := durable.Now(ctx)
		err := durable.Sleep(ctx, d)
		return durable.Now(ctx).Sub(before), err
	})
}

func startSleep(t *testing.T, e *embedded.Engine, id durable.RunID, d time.Duration) {
	t.Helper()
	input, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: id, Program: "p", Input: input}); err != nil {
		t.Fatal(err)
	}
}

// parked waits until the run is parked and nothing of it is left in memory.
func parked(t *testing.T, e *embedded.Engine, id durable.RunID) durable.Run {
	t.Helper()
	r, err := e.Settle(t.Context(), id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != durable.Waiting {
		t.Fatalf("the run is %s (%s)", r.Status, r.Reason)
	}
	synctest.Wait()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, left := range []string{"embedded.(*live)", "iter.Pull"} {
		if strings.Contains(string(stacks), left) {
			t.Errorf("a parked run has left goroutines behind:\n%s", stacks)
		}
	}
	return r
}

// TestLongTimer: a run that sleeps a month costs nothing, says when it wakes, and
// wakes at that moment.
func TestLongTimer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir)
		e := openEngine(t, s, sleeper())
		defer closeEngine(t, e, s)
		began := time.Now()
		startSleep(t, e, "sleeper", 30*day)
		r := parked(t, e, "sleeper")
		want := []durable.Wait{{Kind: durable.WaitTimer, Name: "timer", Until: began.Add(30 * day).UTC()}}
		if diff := cmp.Diff(want, r.Waits); diff != "" {
			t.Errorf("waits: -want +got\n%s", diff)
		}
		if row, err := s.Run(t.Context(), "sleeper"); err != nil || !row.Wake.Equal(began.Add(30*day)) {
			t.Errorf("it wakes at %s, error %v", row.Wake, err)
		}
		if r = waitLong(t, e, "sleeper"); r.Status != durable.Succeeded || string(r.Output) != fmt.Sprint(int64(30*day)) {
			t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
		}
		if took := time.Since(began); took != 30*day {
			t.Errorf("it woke after %s", took)
		}
	})
}

// waitLong waits for the end of a run, without a deadline that a jump of the clock
// would reach first.
func waitLong(t *testing.T, e *embedded.Engine, id durable.RunID) durable.Run {
	t.Helper()
	r, err := e.Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTimerAcrossProcesses: a timer is due when it is due, whoever is there.
func TestTimerAcrossProcesses(t *testing.T) {
	for _, c := range []struct {
		name           string
		closed, opened time.Duration // since the start
		want           time.Duration // until the end
	}{
		{"reopened before it is due", 10 * day, 20 * day, 30 * day},
		{"reopened at the moment it is due", 10 * day, 30 * day, 30 * day},
		{"reopened after it was due", 10 * day, 45 * day, 45 * day},
		{"closed at once", 0, 29 * day, 30 * day},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := openStore(t, dir)
				e := openEngine(t, s, sleeper())
				began := time.Now()
				startSleep(t, e, "sleeper", 30*day)
				parked(t, e, "sleeper")
				<-time.After(c.closed)
				closeEngine(t, e, s)
				<-time.After(c.opened - time.Since(began))
				s = openStore(t, dir)
				e = openEngine(t, s, sleeper())
				defer closeEngine(t, e, s)
				r := waitLong(t, e, "sleeper")
				if took := time.Since(began); r.Status != durable.Succeeded || took != c.want || string(r.Output) != fmt.Sprint(int64(c.want)) {
					t.Errorf("the run is %s (%s) with %s after %s", r.Status, r.Reason, r.Output, took)
				}
			})
		})
	}
}

// TestTimerOfPausedRun: a timer counts from when the program asked for it, also where it could be
// recorded only later.
func TestTimerOfPausedRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir)
		e := openEngine(t, s, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
			if _, err := durable.Receive[int](ctx, "go"); err != nil {
				return 0, err
			}
			return 0, durable.Sleep(ctx, time.Hour)
		}))
		defer closeEngine(t, e, s)
		id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
		if err != nil {
			t.Fatal(err)
		}
		parked(t, e, id)
		if err := e.Pause(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := e.Signal(t.Context(), id, durable.Signal{Name: "go", Data: json.RawMessage("1")}); err != nil {
			t.Fatal(err)
		}
		<-time.After(40 * time.Minute)
		if err := e.Resume(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if r := waitLong(t, e, id); r.Status != durable.Succeeded || time.Since(began) != time.Hour {
			t.Errorf("the run is %s (%s) after %s", r.Status, r.Reason, time.Since(began))
		}
	})
}

// TestShortTimers: waits that are too short to park are kept to as well.
func TestShortTimers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir)
		e := openEngine(t, s, sleeper())
		defer closeEngine(t, e, s)
		for i, d := range []time.Duration{0, time.Microsecond, 10 * time.Millisecond, 999 * time.Millisecond, time.Second, 1001 * time.Millisecond} {
			began, id := time.Now(), durable.RunID(fmt.Sprint("sleeper", i))
			startSleep(t, e, id, d)
			if r := waitLong(t, e, id); r.Status != durable.Succeeded || time.Since(began) != d {
				t.Errorf("%s: the run is %s (%s) after %s", d, r.Status, r.Reason, time.Since(began))
			}
		}
	})
}

// TestBackoff: the attempts of a step are made when its policy says; a longer
// RetryAfter wins; nothing of the run is in memory in between.
func TestBackoff(t *testing.T) {
	after := func(d time.Duration) error {
		return &durable.Error{Code: durable.CodeExhausted, Err: errors.New("slow down"), RetryAfter: d}
	}
	busy := durable.Errorf(durable.CodeUnavailable, "busy")
	ms := time.Millisecond
	for _, c := range []struct {
		name  string
		retry durable.Retry
		errs  []error // of the attempts; then it succeeds
		want  []time.Duration
	}{
		{"defaults", durable.Retry{}, []error{busy, busy, busy}, []time.Duration{0, 200 * ms, 600 * ms, 1400 * ms}},
		{
			"doubled up to the cap",
			durable.Retry{Attempts: 6, Backoff: 10 * time.Second, Max: time.Minute},
			[]error{busy, busy, busy, busy, busy},
			[]time.Duration{0, 10 * time.Second, 30 * time.Second, 70 * time.Second, 130 * time.Second, 190 * time.Second},
		},
		{
			"asked to wait longer",
			durable.Retry{Attempts: 5, Backoff: 10 * time.Second},
			[]error{after(time.Hour), busy, after(time.Second)},
			[]time.Duration{0, time.Hour, time.Hour + 20*time.Second, time.Hour + 50*time.Second},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var got []time.Duration
				flaky := durable.NewFunc("flaky", durable.StepOptions{Retry: c.retry}, func(context.Context, int) (int, error) {
					got = append(got, time.Since(began))
					if n := len(got); n <= len(c.errs) {
						return 0, c.errs[n-1]
					}
					return len(got), nil
				})
				s := openStore(t, dir)
				e := openEngine(t, s, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
					return durable.Do(ctx, flaky, 0)
				}, flaky.StepFunc))
				defer closeEngine(t, e, s)
				if _, err := e.Start(t.Context(), durable.StartRequest{ID: "flaky", Program: "p"}); err != nil {
					t.Fatal(err)
				}
				if c.want[1] >= 10*time.Second {
					r := parked(t, e, "flaky")
					want := []durable.Wait{{Kind: durable.WaitTimer, Name: "flaky", Until: began.Add(c.want[1]).UTC()}}
					if diff := cmp.Diff(want, r.Waits); diff != "" {
						t.Errorf("waits: -want +got\n%s", diff)
					}
				}
				if r := waitLong(t, e, "flaky"); r.Status != durable.Succeeded || string(r.Output) != fmt.Sprint(len(c.want)) {
					t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("attempts: -want +got\n%s", diff)
				}
			})
		})
	}
}

// TestBackoffAcrossProcesses: a process that ends between two attempts does not
// shorten the wait, and does not count them anew.
func TestBackoffAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var got []time.Duration
		flaky := durable.NewFunc("flaky", durable.StepOptions{Retry: durable.Retry{Attempts: 3, Backoff: time.Hour, Max: day}},
			func(ctx context.Context, _ int) (int, error) {
				got = append(got, time.Since(began))
				return 0, durable.Errorf(durable.CodeUnavailable, "attempt %d", durable.AttemptOf(ctx).Number)
			})
		program := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
			_, err := durable.Do(ctx, flaky, 0)
			return fmt.Sprint(err), nil
		}, flaky.StepFunc)
		s := openStore(t, dir)
		e := openEngine(t, s, program)
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: "flaky", Program: "p"}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			parked(t, e, "flaky")
			closeEngine(t, e, s)
			<-time.After(40 * time.Minute)
			s = openStore(t, dir)
			e = openEngine(t, s, program)
			synctest.Wait()
		}
		defer func() { closeEngine(t, e, s) }()
		if r := waitLong(t, e, "flaky"); string(r.Output) != `"attempt 3"` {
			t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
		}
		// The second attempt was due while nobody was there.
		if diff := cmp.Diff([]time.Duration{0, 80 * time.Minute, 80*time.Minute + 2*time.Hour}, got); diff != "" {
			t.Errorf("attempts: -want +got\n%s", diff)
		}
	})
}

// TestWithinAcrossProcesses: the time that a step has as a whole goes by while nobody is
// there, too.
func TestWithinAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		options := durable.StepOptions{Within: time.Hour, Retry: durable.Retry{Attempts: 100, Backoff: 25 * time.Minute, Max: 25 * time.Minute}}
		busy := durable.NewFunc("busy", options, func(context.Context, int) (int, error) {
			return 0, durable.Errorf(durable.CodeUnavailable, "busy")
		})
		program := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
			_, err := durable.Do(ctx, busy, 0)
			return string(durable.CodeOf(err)), nil
		}, busy.StepFunc)
		began := time.Now()
		s := openStore(t, dir)
		e := openEngine(t, s, program)
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: "busy", Program: "p"}); err != nil {
			t.Fatal(err)
		}
		parked(t, e, "busy")
		<-time.After(40 * time.Minute)
		closeEngine(t, e, s)
		s = openStore(t, dir)
		e = openEngine(t, s, program)
		defer closeEngine(t, e, s)
		if r := waitLong(t, e, "busy"); string(r.Output) != `"unavailable"` || time.Since(began) > time.Hour {
			t.Errorf("the run is %s (%s) with %s after %s", r.Status, r.Reason, r.Output, time.Since(began))
		}
	})
}

// TestStepTimeout: an attempt ends when its time is up, and the clock of the next
// attempt begins anew.
func TestStepTimeout(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		slow := durable.NewFunc("slow", durable.StepOptions{Timeout: time.Hour, Retry: durable.Retry{Attempts: 2, Backoff: time.Minute, Max: time.Minute}},
			func(ctx context.Context, _ int) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})
		s := openStore(t, dir)
		e := openEngine(t, s, durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
			_, err := durable.Do(ctx, slow, 0)
			return string(durable.CodeOf(err)), nil
		}, slow.StepFunc))
		defer closeEngine(t, e, s)
		began := time.Now()
		id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
		if err != nil {
			t.Fatal(err)
		}
		if r := waitLong(t, e, id); string(r.Output) != `"unavailable"` {
			t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
		}
		if took := time.Since(began); took != 2*time.Hour+time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

// TestManyParked: runs wake in the order in which they are due, each at its moment;
// more than a page of them may be due at once.
func TestManyParked(t *testing.T) {
	const spread, together = 100, 1100
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir)
		e := openEngine(t, s, sleeper())
		began := time.Now()
		var starts sync.WaitGroup
		want := map[durable.RunID]time.Time{}
		begin := func(id durable.RunID, d time.Duration) {
			want[id] = began.Add(d)
			starts.Go(func() { startSleep(t, e, id, d) })
		}
		for i := range spread {
			begin(durable.RunID(fmt.Sprint("spread", i)), time.Duration(spread-i)*time.Minute)
		}
		for i := range together {
			begin(durable.RunID(fmt.Sprint("together", i)), day)
		}
		starts.Wait()
		synctest.Wait()
		waiting, err := s.List(t.Context(), durable.Filter{Statuses: []durable.Status{durable.Waiting}, Limit: 10_000})
		if err != nil || len(waiting) != spread+together {
			t.Fatalf("%d runs are parked, error %v", len(waiting), err)
		}
		<-time.After(spread / 2 * time.Minute) // half of the spread ones are done; the others go on in the next process
		synctest.Wait()
		closeEngine(t, e, s)
		s = openStore(t, dir)
		e = openEngine(t, s, sleeper())
		defer closeEngine(t, e, s)
		for id, at := range want {
			r := waitLong(t, e, id)
			if r.Status != durable.Succeeded || !r.Updated.Equal(at) {
				t.Errorf("run %s is %s (%s) since %s, want %s", id, r.Status, r.Reason, r.Updated, at)
			}
		}
	})
}

// TestCanceledTimer: a cancel does not wait for the timer, and the timer does not
// come back for what has ended.
func TestCanceledTimer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir)
		e := openEngine(t, s, sleeper())
		defer closeEngine(t, e, s)
		began := time.Now()
		startSleep(t, e, "sleeper", 30*day)
		parked(t, e, "sleeper")
		<-time.After(3 * day)
		if err := e.Cancel(t.Context(), "sleeper", "no longer needed"); err != nil {
			t.Fatal(err)
		}
		if r := waitLong(t, e, "sleeper"); r.Status != durable.Canceled || time.Since(began) != 3*day {
			t.Errorf("the run is %s (%s) after %s", r.Status, r.Reason, time.Since(began))
		}
		if due, next, err := s.Due(t.Context(), began.Add(365*day), store.Wakeup{}, 10); err != nil || len(due) > 0 || !next.IsZero() {
			t.Errorf("due %v, next %s, error %v", due, next, err)
		}
	})
}

// moody is a store of which one run cannot be read for a while.
type moody struct {
	store.Store
	run  durable.RunID
	well time.Time // from then on it can
}

// Run implements store.Runs.
func (m *moody) Run(ctx context.Context, id durable.RunID) (store.Run, error) {
	if id == m.run && time.Now().Before(m.well) {
		return store.Run{}, durable.Errorf(durable.CodeUnavailable, "the disk is busy")
	}
	return m.Store.Run(ctx, id)
}

// TestDueRunThatCannotBeRead: a run whose time has come is woken as soon as it can be read,
// and holds up no other.
func TestDueRunThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir)
		e := openEngine(t, s, sleeper())
		for _, id := range []durable.RunID{"first", "second"} {
			startSleep(t, e, id, time.Hour)
		}
		<-time.After(time.Second)
		closeEngine(t, e, s)
		<-time.After(day)
		s = openStore(t, dir)
		e = openEngine(t, &moody{Store: s, run: "first", well: time.Now().Add(5 * time.Second)}, sleeper())
		defer closeEngine(t, e, s)
		began := time.Now()
		for id, within := range map[durable.RunID]time.Duration{"second": 0, "first": 7 * time.Second} {
			for {
				r, err := s.Run(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if r.Status == durable.Succeeded && r.Updated.Sub(began) <= within {
					break
				}
				if time.Since(began) > time.Minute {
					t.Fatalf("run %s is %s since %s", id, r.Status, r.Updated.Sub(began))
				}
				<-time.After(time.Second)
			}
		}
	})
}
