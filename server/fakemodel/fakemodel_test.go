package fakemodel_test

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

	anthropic "github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"

	"github.com/orpine-run/orpine/model"
	ours "github.com/orpine-run/orpine/model/openai"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/server/fakemodel"
)

func start(t *testing.T) *httptest.Server {
	t.Helper()
	s, err := script.Load("testdata/wire.yaml")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(fakemodel.Handler(s))
	t.Cleanup(srv.Close)
	return srv
}

// spoken is what a client understood, whichever client it is.
type spoken struct {
	text, stop, model string
	calls             []string
	input, output     int64
	cached            int64
}

func openaiClient(srv *httptest.Server) openai.Client {
	return openai.NewClient(openaioption.WithBaseURL(srv.URL+"/v1"), openaioption.WithAPIKey("k"), openaioption.WithMaxRetries(0))
}

func openaiSpoken(c openai.ChatCompletion) spoken {
	s := spoken{model: c.Model, input: c.Usage.PromptTokens, output: c.Usage.CompletionTokens, cached: c.Usage.PromptTokensDetails.CachedTokens}
	for _, choice := range c.Choices {
		s.text, s.stop = choice.Message.Content+choice.Message.Refusal, choice.FinishReason
		for _, call := range choice.Message.ToolCalls {
			s.calls = append(s.calls, call.ID+" "+call.Function.Name+" "+call.Function.Arguments)
		}
	}
	return s
}

