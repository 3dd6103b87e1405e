package fakemodel

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/orpine-run/orpine/model"
)

// openaiWire is the chat completions format.
type openaiWire struct{}

var _ wire = openaiWire{}

type openaiRequest struct {
	Model    string          `json:"model"`
	Messages []openaiMessage `json:"messages"`
	Tools    []struct {
		Type     string `json:"type"`
		Function struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
	ResponseFormat struct {
		Type       string `json:"type"`
		JSONSchema struct {
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
	MaxTokens           int      `json:"max_tokens"`
	MaxCompletionTokens int      `json:"max_completion_tokens"`
	Temperature         *float64 `json:"temperature"`
	Stream              bool     `json:"stream"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

type openaiMessage struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	ToolCalls []struct {
		ID       string `json:"id"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
	ToolCallID string `json:"tool_call_id"`
}

func (openaiWire) decode(body []byte) (asked, error) {
	var w openaiRequest
	if err := json.Unmarshal(body, &w); err != nil {
		return asked{}, fmt.Errorf("the body is not a chat completion request: %w", err)
	}
	switch {
	case w.Model == "":
		return asked{}, fmt.Errorf("you must provide a model parameter")
	case len(w.Messages) == 0:
		return asked{}, fmt.Errorf("messages is empty")
	}
	a := asked{model: w.Model, stream: w.Stream, usage: w.StreamOptions.IncludeUsage}
	a.request.MaxTokens, a.request.Temperature = max(w.MaxTokens, w.MaxCompletionTokens), w.Temperature
	for i, m := range w.Messages {
		message, err := m.message()
		if err != nil {
			return asked{}, fmt.Errorf("messages[%d]: %w", i, err)
		}
		a.request.Messages = append(a.request.Messages, message)
	}
	named(a.request.Messages)
	for i, t := range w.Tools {
		if t.Type != "function" || t.Function.Name == "" {
			return asked{}, fmt.Errorf("tools[%d]: not a function with a name", i)
		}
		a.request.Tools = append(a.request.Tools, model.ToolSpec{
			Name: t.Function.Name, Description: t.Function.Description, Schema: t.Function.Parameters,
		})
	}
	switch w.ResponseFormat.Type {
	case "", "text":
	case "json_object":
		a.request.Output = json.RawMessage(`{"type":"object"}`)
	case "json_schema":
		if a.request.Output = w.ResponseFormat.JSONSchema.Schema; len(a.request.Output) == 0 || w.ResponseFormat.JSONSchema.Name == "" {
			return asked{}, fmt.Errorf("response_format.json_schema needs a name and a schema")
		}
	default:
		return asked{}, fmt.Errorf("unknown response_format.type %q", w.ResponseFormat.Type)
	}
	return a, nil
}

func (w openaiMessage) message() (model.Message, error) {
	text, err := openaiText(w.Content)
	if err != nil {
		return model.Message{}, err
	}
	m := model.Message{}
	switch w.Role {
	case "system", "developer":
		m.Role = model.System
	case "user":
		m.Role = model.User
	case "assistant":
		m.Role = model.Assistant
	case "tool":
		if w.ToolCallID == "" {
			return m, fmt.Errorf("a tool message needs a tool_call_id")
		}
		return model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &model.ToolResult{CallID: w.ToolCallID, Content: text}}}}, nil
	default:
		return m, fmt.Errorf("unknown role %q", w.Role)
	}
	if text != "" {
		m.Parts = append(m.Parts, model.Part{Text: text})
	}
	for _, c := range w.ToolCalls {
		call := model.ToolCall{ID: c.ID, Name: c.Function.Name}
		if json.Valid([]byte(c.Function.Arguments)) {
			call.Args = json.RawMessage(c.Function.Arguments)
		} else {
			call.Malformed = c.Function.Arguments
		}
		m.Parts = append(m.Parts, model.Part{Call: &call})
	}
	return m, nil
}

// openaiText reads content: null, a string, or a list of parts.
func openaiText(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var parts []struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", fmt.Errorf("content is neither text nor a list of parts")
	}
	for _, p := range parts {
		if p.Type != "text" && p.Type != "refusal" {
			return "", fmt.Errorf("a part of type %q is not read here", p.Type)
		}
		text += p.Text + p.Refusal
	}
	return text, nil
}

