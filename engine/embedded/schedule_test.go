package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
)

// visits records who was there and when, since a moment.
type visits struct {
	mu    sync.Mutex
	began time.Time
	who   []string
	when  []time.Duration
	now   int // who are there at this moment
	most  int
}

func (v *visits) enter(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.who, v.when = append(v.who, name), append(v.when, time.Since(v.began))
	v.now++
	v.most = max(v.most, v.now)
}

func (v *visits) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now--
}

// visitor is a program whose one step stays for a while under the limit "door".
func visitor(v *visits, stay time.Duration, effect durable.Effect) durable.Program {
	visit := durable.NewFunc("visit", durable.StepOptions{Effect: effect, Limit: "door"}, func(ctx context.Context, name string) (string, error) {
		v.enter(name)
		defer v.leave()
		select {
		case <-time.After(stay):
			return name, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	return durable.NewProgram("p", func(ctx durable.Context, name string) (string, error) {
		return durable.Do(ctx, visit, name)
	}, visit.StepFunc)
}

func openWith(t *testing.T, s store.Store, cfg embedded.Config) *embedded.Engine {
	t.Helper()
	cfg.Store = s
	e, err := embedded.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func visitStart(t *testing.T, e *embedded.Engine, name string, req durable.StartRequest) error {
	t.Helper()
	input, err := json.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	req.ID, req.Program, req.Input = durable.RunID(name), "p", input
	_, err = e.Start(t.Context(), req)
	return err
}

// TestAtOnce: no more attempts run at once than a limit says, whatever their effect, and
// all of them run.
func TestAtOnce(t *testing.T) {
	for _, effect := range []durable.Effect{durable.Read, durable.Idempotent, durable.Irreversible} {
		t.Run(string(effect), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				v := &visits{began: time.Now()}
				s := openStore(t, dir)
				e := openWith(t, s, embedded.Config{Programs: []durable.Program{visitor(v, time.Second, effect)}, Limits: map[string]embedded.Limit{"door": {AtOnce: 3}}})
				defer closeEngine(t, e, s)
				for i := range 10 {
					if err := visitStart(t, e, fmt.Sprint("run", i), durable.StartRequest{}); err != nil {
						t.Fatal(err)
					}
				}
				for i := range 10 {
					if r := waitLong(t, e, durable.RunID(fmt.Sprint("run", i))); r.Status != durable.Succeeded {
						t.Errorf("run %d is %s (%s)", i, r.Status, r.Reason)
					}
				}
				if v.most != 3 || time.Since(v.began) != 4*time.Second {
					t.Errorf("%d at once, %s in all", v.most, time.Since(v.began))
				}
			})
		})
	}
}

// TestRateOutlivesTheProcess: so many attempts begin in a period, after a burst, and a
// process that takes over does not begin the period anew.
func TestRateOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		v := &visits{began: time.Now()}
		cfg := embedded.Config{
			Programs: []durable.Program{visitor(v, 0, durable.Idempotent)},
			Limits:   map[string]embedded.Limit{"door": {Count: 6, Per: time.Minute, Burst: 2}},
		}
		s := openStore(t, dir)
		e := openWith(t, s, cfg)
		for i := range 6 {
			if err := visitStart(t, e, fmt.Sprint("run", i), durable.StartRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(15 * time.Second)
		closeEngine(t, e, s)
		first := slices.Clone(v.when)
		if diff := cmp.Diff([]time.Duration{0, 0, 10 * time.Second}, first); diff != "" {
			t.Errorf("the first process: -want +got\n%s", diff)
		}
		s = openStore(t, dir)
		e = openWith(t, s, cfg)
		defer closeEngine(t, e, s)
		for i := range 6 {
			if r := waitLong(t, e, durable.RunID(fmt.Sprint("run", i))); r.Status != durable.Succeeded {
				t.Errorf("run %d is %s (%s)", i, r.Status, r.Reason)
			}
		}
		// What was recorded ahead of its use may be lost, a second at most; nothing is won.
		for i, least := range []time.Duration{20 * time.Second, 30 * time.Second, 40 * time.Second} {
			if got := v.when[3+i]; got < least || got > least+2*time.Second {
				t.Errorf("attempt %d began after %s, want %s to 2 s later", 3+i, got, least)
			}
		}
	})
}

