package embedded_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/storetest"
)

// patient is a child that waits for ever.
func patient() durable.Program {
	return durable.NewProgram("child", func(ctx durable.Context, _ int) (int, error) {
		return 0, ctx.Inbox("never").Receive(ctx, nil)
	})
}

// noneLeft wants every run of a store to have ended.
func noneLeft(t *testing.T, s store.Store) {
	t.Helper()
	runs, err := s.List(t.Context(), durable.Filter{Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if !r.Status.Final() {
			t.Errorf("run %s of %s is %s", r.ID, r.Program, r.Status)
		}
	}
}

// TestKillWhileChildrenAreBorn: no child outlives a kill, whenever it was started.
func TestKillWhileChildrenAreBorn(t *testing.T) {
	breeder := durable.NewProgram("breeder", func(ctx durable.Context, _ int) (int, error) {
		for {
			ctx.Child(durable.ChildCall{Program: "child"})
			if err := durable.Sleep(ctx, time.Millisecond); err != nil {
				return 0, err
			}
		}
	})
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, breeder, patient())
	defer closeEngine(t, e, s)
	for i := range 10 {
		id, err := e.Start(t.Context(), durable.StartRequest{Program: "breeder"})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(i) * 3 * time.Millisecond)
		if err := e.Kill(t.Context(), id, "enough"); err != nil {
			t.Fatal(err)
		}
		noneLeft(t, s)
	}
}

// TestChildrenOfAnEarlierSegment: a run that goes on in a new segment cancels the children it
// does not abandon: nothing waits for them any more.
func TestChildrenOfAnEarlierSegment(t *testing.T) {
	parent := durable.NewProgram("p", func(ctx durable.Context, n int) (int, error) {
		if n > 0 {
			return n, nil
		}
		ctx.Child(durable.ChildCall{Program: "child"})
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return 0, err
		}
		return 0, durable.Continue(json.RawMessage(`1`))
	})
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, parent, patient())
	defer closeEngine(t, e, s)
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if r := waitFor(t, e, id); r.Status != durable.Succeeded {
		t.Fatalf("the run is %s (%s)", r.Status, r.Reason)
	}
	children, err := s.List(t.Context(), durable.Filter{Parent: id})
	if err != nil || len(children) != 1 {
		t.Fatalf("%d children, error %v", len(children), err)
	}
	if r := waitFor(t, e, children[0].ID); r.Status != durable.Canceled {
		t.Errorf("the child is %s", r.Status)
	}
}

// TestChildIssuedAfterTheCancel: a cancel reaches a child that its parent starts in the turn
// in which it comes.
func TestChildIssuedAfterTheCancel(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	step := durable.NewFunc("step", durable.StepOptions{}, func(context.Context, int) (int, error) {
		close(began)
		<-goOn
		return 0, nil
	})
	parent := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		if _, err := durable.Do(ctx.Shield(), step, 0); err != nil {
			return "", err
		}
		child := ctx.Child(durable.ChildCall{Program: "child"})
		return "", child.Get(ctx.Shield(), nil)
	}, step.StepFunc)
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, parent, patient())
	defer closeEngine(t, e, s)
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	<-began
	told := make(chan error, 1)
	go func() { told <- e.Cancel(t.Context(), id, "enough") }()
	close(goOn)
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	if r := waitFor(t, e, id); r.Status != durable.Canceled {
		t.Errorf("the run is %s (%s)", r.Status, r.Reason)
	}
	noneLeft(t, s)
}

// TestReasonBeforeCancel: whatever a crash leaves, no child is canceled by a parent that does
// not know of a reason.
func TestReasonBeforeCancel(t *testing.T) {
	for at := 1; at <= 8; at++ {
		said := "stop"
		ask := durable.NewFunc("ask", durable.StepOptions{}, func(context.Context, int) (string, error) { return said, nil })
		parent := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
			child := ctx.Child(durable.ChildCall{Program: "child"})
			if err := durable.Sleep(ctx, time.Millisecond); err != nil {
				return "", err
			}
			said, err := durable.Do(ctx, ask, 0)
			if err != nil || said == "stop" {
				return said, err
			}
			return said, child.Get(ctx, nil)
		}, ask.StepFunc)
		dir := t.TempDir()
		faulty := storetest.NewFaulty(openStore(t, dir), at, true)
		e := openEngine(t, faulty, parent, patient())
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: "parent", Program: "p"}); err == nil {
			_, _ = e.Wait(t.Context(), "parent")
		}
		closeEngine(t, e, faulty)
		said = "go" // the next time it says something else
		s := openStore(t, dir)
		e = openEngine(t, s, parent, patient())
		r, err := e.Settle(t.Context(), "parent", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Status.Final() && (len(r.Waits) != 1 || r.Waits[0].Kind != durable.WaitChild) {
			t.Errorf("crash at commit %d: the run is %s (%s) and waits for %v", at, r.Status, r.Reason, r.Waits)
		}
		if string(r.Output) == `"go"` || r.Status == durable.Failed || r.Status == durable.Canceled {
			t.Errorf("crash at commit %d: the child was canceled before there was a reason: the run is %s (%s) with %s", at, r.Status, r.Reason, r.Output)
		}
		closeEngine(t, e, s)
	}
}
