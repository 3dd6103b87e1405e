package durable_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store/sqlite"
)

// inEngine plays in a bubble, with an engine that drives the programs.
func inEngine(t *testing.T, play func(*testing.T, *embedded.Engine), programs ...durable.Program) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, ProcessDurability: true})
		if err != nil {
			t.Fatal(err)
		}
		e, err := embedded.New(t.Context(), embedded.Config{Store: s, Programs: programs})
		if err != nil {
			t.Fatal(err)
		}
		play(t, e)
		if err := errors.Join(e.Close(t.Context()), s.Close()); err != nil {
			t.Error(err)
		}
	})
}

// runTo wants a run to end so and returns it.
func runTo(t *testing.T, e *embedded.Engine, program, input string, want durable.Status) durable.Run {
	t.Helper()
	id, err := e.Start(t.Context(), durable.StartRequest{Program: program, Input: []byte(input)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Wait(t.Context(), id)
	if err != nil || r.Status != want {
		t.Fatalf("the run is %s (%s) with error %v, %v; want %s", r.Status, r.Reason, r.Error, err, want)
	}
	return r
}

func TestGo(t *testing.T) {
	twice := durable.NewFunc("twice", durable.StepOptions{}, func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	p := durable.NewProgram("p", func(ctx durable.Context, n int) ([]string, error) {
		good := durable.Go(ctx, "good", func(ctx durable.Context) (pair, error) {
			v, err := durable.Do(ctx, twice, n)
			return pair{A: v, B: "b"}, err
		})
		bad := durable.Go(ctx, "bad", func(durable.Context) (int, error) { return 7, durable.Errorf(durable.CodeDenied, "no") })
		if ctx.Select(good) != 0 || !good.Ready() {
			return nil, errors.New("what Select returned is not ready")
		}
		typed, err := good.Await(ctx)
		if err != nil {
			return nil, err
		}
		var loose map[string]any
		if err := good.Get(ctx, &loose); err != nil {
			return nil, err
		}
		sofar, err := bad.Await(ctx)
		return []string{fmt.Sprint(typed), fmt.Sprint(loose), fmt.Sprintf("%d %s", sofar, durable.CodeOf(err))}, nil
	}, twice.StepFunc)
	inEngine(t, func(t *testing.T, e *embedded.Engine) {
		if r := runTo(t, e, "p", "21", durable.Succeeded); string(r.Output) != `["{42 b}","map[a:42 b:b]","7 denied"]` {
			t.Errorf("got %s", r.Output)
		}
	}, p)
}

// TestEach: results are in order, no more than so many are at work, and a failure stops nobody.
func TestEach(t *testing.T) {
	for _, c := range []struct {
		name         string
		n, at, peak  int
		took         time.Duration
		fails        []int
		want, reason string
	}{
		{name: "none"},
		{name: "one after the other", n: 4, at: 1, peak: 1, took: 4 * time.Second},
		{name: "two at once", n: 5, at: 2, peak: 2, took: 3 * time.Second},
		{name: "all at once", n: 5, at: 0, peak: 5, took: time.Second},
		{name: "more at once than there are", n: 3, at: 9, peak: 3, took: time.Second},
		{name: "some fail", n: 5, at: 2, peak: 2, took: 3 * time.Second, fails: []int{3, 1}, want: "item 1: no 1\nitem 3: no 3", reason: "odd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var now, peak atomic.Int64
			work := durable.NewFunc("work", durable.StepOptions{}, func(_ context.Context, i int) (int, error) {
				if n := now.Add(1); n > peak.Load() {
					peak.Store(n)
				}
				<-time.After(time.Second)
				now.Add(-1)
				if slices.Contains(c.fails, i) {
					return 0, &durable.Error{Code: durable.CodeDenied, Reason: "odd", Err: fmt.Errorf("no %d", i)}
				}
				return i * i, nil
			})
			p := durable.NewProgram("p", func(ctx durable.Context, n int) ([]int, error) {
				items := make([]int, n)
				began := durable.Now(ctx)
				got, err := durable.Each(ctx, items, c.at, func(ctx durable.Context, i, _ int) (int, error) { return durable.Do(ctx, work, i) })
				if took := durable.Now(ctx).Sub(began); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				return got, err
			}, work.StepFunc)
			inEngine(t, func(t *testing.T, e *embedded.Engine) {
				status := durable.Succeeded
				if c.fails != nil {
					status = durable.Failed
				}
				r := runTo(t, e, "p", fmt.Sprint(c.n), status)
				want := make([]int, c.n)
				for i := range want {
					if !slices.Contains(c.fails, i) {
						want[i] = i * i
					}
				}
				var got []int
				if err := json.Unmarshal(r.Output, &got); err != nil || !slices.Equal(got, want) {
					t.Errorf("got %s, error %v; want %v", r.Output, err, want)
				}
				if peak.Load() != int64(c.peak) {
					t.Errorf("%d were at work at once, want %d", peak.Load(), c.peak)
				}
				if c.fails != nil && (r.Error.Code != durable.CodeDenied || r.Error.Message != c.want || r.Error.Reason != c.reason) {
					t.Errorf("got %+v", r.Error)
				}
			}, p)
		})
	}
}

// TestEachFailures: an error that nobody would read to its end is cut short.
func TestEachFailures(t *testing.T) {
	p := durable.NewProgram("p", func(ctx durable.Context, n int) ([]int, error) {
		return durable.Each(ctx, make([]int, n), 3, func(durable.Context, int, int) (int, error) { return 0, errors.New("no") })
	})
	inEngine(t, func(t *testing.T, e *embedded.Engine) {
		r := runTo(t, e, "p", "1000", durable.Failed)
		if lines := strings.Split(r.Error.Message, "\n"); len(lines) != 11 || lines[10] != "and 990 items more" {
			t.Errorf("got %q", r.Error.Message)
		}
	}, p)
}

// TestEachCanceled: a cancel ends all of it, but for what cleans up, and the run is canceled.
func TestEachCanceled(t *testing.T) {
	var cleaned atomic.Int64
	clean := durable.NewFunc("clean", durable.StepOptions{}, func(context.Context, int) (int, error) {
		<-time.After(time.Second)
		return int(cleaned.Add(1)), nil
	})
	p := durable.NewProgram("p", func(ctx durable.Context, n int) ([]int, error) {
		return durable.Each(ctx, make([]int, n), 2, func(ctx durable.Context, i, _ int) (int, error) {
			if err := durable.Sleep(ctx, time.Hour); err != nil && i < 2 {
				_, err2 := durable.Do(ctx.Shield(), clean, i)
				return 0, errors.Join(err, err2)
			} else {
				return 0, err
			}
		})
	}, clean.StepFunc)
	inEngine(t, func(t *testing.T, e *embedded.Engine) {
		id, err := e.Start(t.Context(), durable.StartRequest{Program: "p", Input: []byte("100")})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if err := e.Cancel(t.Context(), id, "enough"); err != nil {
			t.Fatal(err)
		}
		if r, err := e.Wait(t.Context(), id); err != nil || r.Status != durable.Canceled || cleaned.Load() != 2 {
			t.Errorf("the run is %s (%v) with %d cleaned up, error %v", r.Status, r.Error, cleaned.Load(), err)
		}
	}, p)
}

type form struct {
	Approved bool    `json:"approved"`
	Note     string  `json:"note,omitempty"`
	Amount   float64 `json:"amount"`
}

// TestAsk: an answer that the type cannot hold is refused, and the run waits on.
func TestAsk(t *testing.T) {
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (form, error) {
		return durable.Ask[form](ctx, durable.Interrupt{Prompt: "pay?"})
	})
	bad := durable.NewProgram("bad", func(ctx durable.Context, _ int) (bool, error) {
		_, err := durable.Ask[json.Number](ctx, durable.Interrupt{Prompt: "how many?", Within: time.Hour})
		if !errors.Is(err, durable.ErrExhausted) {
			return false, err // json.Number is a text, and nobody answers
		}
		_, err = durable.Ask[durable.Codes](ctx, durable.Interrupt{Prompt: "which?"})
		return errors.Is(err, durable.ErrInvalid) && strings.Contains(err.Error(), `ask "which?": type durable.Codes writes its own JSON`), nil
	})
	inEngine(t, func(t *testing.T, e *embedded.Engine) {
		id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, answer := range []string{`true`, `{"approved":"yes","amount":1}`, `{"approved":true}`, `{"approved":true,"amount":1,"to":"me"}`} {
			if err := e.Answer(t.Context(), id, "", json.RawMessage(answer)); !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("answer %s: error %v, want invalid", answer, err)
			}
		}
		if err := e.Answer(t.Context(), id, "", json.RawMessage(`{"approved":true,"amount":1.5}`)); err != nil {
			t.Fatal(err)
		}
		r, err := e.Wait(t.Context(), id)
		if want := `{"approved":true,"amount":1.5}`; err != nil || string(r.Output) != want {
			t.Errorf("got %s (%v), error %v; want %s", r.Output, r.Error, err, want)
		}
		if r := runTo(t, e, "bad", "", durable.Succeeded); string(r.Output) != "true" {
			t.Errorf("got %s", r.Output)
		}
	}, p, bad)
}