// TestFairShares: a tenant that asks for much does not make others wait for all of it;
// within a share the higher priority goes first, and age counts.
func TestFairShares(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		v := &visits{began: time.Now()}
		s := openStore(t, dir)
		e := openWith(t, s, embedded.Config{Programs: []durable.Program{visitor(v, time.Second, durable.Idempotent)}, Limits: map[string]embedded.Limit{"door": {AtOnce: 1}}})
		defer closeEngine(t, e, s)
		start := func(name, share string, priority int) {
			t.Helper()
			if err := visitStart(t, e, name, durable.StartRequest{Share: share, Priority: priority}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		for i := range 5 {
			start(fmt.Sprint("big", i), "big", 0)
		}
		start("small0", "small", 0)
		start("small1", "small", 0)
		start("urgent", "big", 5)
		for _, id := range []durable.RunID{"big4", "small1", "urgent"} {
			waitLong(t, e, id)
		}
		want := []string{"big0", "urgent", "small0", "big1", "small1", "big2", "big3", "big4"}
		if diff := cmp.Diff(want, v.who); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// TestTenantIsShare: a run that names no share uses that of its tenant, and so do its children.
func TestTenantIsShare(t *testing.T) {
	child := durable.NewProgram("child", func(durable.Context, int) (int, error) { return 0, nil })
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		return 0, ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage("0")}).Get(ctx, nil)
	})
	for _, c := range []struct{ share, want string }{{"", "acme"}, {"batch", "batch"}} {
		s := openStore(t, t.TempDir())
		e := openEngine(t, s, p, child)
		id, err := e.Start(t.Context(), durable.StartRequest{Program: "p", Input: json.RawMessage("0"), Tenant: "acme", Share: c.share})
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, e, id)
		runs, err := s.List(t.Context(), durable.Filter{})
		if err != nil || len(runs) != 2 {
			t.Errorf("%d runs, error %v", len(runs), err)
		}
		for _, r := range runs {
			if r.Share != c.want || r.Tenant != "acme" {
				t.Errorf("run %s of tenant %q uses the share %q, want %q", r.Program, r.Tenant, r.Share, c.want)
			}
		}
		closeEngine(t, e, s)
	}
}

