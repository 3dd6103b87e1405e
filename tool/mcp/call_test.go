package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp"
)

// TestCall: what a server returns becomes what a model is told.
func TestCall(t *testing.T) {
	for _, protocol := range []string{"", "2025-11-25", "2024-11-05"} {
		t.Run("protocol "+protocol, func(t *testing.T) {
			b := open(t, mcp.Config{})
			tools := b.tools(fixtureServer("good", func(s *mcp.Server) { s.Protocol = protocol }))
			for _, c := range []struct {
				tool   string
				args   any
				want   []string
				failed bool
			}{
				{tool: "add", args: map[string]int{"A": 2, "B": 3}, want: []string{`{"Sum":5}`}},
				{tool: "echo", args: args{Text: "hi"}, want: []string{"hi key=run/0/7"}},
				{tool: "fails", want: []string{"the disk is full"}, failed: true},
				{tool: "add", args: map[string]string{"A": "x"}, want: []string{"A"}, failed: true},
				{tool: "picture", want: []string{
					"here\n[image image/png, 3 bytes, blob 039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81]\n", "[audio audio/wav, 1 bytes, blob",
					"[resource file:///a, a, text/plain]", "[resource mem://b]\ninside", "[resource mem://c]\n[binary application/zip, 2 bytes, blob",
				}},
				{tool: "list_resources", want: []string{"mem://motd text/plain motd"}},
				{tool: "read_resource", args: map[string]string{"uri": "mem://motd"}, want: []string{"be kind"}},
				{tool: "read_resource", args: map[string]string{"uri": "mem://none"}, want: []string{"the server answered with an error"}, failed: true},
				{tool: "list_prompts", want: []string{"greet: A greeting.", "argument who, required"}},
				{tool: "get_prompt", args: map[string]any{"name": "greet", "arguments": map[string]string{"who": "Ada"}}, want: []string{"user: Hello Ada"}},
			} {
				ctx, _ := attempt(t.Context(), "run/0/7", nil)
				raw := json.RawMessage(`{}`)
				if c.args != nil {
					raw = encode(t, c.args)
				}
				got, err := tools[c.tool].Call(ctx, raw)
				if err != nil {
					t.Errorf("%s: %v", c.tool, err)
					continue
				}
				if got.Error != c.failed {
					t.Errorf("%s: told as an error: %v, want %v: %s", c.tool, got.Error, c.failed, got.Content)
				}
				for _, want := range c.want {
					if !strings.Contains(got.Content, want) {
						t.Errorf("%s: %q is not in %q", c.tool, want, got.Content)
					}
				}
			}
			if n := b.count(); n != 1 {
				t.Errorf("%d processes for one server", n)
			}
		})
	}
}

