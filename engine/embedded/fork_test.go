package embedded_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
)

// TestFork: a fork has what its base did before the step and goes its own way; the base
// is not touched, both replay, and so does what is forked from the fork.
func TestFork(t *testing.T) {
	for _, c := range forkCases() {
		t.Run(c.name, func(t *testing.T) {
			if c.world == nil {
				c.world = &realm{}
			}
			dir := t.TempDir()
			s := openStore(t, dir)
			e := openEngine(t, s, c.world.programs(c.program)...)
			if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p", Name: "name", Tenant: "acme", Definition: json.RawMessage("1")}); err != nil {
				t.Fatal(err)
			}
			if c.drive != nil {
				c.drive(t, e, c.world)
			}
			waitFor(t, e, base)
			closeEngine(t, e, s)

			now := &realm{note: "!"}
			s = openStore(t, dir)
			e = openEngine(t, s, now.programs(c.program)...)
			defer func() { closeEngine(t, e, s) }()
			before := bodies(t, s, base)
			c.planned(t, e)
			fork, err := e.Fork(t.Context(), base, c.req)
			if err != nil {
				t.Fatal(err)
			}
			if c.fork != nil {
				c.fork(t, e, fork)
			}
			r := waitFor(t, e, fork)
			if r.Status != durable.Succeeded || string(r.Output) != string(text(c.output)) {
				t.Errorf("the fork is %s (%s, %v) with %s, want %q", r.Status, r.Reason, r.Error, r.Output, c.output)
			}
			if r.Base != base || r.Name != "name" || r.Tenant != "acme" || r.Parent != "" || r.ID != fork {
				t.Errorf("the fork is %+v", r)
			}
			if diff := cmp.Diff(c.order(c.journal), c.order(kinds(t, e, fork))); diff != "" {
				t.Errorf("journal of the fork: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(c.runs, now.count); diff != "" {
				t.Errorf("executed: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(before, bodies(t, s, base)); diff != "" {
				t.Errorf("the base was changed:\n%s", diff)
			}
			row, err := s.Run(t.Context(), fork)
			if err != nil || row.Shared != c.shared || row.Base != base {
				t.Errorf("it shares %d entries of %s, want %d (%v)", row.Shared, row.Base, c.shared, err)
			}
			again(t, e, s, fork, now.programs(c.program))
		})
	}
}

// planned holds the plan against what the case expects.
func (c *forkCase) planned(t *testing.T, e *embedded.Engine) {
	t.Helper()
	entries, err := e.Journal().All(t.Context(), base, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Get(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := embedded.PlanFork(r, entries, c.req)
	if err != nil {
		t.Fatal(err)
	}
	var repeats []string
	for _, s := range plan.Repeats() {
		repeats = append(repeats, s.Name)
	}
	if diff := cmp.Diff(c.repeats, repeats); diff != "" {
		t.Errorf("what will repeat: -want +got\n%s", diff)
	}
	if plan.Segment != c.segment {
		t.Errorf("it begins in segment %d, want %d", plan.Segment, c.segment)
	}
}

// again replays a fork and its base, and forks the fork at its last step.
func again(t *testing.T, e *embedded.Engine, s store.Store, fork durable.RunID, programs []durable.Program) {
	t.Helper()
	report := replayed(t, e, s, fork, programs)
	if report.Divergence != nil {
		t.Errorf("the fork does not replay: %s", report.Divergence.Text())
	}
	entries, err := e.Journal().All(t.Context(), fork, 0)
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	segment := 0
	for _, e := range entries {
		switch e.Kind {
		case durable.EntryContinued:
			segment = e.Segment
		case durable.EntryDone:
			last = e.Command
		default:
		}
	}
	if last < 0 || entries[len(entries)-1].Kind != durable.EntryEnded {
		return
	}
	second, err := e.Fork(t.Context(), fork, embedded.ForkRequest{At: id(segment, last), Name: "second"})
	if err != nil {
		t.Errorf("fork the fork at %d.%d: %v", segment, last, err)
		return
	}
	r, err := e.Settle(t.Context(), second, time.Time{})
	if err != nil || r.Status == durable.Blocked || r.Name != "second" || r.Base != fork {
		t.Errorf("the fork of the fork is %+v: %v", r, err)
	}
	if report := replayed(t, e, s, second, programs); report.Divergence != nil {
		t.Errorf("the fork of the fork does not replay: %s", report.Divergence.Text())
	}
}

// TestForkRefused: what cannot be is refused with a word about what can, and nothing is
// written.
func TestForkRefused(t *testing.T) {
	var w realm
	programs := w.programs(func(ctx durable.Context, w *realm, in string) (string, error) {
		if in != "" && in != "1" {
			return w.a(ctx, "else")
		}
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		out, err := w.a(ctx, "a", "b")
		if err != nil || in == "1" {
			return out, err
		}
		return "", durable.Continue(text("1"))
	})
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, programs...)
	defer closeEngine(t, e, s)
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, e, base)
	w.count = nil
	set := func(segment, command int) []embedded.Result {
		return []embedded.Result{{Step: id(segment, command), Output: text("set")}}
	}
	for _, c := range []struct {
		name string
		of   durable.RunID
		req  embedded.ForkRequest
		code error
		says string
	}{
		{"no run", "nobody", embedded.ForkRequest{}, durable.ErrNotFound, "no run nobody"},
		{"no step", base, embedded.ForkRequest{At: id(0, 7)}, durable.ErrNotFound, "has no step 7; segment 0 has 0 to 2"},
		{"no step in a later segment", base, embedded.ForkRequest{At: id(1, 9)}, durable.ErrNotFound, "has no step 1.9; segment 1 has 1.0 to 1.2"},
		{"no segment", base, embedded.ForkRequest{At: id(5, 0)}, durable.ErrNotFound, "its last segment with steps is 1"},
		{"input that is not JSON", base, embedded.ForkRequest{At: id(0, 1), Input: json.RawMessage("{")}, durable.ErrInvalid, "the input is not JSON"},
		{"input too late", base, embedded.ForkRequest{At: id(1, 1), Input: text("x")}, durable.ErrInvalid, "fork at a step of segment 0"},
		{"input with which the program does something else", base, embedded.ForkRequest{At: id(0, 2), Input: text("x")}, durable.ErrConflict, `issues step "else"`},
		{"result of no step", base, embedded.ForkRequest{At: id(1, 1), Results: set(1, 8)}, durable.ErrNotFound, "has no step 1.8"},
		{"result of a timer", base, embedded.ForkRequest{At: id(1, 1), Results: set(1, 0)}, durable.ErrInvalid, "step 1.0 is a timer"},
		{"result that is not JSON", base, embedded.ForkRequest{At: id(0, 1), Results: []embedded.Result{{Step: id(0, 1), Output: json.RawMessage("x")}}}, durable.ErrInvalid, "the result of step 1 is not JSON"},
		{"two results of one step", base, embedded.ForkRequest{At: id(0, 1), Results: append(set(0, 1), set(0, 1)...)}, durable.ErrInvalid, "two results for step 1"},
		{"result too late", base, embedded.ForkRequest{At: id(1, 1), Results: set(0, 1)}, durable.ErrInvalid, "fork at a step of segment 0"},
		{"result too early", base, embedded.ForkRequest{At: id(0, 1), Results: set(1, 1)}, durable.ErrInvalid, "yet to come to"},
		{"result of a step that is not asked for yet", base, embedded.ForkRequest{At: id(0, 1), Results: set(0, 2)}, durable.ErrConflict, "replay mismatch at step 2"},
		{"a taken ID", base, embedded.ForkRequest{At: id(0, 1), ID: base}, durable.ErrConflict, "a run base exists"},
	} {
		_, err := e.Fork(t.Context(), c.of, c.req)
		if !errors.Is(err, c.code) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: got error %v, want %v that says %q", c.name, err, c.code, c.says)
		}
	}
	runs, err := s.List(t.Context(), durable.Filter{})
	if err != nil || len(runs) != 1 || len(w.count) != 0 {
		t.Errorf("there are %d runs, executed was %v: %v", len(runs), w.count, err)
	}
}

