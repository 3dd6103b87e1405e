package anthropic_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/anthropic"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/server/fakemodel"
)

const key = "secret-key-123"

// serve starts the scripted model and returns the adapter connected to it.
func serve(t *testing.T) model.Model {
	t.Helper()
	s, err := script.Load("../../server/fakemodel/testdata/wire.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, fakemodel.Handler(s))
}

func connect(t *testing.T, h http.Handler) model.Model {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := anthropic.New(anthropic.Config{BaseURL: srv.URL + "/v1/", Key: key, Client: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return c.Model("wire-1")
}

func ask(text string) []model.Message {
	return []model.Message{model.Text(model.System, "be brief"), model.Text(model.User, text)}
}

// heard puts the deltas of a reply together.
type heard struct {
	text, reasoning string
	calls           []model.ToolCall
	pieces          int
}

func (h *heard) emit(d model.Delta) {
	h.pieces++
	switch d.Kind {
	case model.DeltaText:
		h.text += d.Text
	case model.DeltaReasoning:
		h.reasoning += d.Text
	case model.DeltaCall:
		if d.Index == len(h.calls) {
			h.calls = append(h.calls, model.ToolCall{ID: d.ID, Name: d.Name})
		}
		h.calls[d.Index].Args = append(h.calls[d.Index].Args, d.Args...)
	}
}

// check compares what was streamed with the reply.
func (h *heard) check(t *testing.T, reply model.Reply) {
	t.Helper()
	if h.text != reply.Message.Text() {
		t.Errorf("streamed text %q, want %q", h.text, reply.Message.Text())
	}
	want := reply.Message.Calls()
	for i := range want {
		if want[i].Malformed != "" {
			want[i].Args, want[i].Malformed = json.RawMessage(want[i].Malformed), ""
		}
	}
	if diff := cmp.Diff(want, h.calls); diff != "" {
		t.Errorf("streamed calls (-reply +streamed):\n%s", diff)
	}
}

func weatherCalls() []model.Part {
	return []model.Part{
		{Text: "Let me look."},
		{Call: &model.ToolCall{ID: "call_1_0", Name: "weather", Args: json.RawMessage(`{"city":"Paris","days":3,"note":"quoted \"words\" and ünïcode"}`)}},
		{Call: &model.ToolCall{ID: "call_1_1", Name: "weather", Args: json.RawMessage(`{"city":"Oslo","days":1}`)}},
		{Call: &model.ToolCall{ID: "call_1_2", Name: "clock", Args: json.RawMessage(`{}`)}},
	}
}

func TestReplies(t *testing.T) {
	m := serve(t)
	schema := json.RawMessage(`{"type":"object","properties":{"answer":{"type":"integer"}}}`)
	said := func(parts ...model.Part) model.Message { return model.Message{Role: model.Assistant, Parts: parts} }
	thought := said(model.Part{Reasoning: &model.Reasoning{Text: "first I think about it", Signature: "script_1"}}, model.Part{Text: "then I speak"})
	tests := []struct {
		name string
		req  model.Request
		want model.Reply
	}{
		{"text", model.Request{Messages: ask("text")}, model.Reply{
			Message: said(model.Part{Text: "Grüße, a text that comes in several pieces."}),
			Stop:    model.StopEnd, Usage: model.Usage{Input: 20, Output: 8, CacheRead: 12, CacheWrite: 3},
		}},
		{"reasoning", model.Request{Messages: ask("think")}, model.Reply{
			Message: thought, Stop: model.StopEnd, Usage: model.Usage{Input: 3, Output: 3},
		}},
		{"reasoning given back", model.Request{Messages: append(ask("think"), thought, model.Text(model.User, "the end"))}, model.Reply{
			Message: said(model.Part{Text: "all is well"}), Stop: model.StopEnd, Usage: model.Usage{Input: 8, Output: 3},
		}},
		{"parallel calls", model.Request{Messages: ask("weather Paris Oslo"), Tools: []model.ToolSpec{{Name: "weather"}, {Name: "clock"}}}, model.Reply{
			Message: said(weatherCalls()...), Stop: model.StopCalls, Usage: model.Usage{Input: 5, Output: 12},
		}},
		{"results", model.Request{Messages: append(ask("weather Paris Oslo"), said(weatherCalls()...),
			model.Message{Role: model.ToolRole, Parts: []model.Part{
				{Result: &model.ToolResult{CallID: "call_1_0", Name: "weather", Content: "dry"}},
				{Result: &model.ToolResult{CallID: "call_1_1", Name: "weather"}},
			}},
			model.Message{Role: model.ToolRole, Parts: []model.Part{
				{Result: &model.ToolResult{CallID: "call_1_2", Name: "clock", Content: "stopped", Error: true}},
			}},
		)}, model.Reply{
			Message: said(model.Part{Text: "It says stopped"}), Stop: model.StopEnd, Usage: model.Usage{Input: 19, Output: 3},
		}},
		{"malformed arguments", model.Request{Messages: ask("malformed")}, model.Reply{
			Message: said(model.Part{Call: &model.ToolCall{ID: "call_1_0", Name: "weather", Malformed: `{"city": "Par`}}),
			Stop:    model.StopCalls, Usage: model.Usage{Input: 3, Output: 3},
		}},
		{"malformed arguments given back", model.Request{Messages: append(ask("the end"),
			said(model.Part{Call: &model.ToolCall{ID: "c:1", Name: "weather", Malformed: `{"city`}}),
			model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &model.ToolResult{CallID: "c:1", Content: "not JSON", Error: true}}}},
		)}, model.Reply{
			Message: said(model.Part{Text: "all is well"}), Stop: model.StopEnd, Usage: model.Usage{Input: 8, Output: 3},
		}},
		{"structured output", model.Request{Messages: ask("json"), Output: schema}, model.Reply{
			Message: said(model.Part{Text: `{"answer":42,"list":["a","b"]}`}), Stop: model.StopEnd, Usage: model.Usage{Input: 3, Output: 1},
		}},
		{"refusal", model.Request{Messages: ask("refuse")}, model.Reply{
			Message: said(model.Part{Text: "I would rather not"}), Stop: model.StopRefusal, Usage: model.Usage{Input: 3, Output: 4},
		}},
		{"refusal without a word", model.Request{Messages: ask("silent refusal")}, model.Reply{
			Message: said(), Stop: model.StopRefusal, Usage: model.Usage{Input: 4},
		}},
		{"length", model.Request{Messages: ask("long"), MaxTokens: 5}, model.Reply{
			Message: said(model.Part{Text: "as far as it goes"}), Stop: model.StopLength, Usage: model.Usage{Input: 3, Output: 5},
		}},
		{"slow", model.Request{Messages: ask("steady")}, model.Reply{
			Message: said(model.Part{Text: "abcdefghij"}), Stop: model.StopEnd, Usage: model.Usage{Input: 3, Output: 1},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h heard
			got, err := m.Generate(t.Context(), tt.req, h.emit)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Model = "wire-1"
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
			h.check(t, got)
			if tt.name == "slow" && h.pieces != 10 {
				t.Errorf("%d pieces, want 10: they arrive one by one", h.pieces)
			}
			if _, err := m.Generate(t.Context(), tt.req, nil); err != nil {
				t.Errorf("without emit: %v", err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	m := serve(t)
	tests := []struct {
		ask, code string
		status    int
		after     time.Duration
		want      string
		heard     string
	}{
		{ask: "status 401", code: "denied", status: 401, want: "no such key: [redacted]; check the key"},
		{ask: "status 404", code: "not_found", status: 404, want: "no such model; check the model's name"},
		{ask: "status 400", code: "invalid", status: 400, want: "too many words"},
		{ask: "status 429", code: "exhausted", status: 429, after: 7 * time.Second, want: "slow down"},
		{ask: "status exact", code: "exhausted", status: 429, after: 1500 * time.Millisecond, want: "slow down"},
		{ask: "status 500", code: "unavailable", status: 500, want: "it broke"},
		{ask: "status 529", code: "unavailable", status: 529, want: "overloaded"},
		{ask: "cut", code: "unavailable", want: "the stream was cut", heard: "this text is never h"},
		{ask: "garbage", code: "unavailable", want: "the stream was cut", heard: "so far so good"},
		{ask: "nobody knows this", code: "invalid", status: 400, want: "no rule of"},
	}
	for _, tt := range tests {
		t.Run(tt.ask, func(t *testing.T) {
			var h heard
			_, err := m.Generate(t.Context(), model.Request{Messages: ask(tt.ask)}, h.emit)
			e, ok := errors.AsType[*model.Error](err)
			if !ok {
				t.Fatalf("got %v, want a *model.Error", err)
			}
			got := model.Error{Code: e.Code, Status: e.Status, RetryAfter: e.RetryAfter}
			if diff := cmp.Diff(model.Error{Code: tt.code, Status: tt.status, RetryAfter: tt.after}, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if !strings.Contains(e.Message, tt.want) || !strings.HasPrefix(e.Message, "call model anthropic/wire-1: ") {
				t.Errorf("message is %q, want it to say %q", e.Message, tt.want)
			}
			if strings.Contains(err.Error(), key) {
				t.Errorf("the key leaked: %v", err)
			}
			if h.text != tt.heard {
				t.Errorf("heard %q before, want %q", h.text, tt.heard)
			}
		})
	}
	t.Run("does not retry", func(t *testing.T) {
		if _, err := m.Generate(t.Context(), model.Request{Messages: ask("once")}, nil); err == nil {
			t.Error("the first attempt worked, want its error")
		}
		if _, err := m.Generate(t.Context(), model.Request{Messages: ask("once")}, nil); err != nil {
			t.Errorf("second attempt: %v", err)
		}
	})
	t.Run("only system messages", func(t *testing.T) {
		_, err := m.Generate(t.Context(), model.Request{Messages: ask("x")[:1]}, nil)
		if e, ok := errors.AsType[*model.Error](err); !ok || e.Code != "invalid" {
			t.Errorf("got %v, want code invalid", err)
		}
	})
}

func TestCancel(t *testing.T) {
	m := serve(t)
	for _, text := range []string{"hang", "steady"} {
		t.Run(text, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := m.Generate(ctx, model.Request{Messages: ask(text)}, func(model.Delta) { cancel() })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
		})
	}
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := m.Generate(ctx, model.Request{Messages: ask("slow")}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
}

func TestNoServer(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://user:" + key + "@" + ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := anthropic.New(anthropic.Config{BaseURL: base, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Model("m").Generate(t.Context(), model.Request{Messages: ask("text")}, nil)
	if e, ok := errors.AsType[*model.Error](err); !ok || e.Code != "unavailable" || strings.Contains(err.Error(), key) {
		t.Errorf("got %v, want code unavailable without the key", err)
	}
}

func TestConfig(t *testing.T) {
	// The SDK would read these; the adapter must not.
	t.Setenv("ANTHROPIC_API_KEY", "from-the-environment")
	t.Setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
	tests := []struct {
		name string
		cfg  anthropic.Config
		code string
		want string
	}{
		{"hosted without a key", anthropic.Config{}, "denied", "set ANTHROPIC_API_KEY, or use another base URL"},
		{"default written out without a key", anthropic.Config{BaseURL: anthropic.DefaultBaseURL + "/v1"}, "denied", "builtin/outline"},
		{"no URL", anthropic.Config{BaseURL: "localhost:8080"}, "invalid", "is not one"},
		{"local without a key", anthropic.Config{BaseURL: "http://127.0.0.1:1"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := anthropic.Provider(tt.cfg)("m")
			if tt.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e, ok := errors.AsType[*model.Error](err); !ok || e.Code != tt.code || !strings.Contains(e.Message, tt.want) {
				t.Errorf("got %v, want code %s and %q", err, tt.code, tt.want)
			}
		})
	}
	if _, err := anthropic.Provider(anthropic.Config{Key: key})(""); err == nil {
		t.Error("a model without a name was accepted")
	}
	var header http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
	defer srv.Close()
	m, err := anthropic.Provider(anthropic.Config{BaseURL: srv.URL})("m")
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Generate(t.Context(), model.Request{Messages: ask("x")}, nil)
	if err == nil || header == nil || header.Get("X-Api-Key") != "" {
		t.Errorf("got %v with headers %v, want an unkeyed request and an error for the empty answer", err, header)
	}
}

// TestRequest looks at the bytes that are sent.
func TestRequest(t *testing.T) {
	var raw []byte
	var header http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		var err error
		if raw, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	c, err := anthropic.New(anthropic.Config{BaseURL: srv.URL, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	half := 0.5
	_, err = c.Model("m").Generate(t.Context(), model.Request{
		Messages: append(ask("q"),
			model.Message{Role: model.Assistant, Parts: []model.Part{
				{Reasoning: &model.Reasoning{Text: "unsigned"}},
				{Reasoning: &model.Reasoning{Text: "signed", Signature: "s"}},
				{Reasoning: &model.Reasoning{Signature: "redacted:zzz"}},
				{Text: " "},
				{Call: &model.ToolCall{ID: "a:1", Name: "f"}},
			}},
			model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &model.ToolResult{CallID: "a:1", Content: "r", Error: true}}}},
			model.Text(model.System, "late"),
			model.Text(model.User, "steer"), model.Text(model.User, "")),
		Tools: []model.ToolSpec{{Name: "f", Description: "d"}, {Name: "g", Schema: json.RawMessage(`{"type":"object","properties":{"z":{},"a":{}},"$comment":"kept"}`)}},
		Output: json.RawMessage(`{"type":"object","properties":{"z":{"type":"object","additionalProperties":true},"a":{"type":"array","items":{"properties":{"const":{"enum":[{"type":"object"}]}}}},
			"b":{"anyOf":[{"type":"object"},{"type":"null"}]}},"$defs":{"d":{"type":"object"},"any":true}}`),
		MaxTokens: 7, Temperature: &half,
	}, nil)
	if err == nil {
		t.Fatal("an empty answer was taken for a reply")
	}
	schema := `{"type":"object","properties":{"z":{"type":"object","additionalProperties":true},` +
		`"a":{"type":"array","items":{"properties":{"const":{"enum":[{"type":"object"}]}},"additionalProperties":false}},` +
		`"b":{"anyOf":[{"type":"object","additionalProperties":false},{"type":"null"}]}},` +
		`"$defs":{"d":{"type":"object","additionalProperties":false},"any":true},"additionalProperties":false}`
	var got, want map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{
		"model":"m","max_tokens":7,"temperature":0.5,"stream":true,
		"system":[{"type":"text","text":"be brief"},{"type":"text","text":"late"}],
		"messages":[
			{"role":"user","content":[{"type":"text","text":"q"}]},
			{"role":"assistant","content":[{"type":"thinking","thinking":"signed","signature":"s"},{"type":"redacted_thinking","data":"zzz"},
				{"type":"tool_use","id":"a_1","name":"f","input":{}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"a_1","is_error":true,"content":[{"type":"text","text":"r"}]},{"type":"text","text":"steer"}]}],
		"tools":[{"name":"f","description":"d","input_schema":{"type":"object","properties":{}}},
			{"name":"g","input_schema":{"type":"object","properties":{"z":{},"a":{}},"$comment":"kept"}}],
		"output_config":{"format":{"type":"json_schema","schema":`+schema+`}}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(raw), schema) {
		t.Errorf("the schema's fields are not sent in their order:\n%s", raw)
	}
	if header.Get("X-Api-Key") != key || header.Get("Authorization") != "" {
		t.Errorf("headers are %v, want the key in X-Api-Key", header)
	}
	_, err = c.Model("m").Generate(t.Context(), model.Request{Messages: ask("q"), Output: json.RawMessage(`{`)}, nil)
	if e, ok := errors.AsType[*model.Error](err); !ok || e.Code != "invalid" {
		t.Errorf("got %v, want code invalid for a schema that is no JSON", err)
	}
}

// sse writes events of the given types; "error" is named, the rest name themselves.
func sse(events ...string) string {
	var b strings.Builder
	for _, e := range events {
		var head struct{ Type string }
		_ = json.Unmarshal([]byte(e), &head)
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", head.Type, e)
	}
	return b.String()
}

func TestOddAnswers(t *testing.T) {
	const start = `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"x","usage":{"input_tokens":1,"output_tokens":1}}}`
	const stop = `{"type":"message_stop"}`
	tests := []struct {
		name, body string
		status     int
		header     [2]string
		want       *model.Error // nil: a reply
		parts      []model.Part
	}{
		{
			name: "input in the start of a block and redacted thinking",
			body: sse(start,
				`{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"zzz"}}`,
				`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{"x":1}}}`,
				`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"b","name":"g","input":{}}}`, stop),
			parts: []model.Part{
				{Reasoning: &model.Reasoning{Signature: "redacted:zzz"}},
				{Call: &model.ToolCall{ID: "a", Name: "f", Args: json.RawMessage(`{"x":1}`)}},
				{Call: &model.ToolCall{ID: "b", Name: "g", Args: json.RawMessage(`{}`)}},
			},
		},
		{name: "no end", body: sse(start), want: &model.Error{Code: "unavailable", Message: "it ended without message_stop"}},
		{
			name: "delta of nothing", body: sse(start, `{"type":"content_block_delta","index":4,"delta":{"type":"text_delta","text":"x"}}`, stop),
			want: &model.Error{Code: "unavailable", Message: "block 4, which it did not begin"},
		},
		{name: "overloaded in the stream", body: sse(start, `{"type":"error","error":{"type":"overloaded_error","message":"busy"}}`), want: &model.Error{Code: "unavailable", Message: "busy"}},
		{name: "limit in the stream", body: sse(start, `{"type":"error","error":{"type":"rate_limit_error","message":"busy"}}`), want: &model.Error{Code: "exhausted", Message: "busy"}},
		{name: "refused in the stream", body: sse(start, `{"type":"error","error":{"type":"invalid_request_error","message":"no"}}`), want: &model.Error{Code: "invalid", Message: "no"}},
		{name: "redirect", status: 307, header: [2]string{"Location", "https://other.invalid"}, want: &model.Error{Code: "invalid", Status: 307, Message: "other.invalid"}},
		{name: "plain text error", status: 502, body: "bad\n gateway " + key + strings.Repeat(" x", 1000), want: &model.Error{Code: "unavailable", Status: 502, Message: "bad gateway [redacted] x"}},
		{name: "no reason", status: 413, want: &model.Error{Code: "invalid", Status: 413, Message: "no reason"}},
		{name: "date to retry at", status: 429, header: [2]string{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}, want: &model.Error{Code: "exhausted", Status: 429, RetryAfter: 24 * time.Hour, Message: "no reason"}},
		{name: "nonsense to retry at", status: 429, header: [2]string{"Retry-After", "-3"}, want: &model.Error{Code: "exhausted", Status: 429, Message: "no reason"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := connect(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				if tt.header[0] != "" {
					w.Header().Set(tt.header[0], tt.header[1])
				}
				if tt.status != 0 {
					w.WriteHeader(tt.status)
				}
				_, _ = io.WriteString(w, tt.body)
			}))
			var h heard
			reply, err := m.Generate(t.Context(), model.Request{Messages: ask("x")}, h.emit)
			if tt.want == nil {
				if diff := cmp.Diff(tt.parts, reply.Message.Parts); err != nil || diff != "" {
					t.Errorf("%v; parts (-want +got):\n%s", err, diff)
				}
				return
			}
			e, ok := errors.AsType[*model.Error](err)
			if !ok {
				t.Fatalf("got %v, want a *model.Error", err)
			}
			if !strings.Contains(e.Message, tt.want.Message) || len(e.Message) > 500 || strings.Contains(e.Message, key) {
				t.Errorf("message is %q, want a short one that says %q", e.Message, tt.want.Message)
			}
			got := *e
			got.Message = tt.want.Message
			if diff := cmp.Diff(*tt.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func ExampleProvider() {
	provider := anthropic.Provider(anthropic.Config{})
	_, err := provider("claude-opus-4-6")
	fmt.Println(err)
	// Output:
	// no key for https://api.anthropic.com: set ANTHROPIC_API_KEY, or use another base URL, or a model that needs no key: builtin/outline, script/FILE
}
