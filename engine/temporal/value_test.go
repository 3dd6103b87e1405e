package temporal

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// TestLargeValues sends one through every way a value can take: nowhere does the
// history hold it.
func TestLargeValues(t *testing.T) {
	const mark = "very large "
	big := strings.Repeat(mark, 2000)
	grow := durable.NewFunc("grow", durable.StepOptions{}, func(_ context.Context, s string) (string, error) { return s + "!", nil })
	child := durable.NewProgram("child", func(_ durable.Context, s string) (string, error) { return s + "?", nil })
	type state struct{ Text, Signal, Answer string }
	p := durable.NewProgram("p", func(ctx durable.Context, s state) (state, error) {
		var err error
		if s.Signal == "" {
			if s.Text, err = durable.Do(ctx, grow, s.Text); err != nil {
				return s, err
			}
			if err := ctx.Child(durable.ChildCall{Program: "child", Input: mustJSON(s.Text)}).Get(ctx, &s.Text); err != nil {
				return s, err
			}
			if s.Signal, err = durable.Receive[string](ctx, "text"); err != nil {
				return s, err
			}
			return s, durable.Continue(mustJSON(s))
		}
		var second string
		if second, err = durable.Receive[string](ctx, "text"); err != nil || second != s.Signal {
			return s, errors.Join(err, errors.New("the carried signal is another"))
		}
		return s, ctx.Ask(durable.Interrupt{Prompt: "Text?"}).Get(ctx, &s.Answer)
	}, grow.StepFunc)
	for name, open := range map[string]func(*testing.T, ...durable.Program) durable.Engine{"environment": openInEnvironment, "server": openOnServer} {
		t.Run(name, func(t *testing.T) {
			e := open(t, p, child)
			id := begin(t, e, durable.StartRequest{Program: "p", Input: mustJSON(state{Text: big})})
			for range 2 {
				if err := e.Signal(t.Context(), id, durable.Signal{Name: "text", Data: mustJSON(big)}); err != nil {
					t.Fatal(err)
				}
			}
			look(t, e, id, func(r durable.Run) bool { return r.NeedsPerson() })
			if err := e.Answer(t.Context(), id, "", mustJSON(big)); err != nil {
				t.Fatal(err)
			}
			want(t, e, id, string(mustJSON(state{Text: big + "!?", Signal: big, Answer: big})))
			if name == "server" {
				if n := inHistory(t, id, mark); n != 0 {
					t.Errorf("%d events hold the text", n)
				}
			}
		})
	}
}

// TestPack: what is large, or pinned, is a hash to Temporal, and comes back as it was.
func TestPack(t *testing.T) {
	v := values{newMemory()}
	small, big := mustJSON("small"), mustJSON(strings.Repeat("x", inline))
	for _, c := range []struct {
		name string
		do   func(context.Context, json.RawMessage) (value, error)
		data json.RawMessage
		ref  bool
	}{
		{"small", v.pack, small, false},
		{"large", v.pack, big, true},
		{"pinned", v.pin, small, true},
		{"nothing pinned", v.pin, nil, false},
		{"large without blobs", values{}.pack, big, false},
	} {
		got, err := c.do(t.Context(), c.data)
		if err != nil || (got.Ref != nil) != c.ref || (c.ref && got.JSON != nil) {
			t.Errorf("%s: %d bytes inline, ref %v, error %v", c.name, len(got.JSON), got.Ref, err)
		}
		if back, err := v.unpack(t.Context(), got); err != nil || string(back) != string(c.data) {
			t.Errorf("%s: %d bytes came back, error %v", c.name, len(back), err)
		}
	}
}

func mustJSON(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

func TestNoBlobs(t *testing.T) {
	keep := durable.NewFunc("keep", durable.StepOptions{}, func(ctx context.Context, s string) (string, error) {
		_, err := durable.AttemptOf(ctx).Blobs.Put(ctx, []byte(s))
		return s, err
	})
	e := newEnvironment(t, Config{Programs: []durable.Program{durable.NewProgram("p", func(ctx durable.Context, s string) (string, error) {
		return durable.Do(ctx, keep, s)
	}, keep.StepFunc)}})
	run, err := e.Wait(t.Context(), begin(t, e, durable.StartRequest{Program: "p", Input: mustJSON(strings.Repeat("x", 2*inline))}))
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != durable.Failed || !errors.Is(run.Error, durable.ErrInvalid) || !strings.Contains(run.Error.Message, "Config.Blobs") {
		t.Errorf("the run is %s: %v", run.Status, run.Error)
	}
}

// TestStepBlocked: a step that lacks something is neither failed nor counted.
func TestStepBlocked(t *testing.T) {
	var ready atomic.Bool
	var tries atomic.Int64
	need := durable.NewFunc("need", durable.StepOptions{Retry: durable.Retry{Attempts: 1}}, func(context.Context, int) (int, error) {
		tries.Add(1)
		if !ready.Load() {
			return 0, durable.Block(errors.New("no key"))
		}
		return 7, nil
	})
	e := openInEnvironment(t, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		return durable.Do(ctx, need, 0)
	}, need.StepFunc))
	id := begin(t, e, durable.StartRequest{Program: "p"})
	run := look(t, e, id, func(r durable.Run) bool { return r.Status == durable.Blocked && tries.Load() > 2 })
	if run.Reason != "no key" {
		t.Errorf("blocked because %q", run.Reason)
	}
	ready.Store(true)
	want(t, e, id, "7")
}

func TestNewRefuses(t *testing.T) {
	one := durable.NewProgram("p", func(durable.Context, int) (int, error) { return 0, nil })
	step := durable.StepFunc{Name: "s"}
	for name, cfg := range map[string]Config{
		"two programs":       {Programs: []durable.Program{one, one}},
		"two step functions": {Programs: []durable.Program{durable.NewProgram("q", func(durable.Context, int) (int, error) { return 0, nil }, step, step)}},
	} {
		if _, err := prepare(cfg); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	if _, err := New(Config{}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("nothing: got error %v", err)
	}
}

// TestRunIDs have the shape of every engine's, sort by time, and are the same on replay.
func TestRunIDs(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first := newRunID(now, childTail("p", 0, 1))
	if again := newRunID(now, childTail("p", 0, 1)); again != first || len(first) != 16 {
		t.Errorf("got %q, then %q", first, again)
	}
	if other := newRunID(now, childTail("p", 0, 2)); other == first {
		t.Errorf("two commands share the ID %q", other)
	}
	if later := newRunID(now.Add(1e9), childTail("p", 0, 1)); later <= first {
		t.Errorf("%q does not sort after %q", later, first)
	}
}