// TestOpenAIClient lets the official client judge the chat completions wire.
func TestOpenAIClient(t *testing.T) {
	client := openaiClient(start(t))
	calls := []string{
		`call_1_0 weather {"city":"Paris","days":3,"note":"quoted \"words\" and ünïcode"}`,
		`call_1_1 weather {"city":"Oslo","days":1}`, `call_1_2 clock {}`,
	}
	history := []openai.ChatCompletionMessageParamUnion{openai.UserMessage("weather Paris Oslo"), {OfAssistant: &openai.ChatCompletionAssistantMessageParam{
		ToolCalls: []openai.ChatCompletionMessageToolCallUnionParam{{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
			ID: "x", Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: "weather", Arguments: "{}"},
		}}},
	}}, openai.ToolMessage("sunny", "x")}
	asks := func(text string) []openai.ChatCompletionMessageParamUnion {
		return []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("be brief"), openai.UserMessage(text)}
	}
	tests := []struct {
		name     string
		messages []openai.ChatCompletionMessageParamUnion
		want     spoken
	}{
		{"text", asks("text"), spoken{text: "Grüße, a text that comes in several pieces.", stop: "stop", model: "wire-1", input: 20, output: 8, cached: 12}},
		{"calls", asks("weather Paris Oslo"), spoken{text: "Let me look.", stop: "tool_calls", model: "wire-1", calls: calls, input: 5, output: 12}},
		{"results", history, spoken{text: "It says sunny", stop: "stop", model: "wire-1", input: 6, output: 3}},
		{"refusal", asks("refuse"), spoken{text: "I would rather not", stop: "stop", model: "wire-1", input: 3, output: 4}},
		{"silent refusal", asks("silent refusal"), spoken{stop: "content_filter", model: "wire-1", input: 4}},
		{"length", asks("long"), spoken{text: "as far as it goes", stop: "length", model: "wire-1", input: 3, output: 5}},
	}
	for _, tt := range tests {
		params := openai.ChatCompletionNewParams{Model: "any", Messages: tt.messages}
		t.Run(tt.name+" whole", func(t *testing.T) {
			got, err := client.Chat.Completions.New(t.Context(), params)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, openaiSpoken(*got), cmp.AllowUnexported(spoken{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
		t.Run(tt.name+" streamed", func(t *testing.T) {
			params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
			stream := client.Chat.Completions.NewStreaming(t.Context(), params)
			var acc openai.ChatCompletionAccumulator
			for stream.Next() {
				if !acc.AddChunk(stream.Current()) {
					t.Fatalf("the accumulator refuses %s", stream.Current().RawJSON())
				}
			}
			if err := stream.Err(); err != nil {
				t.Fatal(err)
			}
			// The accumulator drops the details of the usage.
			if diff := cmp.Diff(tt.want, openaiSpoken(acc.ChatCompletion), cmp.AllowUnexported(spoken{}), cmpopts.IgnoreFields(spoken{}, "cached")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("errors", func(t *testing.T) {
		_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{Model: "any", Messages: asks("status 429")})
		e, ok := errors.AsType[*openai.Error](err)
		if !ok || e.StatusCode != 429 || e.Message != "slow down" || e.Type != "rate_limit_error" || e.Response.Header.Get("Retry-After") != "7" {
			t.Errorf("got %+v, want the 429 with its message and Retry-After", err)
		}
	})
	t.Run("faults", func(t *testing.T) {
		for _, text := range []string{"cut", "garbage"} {
			params := openai.ChatCompletionNewParams{Model: "any", Messages: asks(text)}
			if _, err := client.Chat.Completions.New(t.Context(), params); err == nil {
				t.Errorf("%s whole: no error", text)
			}
			stream := client.Chat.Completions.NewStreaming(t.Context(), params)
			for stream.Next() {
			}
			if stream.Err() == nil {
				t.Errorf("%s streamed: no error", text)
			}
		}
	})
	t.Run("models", func(t *testing.T) {
		page, err := client.Models.List(t.Context())
		if err != nil || len(page.Data) != 1 || page.Data[0].ID != "wire-1" {
			t.Errorf("got %+v, %v, want the one model", page, err)
		}
	})
}

func anthropicSpoken(m anthropic.Message) spoken {
	s := spoken{stop: string(m.StopReason), model: m.Model, input: m.Usage.InputTokens, output: m.Usage.OutputTokens, cached: m.Usage.CacheReadInputTokens}
	for _, b := range m.Content {
		switch b := b.AsAny().(type) {
		case anthropic.TextBlock:
			s.text += b.Text
		case anthropic.ThinkingBlock:
			s.text += "[" + b.Thinking + "|" + b.Signature + "]"
		case anthropic.ToolUseBlock:
			s.calls = append(s.calls, b.ID+" "+b.Name+" "+string(b.Input))
		}
	}
	return s
}

// TestAnthropicClient lets the official client judge the messages wire.
func TestAnthropicClient(t *testing.T) {
	srv := start(t)
	client := anthropic.NewClient(anthropicoption.WithoutEnvironmentDefaults(), anthropicoption.WithBaseURL(srv.URL),
		anthropicoption.WithAPIKey("k"), anthropicoption.WithMaxRetries(0))
	calls := []string{
		`call_1_0 weather {"city":"Paris","days":3,"note":"quoted \"words\" and ünïcode"}`,
		`call_1_1 weather {"city":"Oslo","days":1}`, `call_1_2 clock {}`,
	}
	user := func(text string) anthropic.MessageParam {
		return anthropic.NewUserMessage(anthropic.NewTextBlock(text))
	}
	asks := func(text string) []anthropic.MessageParam { return []anthropic.MessageParam{user(text)} }
	tests := []struct {
		name     string
		messages []anthropic.MessageParam
		want     spoken
	}{
		{"text", asks("text"), spoken{text: "Grüße, a text that comes in several pieces.", stop: "end_turn", model: "wire-1", input: 5, output: 8, cached: 12}},
		{"thinking", asks("think"), spoken{text: "[first I think about it|script_1]then I speak", stop: "end_turn", model: "wire-1", input: 3, output: 3}},
		{"calls", asks("weather Paris Oslo"), spoken{text: "Let me look.", stop: "tool_use", model: "wire-1", calls: calls, input: 5, output: 12}},
		{"results", []anthropic.MessageParam{
			user("weather Paris Oslo"),
			anthropic.NewAssistantMessage(anthropic.NewToolUseBlock("x", map[string]any{}, "weather")),
			anthropic.NewUserMessage(anthropic.NewToolResultBlock("x", "sunny", false)),
		}, spoken{text: "It says sunny", stop: "end_turn", model: "wire-1", input: 8, output: 3}},
		{"refusal", asks("refuse"), spoken{text: "I would rather not", stop: "refusal", model: "wire-1", input: 3, output: 4}},
		{"length", asks("long"), spoken{text: "as far as it goes", stop: "max_tokens", model: "wire-1", input: 3, output: 5}},
	}
	for _, tt := range tests {
		params := anthropic.MessageNewParams{
			Model: "any", MaxTokens: 100, Messages: tt.messages,
			System: []anthropic.TextBlockParam{{Text: "be brief"}},
		}
		if tt.name == "results" { // the words of the system message are counted
			tt.want.input = 6
			params.System = nil
		}
		t.Run(tt.name+" whole", func(t *testing.T) {
			got, err := client.Messages.New(t.Context(), params)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, anthropicSpoken(*got), cmp.AllowUnexported(spoken{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
		t.Run(tt.name+" streamed", func(t *testing.T) {
			stream := client.Messages.NewStreaming(t.Context(), params)
			var acc anthropic.Message
			last := ""
			for stream.Next() {
				last = stream.Current().Type
				if err := acc.Accumulate(stream.Current()); err != nil {
					t.Fatal(err)
				}
			}
			if err := stream.Err(); err != nil || last != "message_stop" {
				t.Fatalf("ended with %v after %q", err, last)
			}
			if diff := cmp.Diff(tt.want, anthropicSpoken(acc), cmp.AllowUnexported(spoken{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("errors", func(t *testing.T) {
		_, err := client.Messages.New(t.Context(), anthropic.MessageNewParams{Model: "any", MaxTokens: 1, Messages: asks("status 529")})
		e, ok := errors.AsType[*anthropic.Error](err)
		if !ok || e.StatusCode != 529 || e.Type() != anthropic.ErrorTypeOverloadedError {
			t.Errorf("got %+v, want the overloaded error", err)
		}
	})
	t.Run("cut", func(t *testing.T) {
		params := anthropic.MessageNewParams{Model: "any", MaxTokens: 1, Messages: asks("cut")}
		if _, err := client.Messages.New(t.Context(), params); err == nil {
			t.Error("whole: no error")
		}
		stream := client.Messages.NewStreaming(t.Context(), params)
		for stream.Next() {
		}
		if !errors.Is(stream.Err(), io.ErrUnexpectedEOF) {
			t.Errorf("streamed: got %v, want the broken connection", stream.Err())
		}
	})
	t.Run("models", func(t *testing.T) {
		page, err := client.Models.List(t.Context(), anthropic.ModelListParams{})
		if err != nil || len(page.Data) != 1 || page.Data[0].ID != "wire-1" {
			t.Errorf("got %+v, %v, want the one model", page, err)
		}
	})
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	res, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func TestRefusals(t *testing.T) {
	srv := start(t)
	const chat, messages = "/v1/chat/completions", "/v1/messages"
	tests := []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"no JSON", chat, `{`, 400, `"type":"invalid_request_error"`},
		{"no JSON", messages, `{`, 400, `{"error":{"message":"the body is not a messages request: unexpected end of JSON input","type":"invalid_request_error"},"type":"error"}`},
		{"no model", chat, `{"messages":[{"role":"user","content":"text"}]}`, 400, "model parameter"},
		{"no model", messages, `{"max_tokens":1,"messages":[{"role":"user","content":"text"}]}`, 400, "model: field required"},
		{"no limit", messages, `{"model":"m","messages":[{"role":"user","content":"text"}]}`, 400, "max_tokens: field required"},
		{"no messages", chat, `{"model":"m"}`, 400, "messages is empty"},
		{"no messages", messages, `{"model":"m","max_tokens":1}`, 400, "at least one message"},
		{"role", chat, `{"model":"m","messages":[{"role":"wizard","content":"text"}]}`, 400, `messages[0]: unknown role \"wizard\"`},
		{"role", messages, `{"model":"m","max_tokens":1,"messages":[{"role":"tool","content":"text"}]}`, 400, `messages.0: role: unknown role \"tool\"`},
		{"picture", chat, `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, "is not read here"},
		{"picture", messages, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]}`, 400, "is not read here"},
		{"empty text", messages, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":""}]}]}`, 400, "must be non-empty"},
		{"tool message without id", chat, `{"model":"m","messages":[{"role":"tool","content":"x"}]}`, 400, "needs a tool_call_id"},
		{"result without a call", chat, `{"model":"m","messages":[{"role":"tool","tool_call_id":"a","content":"x"}]}`, 400, "answers no tool call"},
		{"result without a call", messages, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}]}`, 400, "answers no tool call"},
		{"call without a result", chat, `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},{"role":"user","content":"text"}]}`, 400, "not followed by its result"},
		{"call without a result at the end", messages, `{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}]}`, 400, "not followed by its result"},
		{"thought without a signature", messages, `{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"x"}]}]}`, 400, "signature: field required"},
		{"format", chat, `{"model":"m","messages":[{"role":"user","content":"text"}],"response_format":{"type":"xml"}}`, 400, "unknown response_format.type"},
		{"format", messages, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"text"}],"output_config":{"format":{"type":"json_schema"}}}`, 400, "schema: field required"},
		{"tool", messages, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"text"}],"tools":[{"name":"f"}]}`, 400, "input_schema are required"},
		{"too large", chat, `{"model":"` + strings.Repeat("m", 33<<20) + `"}`, 413, "read the request"},
		{"no route", "/v1/embeddings", `{}`, 404, "no route for POST /v1/embeddings"},
		{"no rule", chat, `{"model":"m","messages":[{"role":"user","content":"zzz"}]}`, 400, "no rule of testdata/wire.yaml matches turn 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name+strings.ReplaceAll(tt.path, "/", " "), func(t *testing.T) {
			status, got := post(t, srv.URL+tt.path, tt.body)
			if status != tt.status || !strings.Contains(got, tt.want) || !json.Valid([]byte(got)) {
				t.Errorf("got %d %s, want %d and %q", status, got, tt.status, tt.want)
			}
		})
	}
}

func TestCalls(t *testing.T) {
	srv := start(t)
	client := openaiClient(srv)
	for _, text := range []string{"text", "status 500"} {
		_, _ = client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
			Model: "any", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)},
			Tools: []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "f"})},
		})
	}
	post(t, srv.URL+"/v1/messages", `{"model":"m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"garbage"}]}`)
	post(t, srv.URL+"/v1/messages", `{`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/calls", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, body := do(t, req)
	var got fakemodel.Calls
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := fakemodel.Calls{Count: 4, Calls: []fakemodel.Call{
		{Number: 1, Path: "/v1/chat/completions", Model: "any", Authorized: true, Messages: 1, LastUser: "text", Tools: []string{"f"}, Rule: "testdata/wire.yaml:4", Status: 200},
		{Number: 2, Path: "/v1/chat/completions", Model: "any", Authorized: true, Messages: 1, LastUser: "status 500", Tools: []string{"f"}, Rule: "testdata/wire.yaml:35", Status: 500},
		{Number: 3, Path: "/v1/messages", Model: "m", Stream: true, Messages: 1, LastUser: "garbage", Rule: "testdata/wire.yaml:44", Status: 200, Fault: "garbage"},
		{Number: 4, Path: "/v1/messages", Status: 400},
	}}
	opts := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Rule" }, cmp.Comparer(func(a, b string) bool {
		return (a == "") == (b == "") && strings.HasPrefix(a, "testdata/") == strings.HasPrefix(b, "testdata/")
	}))
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestHangsUntilTheClientLeaves(t *testing.T) {
	s, err := script.Load("testdata/wire.yaml")
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	h := fakemodel.Handler(s)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/v1/chat/completions",
		strings.NewReader(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hang"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // abandoned on purpose
	heard := ""
	for buf := make([]byte, 1<<10); !strings.Contains(heard, "moment"); {
		n, err := res.Body.Read(buf)
		if heard += string(buf[:n]); err != nil {
			t.Fatalf("the stream ended with %v after %q", err, heard)
		}
	}
	select {
	case <-left:
		t.Fatal("the handler ended while the client was there")
	default:
	}
	cancel()
	<-left
}

func TestServe(t *testing.T) {
	s, err := script.Load("testdata/wire.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- fakemodel.Serve(ctx, ln, fakemodel.Handler(s)) }()
	c, err := ours.New(ours.Config{BaseURL: "http://" + ln.Addr().String() + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(text string, emit func(model.Delta)) error {
		_, err := c.Model("m").Generate(t.Context(), model.Request{Messages: []model.Message{model.Text(model.User, text)}}, emit)
		return err
	}
	if err := ask("text", nil); err != nil {
		t.Fatal(err)
	}
	// The end of the context ends a request that hangs, and Serve with it.
	err = ask("hang", func(model.Delta) { cancel() })
	if e, ok := errors.AsType[*model.Error](err); !ok || e.Code != "unavailable" {
		t.Errorf("got %v, want a cut stream", err)
	}
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Serve does not end")
	}
	if err := ask("text", nil); err == nil {
		t.Error("the server still answers")
	}
	if err := fakemodel.Serve(t.Context(), ln, http.NotFoundHandler()); err == nil {
		t.Error("a closed listener was served")
	}
}

// A test starts the scripted model on a free port and points any client at it.
func ExampleHandler() {
	s, err := script.Parse("hello.yaml", []byte(`rules: [{reply: {text: "Hello, ${user}."}}]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := httptest.NewServer(fakemodel.Handler(s))
	defer srv.Close()

	c, err := ours.New(ours.Config{BaseURL: srv.URL + "/v1", Client: srv.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}
	reply, err := c.Model("any").Generate(context.Background(), model.Request{
		Messages: []model.Message{model.Text(model.User, "world")},
	}, nil)
	fmt.Println(reply.Message.Text(), err)
	// Output: Hello, world. <nil>
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"text"}]}`,
		`{"model":"m","max_tokens":1,"stream":true,"system":[{"type":"text","text":"x"}],"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[]}]}]}`,
		`{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]},{"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"the end"}]}]}`,
		`{`, `null`, `[]`, `{"messages":[null]}`,
	} {
		f.Add(seed)
	}
	s, err := script.Parse("f.yaml", []byte("rules: [{reply: {text: ok, calls: [{name: f}]}}]"))
	if err != nil {
		f.Fatal(err)
	}
	h := fakemodel.Handler(s)
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/chat/completions", "/v1/messages"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
			if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
				t.Errorf("%s: status %d for %q", path, w.Code, body)
			}
			if kind := w.Header().Get("Content-Type"); kind == "application/json" && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: %q is not JSON", path, w.Body)
			}
		}
	})
}
