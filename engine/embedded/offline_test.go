package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/storetest"
)

// TestOfflineReplay: a run whose program is the one that wrote its journal replays
// through all segments; any other is told apart at the first step or end that differs,
// with both values, and nothing is executed or written.
func TestOfflineReplay(t *testing.T) {
	original := func(ctx durable.Context, w *realm, in string) (string, error) {
		word, err := durable.Receive[string](ctx, "word")
		out, err2 := w.a(ctx, "a", "b")
		if err := errors.Join(err, err2); err != nil || in == "1" {
			return out + word, err
		}
		return "", durable.Continue(text("1"))
	}
	s := openStore(t, t.TempDir())
	var w realm
	e := openEngine(t, s, w.programs(original)...)
	defer func() { closeEngine(t, e, s) }()
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p"}); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"x", "y"} {
		if err := e.Signal(t.Context(), base, durable.Signal{Name: "word", Data: text(word)}); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, e, base)
	w.count = nil
	before := bodies(t, s, base)
	row, err := s.Run(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		now           forkProgram
		steps         int
		where         string
		journal, now2 string
		had, has      string
	}{
		{"the same", original, 4, "", "", "", "", ""},
		{"a step has another name", func(ctx durable.Context, w *realm, _ string) (string, error) {
			_, err := durable.Receive[string](ctx, "word")
			_, err2 := w.a(ctx, "a", "z")
			return "", errors.Join(err, err2)
		}, 1, "step 1", `step "b"`, `issues step "z"`, "", ""},
		{"a step has another input", func(ctx durable.Context, w *realm, _ string) (string, error) {
			_, err := durable.Receive[string](ctx, "word")
			_, err2 := durable.StartAs(ctx, "a", w.do(), "other").Await(ctx)
			return "", errors.Join(err, err2)
		}, 0, "step 0", `step "a" with input`, `issues step "a" with input`, `"a"`, `"other"`},
		{"it waits for another signal", func(ctx durable.Context, _ *realm, _ string) (string, error) {
			return durable.Receive[string](ctx, "other")
		}, 0, "step 0", `step "a"`, `issues only 0 commands before that and waits for signal "other"`, "", ""},
		{"it continues with another state", func(ctx durable.Context, w *realm, _ string) (string, error) {
			_, err := durable.Receive[string](ctx, "word")
			_, err2 := w.a(ctx, "a", "b")
			return "", errors.Join(err, err2, durable.Continue(text("2")))
		}, 2, "the end of segment 0", "segment 1 begins with the state beneath", "continues with a new segment", `"1"`, `"2"`},
		{"it ends instead of continuing", func(ctx durable.Context, w *realm, _ string) (string, error) {
			_, err := durable.Receive[string](ctx, "word")
			out, err2 := w.a(ctx, "a", "b")
			return out, errors.Join(err, err2)
		}, 2, "the end of segment 0", "segment 1 begins", "has ended: succeeded", `"1"`, `"a b"`},
		{"it takes one signal more", func(ctx durable.Context, w *realm, in string) (string, error) {
			_, err := durable.Receive[string](ctx, "word")
			_, err2 := w.a(ctx, "a")
			_, err3 := durable.Receive[string](ctx, "word")
			_, err4 := w.a(ctx, "b")
			return "", errors.Join(err, err2, err3, err4, durable.Continue(text("1")))
		}, 2, "the end of segment 0", "takes over the signals [", "would hand over []", "", ""},
		{"another output", func(ctx durable.Context, w *realm, in string) (string, error) {
			out, err := original(ctx, w, in)
			return out + "!", err
		}, 4, "the end of segment 1", "the run succeeded", "succeeded", `"a by"`, `"a by!"`},
		{"an error", func(ctx durable.Context, w *realm, in string) (string, error) {
			out, err := original(ctx, w, in)
			if err == nil {
				err = errors.New("broken")
			}
			return out, err
		}, 4, "the end of segment 1", "the run succeeded", "failed: broken", `"a by"`, `"a by"`},
		{"a panic", func(ctx durable.Context, w *realm, in string) (string, error) {
			if in == "1" {
				panic("out of luck")
			}
			return original(ctx, w, in)
		}, 2, "the end of segment 1", "goes on with done a", "panics: out of luck", "", ""},
	} {
		report, err := embedded.Replay(t.Context(), embedded.Source{Journal: e.Journal(), Run: row}, w.programs(c.now))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if report.Steps != c.steps {
			t.Errorf("%s: %d steps were replayed, want %d", c.name, report.Steps, c.steps)
		}
		d := report.Divergence
		if (d == nil) != (c.where == "") {
			t.Errorf("%s: diverges: %+v", c.name, d)
		}
		if d == nil {
			continue
		}
		if d.Step() != c.where || !strings.Contains(d.Journal, c.journal) || !strings.Contains(d.Program, c.now2) ||
			string(d.JournalValue) != c.had || string(d.ProgramValue) != c.has {
			t.Errorf("%s: %s\n%s\n%s", c.name, d.Text(), d.JournalValue, d.ProgramValue)
		}
	}
	if len(w.count) > 0 {
		t.Errorf("executed: %v", w.count)
	}
	if diff := cmp.Diff(before, bodies(t, s, base)); diff != "" {
		t.Errorf("the run was changed:\n%s", diff)
	}
}

