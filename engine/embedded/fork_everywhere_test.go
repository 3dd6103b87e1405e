package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
)

// TestForkEverywhere forks the scenario that uses everything at each of its steps. Each
// fork comes to an end, none is blocked or in doubt, no step that the plan keeps is
// executed, every fork and the base replay, and the base is what it was.
func TestForkEverywhere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var l ledger
	programs := scenario(&l)
	s := openStore(t, t.TempDir())
	e, err := embedded.New(ctx, bounds(s, programs))
	if err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, e, s)
	if r, err := play(ctx, e); err != nil || r.Status != durable.Succeeded {
		t.Fatalf("the base is %s: %v", r.Status, err)
	}
	entries, err := e.Journal().All(ctx, mainRun, 0)
	if err != nil {
		t.Fatal(err)
	}
	run, err := e.Get(ctx, mainRun)
	if err != nil {
		t.Fatal(err)
	}
	before := bodies(t, s, mainRun)
	steps := journal.Steps(entries, nil)
	for i := range steps {
		at := steps[i].StepID()
		plan, err := embedded.PlanFork(run, entries, embedded.ForkRequest{At: at})
		if err != nil {
			t.Fatal(err)
		}
		fork, err := e.Fork(ctx, mainRun, embedded.ForkRequest{At: at, ID: durable.RunID(fmt.Sprint("fork-", i))})
		if err != nil {
			t.Errorf("fork at %s: %v", at, err)
			continue
		}
		r := coax(ctx, t, e, fork)
		if r.Status != durable.Succeeded {
			t.Errorf("the fork at %s is %s: %s %v", at, r.Status, r.Reason, r.Error)
		}
		l.mu.Lock()
		for _, k := range plan.Kept {
			if key := fmt.Sprintf("%s/%d/%d", fork, k.Segment, k.Command); l.epochs[key] != nil {
				t.Errorf("the fork at %s executed step %s %s, which it keeps", at, k.StepID(), k.Name)
			}
		}
		l.mu.Unlock()
		if report := replayed(t, e, s, fork, programs); report.Divergence != nil {
			t.Errorf("the fork at %s does not replay: %s", at, report.Divergence.Text())
		}
	}
	if report := replayed(t, e, s, mainRun, programs); report.Divergence != nil {
		t.Errorf("the base does not replay: %s", report.Divergence.Text())
	}
	if diff := cmp.Diff(before, bodies(t, s, mainRun)); diff != "" {
		t.Errorf("the base was changed:\n%s", diff)
	}
}

// coax says to a run what it waits for until it stands still for good.
func coax(ctx context.Context, t *testing.T, e *embedded.Engine, id durable.RunID) durable.Run {
	t.Helper()
	var since time.Time
	for {
		r, err := e.Settle(ctx, id, since)
		if err != nil {
			t.Fatalf("%s is %s %+v: %v", id, r.Status, r.Waits, err)
		}
		if r.Status != durable.Waiting {
			return r
		}
		since = r.Updated
		for _, w := range r.Waits {
			switch w.Kind {
			case durable.WaitAnswer:
				err = e.Answer(ctx, id, w.Interrupt.ID, json.RawMessage(`"yes"`))
			case durable.WaitSignal:
				err = e.Signal(ctx, id, durable.Signal{Name: w.Name, Data: json.RawMessage(`"said"`)})
			case durable.WaitInDoubt:
				t.Fatalf("step %d of %s is in doubt", w.Command, id)
			default:
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