// TestForkLeavesBehind: what an engine and an operator did to the base is not inherited,
// however it stands, and a base in motion goes on beside its fork.
func TestForkLeavesBehind(t *testing.T) {
	fn := func(ctx durable.Context, w *realm, _ string) (string, error) {
		out, err := w.a(ctx, "a")
		if w.fail["now"] {
			return "", durable.Block(durable.Errorf(durable.CodeUnavailable, "no fax here"))
		}
		more, err2 := w.a(ctx, "b", "c", "d")
		return out + " " + more, errors.Join(err, err2)
	}
	dir := t.TempDir()
	with := func(w *realm, do func(e *embedded.Engine, s store.Store)) {
		s := openStore(t, dir)
		e := openEngine(t, s, w.programs(fn)...)
		do(e, s)
		closeEngine(t, e, s)
	}
	with(&realm{fail: map[string]bool{"now": true}}, func(e *embedded.Engine, _ store.Store) {
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p"}); err != nil {
			t.Fatal(err)
		}
		if r := waitFor(t, e, base); r.Status != durable.Blocked {
			t.Fatalf("the run is %s", r.Status)
		}
	})
	fork := func(e *embedded.Engine, at int, want ...string) {
		t.Helper()
		f, err := e.Fork(t.Context(), base, embedded.ForkRequest{At: id(0, at)})
		if err != nil {
			t.Fatal(err)
		}
		if r := waitFor(t, e, f); r.Status != durable.Succeeded {
			t.Errorf("the fork is %s: %v", r.Status, r.Error)
		}
		if diff := cmp.Diff(want, kinds(t, e, f)); diff != "" {
			t.Errorf("journal of the fork: -want +got\n%s", diff)
		}
	}
	held := &realm{gates: map[string]chan struct{}{"c": make(chan struct{})}}
	with(held, func(e *embedded.Engine, s store.Store) {
		close(held.gates["c"])
		fork(e, 0, "started p", "forked a", "done a", "done b", "done c", "done d", "ended")
		if r, err := e.Get(t.Context(), base); err != nil || r.Status != durable.Blocked {
			t.Errorf("the base is %s: %v", r.Status, err)
		}
		held.gate("c", make(chan struct{}))
		if err := e.Resume(t.Context(), base); err != nil {
			t.Fatal(err)
		}
		until(t, e, base, "done b")
		for held.counted("c") < 2 {
			time.Sleep(time.Millisecond)
		}
		held.gate("c", nil) // the fork does not wait there
		fork(e, 1, "started p", "done a", "forked b", "done b", "done c", "done d", "ended")
		if r, err := e.Get(t.Context(), base); err != nil || r.Status != durable.Running {
			t.Errorf("the base is %s: %v", r.Status, err)
		}
		row, err := s.Run(t.Context(), base)
		if err != nil || row.Shared != 0 {
			t.Errorf("%+v %v", row, err)
		}
	})
	var last realm
	with(&last, func(e *embedded.Engine, _ store.Store) {
		if r := waitFor(t, e, base); r.Status != durable.Succeeded {
			t.Errorf("the base is %s", r.Status)
		}
		if diff := cmp.Diff([]string{"started p", "done a", "blocked", "unblocked", "done b", "done c", "done d", "ended"}, kinds(t, e, base)); diff != "" {
			t.Fatalf("journal of the base: -want +got\n%s", diff)
		}
		fork(e, 2, "started p", "done a", "done b", "forked c", "done c", "done d", "ended")
	})
}

