package openai

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/orpine-run/orpine/model"
)

type wireRequest struct {
	Model               string         `json:"model"`
	Messages            []wireMessage  `json:"messages"`
	Tools               []wireTool     `json:"tools,omitempty"`
	ResponseFormat      *wireFormat    `json:"response_format,omitempty"`
	MaxTokens           int            `json:"max_tokens,omitempty"`
	MaxCompletionTokens int            `json:"max_completion_tokens,omitempty"`
	Temperature         *float64       `json:"temperature,omitempty"`
	Stream              bool           `json:"stream"`
	StreamOptions       map[string]any `json:"stream_options"`
}

type wireMessage struct {
	Role       string     `json:"role"`
	Content    *string    `json:"content"`
	ToolCalls  []wireCall `json:"tool_calls,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`
}

type wireCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function wireFunction `json:"function"`
}

type wireFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type wireTool struct {
	Type     string   `json:"type"`
	Function wireSpec `json:"function"`
}

type wireSpec struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
}

type wireFormat struct {
	Type       string     `json:"type"`
	JSONSchema wireSchema `json:"json_schema"`
}

type wireSchema struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
	Strict bool            `json:"strict,omitempty"`
}

// encode maps a request to the wire.
func (c *Client) encode(name string, req model.Request) ([]byte, error) {
	w := wireRequest{
		Model: name, Messages: wireMessages(req.Messages), Temperature: req.Temperature,
		Stream: true, StreamOptions: map[string]any{"include_usage": true},
	}
	// The hosted API renamed the limit; most other servers know the old name only.
	if c.hosted {
		w.MaxCompletionTokens = req.MaxTokens
	} else {
		w.MaxTokens = req.MaxTokens
	}
	for _, t := range req.Tools {
		schema := t.Schema
		if len(schema) == 0 {
			schema = json.RawMessage(`{"type":"object","properties":{}}`)
		}
		w.Tools = append(w.Tools, wireTool{"function", wireSpec{t.Name, t.Description, schema}})
	}
	if len(req.Output) > 0 {
		w.ResponseFormat = &wireFormat{"json_schema", wireSchema{Name: "answer", Schema: req.Output, Strict: strict(req.Output)}}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(w); err != nil {
		return nil, &model.Error{Code: "invalid", Message: "encode the request: " + err.Error()}
	}
	return b.Bytes(), nil
}

func wireMessages(messages []model.Message) []wireMessage {
	out := []wireMessage{}
	for _, m := range messages {
		if m.Role == model.ToolRole {
			out = append(out, wireResults(m)...)
			continue
		}
		w := wireMessage{Role: string(m.Role)}
		for _, c := range m.Calls() {
			w.ToolCalls = append(w.ToolCalls, wireCall{c.ID, "function", wireFunction{c.Name, arguments(c)}})
		}
		// Reasoning is not sent back: this wire has no place for it.
		text := m.Text()
		if text == "" && m.Role == model.Assistant && len(w.ToolCalls) == 0 {
			continue
		}
		if text != "" || len(w.ToolCalls) == 0 {
			w.Content = &text
		}
		out = append(out, w)
	}
	return out
}

func wireResults(m model.Message) []wireMessage {
	var out []wireMessage
	for _, p := range m.Parts {
		if p.Result == nil {
			continue
		}
		content := p.Result.Content
		if p.Result.Error {
			content = "Error: " + content // the wire has no flag for it
		}
		out = append(out, wireMessage{Role: "tool", Content: &content, ToolCallID: p.Result.CallID})
	}
	return out
}

// arguments gives malformed ones back as an object: servers that render the
// history with a template parse them and refuse what is not JSON.
func arguments(c model.ToolCall) string {
	switch {
	case c.Malformed != "":
		quoted, err := json.Marshal(map[string]string{"malformed": c.Malformed})
		if err != nil { // a string always encodes
			panic(err)
		}
		return string(quoted)
	case len(c.Args) == 0:
		return "{}"
	}
	return string(c.Args)
}

// strict reports whether the schema is in the subset that the hosted API accepts
// for answers it guarantees: closed objects whose fields are all required, and no
// keyword beyond the common ones. Other schemas are sent as a wish.
func strict(schema json.RawMessage) bool {
	var s map[string]any
	if json.Unmarshal(schema, &s) != nil || s["type"] != "object" || s["anyOf"] != nil {
		return false
	}
	return strictSchema(s)
}

func strictSchema(v any) bool {
	s, ok := v.(map[string]any)
	if !ok || !closed(s) {
		return false
	}
	for key, value := range s {
		var parts []any
		switch key {
		case "type", "required", "additionalProperties", "enum", "const", "description", "title", "$ref":
		case "items":
			parts = []any{value}
		case "properties", "$defs":
			fields, _ := value.(map[string]any)
			parts = slices.Collect(maps.Values(fields))
		case "anyOf":
			parts, _ = value.([]any)
		default:
			return false
		}
		for _, part := range parts {
			if !strictSchema(part) {
				return false
			}
		}
	}
	return true
}

// closed reports whether an object schema requires all its fields and allows no
// others; what is no object schema is closed.
func closed(s map[string]any) bool {
	properties, ok := s["properties"].(map[string]any)
	if !ok && s["type"] != "object" {
		return true
	}
	required, _ := s["required"].([]any)
	for name := range properties {
		if !slices.Contains(required, any(name)) {
			return false
		}
	}
	return ok && s["additionalProperties"] == false
}