func (openaiWire) fail(w http.ResponseWriter, status int, message string) {
	kind := errorType(status, "server_error")
	writeJSON(w, status, map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": nil}})
}

func openaiUsage(u model.Usage) map[string]any {
	return map[string]any{
		"prompt_tokens": u.Input, "completion_tokens": u.Output, "total_tokens": u.Input + u.Output,
		"prompt_tokens_details": map[string]any{"cached_tokens": u.CacheRead, "cache_write_tokens": u.CacheWrite},
	}
}

func openaiFinish(r model.Reply) string {
	switch r.Stop {
	case model.StopCalls:
		return "tool_calls"
	case model.StopLength:
		return "length"
	case model.StopRefusal:
		if r.Message.Text() == "" {
			return "content_filter"
		}
	case model.StopEnd:
	}
	return "stop"
}

func (openaiWire) whole(_ asked, r model.Reply, number int) any {
	message := map[string]any{"role": "assistant", "content": nil, "refusal": nil}
	if text := r.Message.Text(); text != "" {
		message[openaiField(r)] = text
	}
	var calls []any
	for _, p := range r.Message.Parts {
		switch {
		case p.Reasoning != nil:
			message["reasoning_content"] = p.Reasoning.Text
		case p.Call != nil:
			args := p.Call.Malformed
			if args == "" {
				args = string(p.Call.Args)
			}
			calls = append(calls, map[string]any{
				"id": p.Call.ID, "type": "function",
				"function": map[string]any{"name": p.Call.Name, "arguments": args},
			})
		}
	}
	if calls != nil {
		message["tool_calls"] = calls
	}
	return map[string]any{
		"id": fmt.Sprintf("chatcmpl-%d", number), "object": "chat.completion", "created": 0, "model": r.Model,
		"choices": []any{map[string]any{"index": 0, "message": message, "finish_reason": openaiFinish(r), "logprobs": nil}},
		"usage":   openaiUsage(r.Usage),
	}
}

// openaiField is where the words of a reply stand.
func openaiField(r model.Reply) string {
	if r.Stop == model.StopRefusal {
		return "refusal"
	}
	return "content"
}

type openaiStream struct {
	asked  asked
	reply  model.Reply
	number int
}

func (openaiWire) stream(a asked, r model.Reply, number int) streamer {
	return openaiStream{a, r, number}
}

func (s openaiStream) chunk(delta map[string]any, finish any) event {
	return event{data: map[string]any{
		"id": fmt.Sprintf("chatcmpl-%d", s.number), "object": "chat.completion.chunk", "created": 0, "model": s.reply.Model,
		"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": nil}},
	}}
}

func (s openaiStream) begin() []event {
	return []event{s.chunk(map[string]any{"role": "assistant", "content": ""}, nil)}
}

func (s openaiStream) delta(d model.Delta) []event {
	switch d.Kind {
	case model.DeltaReasoning:
		return []event{s.chunk(map[string]any{"reasoning_content": d.Text}, nil)}
	case model.DeltaCall:
		call := map[string]any{"index": d.Index, "function": map[string]any{"arguments": d.Args}}
		if d.ID != "" {
			call["id"], call["type"] = d.ID, "function"
			call["function"] = map[string]any{"name": d.Name, "arguments": d.Args}
		}
		return []event{s.chunk(map[string]any{"tool_calls": []any{call}}, nil)}
	case model.DeltaText:
	}
	return []event{s.chunk(map[string]any{openaiField(s.reply): d.Text}, nil)}
}

func (s openaiStream) end() []event {
	events := []event{s.chunk(map[string]any{}, openaiFinish(s.reply))}
	if s.asked.usage {
		events = append(events, event{data: map[string]any{
			"id": fmt.Sprintf("chatcmpl-%d", s.number), "object": "chat.completion.chunk", "created": 0, "model": s.reply.Model,
			"choices": []any{}, "usage": openaiUsage(s.reply.Usage),
		}})
	}
	return append(events, event{data: "[DONE]"})
}
