package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// giver is a program that cancels one of each kind when it is told to, and waits for the word
// end then. Its child comes to something all the same.
func giver(begun chan<- struct{}) []durable.Program {
	hang := durable.NewFunc("hang", durable.StepOptions{Effect: durable.Read}, func(ctx context.Context, _ int) (int, error) {
		close(begun)
		<-ctx.Done()
		return 0, ctx.Err()
	})
	child := durable.NewProgram("child", func(ctx durable.Context, _ int) (string, error) {
		if err := durable.Sleep(ctx, time.Hour); !errors.Is(err, durable.ErrCanceled) {
			return "", err
		}
		return "all the same", ctx.Shield().Inbox("finish").Receive(ctx.Shield(), nil)
	})
	parent := durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		all := []durable.Future{
			durable.Start(ctx, hang, 0), ctx.Timer(time.Hour), ctx.Ask(durable.Interrupt{ID: "q", Prompt: "?"}),
			ctx.Child(durable.ChildCall{Program: "child"}),
		}
		if err := ctx.Inbox("now").Receive(ctx, nil); err != nil {
			return 0, err
		}
		for _, f := range all {
			f.Cancel()
		}
		return len(all), ctx.Inbox("end").Receive(ctx, nil)
	}, hang.StepFunc)
	return []durable.Program{child, parent}
}

func childOf(t *testing.T, s store.Store, parent durable.RunID) durable.RunID {
	t.Helper()
	children, err := s.List(t.Context(), durable.Filter{Parent: parent})
	if err != nil || len(children) != 1 {
		t.Fatalf("%d children, error %v", len(children), err)
	}
	return children[0].ID
}

// TestGivenUpIsRecorded: what a program cancels stands in its steps as canceled, whatever
// comes of it later, is open to nobody, and replays.
func TestGivenUpIsRecorded(t *testing.T) {
	begun := make(chan struct{})
	programs := giver(begun)
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, programs...)
	defer closeEngine(t, e, s)
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if len(e.Asking()) != 1 {
		t.Error("the question is not open before")
	}
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "now"}); err != nil {
		t.Fatal(err)
	}
	r, err := e.Settle(t.Context(), id, time.Time{})
	if err != nil || len(r.Waits) != 1 || r.Waits[0].Kind != durable.WaitSignal {
		t.Fatalf("the run is %s and waits for %+v, error %v", r.Status, r.Waits, err)
	}
	err = e.Answer(t.Context(), id, "q", json.RawMessage(`1`))
	if !errors.Is(err, durable.ErrConflict) || !strings.Contains(err.Error(), "withdrawn") || len(e.Asking()) != 0 {
		t.Errorf("an answer is refused with %v; %d questions are open", err, len(e.Asking()))
	}
	child := childOf(t, s, id)
	if found := unfit(t, s, programs); len(found) > 0 {
		t.Errorf("journals do not replay while the child cleans up: %v", found)
	}
	if err := e.Signal(t.Context(), child, durable.Signal{Name: "finish"}); err != nil {
		t.Fatal(err)
	}
	if r := waitFor(t, e, child); r.Status != durable.Succeeded {
		t.Errorf("the child is %s", r.Status)
	}
	if found := unfit(t, s, programs); len(found) > 0 {
		t.Errorf("journals do not replay: %v", found)
	}
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "end"}); err != nil {
		t.Fatal(err)
	}
	if r := waitFor(t, e, id); r.Status != durable.Succeeded || string(r.Output) != "4" {
		t.Errorf("the run is %s with %s", r.Status, r.Output)
	}
	entries := entriesOf(t, s)[id]
	steps := journal.Steps(entries, nil)
	for _, step := range steps {
		if step.Status != durable.StepFailed || step.Error == nil || step.Error.Code != durable.CodeCanceled {
			t.Errorf("step %s %s is %s with %v", step.StepID(), step.Name, step.Status, step.Error)
		}
	}
	cancels := 0
	for _, e := range entriesOf(t, s)[child] {
		if e.Kind == durable.EntryCancel {
			cancels++
		}
	}
	if len(steps) != 4 || cancels != 1 {
		t.Errorf("%d steps, and the child was told %d times", len(steps), cancels)
	}
}

// TestChildGivenUpAtTheEnd: a child that its program cancels as its last act is canceled,
// though it is abandoned, wherever its beginning was by then.
func TestChildGivenUpAtTheEnd(t *testing.T) {
	quick := durable.NewFunc("quick", durable.StepOptions{Effect: durable.Read}, func(context.Context, int) (int, error) { return 0, nil })
	parent := durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		step := durable.Start(ctx, quick, 0) // it may be done before the child is recorded
		child := ctx.Child(durable.ChildCall{Program: "child", Abandon: true})
		defer child.Cancel()
		return step.Await(ctx)
	}, quick.StepFunc)
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, parent, patient())
	defer closeEngine(t, e, s)
	for range 50 {
		id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
		if err != nil {
			t.Fatal(err)
		}
		if r := waitFor(t, e, id); r.Status != durable.Succeeded {
			t.Fatalf("the run is %s (%s)", r.Status, r.Reason)
		}
		if r := waitFor(t, e, childOf(t, s, id)); r.Status != durable.Canceled {
			t.Errorf("the child is %s", r.Status)
		}
	}
}
