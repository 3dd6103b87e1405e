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

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/storetest"
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if r, err = e.Wait(ctx, id); err != nil || string(r.Output) != `"canceled: it was killed: enough"` {
		t.Errorf("the run is %s with %s, error %v", r.Status, r.Output, err)
	}
}

// A signal that came between the end of a segment and the beginning of the next is
// received there, also when the process died in between.
func TestSignalBetweenSegments(t *testing.T) {
	same := durable.NewFunc("same", durable.StepOptions{}, func(_ context.Context, n int) (int, error) { return n, nil })
	program := durable.NewProgram("p", func(ctx durable.Context, n int) (string, error) {
		if n == 0 {
			if _, err := durable.Do(ctx, same, 0); err != nil {
				return "", err
			}
			return "", durable.Continue(json.RawMessage("1"))
		}
		return durable.Receive[string](ctx, "word")
	}, same.StepFunc)
	s := openStore(t, t.TempDir())
	j, err := journal.New(s)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	run := store.Run{ID: "torn", Program: "p", Created: now, State: store.State{Status: durable.Running, Updated: now}}
	told := make(chan error, 1)
	err = j.Append([]*journal.Change{{Run: run.ID, Create: &run, Head: &journal.Head{}, Entries: []*durable.Entry{
		{Kind: durable.EntryStarted, Time: now, Name: "p", Epoch: 1},
		{Kind: durable.EntryDone, Time: now, Name: "same", Attempt: 1, Effect: durable.Idempotent, InputHash: journal.HashOf([]byte("0"))[:16], Output: json.RawMessage("0"), Epoch: 1},
		{Kind: durable.EntrySignal, Time: now, Name: "word", Input: json.RawMessage(`"here"`)},
	}}}, func(err error) { told <- err })
	if err := errors.Join(err, <-told); err != nil {
		t.Fatal(err)
	}
	e := openEngine(t, s, program)
	defer closeEngine(t, e, s)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if r, err := e.Wait(ctx, run.ID); err != nil || string(r.Output) != `"here"` {
		t.Errorf("the run is %s (%s), waits for %v, has %s, error %v", r.Status, r.Reason, r.Waits, r.Output, err)
	}
}

// TestPoisonOnTime: a run that its process dies of when its time comes is blocked in the end:
// each process that finds it due claims it before it goes on.
func TestPoisonOnTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		reached := 0
		p := durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
			if err := durable.Sleep(ctx, time.Minute); err != nil {
				return 0, err
			}
			reached++
			return 0, durable.Block(durable.Errorf(durable.CodeInternal, "here the process dies"))
		})
		s := openStore(t, dir)
		e := openEngine(t, s, p)
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: "r", Program: "p"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		closeEngine(t, e, s)
		<-time.After(time.Hour)
		for i := range 7 {
			s := openStore(t, dir)
			faulty := storetest.NewFaulty(s, 2, false) // the claim lands, and nothing after it
			e := openEngine(t, faulty, p)
			<-time.After(time.Second)
			if err := e.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r, err := s.Run(t.Context(), "r"); err != nil || r.Status != durable.Running {
				t.Fatalf("process %d leaves the run %s, error %v", i, r.Status, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if reached > 5 {
			t.Errorf("the process died %d times", reached)
		}
		s = openStore(t, dir)
		e = openEngine(t, s, p)
		defer closeEngine(t, e, s)
		<-time.After(time.Second)
		if r, err := e.Get(t.Context(), "r"); err != nil || r.Status != durable.Blocked || !strings.Contains(r.Reason, "without progress") {
			t.Errorf("the run is %s (%s), error %v", r.Status, r.Reason, err)
		}
	})
}