func TestSchemaOf(t *testing.T) {
	type base struct {
		ID string `json:"id"`
	}
	type all struct {
		base
		Named base             `json:"named"`
		At    time.Time        `json:"at"`
		N     uint16           `json:"n,omitempty"`
		Maybe *bool            `json:"maybe"`
		List  [][]float32      `json:"list"`
		Map   map[string]int   `json:"map,omitzero"`
		Bytes []byte           `json:"bytes"`
		Any   any              `json:"any"`
		Raw   json.RawMessage  `json:"raw"`
		Skip  func()           `json:"-"`
		Plain string           //nolint:tagliatelle // a field without a tag
		inner map[struct{}]int //nolint:unused // a field that JSON does not see
	}
	type loop struct{ Next *loop }
	type quoted struct {
		N int `json:"n,string"`
	}
	check := func(name string, schema json.RawMessage, err error, want string) {
		t.Helper()
		if err != nil {
			if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), want) || want == "" {
				t.Errorf("%s: got %v, want %s", name, err, want)
			}
			return
		}
		var got, wanted any
		if len(schema) == 0 && want == "" {
			return
		}
		if err := errors.Join(json.Unmarshal(schema, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
			t.Fatalf("%s: %s: %v", name, schema, err)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	s, err := durable.SchemaOf[all]()
	check("all", s, err, `{"type":"object","additionalProperties":false,
		"required":["id","named","at","list","bytes","any","raw","Plain"],
		"properties":{"id":{"type":"string"},
			"named":{"type":"object","additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string"}}},
			"at":{"type":"string","format":"date-time"},"n":{"type":"integer"},"maybe":{"type":"boolean"},
			"list":{"type":"array","items":{"type":"array","items":{"type":"number"}}},
			"map":{"type":"object","additionalProperties":{"type":"integer"}},
			"bytes":{"type":"string"},"any":{},"raw":{},"Plain":{"type":"string"}}}`)
	s, err = durable.SchemaOf[string]()
	check("string", s, err, `{"type":"string"}`)
	s, err = durable.SchemaOf[any]()
	check("any", s, err, ``)
	s, err = durable.SchemaOf[json.RawMessage]()
	check("raw", s, err, ``)
	s, err = durable.SchemaOf[loop]()
	check("loop", s, err, `holds itself`)
	s, err = durable.SchemaOf[quoted]()
	check("quoted", s, err, `field N of type`)
	s, err = durable.SchemaOf[map[int]string]()
	check("map of numbers", s, err, `keys that are no texts`)
	s, err = durable.SchemaOf[chan int]()
	check("channel", s, err, `has no JSON`)
}
