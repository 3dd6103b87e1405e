package tool_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// counted is a tool that says how often it was called.
func counted(n *int, fails func(n int) error, options ...tool.Option) tool.Tool {
	return tool.Func("counted", "", func(_ context.Context, in leg) (string, error) {
		*n++
		if fails != nil {
			if err := fails(*n); err != nil {
				return "", err
			}
		}
		return strings.Repeat("x", *n) + in.From, nil
	}, options...)
}

func ordered(t *testing.T, one tool.Tool, o tool.Orders) func(args string) (tool.Result, error) {
	t.Helper()
	under, err := tool.Ordered(one, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := tool.NewRegistry(under)
	if err != nil {
		t.Fatal(err)
	}
	return func(args string) (tool.Result, error) {
		return r.Dispatch(t.Context(), tool.Call{Name: "counted", Args: json.RawMessage(args)})
	}
}

// TestCache: a result is kept for calls with the same arguments, as long as it is good.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		call := ordered(t, counted(&n, nil, tool.Read), tool.Orders{Cache: tool.Cache{For: time.Minute, Key: []string{"from"}}})
		for _, c := range []struct {
			args, want string
			after      time.Duration
		}{
			{`{"from":"A","to":"B"}`, "xA", 0},
			{`{"to":"C","from":"A"}`, "xA", 59 * time.Second},
			{`{"from":"B","to":"B"}`, "xxB", 0},
			{`{"from":"A","to":"B"}`, "xxxA", 2 * time.Second},
		} {
			time.Sleep(c.after)
			if got, err := call(c.args); err != nil || got.Content != c.want {
				t.Errorf("%s: %+v, %v; want %s", c.args, got, err, c.want)
			}
		}
	})
	n := 0
	call := ordered(t, counted(&n, func(int) error { return errors.New("no") }, tool.Read), tool.Orders{Cache: tool.Cache{For: time.Minute}})
	for range 2 {
		if got, err := call(`{"from":"A","to":"B"}`); err != nil || !got.Error {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if n != 2 {
		t.Errorf("a refusal was kept: called %d times", n)
	}
	if _, err := tool.Ordered(counted(&n, nil), tool.Orders{Cache: tool.Cache{For: time.Minute}}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("results of a tool that does something are kept: %v", err)
	}
}

// TestCacheOfATenant: what one tenant was told is nobody else's.
func TestCacheOfATenant(t *testing.T) {
	own := tool.Func("counted", "", func(ctx context.Context, _ leg) (string, error) { return durable.AttemptOf(ctx).Tenant, nil }, tool.Read)
	under, err := tool.Ordered(own, tool.Orders{Cache: tool.Cache{For: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, tenant := range []string{"acme", "globex", ""} {
			got, err := under.Call(durable.WithAttempt(t.Context(), &durable.Attempt{Tenant: tenant}), json.RawMessage(`{"from":"A","to":"B"}`))
			if err != nil || got.Content != tenant {
				t.Errorf("tenant %q is told %q, %v", tenant, got.Content, err)
			}
		}
	}
}

// TestCacheIsBounded: what was used last stays.
func TestCacheIsBounded(t *testing.T) {
	n := 0
	big := tool.Func("counted", "", func(_ context.Context, in leg) (string, error) {
		n++
		return strings.Repeat(in.From, 1<<20), nil
	}, tool.Read)
	call := ordered(t, big, tool.Orders{Cache: tool.Cache{For: time.Hour}})
	ask := func(from string) {
		t.Helper()
		if _, err := call(`{"from":"` + from + `","to":"x"}`); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 26 {
		ask(string(rune('a' + i)))
		ask("a")
	}
	if n != 26 {
		t.Errorf("called %d times for 26 results, one of which was asked for again and again", n)
	}
	if ask("b"); n != 27 {
		t.Error("more is kept than there is room for")
	}
}

// TestBreaker: what does not answer is left alone for a while, and tried again then.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, down := 0, true
		call := ordered(t, counted(&n, func(int) error {
			if down {
				return durable.Errorf(durable.CodeUnavailable, "away")
			}
			return nil
		}, tool.Read), tool.Orders{Breaker: tool.Breaker{Failures: 3, Pause: time.Minute}})
		ask := func() error {
			_, err := call(`{"from":"A","to":"B"}`)
			return err
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		stopped, err := tool.Ordered(counted(new(int), func(int) error { return canceled.Err() }), tool.Orders{Breaker: tool.Breaker{Failures: 1}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // somebody does not wait, which says nothing of the tool
			if _, err := stopped.Call(canceled, json.RawMessage(`{}`)); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		for range 5 {
			if err := ask(); !errors.Is(err, durable.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if n != 3 {
			t.Errorf("called %d times, want 3", n)
		}
		err = ask()
		if e, ok := errors.AsType[*durable.Error](err); !ok || e.RetryAfter != time.Minute || !strings.Contains(err.Error(), "failed 3 times in a row") {
			t.Errorf("it says %v", err)
		}
		time.Sleep(time.Minute)
		if _ = ask(); n != 4 {
			t.Errorf("after the pause: called %d times, want 4", n)
		}
		if _ = ask(); n != 4 {
			t.Error("it was called again at once, though that failed")
		}
		time.Sleep(time.Minute)
		down = false
		if err := errors.Join(ask(), ask()); err != nil || n != 6 {
			t.Errorf("it answers again: %v, called %d times", err, n)
		}
	})
}

// TestOutput: a result is text, and of the form that the tool has promised.
func TestOutput(t *testing.T) {
	promised := json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}`)
	for _, c := range []struct {
		name, content string
		output        json.RawMessage
		want          string
		refused       bool
	}{
		{"as promised", `{"n":1}`, promised, `{"n":1}`, false},
		{"another form", `{"n":"one"}`, promised, "does not match its output schema", true},
		{"no JSON", `one`, promised, "not JSON, as its output schema promises", true},
		{"not UTF-8", "caf\xe9 au lait", nil, "caf\ufffd au lait", false},
		{"no text", "\x00\x01\xff\xfe", nil, "returned 4 bytes that are no text", true},
	} {
		r, err := tool.NewRegistry(says(tool.Spec{Name: "counted", Output: c.output}, c.content))
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Dispatch(t.Context(), tool.Call{Name: "counted"})
		if err != nil || got.Error != c.refused || !strings.Contains(got.Content, c.want) {
			t.Errorf("%s: %+v, %v; want %q", c.name, got, err, c.want)
		}
	}
	if _, err := tool.NewRegistry(says(tool.Spec{Name: "x", Output: json.RawMessage(`{"type":7}`)}, "")); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("an output schema that is none: %v", err)
	}
}

// says is a tool that always returns the same.
func says(spec tool.Spec, content string) tool.Tool {
	return fixed{spec: spec, call: func(context.Context, json.RawMessage) (tool.Result, error) { return tool.Result{Content: content}, nil }}
}

// BenchmarkDispatch is what the one door costs: the policy, the schemas and the hand-over of an
// in-process tool.
func BenchmarkDispatch(b *testing.B) {
	n := 0
	r, err := tool.NewRegistry(tool.Func("counted", "", func(_ context.Context, in leg) (string, error) {
		n++
		return in.From, nil
	}, tool.Read))
	if err != nil {
		b.Fatal(err)
	}
	j, err := tool.NewJudge(tool.Policy{Allow: []string{"files/*", "shell(git log*)", "counted"}, Deny: []string{"shell(rm *)"}})
	if err != nil {
		b.Fatal(err)
	}
	call := tool.Call{Name: "counted", Args: json.RawMessage(`{"from":"A","to":"B"}`)}
	spec, _ := r.Spec("counted")
	for b.Loop() {
		if j.Rule(tool.Case{Agent: "a", Tool: spec, Args: call.Args}).Verdict != tool.Allow {
			b.Fatal("refused")
		}
		if _, err := r.Dispatch(context.Background(), call); err != nil {
			b.Fatal(err)
		}
	}
}
