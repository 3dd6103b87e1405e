package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// A program that ends before the journal does is a mismatch too.
func TestFewerSteps(t *testing.T) {
	dir := t.TempDir()
	begin(t, dir)
	var now build
	s := openStore(t, dir)
	e := openEngine(t, s, now.program(func(_ durable.Context, do func(name, in string) error) error { return do("a", "1") }))
	defer closeEngine(t, e, s)
	if r := waitFor(t, e, changed); r.Status != durable.Blocked {
		t.Errorf("the run is %s with %s; journal %v", r.Status, r.Output, kinds(t, e, changed))
	}
}

// A child that outlives the segment that started it does not block its parent.
func TestChildOfEarlierSegment(t *testing.T) {
	child := durable.NewProgram("child", func(ctx durable.Context, _ int) (int, error) {
		return 1, ctx.Inbox("go").Receive(ctx, nil)
	})
	p := durable.NewProgram("p", func(ctx durable.Context, n int) (int, error) {
		if n == 0 {
			ctx.Child(durable.ChildCall{Program: "child", Abandon: true})
			if err := durable.Sleep(ctx, time.Millisecond); err != nil {
				return 0, err
			}
			return 0, durable.Continue(json.RawMessage(`1`))
		}
		return 7, ctx.Inbox("go").Receive(ctx, nil)
	})
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, p, child)
	defer closeEngine(t, e, s)
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	var kid durable.RunID
	for item, err := range e.Feed().Watch(t.Context(), id, event.After(-1)) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Event != nil && item.Event.Kind == durable.EntryChild {
			kid = item.Event.Child
		}
		if item.Event != nil && item.Event.Kind == durable.EntryContinued {
			break
		}
	}
	if err := e.Signal(t.Context(), kid, durable.Signal{Name: "go"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, e, kid)
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "go"}); err != nil {
		t.Error(err)
	}
	if r := waitFor(t, e, id); r.Status != durable.Succeeded {
		t.Errorf("the parent is %s: %s", r.Status, r.Reason)
	}
}

// What a program passes as JSON and is not never reaches the journal: the command
// fails with invalid.
func TestInputsThatAreNotJSON(t *testing.T) {
	fn := durable.NewFunc("fn", durable.StepOptions{}, func(context.Context, json.RawMessage) (int, error) { return 0, nil })
	cut := json.RawMessage(`{"cut`)
	child := durable.NewProgram("child", func(durable.Context, json.RawMessage) (int, error) { return 0, nil })
	for name, issue := range map[string]func(durable.Context) durable.Future{
		"step": func(ctx durable.Context) durable.Future { return ctx.Step(durable.StepCall{Func: "fn", Input: cut}) },
		"child": func(ctx durable.Context) durable.Future {
			return ctx.Child(durable.ChildCall{Program: "child", Input: cut})
		},
		"ask": func(ctx durable.Context) durable.Future { return ctx.Ask(durable.Interrupt{Value: cut}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			e := openEngine(t, s, child, durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
				return string(durable.CodeOf(issue(ctx).Get(ctx, nil))), nil
			}, fn.StepFunc))
			defer closeEngine(t, e, s)
			id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			if r, err := e.Settle(ctx, id, time.Time{}); err != nil || string(r.Output) != `"invalid"` {
				t.Fatalf("the run is %s (%s) with %s, error %v", r.Status, r.Reason, r.Output, err)
			}
			entries, err := e.Journal().All(t.Context(), id, 0)
			if err != nil {
				t.Error(err)
			}
			for _, entry := range entries {
				if entry.Child == "" {
					continue
				}
				if _, err := e.Journal().All(t.Context(), entry.Child, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A replay shows the program the same words of an error as the first pass did.
func TestFailureTextIsTheSame(t *testing.T) {
	fn := durable.NewFunc("fn", durable.StepOptions{Retry: durable.Retry{Attempts: 1}}, func(context.Context, int) (int, error) {
		return 0, errors.New("bad \xff\xfe byte")
	})
	step := durable.NewFunc("step", durable.StepOptions{}, func(_ context.Context, in string) (string, error) { return in, nil })
	program := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		_, err := durable.Do(ctx, fn, 1)
		if _, err := durable.Do(ctx, step, fmt.Sprintf("%q", err.Error())); err != nil {
			return "", err
		}
		return "", ctx.Inbox("go").Receive(ctx, nil)
	}, fn.StepFunc, step.StepFunc)
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, program)
	defer closeEngine(t, e, s)
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Settle(t.Context(), id, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "go"}); err != nil {
		t.Error(err)
	}
	if r := waitFor(t, e, id); r.Status != durable.Succeeded {
		t.Errorf("the run is %s (%s)", r.Status, r.Reason)
	}
}

// Who watches a blocked run learns that it was resumed when it is, not with the next
// entry.
func TestUnblockedIsFed(t *testing.T) {
	dir := t.TempDir()
	begin(t, dir)
	s := openStore(t, dir)
	e := openEngine(t, s)
	waitFor(t, e, changed)
	closeEngine(t, e, s)
	b := build{begun: make(chan string, 1), held: make(chan struct{}), hold: "3"}
	s = openStore(t, dir)
	e = openEngine(t, s, b.program(original))
	defer closeEngine(t, e, s)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	resumed := make(chan struct{})
	for item, err := range e.Feed().Watch(ctx, changed, event.After(-1)) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Event == nil {
			continue
		}
		switch item.Event.Kind {
		case durable.EntryBlocked: // Watch has read past it only once it asks for more
			go func() {
				defer close(resumed)
				if err := e.Resume(ctx, changed); err != nil {
					t.Error(err)
				}
			}()
		case durable.EntryUnblocked:
			<-resumed
			return
		default:
		}
	}
}

// What a step that began early streams is seen behind the results that it builds on: who
// has seen it may rely on them.
func TestDeltasBehindResults(t *testing.T) {
	const steps = 20
	talk := durable.NewFunc("talk", durable.StepOptions{Effect: durable.Read}, func(ctx context.Context, n int) (int, error) {
		durable.AttemptOf(ctx).Emit("text", json.RawMessage(`"word"`))
		return n, nil
	})
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		if err := ctx.Inbox("go").Receive(ctx, nil); err != nil {
			return 0, err
		}
		for n := range steps {
			if _, err := durable.Do(ctx, talk, n); err != nil {
				return n, err
			}
		}
		return steps, nil
	}, talk.StepFunc)
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, p)
	defer closeEngine(t, e, s)
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	watch := e.Feed().Watch(t.Context(), id, event.After(-1))
	if err := e.Signal(t.Context(), id, durable.Signal{Name: "go"}); err != nil {
		t.Fatal(err)
	}
	done, words := -1, 0
	for item, err := range watch {
		switch {
		case err != nil:
			t.Fatal(err)
		case item.Event != nil && item.Event.Kind == durable.EntryDone:
			done = item.Event.Command
		case item.Delta != nil && item.Delta.Kind == "text":
			words++
			if before := item.Delta.Command - 1; before > 0 && done != before {
				t.Errorf("a delta of command %d came when command %d was the last one done", item.Delta.Command, done)
			}
		default:
		}
	}
	if words < steps/2 {
		t.Errorf("%d deltas were seen of %d", words, steps)
	}
}