// TestAgeing: what waits long enough goes ahead of what is more important and came later.
func TestAgeing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		v := &visits{began: time.Now()}
		s := openStore(t, dir)
		e := openWith(t, s, embedded.Config{Programs: []durable.Program{visitor(v, 6*time.Second, durable.Idempotent)}, Limits: map[string]embedded.Limit{"door": {AtOnce: 1}}})
		defer closeEngine(t, e, s)
		for i, r := range []struct {
			name     string
			priority int
		}{{"first", 0}, {"humble", 0}, {"early", 1}, {"later", 1}, {"latest", 1}} {
			if i > 1 {
				<-time.After(5 * time.Second) // what comes 10 s later needs one priority more
			}
			if err := visitStart(t, e, r.name, durable.StartRequest{Priority: r.priority}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		waitLong(t, e, "latest")
		if diff := cmp.Diff([]string{"first", "early", "humble", "later", "latest"}, v.who); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// TestQueues: a queue lets so many runs be in motion, keeps so many waiting and refuses
// the rest; who waits survives the process, can be canceled and killed, and a run that
// parks makes room.
func TestQueues(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		v := &visits{began: time.Now()}
		cfg := embedded.Config{Programs: []durable.Program{visitor(v, time.Minute, durable.Read)}, Queues: map[string]embedded.Queue{"narrow": {AtOnce: 2, Depth: 4}}}
		s := openStore(t, dir)
		e := openWith(t, s, cfg)
		in := func(name string) error {
			return visitStart(t, e, name, durable.StartRequest{Queue: "narrow"})
		}
		for i := range 6 {
			if err := in(fmt.Sprint("run", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := in("run6"); !errors.Is(err, durable.ErrExhausted) {
			t.Errorf("one too many: %v", err)
		}
		if err := visitStart(t, e, "other", durable.StartRequest{Queue: "none"}); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("an unknown queue: %v", err)
		}
		synctest.Wait()
		if r, err := e.Get(t.Context(), "run4"); err != nil || r.Status != durable.Queued {
			t.Errorf("run4 is %s, error %v", r.Status, err)
		}
		if err := e.Cancel(t.Context(), "run2", "no longer"); err != nil {
			t.Error(err)
		}
		if r := waitLong(t, e, "run2"); r.Status != durable.Canceled {
			t.Errorf("run2 is %s", r.Status)
		}
		if err := e.Kill(t.Context(), "run3", "no longer"); err != nil {
			t.Error(err)
		}
		if err := in("run6"); err != nil {
			t.Errorf("there is room again: %v", err)
		}
		if v.most != 2 || len(v.who) != 2 {
			t.Errorf("%v were there", v.who)
		}
		closeEngine(t, e, s)
		s = openStore(t, dir)
		e = openWith(t, s, cfg)
		defer closeEngine(t, e, s)
		for _, id := range []durable.RunID{"run0", "run1", "run4", "run5", "run6"} {
			if r := waitLong(t, e, id); r.Status != durable.Succeeded {
				t.Errorf("%s is %s (%s)", id, r.Status, r.Reason)
			}
		}
		if v.most != 2 {
			t.Errorf("%d at once", v.most)
		}
		last := v.who[len(v.who)-3:]
		slices.Sort(last[:2]) // two places were free at the same moment
		if diff := cmp.Diff([]string{"run4", "run5", "run6"}, last); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

func standsStill(t *testing.T, e *embedded.Engine, id durable.RunID, want durable.Status) durable.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := e.Settle(ctx, id, time.Time{})
	if err != nil || r.Status != want {
		t.Fatalf("%s is %s (%s), error %v", id, r.Status, r.Reason, err)
	}
	return r
}

// TestParkedMakeRoom: a run that waits for something does not count.
func TestParkedMakeRoom(t *testing.T) {
	s := openStore(t, t.TempDir())
	waiter := durable.NewProgram("p", func(ctx durable.Context, _ string) (string, error) {
		return durable.Receive[string](ctx, "go")
	})
	e := openWith(t, s, embedded.Config{Programs: []durable.Program{waiter}, Queues: map[string]embedded.Queue{"": {AtOnce: 1, Depth: 100}}})
	defer closeEngine(t, e, s)
	for i := range 20 {
		if err := visitStart(t, e, fmt.Sprint("run", i), durable.StartRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		standsStill(t, e, durable.RunID(fmt.Sprint("run", i)), durable.Waiting)
	}
}

// TestWithin: a step as a whole is bounded, with its attempts and the waits between them,
// across processes too; a step that shows no sign of life is ended.
func TestWithin(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Duration
		began := time.Now()
		flaky := durable.NewFunc("flaky", durable.StepOptions{Within: 100 * time.Minute, Retry: durable.Retry{Attempts: 100, Backoff: 30 * time.Minute, Max: 30 * time.Minute}},
			func(context.Context, int) (int, error) {
				calls = append(calls, time.Since(began))
				return 0, durable.Errorf(durable.CodeUnavailable, "busy")
			})
		silent := durable.NewFunc("silent", durable.StepOptions{Heartbeat: time.Minute, Retry: durable.Retry{Attempts: 1}},
			func(ctx context.Context, beats int) (int, error) {
				for range beats {
					<-time.After(50 * time.Second)
					durable.AttemptOf(ctx).Beat()
				}
				<-ctx.Done()
				return 0, ctx.Err()
			})
		p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
			_, err := durable.Do(ctx, flaky, 0)
			_, quiet := durable.Do(ctx, silent, 3)
			return fmt.Sprint(err, "; ", quiet), nil
		}, flaky.StepFunc, silent.StepFunc)
		s := openStore(t, dir)
		e := openEngine(t, s, p)
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"}); err != nil {
			t.Fatal(err)
		}
		parked(t, e, "r")
		<-time.After(40 * time.Minute)
		synctest.Wait()
		closeEngine(t, e, s)
		s = openStore(t, dir)
		e = openEngine(t, s, p)
		defer closeEngine(t, e, s)
		r := waitLong(t, e, "r")
		if string(r.Output) != `"busy; silent gave no sign of life for 1m0s (context canceled)"` {
			t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
		}
		if diff := cmp.Diff([]time.Duration{0, 30 * time.Minute, 60 * time.Minute, 90 * time.Minute}, calls); diff != "" {
			t.Errorf("attempts: -want +got\n%s", diff)
		}
		if took := time.Since(began); took != 90*time.Minute+210*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestReconcile: a step in doubt is settled by the function that can tell.
func TestReconcile(t *testing.T) {
	for _, c := range []struct {
		name    string
		outcome durable.Outcome
		err     error
		want    string // output, "" = it stays in doubt
		calls   int
	}{
		{"it happened", durable.Outcome{Happened: true, Output: json.RawMessage(`"paid before"`)}, nil, `"paid before"`, 1},
		{"it did not", durable.Outcome{}, nil, `"paid now"`, 2},
		{"it cannot tell", durable.Outcome{}, errors.New("the bank is closed"), "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			calls, begun := 0, make(chan struct{}, 1)
			die := true
			pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, func(ctx context.Context, _ int) (string, error) {
				calls++
				if die {
					begun <- struct{}{}
					<-ctx.Done()
					return "", ctx.Err()
				}
				return "paid now", nil
			})
			var key string
			fn := pay.StepFunc
			fn.Reconcile = func(ctx context.Context, _ json.RawMessage) (durable.Outcome, error) {
				key = durable.AttemptOf(ctx).Key
				return c.outcome, c.err
			}
			p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) { return durable.Do(ctx, pay, 0) }, fn)
			s := openStore(t, dir)
			e := openEngine(t, s, p)
			if _, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"}); err != nil {
				t.Fatal(err)
			}
			<-begun
			copied := dead(t, dir)
			if err := e.Kill(t.Context(), "r", "it is only the copy that counts"); err != nil {
				t.Fatal(err)
			}
			closeEngine(t, e, s)
			die = false
			s = openStore(t, copied)
			e = openEngine(t, s, p)
			defer closeEngine(t, e, s)
			if c.want == "" {
				if r := standsStill(t, e, "r", durable.Waiting); !r.NeedsPerson() {
					t.Errorf("the run is %s (%s)", r.Status, r.Reason)
				}
			} else if r := waitFor(t, e, "r"); string(r.Output) != c.want {
				t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
			}
			if calls != c.calls || key != "r/0/0" {
				t.Errorf("%d calls, key %q", calls, key)
			}
		})
	}
}

