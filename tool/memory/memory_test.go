package memory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/memory"
)

// shelf keeps facts in memory; that of a runtime is tested with it.
type shelf map[[3]string]memory.Fact

func (s shelf) Facts(_ context.Context, tenant, space string) ([]memory.Fact, error) {
	var list []memory.Fact
	for k, f := range s {
		if k[0] == tenant && k[1] == space {
			list = append(list, f)
		}
	}
	return list, nil
}

func (s shelf) SaveFact(_ context.Context, tenant, space string, f memory.Fact) error {
	s[[3]string{tenant, space, f.Key}] = f
	return nil
}

func (s shelf) ForgetFact(_ context.Context, tenant, space, key string) error {
	delete(s, [3]string{tenant, space, key})
	return nil
}

// TestUntrusted: what was kept of a stranger is theirs when it is found again.
func TestUntrusted(t *testing.T) {
	kept := shelf{}
	maker := memory.Maker(func() memory.Shelf { return kept })
	var tools []tool.Tool
	for _, d := range memory.Declare("memory", "clerk") {
		one, err := maker(d)
		if err != nil {
			t.Fatal(err)
		}
		tools = append(tools, one)
	}
	r, err := tool.NewRegistry(tools...)
	if err != nil {
		t.Fatal(err)
	}
	call := func(ctx context.Context, name, args string) tool.Result {
		got, err := r.Dispatch(ctx, tool.Call{Name: "memory/" + name, Args: json.RawMessage(args)})
		if err != nil || got.Error {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		return got
	}
	call(t.Context(), "save", `{"key":"own","text":"tea at four"}`)
	call(tool.WithUntrusted(t.Context()), "save", `{"key":"theirs","text":"pay them"}`)
	for query, want := range map[string]bool{`{"query":"tea"}`: false, `{"query":"pay"}`: true, `{}`: true} {
		if got := call(t.Context(), "find", query); got.Untrusted != want {
			t.Errorf("%s: %+v, want untrusted %t", query, got, want)
		}
	}
	call(t.Context(), "save", `{"key":"theirs","text":"pay nobody"}`)
	if got := call(t.Context(), "find", `{}`); got.Untrusted {
		t.Errorf("a fact that was replaced: %+v", got)
	}
}

func TestMemory(t *testing.T) {
	var open memory.Shelf
	maker := memory.Maker(func() memory.Shelf { return open })
	spaces := map[string]*tool.Registry{}
	for _, space := range []string{"clerk", "other"} {
		var tools []tool.Tool
		for _, d := range memory.Declare("memory", space) {
			one, err := maker(d)
			if err != nil {
				t.Fatal(err)
			}
			tools = append(tools, one)
		}
		var err error
		if spaces[space], err = tool.NewRegistry(tools...); err != nil {
			t.Fatal(err)
		}
	}
	call := func(tenant, space, name, args string) (tool.Result, error) {
		ctx := durable.WithAttempt(t.Context(), &durable.Attempt{Run: "r", Tenant: tenant})
		return spaces[space].Dispatch(ctx, tool.Call{Name: "memory/" + name, Args: json.RawMessage(args)})
	}
	if _, err := call("", "clerk", "find", `{}`); !errors.Is(err, durable.ErrUnavailable) {
		t.Errorf("before the store is open: %v", err)
	}
	open = shelf{}
	for _, c := range []struct{ tenant, space, name, args, want string }{
		{"acme", "clerk", "find", `{"query":"mail"}`, "Nothing of that is known."},
		{"acme", "clerk", "save", `{"key":"customer 17","text":"Ann prefers mail."}`, "kept customer 17"},
		{"acme", "clerk", "save", `{"key":"customer 18","text":"Bob prefers calls in the morning."}`, "kept customer 18"},
		{"acme", "clerk", "save", `{"key":"customer 17","text":"Ann prefers mail, in French."}`, "kept customer 17"},
		{"acme", "clerk", "find", `{"query":"french mail"}`, "customer 17: Ann prefers mail, in French. ("},
		{"acme", "clerk", "find", `{"query":"prefers morning"}`, "customer 18: Bob"},
		{"acme", "other", "find", `{"query":"prefers"}`, "Nothing of that is known."},
		{"", "clerk", "find", `{"query":"prefers"}`, "Nothing of that is known."},
		{"acme/clerk", "clerk", "find", `{"query":"prefers"}`, "Nothing of that is known."},
		{"acme", "clerk", "forget", `{"key":"customer 17"}`, "nothing is kept under customer 17"},
		{"acme", "clerk", "forget", `{"key":"customer 17"}`, "nothing is kept under customer 17"},
		{"acme", "clerk", "find", `{"query":"ann"}`, "Nothing of that is known."},
		{"acme", "clerk", "save", `{"key":" ","text":"x"}`, "a key has 1 to 200 bytes"},
		{"acme", "clerk", "save", `{"key":"x","text":"` + strings.Repeat("x", 5000) + `"}`, "a fact has 1 to 4000 bytes"},
	} {
		if got, err := call(c.tenant, c.space, c.name, c.args); err != nil || !strings.Contains(got.Content, c.want) {
			t.Errorf("%s %s of %s: %+v, %v; want %q", c.name, c.args, c.tenant, got, err, c.want)
		}
	}
}

func ExampleDeclare() {
	for _, d := range memory.Declare("memory", "clerk") {
		fmt.Println(d.Name)
	}
	// Output:
	// memory/save
	// memory/find
	// memory/forget
}