// TestForkSurvives: a fork whose process dies goes on like any other run, and one that
// finds no room waits in its queue.
func TestForkSurvives(t *testing.T) {
	dir := t.TempDir()
	fn := func(ctx durable.Context, w *realm, _ string) (string, error) { return w.a(ctx, "a", "b") }
	w := &realm{gates: map[string]chan struct{}{}}
	s := openStore(t, dir)
	open := func(w *realm) *embedded.Engine {
		e, err := embedded.New(t.Context(), embedded.Config{Store: s, Programs: w.programs(fn), Queues: map[string]embedded.Queue{"one": {AtOnce: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := open(w)
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: base, Program: "p", Queue: "one"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, e, base)
	w.gate("b", make(chan struct{}))
	first, err := e.Fork(t.Context(), base, embedded.ForkRequest{At: id(0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	second, err := e.Fork(t.Context(), base, embedded.ForkRequest{At: id(0, 0), ID: "second"})
	if err != nil || second != "second" {
		t.Fatal(second, err)
	}
	if r, err := e.Get(t.Context(), second); err != nil || r.Status != durable.Queued {
		t.Errorf("the second fork is %s: %v", r.Status, err)
	}
	closeEngine(t, e, s)
	var now realm
	s = openStore(t, dir)
	e = open(&now)
	defer func() { closeEngine(t, e, s) }()
	for _, f := range []durable.RunID{first, second} {
		if r := waitFor(t, e, f); r.Status != durable.Succeeded || string(r.Output) != `"a b"` {
			t.Errorf("fork %s is %s with %s", f, r.Status, r.Output)
		}
	}
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 2}, now.count); diff != "" {
		t.Errorf("executed: -want +got\n%s", diff)
	}
}