// TestOfflineReplayLacks: what this build cannot load is an error of durable.Block.
func TestOfflineReplayLacks(t *testing.T) {
	w := &realm{gates: map[string]chan struct{}{"a": make(chan struct{})}}
	fn := func(ctx durable.Context, w *realm, _ string) (string, error) { return w.a(ctx, "a") }
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, w.programs(fn)...)
	defer func() { closeEngine(t, e, s) }()
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p"}); err != nil {
		t.Fatal(err)
	}
	row, err := s.Run(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	steps := durable.NewProgram("p", func(ctx durable.Context, in string) (string, error) { return fn(ctx, w, in) })
	for _, c := range []struct {
		name     string
		programs []durable.Program
		says     string
	}{
		{"program", nil, `no program "p"`},
		{"step function", []durable.Program{steps}, `no step function "do"`},
		{"tool", w.programs(func(durable.Context, *realm, string) (string, error) {
			return "", durable.Block(errors.New("no hammer"))
		}), "no hammer"},
	} {
		_, err := embedded.Replay(t.Context(), embedded.Source{Journal: e.Journal(), Run: row, Last: true}, c.programs)
		if _, ok := errors.AsType[*durable.BlockError](err); !ok || !strings.Contains(err.Error(), c.says) {
			t.Errorf("no %s: %v", c.name, err)
		}
	}
	report, err := embedded.Replay(t.Context(), embedded.Source{Journal: e.Journal(), Run: row, Last: true}, w.programs(fn))
	if err != nil || report.Divergence != nil || report.Steps != 0 || report.Segments != 1 {
		t.Errorf("a run in motion: %+v, %v", report, err)
	}
	close(w.gates["a"])
	waitFor(t, e, base)
}

// TestLateSignals: a signal that came while the segment was already over, as this build
// sees it, is the next segment's.
func TestLateSignals(t *testing.T) {
	var w realm
	dir := t.TempDir()
	s := openStore(t, dir)
	e := openEngine(t, s, w.programs(func(ctx durable.Context, w *realm, _ string) (string, error) {
		_, err := w.a(ctx, "a")
		_, err2 := durable.Receive[string](ctx, "never")
		return "", errors.Join(err, err2)
	})...)
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p"}); err != nil {
		t.Fatal(err)
	}
	until(t, e, base, "done a")
	if err := e.Signal(t.Context(), base, durable.Signal{Name: "word", Data: text("x")}); err != nil {
		t.Fatal(err)
	}
	closeEngine(t, e, s)
	s = openStore(t, dir)
	programs := w.programs(func(ctx durable.Context, w *realm, in string) (string, error) {
		if in == "" {
			_, err := w.a(ctx, "a")
			return "", errors.Join(err, durable.Continue(text("1")))
		}
		return durable.Receive[string](ctx, "word")
	})
	e = openEngine(t, s, programs...)
	defer func() { closeEngine(t, e, s) }()
	if err := e.Signal(t.Context(), base, durable.Signal{Name: "wake"}); err != nil {
		t.Fatal(err)
	}
	if r := waitFor(t, e, base); string(r.Output) != `"x"` {
		t.Errorf("the run is %s with %s", r.Status, r.Output)
	}
	if report := replayed(t, e, s, base, programs); report.Divergence != nil {
		t.Error(report.Divergence.Text())
	}
}

