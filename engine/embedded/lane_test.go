package embedded_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/storetest"
)

// pays is a program that pays n times, under the limit api; asked counts how often
// somebody wanted to know whether it had.
func pays(n int, paid, asked *int) durable.Program {
	pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible, Limit: "api"}, func(context.Context, int) (int, error) {
		*paid++
		return *paid, nil
	})
	pay.Reconcile = func(context.Context, json.RawMessage) (durable.Outcome, error) {
		*asked++
		return durable.Outcome{Happened: *paid > 0, Output: json.RawMessage(`1`)}, nil
	}
	return durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		for range n {
			if _, err := durable.Do(ctx, pay, 0); err != nil {
				return 0, err
			}
		}
		return n, nil
	}, pay.StepFunc)
}

func openLimited(t *testing.T, s store.Store, limit embedded.Limit, p durable.Program) *embedded.Engine {
	t.Helper()
	e, err := embedded.New(t.Context(), embedded.Config{Store: s, Programs: []durable.Program{p}, Limits: map[string]embedded.Limit{"api": limit}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Closing does not wait for the turn of an irreversible step that has not begun.
func TestCloseWhileWaitingForATurn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var paid, asked int
		s := openStore(t, dir)
		e := openLimited(t, s, embedded.Limit{Count: 1, Per: time.Hour}, pays(2, &paid, &asked))
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: "payer", Program: "p"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if paid != 1 {
			t.Fatalf("paid %d times within the first hour, want 1", paid)
		}
		began := time.Now()
		closeEngine(t, e, s)
		if took := time.Since(began); took > 0 {
			t.Errorf("closing took %s", took)
		}
		s = openStore(t, dir)
		e = openLimited(t, s, embedded.Limit{Count: 1, Per: time.Hour}, pays(2, &paid, &asked))
		defer closeEngine(t, e, s)
		if r := waitLong(t, e, "payer"); r.Status != durable.Succeeded || paid != 2 || asked != 0 {
			t.Errorf("the run is %s (%s), paid %d times, asked %d times", r.Status, r.Reason, paid, asked)
		}
	})
}

// A step in doubt that waits for its turn to be asked about is not promised once more:
// a process that stops before that turn would take the promise back, and pay again.
func TestDoubtUnderALimit(t *testing.T) {
	dir := t.TempDir()
	var paid, asked int
	faulty := storetest.NewFaulty(openStore(t, dir), 4, false) // the birth, the lease, the intent, then the result
	e := openLimited(t, faulty, embedded.Limit{Count: 1000}, pays(1, &paid, &asked))
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: "payer", Program: "p"}); err != nil {
		t.Fatal(err)
	}
	_, _ = e.Wait(t.Context(), "payer") // it cannot end: its store dies
	closeEngine(t, e, faulty)
	if paid != 1 {
		t.Fatalf("paid %d times before the crash, want 1", paid)
	}
	s := openStore(t, dir)
	e = openLimited(t, s, embedded.Limit{Count: 1000}, pays(1, &paid, &asked))
	defer closeEngine(t, e, s)
	if r := waitLong(t, e, "payer"); r.Status != durable.Succeeded || paid != 1 || asked != 1 {
		t.Errorf("the run is %s (%s), paid %d times, asked %d times", r.Status, r.Reason, paid, asked)
	}
	intents := 0
	for _, entry := range entriesOf(t, s)["payer"] {
		if entry.Kind == durable.EntryIntent {
			intents++
		}
	}
	if intents != 1 {
		t.Errorf("the journal has %d intents, want 1", intents)
	}
}
