package durable_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
)

type pair struct {
	A int    `json:"a"`
	B string `json:"b"`
}

func TestNewFunc(t *testing.T) {
	o := durable.StepOptions{Effect: durable.Read, Timeout: time.Second}
	swap := durable.NewFunc("swap", o, func(_ context.Context, in pair) (pair, error) {
		if in.A < 0 {
			return pair{}, durable.Errorf(durable.CodeDenied, "negative")
		}
		return pair{A: len(in.B), B: strings.Repeat("x", in.A)}, nil
	})
	if swap.Name != "swap" || swap.Options != o {
		t.Errorf("made %+v", swap.StepFunc)
	}
	for _, c := range []struct {
		name, in, want string
		err            error
	}{
		{"value", `{"a":2,"b":"abc"}`, `{"a":3,"b":"xx"}`, nil},
		{"nothing is the zero value", ``, `{"a":0,"b":""}`, nil},
		{"its own error", `{"a":-1}`, ``, durable.ErrDenied},
		{"another type", `{"a":"two"}`, ``, durable.ErrInvalid},
		{"not JSON", `{`, ``, durable.ErrInvalid},
	} {
		got, err := swap.Call(t.Context(), json.RawMessage(c.in))
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %s, error %v", c.name, got, err)
		}
		if errors.Is(err, durable.ErrInvalid) && !strings.Contains(err.Error(), "decode input of swap") {
			t.Errorf("%s: the error does not say what was decoded: %v", c.name, err)
		}
	}
}

func TestOutputs(t *testing.T) {
	raw := durable.NewFunc("raw", durable.StepOptions{}, func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	if got, err := raw.Call(t.Context(), json.RawMessage(`{ "kept":  1 }`)); err != nil || string(got) != `{ "kept":  1 }` {
		t.Errorf("got %s, error %v", got, err)
	}
	bad := durable.NewFunc("bad", durable.StepOptions{}, func(context.Context, int) (chan int, error) { return make(chan int), nil })
	if got, err := bad.Call(t.Context(), nil); !errors.Is(err, durable.ErrInvalid) || got != nil {
		t.Errorf("got %s, error %v", got, err)
	}
}

func TestNewProgram(t *testing.T) {
	step := durable.StepFunc{Name: "s"}
	p := durable.NewProgram("p", func(_ durable.Context, in pair) (int, error) {
		if in.A == 0 {
			return 0, durable.Continue(json.RawMessage(`{"a":1}`))
		}
		return in.A, nil
	}, step)
	if p.Name() != "p" || len(p.Steps()) != 1 || p.Steps()[0].Name != "s" {
		t.Errorf("made %s with %v", p.Name(), p.Steps())
	}
	if got, err := p.Run(nil, json.RawMessage(`{"a":5}`)); err != nil || string(got) != "5" {
		t.Errorf("got %s, error %v", got, err)
	}
	if _, err := p.Run(nil, json.RawMessage(`[]`)); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "decode input of p") {
		t.Errorf("got %v", err)
	}
	_, err := p.Run(nil, nil)
	if next, ok := errors.AsType[*durable.ContinueError](err); !ok || string(next.State) != `{"a":1}` {
		t.Errorf("got %v", err)
	}
}

// recorder is the part of a Context that Start needs.
type recorder struct {
	durable.Context
	call durable.StepCall
}

func (r *recorder) Step(c durable.StepCall) durable.Future {
	r.call = c
	return result{json.RawMessage(`7`)}
}

type result struct{ value json.RawMessage }

func (result) Ready() bool                            { return true }
func (result) Cancel()                                {}
func (r result) Get(_ durable.Context, out any) error { return json.Unmarshal(r.value, out) }

func TestStart(t *testing.T) {
	fn := durable.NewFunc("fn", durable.StepOptions{Timeout: time.Minute}, func(_ context.Context, in pair) (int, error) { return in.A, nil })
	r := &recorder{}
	if got, err := durable.Do(r, fn, pair{A: 1}); err != nil || got != 7 {
		t.Errorf("got %d, error %v", got, err)
	}
	if r.call.Func != "fn" || r.call.Name != "fn" || string(r.call.Input) != `{"a":1,"b":""}` || r.call.Options != fn.Options {
		t.Errorf("asked for %+v", r.call)
	}
	durable.StartAs(r, "other", fn, pair{})
	if r.call.Func != "fn" || r.call.Name != "other" {
		t.Errorf("asked for %+v", r.call)
	}
	defer func() {
		if v, ok := recover().(string); !ok || !strings.Contains(v, "step input") {
			t.Errorf("an input that is no JSON panicked with %q", v)
		}
	}()
	bad := durable.NewFunc("bad", durable.StepOptions{}, func(context.Context, func()) (int, error) { return 0, nil })
	durable.Start(r, bad, func() {})
	t.Error("an input that is no JSON was accepted")
}

func TestAttemptOf(t *testing.T) {
	if a := durable.AttemptOf(t.Context()); a != nil {
		t.Errorf("an attempt outside of a step: %+v", a)
	}
	want := &durable.Attempt{Key: "r/0/1"}
	if got := durable.AttemptOf(durable.WithAttempt(t.Context(), want)); got != want {
		t.Errorf("got %+v", got)
	}
}

// TestCheckResult: a result that a person gives is one that the program can read, and nothing
// else; the error says in words of JSON what would do.
func TestCheckResult(t *testing.T) {
	type sent struct {
		ID   string   `json:"id"`
		To   []string `json:"to,omitempty"`
		Size int
	}
	check := func(f durable.StepFunc, output, want string) {
		t.Helper()
		err := f.Check(json.RawMessage(output))
		if want == "" && err != nil {
			t.Errorf("%s: %v", output, err)
		}
		if want != "" && (!errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want invalid with %q", output, err, want)
		}
	}
	none := durable.StepOptions{}
	send := durable.NewFunc("send", none, func(context.Context, int) (sent, error) { return sent{}, nil }).StepFunc
	check(send, `{"id":"7","to":["a"]}`, "")
	check(send, `{}`, "")
	check(send, `"sent"`, `an object of these fields: {"id": ..., "to": ..., "Size": ...}, not a JSON string`)
	check(send, `{"id":7}`, "its id is a JSON number")
	check(send, `{"ID2":7}`, "unknown field")
	check(send, `null`, "a result of null is none")
	check(send, `{"id":`, "is not JSON")
	count := durable.NewFunc("count", none, func(context.Context, int) (int, error) { return 0, nil }).StepFunc
	check(count, `7`, "")
	check(count, `"7"`, "must be a number, not a JSON string")
	maybe := durable.NewFunc("maybe", none, func(context.Context, int) (*bool, error) { return nil, nil }).StepFunc
	check(maybe, `null`, "")
	check(maybe, `[]`, "true or false, not a JSON array")
	list := durable.NewFunc("list", none, func(context.Context, int) ([]string, error) { return nil, nil }).StepFunc
	check(list, `["a"]`, "")
	check(list, `{}`, "a list")
	table := durable.NewFunc("table", none, func(context.Context, int) (map[string]int, error) { return nil, nil }).StepFunc
	check(table, `[]`, "an object, like {...}")
	raw := durable.NewFunc("raw", none, func(context.Context, int) (json.RawMessage, error) { return nil, nil }).StepFunc
	check(raw, `null`, "")
	check(raw, `{`, "is not JSON")
}