// TestForkTime: the time in which a step of the fork must be done begins with the fork.
func TestForkTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := durable.NewFunc("slow", durable.StepOptions{Within: time.Minute}, func(ctx context.Context, _ int) (string, error) {
			return "in time", ctx.Err()
		})
		p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) { return durable.Do(ctx, slow, 1) }, slow.StepFunc)
		s := openStore(t, t.TempDir())
		e := openEngine(t, s, p)
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p", Input: json.RawMessage("1")}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, e, base)
		time.Sleep(day)
		fork, err := e.Fork(t.Context(), base, embedded.ForkRequest{At: id(0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		if r := waitFor(t, e, fork); string(r.Output) != `"in time"` {
			t.Errorf("the fork is %s: %v", r.Status, r.Error)
		}
		closeEngine(t, e, s)
	})
}

// unfit lists the runs of a store whose journal does not replay.
func unfit(t *testing.T, s store.Store, programs []durable.Program) []string {
	t.Helper()
	j, err := journal.New(s)
	if err != nil {
		t.Error(err)
		return nil
	}
	runs, err := s.List(t.Context(), durable.Filter{Limit: 10_000})
	if err != nil {
		t.Error(err)
	}
	var list []string
	for _, r := range runs {
		report, err := embedded.Replay(t.Context(), embedded.Source{Journal: j, Run: r}, programs)
		switch {
		case err != nil:
			list = append(list, fmt.Sprintf("%s: %v", r.ID, err))
		case report.Divergence != nil:
			list = append(list, fmt.Sprintf("%s: %s", r.ID, report.Divergence.Text()))
		}
	}
	return list
}

// TestForkCrashes kills the store at every commit of a fork, before and after it lands:
// the fork is there as a whole or not at all, and then comes to its end.
func TestForkCrashes(t *testing.T) {
	fn := func(ctx durable.Context, w *realm, _ string) (string, error) { return w.a(ctx, "a", "b", "c") }
	req := embedded.ForkRequest{ID: "fork", At: id(0, 1), Definition: json.RawMessage("2")}
	count := 0
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			dir := t.TempDir()
			w := &realm{}
			s := openStore(t, dir)
			e := openEngine(t, s, w.programs(fn)...)
			if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p"}); err != nil {
				t.Fatal(err)
			}
			waitFor(t, e, base)
			closeEngine(t, e, s)

			faulty := storetest.NewFaulty(openStore(t, dir), at, after)
			e = openEngine(t, faulty, w.programs(fn)...)
			_, err := e.Fork(t.Context(), base, req)
			if err == nil {
				_, err = e.Wait(t.Context(), "fork")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			if closed := e.Close(ctx); closed != nil {
				t.Error(closed)
			}
			cancel()
			_ = faulty.Close() // what failed is said again
			if err == nil {
				break // there are no more commits
			}
			count++

			s = openStore(t, dir)
			e = openEngine(t, s, w.programs(fn)...)
			if _, err := e.Get(t.Context(), "fork"); errors.Is(err, durable.ErrNotFound) {
				if after || at > 1 {
					t.Errorf("commit %d, after %t: the fork is lost", at, after)
				}
				if _, err := e.Fork(t.Context(), base, req); err != nil {
					t.Fatal(err)
				}
			}
			if r := waitFor(t, e, "fork"); r.Status != durable.Succeeded || string(r.Output) != `"a b c"` {
				t.Errorf("commit %d, after %t: the fork is %s with %s", at, after, r.Status, r.Output)
			}
			if found := unfit(t, s, w.programs(fn)); len(found) > 0 {
				t.Error(found)
			}
			closeEngine(t, e, s)
		}
	}
	if count < 4 {
		t.Errorf("%d crash points: the test shows too little", count)
	}
	t.Logf("%d crash points", count)
}
