package openai_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/model"
)

// TestOtherServers replays the habits of servers that are not the hosted one.
func TestOtherServers(t *testing.T) {
	call := func(id, name, args string) model.Part {
		return model.Part{Call: &model.ToolCall{ID: id, Name: name, Args: json.RawMessage(args)}}
	}
	tests := []struct {
		name, kind, body string
		want             []model.Part
		stop             model.Stop
	}{
		{
			"whole body", "application/json; charset=utf-8",
			`{"model":"m","choices":[{"message":{"content":"hi","tool_calls":[{"id":"x","function":{"name":"f","arguments":{"a":1}}}]},"finish_reason":"stop"}],"usage":null}`,
			[]model.Part{{Text: "hi"}, call("x", "f", `{"a":1}`)},
			model.StopCalls,
		},
		{
			"no done", "text/event-stream",
			"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}",
			[]model.Part{{Text: "a"}},
			model.StopEnd,
		},
		{
			"no finish_reason", "text/event-stream",
			": hello\r\n\r\nevent: x\r\ndata:{\"choices\":[{\"delta\":\r\ndata: {\"content\":\"a\"}}]}\r\n\r\ndata: [DONE]\r\n\r\n",
			[]model.Part{{Text: "a"}},
			model.StopEnd,
		},
		{
			"calls without index", "text/event-stream",
			`data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}}]}` + "\n\n" +
				`data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"}"}}]}}]}` + "\n\n" +
				`data: {"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"g","arguments":""}}]},"finish_reason":"tool_calls"}]}` + "\n\n",
			[]model.Part{call("a", "f", `{}`), call("b", "g", `{}`)},
			model.StopCalls,
		},
		{
			"all calls at index 0", "text/event-stream",
			`data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"stop"}]}` + "\n\n",
			[]model.Part{call("a", "f", `{}`), call("b", "g", `{}`)},
			model.StopCalls,
		},
		{
			"calls without id", "text/event-stream",
			`data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}},{"index":1,"function":{"name":"g","arguments":"[1]"}}]},"finish_reason":"stop"}]}` + "\n\n",
			[]model.Part{call("call_2_0", "f", `{}`), {Call: &model.ToolCall{ID: "call_2_1", Name: "g", Malformed: "[1]"}}},
			model.StopCalls,
		},
		{
			"content in parts and reasoning twice", "text/event-stream",
			`data: {"choices":[{"delta":{"reasoning":"r","reasoning_content":"r","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},"finish_reason":"stop"},{"index":1,"delta":{"content":"no"}}]}` + "\n\n",
			[]model.Part{{Reasoning: &model.Reasoning{Text: "r"}}, {Text: "ab"}},
			model.StopEnd,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := connect(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				_, _ = io.WriteString(w, tt.body)
			}))
			var h heard
			got, err := m.Generate(t.Context(), model.Request{Messages: ask("x")}, h.emit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Message.Parts); diff != "" || got.Stop != tt.stop {
				t.Errorf("stop %q, want %q; parts (-want +got):\n%s", got.Stop, tt.stop, diff)
			}
			if h.text != got.Message.Text() {
				t.Errorf("streamed %q, want %q", h.text, got.Message.Text())
			}
		})
	}
}

func TestOddAnswers(t *testing.T) {
	inStream := func(body string) string { return "data: " + body + "\n\n" }
	tests := []struct {
		name, kind, body string
		status           int
		header           [2]string
		want             model.Error
	}{
		{name: "empty stream", kind: "text/event-stream", want: model.Error{Code: "unavailable", Message: "the stream was cut: it ended without finish_reason"}},
		{name: "web page", kind: "text/html", body: "<html>", want: model.Error{Code: "invalid", Message: "is the base URL right?"}},
		{name: "whole garbage", kind: "application/json", body: "{", want: model.Error{Code: "unavailable", Message: "what is not JSON"}},
		{name: "no choices", kind: "application/json", body: "{}", want: model.Error{Code: "unavailable", Message: "no choices"}},
		{name: "error in a body", kind: "application/json", body: `{"error":"model is loading"}`, want: model.Error{Code: "unavailable", Message: "model is loading"}},
		{name: "error in the stream", kind: "text/event-stream", body: inStream(`{"error":{"message":"too fast","type":"rate_limit_exceeded"}}`), want: model.Error{Code: "exhausted", Message: "too fast"}},
		{name: "coded error in the stream", kind: "text/event-stream", body: inStream(`{"error":{"message":"bad","code":400}}`), want: model.Error{Code: "invalid", Status: 400, Message: "bad"}},
		{name: "long line", kind: "text/event-stream", body: "data: " + strings.Repeat("x", 1<<20), want: model.Error{Code: "unavailable", Message: "longer than 1048576 bytes"}},
		{name: "endless event", kind: "text/event-stream", body: strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 1100), want: model.Error{Code: "unavailable", Message: "longer than 1048576 bytes"}},
		{name: "date to retry at", status: 429, header: [2]string{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}, want: model.Error{Code: "exhausted", Status: 429, RetryAfter: 24 * time.Hour, Message: "no reason"}},
		{name: "nonsense to retry at", status: 503, header: [2]string{"Retry-After", "NaN"}, want: model.Error{Code: "unavailable", Status: 503, Message: "no reason"}},
		{name: "redirect", status: 307, header: [2]string{"Location", "https://other.invalid/v1"}, want: model.Error{Code: "invalid", Status: 307, Message: "other.invalid"}},
		{name: "plain text error", status: 502, body: "bad\n gateway " + key + strings.Repeat(" x", 1000), want: model.Error{Code: "unavailable", Status: 502, Message: "bad gateway [redacted] x"}},
		{name: "detail", status: 422, body: `{"detail":"no such field"}`, want: model.Error{Code: "invalid", Status: 422, Message: "no such field"}},
		{name: "timeout", status: 408, want: model.Error{Code: "unavailable", Status: 408, Message: "no reason"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := connect(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				if tt.header[0] != "" {
					w.Header().Set(tt.header[0], tt.header[1])
				}
				if tt.status != 0 {
					w.WriteHeader(tt.status)
				}
				_, _ = io.WriteString(w, tt.body)
			}))
			_, err := m.Generate(t.Context(), model.Request{Messages: ask("x")}, nil)
			e, ok := errors.AsType[*model.Error](err)
			if !ok {
				t.Fatalf("got %v, want a *model.Error", err)
			}
			if !strings.Contains(e.Message, tt.want.Message) || len(e.Message) > 500 || strings.Contains(e.Message, key) {
				t.Errorf("message is %q, want a short one that says %q", e.Message, tt.want.Message)
			}
			got := *e
			got.Message = tt.want.Message
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
