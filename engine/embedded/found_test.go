package embedded_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// What the simulation has found.

// A run that was left to the next process while it waited for a moment, and is still to
// wait when that one takes it up, stays in memory until then.
func TestShortWaitAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := openStore(t, dir)
		e := openEngine(t, s, sleeper())
		startSleep(t, e, "sleeper", 900*time.Millisecond)
		<-time.After(100 * time.Millisecond)
		closeEngine(t, e, s)
		<-time.After(100 * time.Millisecond)
		s = openStore(t, dir)
		e = openEngine(t, s, sleeper())
		defer closeEngine(t, e, s)
		<-time.After(time.Second)
		r, err := e.Get(t.Context(), "sleeper")
		if err != nil || r.Status != durable.Succeeded || r.Updated.Sub(began) != 900*time.Millisecond {
			t.Errorf("the run is %s since %s, error %v", r.Status, r.Updated.Sub(began), err)
		}
	})
}

// A parent learns that its child was killed.
func TestKilledChild(t *testing.T) {
	child := durable.NewProgram("child", func(ctx durable.Context, _ int) (int, error) {
		return 0, ctx.Inbox("never").Receive(ctx, nil)
	})
	parent := durable.NewProgram("parent", func(ctx durable.Context, _ int) (string, error) {
		err := ctx.Child(durable.ChildCall{Program: "child"}).Get(ctx, nil)
		return fmt.Sprintf("%s: %v", durable.CodeOf(err), err), nil
	})
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, parent, child)
	defer closeEngine(t, e, s)
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "parent"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Settle(t.Context(), id, time.Time{})
	if err != nil || len(r.Waits) != 1 {
		t.Fatalf("the run is %s and waits for %v, error %v", r.Status, r.Waits, err)
	}
	if err := e.Kill(t.Context(), r.Waits[0].Child, "enough"); err != nil {
		t.Fatal(err)
	}
	if r, err = e.Wait(t.Context(), id); err != nil || string(r.Output) != `"canceled: it was killed: enough"` {
		t.Errorf("the run is %s with %s, error %v", r.Status, r.Output, err)
	}
}
