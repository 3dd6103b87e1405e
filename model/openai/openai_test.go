package openai_test

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
	"github.com/orpine-run/orpine/model/openai"
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
	c, err := openai.New(openai.Config{BaseURL: srv.URL + "/v1/", Key: key, Client: srv.Client()})
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
			Message: said(model.Part{Reasoning: &model.Reasoning{Text: "first I think about it"}}, model.Part{Text: "then I speak"}),
			Stop:    model.StopEnd, Usage: model.Usage{Input: 3, Output: 3},
		}},
		{"parallel calls", model.Request{Messages: ask("weather Paris Oslo"), Tools: []model.ToolSpec{{Name: "weather"}, {Name: "clock"}}}, model.Reply{
			Message: said(weatherCalls()...), Stop: model.StopCalls, Usage: model.Usage{Input: 5, Output: 12},
		}},
		{"results", model.Request{Messages: append(ask("weather Paris Oslo"), said(weatherCalls()...),
			model.Message{Role: model.ToolRole, Parts: []model.Part{
				{Result: &model.ToolResult{CallID: "call_1_0", Name: "weather", Content: "dry"}},
				{Result: &model.ToolResult{CallID: "call_1_1", Name: "weather", Content: "wet"}},
			}},
			model.Message{Role: model.ToolRole, Parts: []model.Part{
				{Result: &model.ToolResult{CallID: "call_1_2", Name: "clock", Content: "stopped", Error: true}},
			}},
		)}, model.Reply{
			Message: said(model.Part{Text: "It says Error: stopped"}), Stop: model.StopEnd, Usage: model.Usage{Input: 21, Output: 4},
		}},
		{"malformed arguments", model.Request{Messages: ask("malformed")}, model.Reply{
			Message: said(model.Part{Call: &model.ToolCall{ID: "call_1_0", Name: "weather", Malformed: `{"city": "Par`}}),
			Stop:    model.StopCalls, Usage: model.Usage{Input: 3, Output: 3},
		}},
		{"malformed arguments given back", model.Request{Messages: append(ask("the end"),
			said(model.Part{Call: &model.ToolCall{ID: "c1", Name: "weather", Malformed: `{"city`}}),
			model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &model.ToolResult{CallID: "c1", Content: "not JSON", Error: true}}}},
		)}, model.Reply{
			Message: said(model.Part{Text: "all is well"}), Stop: model.StopEnd, Usage: model.Usage{Input: 9, Output: 3},
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
		{ask: "garbage", code: "unavailable", want: "what is not JSON", heard: "so far so good"},
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
			if !strings.Contains(e.Message, tt.want) || !strings.HasPrefix(e.Message, "call model openai/wire-1: ") {
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
	base := "http://user:" + key + "@" + ln.Addr().String() + "/v1"
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := openai.New(openai.Config{BaseURL: base, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Model("m").Generate(t.Context(), model.Request{Messages: ask("text")}, nil)
	if e, ok := errors.AsType[*model.Error](err); !ok || e.Code != "unavailable" || strings.Contains(err.Error(), key) {
		t.Errorf("got %v, want code unavailable without the key", err)
	}
}

func TestConfig(t *testing.T) {
	tests := []struct {
		name string
		cfg  openai.Config
		code string
		want string
	}{
		{"hosted without a key", openai.Config{}, "denied", "set OPENAI_API_KEY, or use another base URL"},
		{"default written out without a key", openai.Config{BaseURL: openai.DefaultBaseURL + "/"}, "denied", "builtin/outline"},
		{"no URL", openai.Config{BaseURL: "localhost:8080"}, "invalid", "is not one"},
		{"other scheme", openai.Config{BaseURL: "ftp://x/"}, "invalid", "is not one"},
		{"local without a key", openai.Config{BaseURL: "http://127.0.0.1:1/v1"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := openai.Provider(tt.cfg)("m")
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
	if _, err := openai.Provider(openai.Config{Key: key})(""); err == nil {
		t.Error("a model without a name was accepted")
	}
}

// TestRequest looks at the bytes that are sent.
func TestRequest(t *testing.T) {
	var body map[string]any
	var header http.Header
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		body = nil
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"ok"},"finish_reason":"stop"}]}`)
	})
	srv := httptest.NewServer(h)
	defer srv.Close()
	c, err := openai.New(openai.Config{BaseURL: srv.URL, Key: key, Headers: map[string]string{"X-Gateway": "g"}})
	if err != nil {
		t.Fatal(err)
	}
	half := 0.5
	strict := `{"type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{"type":"array","items":{"type":"string"}}}}`
	_, err = c.Model("meta/llama").Generate(t.Context(), model.Request{
		Messages: append(ask("a<b"),
			model.Message{Role: model.Assistant, Parts: []model.Part{{Reasoning: &model.Reasoning{Text: "only a thought"}}}},
			model.Message{Role: model.Assistant, Parts: []model.Part{{Call: &model.ToolCall{ID: "c", Name: "f"}}}},
			model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &model.ToolResult{CallID: "c", Content: "r"}}}}),
		Tools:  []model.ToolSpec{{Name: "f", Description: "d"}, {Name: "g", Schema: json.RawMessage(`{"type":"object"}`)}},
		Output: json.RawMessage(strict), MaxTokens: 7, Temperature: &half,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal([]byte(`{
		"model":"meta/llama","stream":true,"stream_options":{"include_usage":true},"max_tokens":7,"temperature":0.5,
		"messages":[
			{"role":"system","content":"be brief"},{"role":"user","content":"a<b"},
			{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
			{"role":"tool","content":"r","tool_call_id":"c"}],
		"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{}}}},
			{"type":"function","function":{"name":"g","parameters":{"type":"object"}}}],
		"response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":`+strict+`}}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if header.Get("Authorization") != "Bearer "+key || header.Get("X-Gateway") != "g" {
		t.Errorf("headers are %v, want the key and the configured one", header)
	}
	for name, loose := range map[string]string{
		"optional field": `{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}}}`,
		"open object":    `{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}`,
		"rare keyword":   `{"type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{"type":"string","pattern":"x"}}}`,
		"open inside":    `{"type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{"type":"object"}}}`,
	} {
		if _, err := c.Model("m").Generate(t.Context(), model.Request{Messages: ask("x"), Output: json.RawMessage(loose)}, nil); err != nil {
			t.Fatal(err)
		}
		sent, err := json.Marshal(body["response_format"])
		if err != nil || strings.Contains(string(sent), "strict") {
			t.Errorf("%s: sent %s, %v, want it without strict", name, sent, err)
		}
	}
}

func ExampleProvider() {
	provider := openai.Provider(openai.Config{})
	_, err := provider("gpt-5")
	fmt.Println(err)
	// Output:
	// no key for https://api.openai.com/v1: set OPENAI_API_KEY, or use another base URL, or a model that needs no key: builtin/outline, script/FILE
}
