package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
)

func children(t *testing.T, open Open) {
	child := durable.NewProgram("child", func(_ durable.Context, n int) (int, error) {
		if n < 0 {
			return 0, durable.Errorf(durable.CodeDenied, "negative")
		}
		return n + 1, nil
	})
	e := open(t, child, durable.NewProgram("p", func(ctx durable.Context, _ int) (map[string]string, error) {
		good := ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage(`41`)})
		bad := ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage(`-1`)})
		none := ctx.Child(durable.ChildCall{Program: "none"})
		var n json.RawMessage
		if err := good.Get(ctx, &n); err != nil {
			return nil, err
		}
		return map[string]string{
			"good": string(n),
			"bad":  string(durable.CodeOf(bad.Get(ctx, nil))),
			"none": string(durable.CodeOf(none.Get(ctx, nil))),
		}, nil
	}))
	succeeded(t, run(t, e, 0), map[string]string{"good": "42", "bad": "denied", "none": "invalid"})
}

// tenants: a run, what it starts, and what it starts behind a Continue are of one tenant.
func tenants(t *testing.T, open Open) {
	child := durable.NewProgram("child", func(ctx durable.Context, _ int) (string, error) { return string(ctx.Info().Run), nil })
	step := durable.NewFunc("tenant", durable.StepOptions{}, func(ctx context.Context, _ int) (string, error) {
		return durable.AttemptOf(ctx).Tenant, nil
	})
	e := open(t, child, durable.NewProgram("p", func(ctx durable.Context, before string) ([]string, error) {
		var id string
		if err := ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage(`0`)}).Get(ctx, &id); err != nil {
			return nil, err
		}
		if before == "" {
			return nil, durable.Continue(raw(t, id))
		}
		steps, err := durable.Do(ctx, step, 0)
		return []string{before, id, ctx.Info().Tenant, steps}, err
	}, step.StepFunc))
	for _, tenant := range []string{"acme", ""} {
		id, err := e.Start(t.Context(), durable.StartRequest{Program: "p", Input: raw(t, ""), Tenant: tenant})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		if err := json.Unmarshal(wait(t, e, id).Output, &out); err != nil || len(out) != 4 || out[2] != tenant || out[3] != tenant {
			t.Fatalf("its children, and the tenant that it and its step are told, are %q, error %v", out, err)
		}
		for _, id := range []durable.RunID{durable.RunID(out[0]), durable.RunID(out[1]), id} {
			if r, err := e.Get(t.Context(), id); err != nil || r.Tenant != tenant {
				t.Errorf("run %s is of tenant %q, error %v; want %q", id, r.Tenant, err, tenant)
			}
		}
	}
}

func coroutines(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]int, error) {
		var got []int
		var ends []durable.Future
		for i := range 3 {
			ends = append(ends, ctx.Go("worker", func(ctx durable.Context) error {
				v, err := durable.Do(ctx, double, i)
				if err != nil {
					return err
				}
				got = append(got, v)
				if i == 1 {
					return durable.Errorf(durable.CodeInvalid, "one is odd")
				}
				return nil
			}))
		}
		var failed int
		for _, end := range ends {
			if end.Get(ctx, nil) != nil {
				failed++
			}
		}
		sum := 0
		for _, v := range got {
			sum += v
		}
		return []int{len(got), sum, failed}, nil
	}, double.StepFunc))
	succeeded(t, run(t, e, 0), []int{3, 6, 1})
}

func continues(t *testing.T, open Open) {
	type state struct {
		Turn int
		Got  []string
	}
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, s state) ([]string, error) {
		v, err := durable.Receive[string](ctx, "words")
		if err != nil {
			return nil, err
		}
		if _, err := durable.Do(ctx, double, s.Turn); err != nil {
			return nil, err
		}
		s = state{Turn: s.Turn + 1, Got: append(s.Got, v)}
		if s.Turn == 3 {
			return s.Got, nil
		}
		return nil, durable.Continue(mustJSON(s))
	}, double.StepFunc))
	id := start(t, e, state{})
	for _, w := range []string{"a", "b", "c"} {
		if err := e.Signal(t.Context(), id, durable.Signal{Name: "words", Data: raw(t, w)}); err != nil {
			t.Fatal(err)
		}
	}
	succeeded(t, wait(t, e, id), []string{"a", "b", "c"})
}

func mustJSON(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

func cancels(t *testing.T, open Open) {
	cleaned := make(chan string, 1)
	clean := durable.NewFunc("clean", durable.StepOptions{}, func(_ context.Context, why string) (int, error) {
		cleaned <- why
		return 0, nil
	})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		err := durable.Sleep(ctx, time.Hour)
		if _, cleanErr := durable.Do(ctx.Shield(), clean, "slept"); cleanErr != nil {
			return 0, cleanErr
		}
		return 0, err
	}, clean.StepFunc))
	id := start(t, e, 0)
	if err := e.Cancel(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	r := wait(t, e, id)
	if r.Status != durable.Canceled || r.Reason != "enough" {
		t.Errorf("the run is %s because %q", r.Status, r.Reason)
	}
	if why := <-cleaned; why != "slept" {
		t.Errorf("cleaned %q", why)
	}
	is(t, e.Cancel(t.Context(), id, "again"), durable.ErrConflict)
}