// TestDrain: what is under way ends and is recorded, nothing else begins, and the next
// process goes on from there.
func TestDrain(t *testing.T) {
	dir := t.TempDir()
	begun, held := make(chan string, 1), make(chan struct{})
	step := durable.NewFunc("step", durable.StepOptions{}, func(_ context.Context, name string) (string, error) {
		select {
		case begun <- name:
		default: // only the first one is waited for
		}
		<-held
		return name, nil
	})
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		if _, err := durable.Do(ctx, step, "one"); err != nil {
			return "", err
		}
		return durable.Do(ctx, step, "two")
	}, step.StepFunc)
	s := openStore(t, dir)
	e := openEngine(t, s, p)
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"}); err != nil {
		t.Fatal(err)
	}
	<-begun
	drained := make(chan error, 1)
	go func() { drained <- e.Drain(t.Context()) }()
	for { // it takes no more signals from here on
		if err := e.Signal(t.Context(), "r", durable.Signal{Name: "any"}); errors.Is(err, durable.ErrUnavailable) {
			break
		}
	}
	close(held)
	if err := errors.Join(<-drained, s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	e = openEngine(t, s, p)
	defer closeEngine(t, e, s)
	if r := waitFor(t, e, "r"); r.Status != durable.Succeeded {
		t.Errorf("the run is %s (%s)", r.Status, r.Reason)
	}
	entries, err := e.Journal().All(t.Context(), "r", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Kind == durable.EntryClaimed || (entry.Name == "step" && entry.Attempt != 1) {
			t.Errorf("after a drain: %s %s, attempt %d", entry.Kind, entry.Name, entry.Attempt)
		}
	}
}