// TestSpec: what a tool may do is said by its declaration and not by its server.
func TestSpec(t *testing.T) {
	no, is := false, true
	b := open(t, mcp.Config{})
	d := b.list(fixtureServer("good", func(s *mcp.Server) {
		s.Effects = map[string]durable.Effect{"e*": durable.Read, "ec*": durable.Idempotent, "die": durable.Read, "get_prompt": durable.Irreversible}
		s.Flow = &mcp.Flow{Untrusted: &no, Private: &is}
		s.Timeout = mcp.Duration(5 * time.Second)
		s.Tools = []string{"add", "echo", "die", "wait*", "*prompt*"}
	}))
	got := map[string]string{}
	for _, one := range d {
		made, err := b.Make(one)
		if err != nil {
			t.Fatal(err)
		}
		spec := made.Spec()
		got[spec.Name] = string(spec.Options.Effect)
		if spec.Flow != (tool.Flow{Private: true}) || spec.Options.Timeout != 5*time.Second {
			t.Errorf("%s: %+v %+v", spec.Name, spec.Flow, spec.Options)
		}
	}
	want := map[string]string{
		"fix/add": "irreversible", "fix/echo": "idempotent", "fix/die": "read", "fix/wait_a": "irreversible", "fix/wait_a_4f0b3ae1": "irreversible",
		"fix/list_prompts": "read", "fix/get_prompt": "irreversible",
	}
	for name, effect := range want {
		if !strings.HasPrefix(name, "fix/wait_a_") && got[name] != effect {
			t.Errorf("%s is %q, want %q", name, got[name], effect)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	plain := open(t, mcp.Config{}).tools(fixtureServer("good", nil))
	if flow := plain["echo"].Spec().Flow; flow != (tool.Flow{Untrusted: true}) {
		t.Errorf("by default it is %+v", flow)
	}
	for name, made := range plain { // each is called by its own name
		if says := map[string]string{"wait_a": "plain"}[name]; says != "" || strings.HasPrefix(name, "wait_a_") {
			if says == "" {
				says = "dotted"
			}
			if r := b.call(made, args{}); r.Content != says {
				t.Errorf("%s says %q", name, r.Content)
			}
		}
	}
	var listed struct{ Tool mcp.Listed }
	i := slices.IndexFunc(d, func(d tool.Declaration) bool { return d.Name == "fix/add" })
	if err := json.Unmarshal(d[i].Config, &listed); err != nil || !slices.Equal(listed.Tool.Hints, []string{"read-only", "idempotent"}) {
		t.Errorf("its hints are %v, error %v", listed.Tool.Hints, err)
	}
}

// TestProgress: what a server says of a call under way goes into the stream of its step, and the
// end of the step reaches the server.
func TestProgress(t *testing.T) {
	for _, protocol := range []string{"", "2025-11-25"} {
		b := open(t, mcp.Config{})
		slow := b.tools(fixtureServer("good", func(s *mcp.Server) { s.Protocol = protocol }))["slow"]
		said := make(chan string, 100)
		file := ledger(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		step, _ := attempt(ctx, "k", func(kind string, data json.RawMessage) {
			said <- kind + string(data)
			cancel(durable.Errorf(durable.CodeCanceled, "enough"))
		})
		_, err := slow.Call(step, encode(t, args{File: file}))
		if !errors.Is(err, durable.ErrCanceled) || !strings.Contains(err.Error(), "enough") {
			t.Errorf("got error %v", err)
		}
		if first := <-said; first != `progress{"progress":0,"total":3,"message":"step"}` {
			t.Errorf("it said %s", first)
		}
		until(t, "the server was told", func() bool { return slices.Equal(lines(file), []string{"began", "canceled"}) })
		if r := b.call(b.tools(fixtureServer("good", func(s *mcp.Server) { s.Protocol = protocol }))["echo"], args{Text: "still"}); !strings.Contains(r.Content, "still") || b.count() != 1 {
			t.Errorf("afterwards: %s, %d processes", r.Content, b.count())
		}
	}
}

// TestTimeout: the time of a step ends its call with what the engine makes a doubt of.
func TestTimeout(t *testing.T) {
	b := open(t, mcp.Config{})
	slow := b.tools(fixtureServer("good", nil))["slow"]
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, durable.Errorf(durable.CodeUnavailable, "timed out"))
	defer cancel()
	_, err := slow.Call(ctx, encode(t, args{File: ledger(t)}))
	if !errors.Is(err, durable.ErrUnavailable) || ctx.Err() == nil {
		t.Errorf("got error %v", err)
	}
}

// TestHuge: a result that is too long is kept whole and told in part.
func TestHuge(t *testing.T) {
	b := open(t, mcp.Config{})
	huge := b.tools(fixtureServer("good", func(s *mcp.Server) { s.MaxResult = 1000 }))["huge"]
	ctx, kept := attempt(t.Context(), "k", nil)
	r, err := huge.Call(ctx, json.RawMessage(`{}`))
	if err != nil || len(r.Content) > 1300 || !strings.Contains(r.Content, "[it is longer; the whole: text text/plain, 3000000 bytes, blob ") {
		t.Fatalf("got %d bytes, error %v", len(r.Content), err)
	}
	for _, data := range kept.kept {
		if len(data) != 3_000_000 {
			t.Errorf("%d bytes were kept", len(data))
		}
	}
	if len(kept.kept) != 1 {
		t.Errorf("%d blobs", len(kept.kept))
	}
}

// TestManyCalls: calls share one connection and do not mix up; no more are under way than may be.
func TestManyCalls(t *testing.T) {
	b := open(t, mcp.Config{})
	echo := b.tools(fixtureServer("good", func(s *mcp.Server) { s.Calls = 3 }))["echo"]
	wrong := make(chan string, 100)
	for i := range 100 {
		go func() {
			text := strings.Repeat("x", i)
			r, err := echo.Call(t.Context(), encode(t, args{Text: text}))
			if err != nil || r.Content != text+" key=" {
				wrong <- r.Content
				return
			}
			wrong <- ""
		}()
	}
	for range 100 {
		if w := <-wrong; w != "" {
			t.Error(w)
		}
	}
	if b.count() != 1 {
		t.Errorf("%d processes", b.count())
	}
}