func cancelsChildren(t *testing.T, open Open) {
	born := make(chan durable.RunID, 1)
	tell := durable.NewFunc("tell", durable.StepOptions{}, func(ctx context.Context, _ int) (int, error) {
		born <- durable.AttemptOf(ctx).Run
		return 0, nil
	})
	child := durable.NewProgram("child", func(ctx durable.Context, _ int) (int, error) {
		if _, err := durable.Do(ctx, tell, 0); err != nil {
			return 0, err
		}
		return 0, durable.Sleep(ctx, time.Hour)
	}, tell.StepFunc)
	e := open(t, child, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		return 0, ctx.Child(durable.ChildCall{Program: "child"}).Get(ctx, nil)
	}))
	id := start(t, e, 0)
	childID := <-born
	if err := e.Cancel(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []durable.RunID{id, childID} {
		if r := wait(t, e, id); r.Status != durable.Canceled {
			t.Errorf("run %s is %s", id, r.Status)
		}
	}
}

func kills(t *testing.T, open Open) {
	begun := make(chan struct{})
	stuck := durable.NewFunc("stuck", durable.StepOptions{}, func(ctx context.Context, _ int) (int, error) {
		close(begun)
		<-ctx.Done()
		return 0, ctx.Err()
	})
	clean := durable.NewFunc("clean", durable.StepOptions{}, func(context.Context, int) (int, error) {
		t.Error("a killed run ran clean-up")
		return 0, nil
	})
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		_, err := durable.Do(ctx, stuck, 0)
		if _, cleanErr := durable.Do(ctx.Shield(), clean, 0); cleanErr != nil {
			return 0, cleanErr
		}
		return 0, err
	}, stuck.StepFunc, clean.StepFunc))
	id := start(t, e, 0)
	<-begun
	if err := e.Kill(t.Context(), id, "now"); err != nil {
		t.Fatal(err)
	}
	if r := wait(t, e, id); r.Status != durable.Killed || r.Reason != "now" {
		t.Errorf("the run is %s because %q", r.Status, r.Reason)
	}
	is(t, e.Kill(t.Context(), id, "again"), durable.ErrConflict)
}

func asks(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		first := ctx.Ask(durable.Interrupt{ID: "first", Prompt: "First?"})
		second := ctx.Ask(durable.Interrupt{ID: "second", Prompt: "Second?", Options: []string{"yes"}})
		var a, b string
		if err := errors.Join(first.Get(ctx, &a), second.Get(ctx, &b)); err != nil {
			return nil, err
		}
		return []string{a, b}, nil
	}))
	id := start(t, e, 0)
	eventually(t, func() error { return e.Answer(t.Context(), id, "second", raw(t, "two")) })
	is(t, e.Answer(t.Context(), id, "second", raw(t, "three")), durable.ErrConflict)
	is(t, e.Answer(t.Context(), id, "third", raw(t, "x")), durable.ErrNotFound)
	eventually(t, func() error { return e.Answer(t.Context(), id, "", raw(t, "one")) })
	succeeded(t, wait(t, e, id), []string{"one", "two"})
	is(t, e.Answer(t.Context(), id, "", raw(t, "late")), durable.ErrConflict)
}

func asksUntil(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(ctx durable.Context, byDefault string) (string, error) {
		i := durable.Interrupt{Prompt: "Well?", Within: 200 * time.Millisecond}
		if byDefault != "" {
			i.Default = raw(t, byDefault)
		}
		var said string
		err := ctx.Ask(i).Get(ctx, &said)
		if durable.CodeOf(err) == durable.CodeExhausted {
			return "nobody", nil
		}
		return said, err
	}))
	succeeded(t, wait(t, e, start(t, e, "late")), "late")
	succeeded(t, wait(t, e, start(t, e, "")), "nobody")
}

func starts(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(_ durable.Context, n int) (int, error) { return n, nil }))
	_, err := e.Start(t.Context(), durable.StartRequest{Program: "q"})
	is(t, err, durable.ErrInvalid)
	_, err = e.Start(t.Context(), durable.StartRequest{Program: "p", Input: json.RawMessage(`{`)})
	is(t, err, durable.ErrInvalid)
	id := start(t, e, 7)
	succeeded(t, wait(t, e, id), 7)
	_, err = e.Start(t.Context(), durable.StartRequest{Program: "p", ID: id})
	is(t, err, durable.ErrConflict)
	_, err = e.Get(t.Context(), "none")
	is(t, err, durable.ErrNotFound)
}

func fails(t *testing.T, open Open) {
	e := open(t, durable.NewProgram("p", func(durable.Context, int) (int, error) {
		return 0, durable.Errorf(durable.CodeExhausted, "no money left")
	}))
	r := run(t, e, 0)
	if r.Status != durable.Failed || r.Error == nil || r.Error.Code != durable.CodeExhausted || r.Error.Message != "no money left" {
		t.Errorf("the run is %s with %v", r.Status, r.Error)
	}
}
