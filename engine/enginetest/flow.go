package enginetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
)

// crowds: coroutines have results, and Each keeps the order of its items and all of their failures.
func crowds(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		beside := durable.Go(ctx, "beside", func(ctx durable.Context) (map[string]int, error) {
			v, err := durable.Do(ctx, double, 4)
			return map[string]int{"eight": v}, err
		})
		got, err := durable.Each(ctx, []int{1, 2, 3, 4, 5}, 2, func(ctx durable.Context, i, item int) (int, error) {
			v, err := durable.Do(ctx, double, item)
			if i == 1 || i == 3 {
				return v, durable.Errorf(durable.CodeDenied, "%d is even", item)
			}
			return v, err
		})
		eight, besideErr := beside.Await(ctx)
		return []string{fmt.Sprint(got), fmt.Sprint(err), string(durable.CodeOf(err)), fmt.Sprint(eight, besideErr)}, nil
	}, double.StepFunc))
	succeeded(t, run(t, e, 0), []string{"[2 4 6 8 10]", "item 1: 2 is even\nitem 3: 4 is even", "denied", "map[eight:8] <nil>"})
}

// sagas: what was done is undone in reverse, after a failure and after a cancel.
func sagas(t *testing.T, open Open) {
	var mu sync.Mutex
	var did []string
	note := durable.NewFunc("note", durable.StepOptions{}, func(_ context.Context, what string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		did = append(did, what)
		return what, nil
	})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, fails bool) (int, error) {
		s := durable.NewSaga(ctx)
		for _, what := range []string{"a", "b"} {
			if _, err := durable.Do(ctx, note, what); err != nil {
				return 0, s.Compensate(err)
			}
			s.Add(what, func(ctx durable.Context) error {
				_, err := durable.Do(ctx, note, "undo "+what)
				return err
			})
		}
		if fails {
			return 0, s.Compensate(durable.Errorf(durable.CodeDenied, "no"))
		}
		if _, err := durable.Do(ctx, note, "wait"); err != nil {
			return 0, s.Compensate(err)
		}
		return 0, s.Compensate(durable.Sleep(ctx, time.Hour))
	}, note.StepFunc))
	all := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, did...)
	}
	if r := run(t, e, true); r.Status != durable.Failed || r.Error.Code != durable.CodeDenied || r.Error.Message != "no; compensated b; compensated a" {
		t.Errorf("the run is %s: %v", r.Status, r.Error)
	}
	want := []string{"a", "b", "undo b", "undo a"}
	if diff := cmp.Diff(want, all()); diff != "" {
		t.Errorf("after a failure: -want +got\n%s", diff)
	}
	id := start(t, e, false)
	eventually(t, func() error {
		if len(all()) < len(want)+3 { // a, b and wait
			return fmt.Errorf("it has done %q", all())
		}
		return nil
	})
	if err := e.Cancel(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	if r := wait(t, e, id); r.Status != durable.Canceled {
		t.Errorf("the canceled run is %s: %v", r.Status, r.Error)
	}
	if diff := cmp.Diff(append(want, "a", "b", "wait", "undo b", "undo a"), all()); diff != "" {
		t.Errorf("after a cancel: -want +got\n%s", diff)
	}
}

// asksTyped: a question with a type has its schema, and its answer that type.
func asksTyped(t *testing.T, open Open) {
	type form struct {
		Approve bool   `json:"approve"`
		Note    string `json:"note,omitempty"`
	}
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (form, error) {
		return durable.Ask[form](ctx, durable.Interrupt{ID: "form", Prompt: "well?"})
	}))
	id := start(t, e, 0)
	eventually(t, func() error { return e.Answer(t.Context(), id, "form", raw(t, form{Approve: true, Note: "fine"})) })
	succeeded(t, wait(t, e, id), form{Approve: true, Note: "fine"})
}
