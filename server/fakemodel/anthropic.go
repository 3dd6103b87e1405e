package fakemodel

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/orpine-run/orpine/model"
)

// anthropicWire is the messages format.
type anthropicWire struct{}

var _ wire = anthropicWire{}

type anthropicRequest struct {
	Model     string          `json:"model"`
	System    json.RawMessage `json:"system"`
	MaxTokens int             `json:"max_tokens"`
	Messages  []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		InputSchema json.RawMessage `json:"input_schema"`
	} `json:"tools"`
	OutputConfig struct {
		Format struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	} `json:"output_config"`
	Temperature *float64 `json:"temperature"`
	Stream      bool     `json:"stream"`
}

type anthropicBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	Data      string          `json:"data"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

func (anthropicWire) decode(body []byte) (asked, error) {
	var w anthropicRequest
	if err := json.Unmarshal(body, &w); err != nil {
		return asked{}, fmt.Errorf("the body is not a messages request: %w", err)
	}
	switch {
	case w.Model == "":
		return asked{}, fmt.Errorf("model: field required")
	case w.MaxTokens < 1:
		return asked{}, fmt.Errorf("max_tokens: field required, at least 1")
	case len(w.Messages) == 0:
		return asked{}, fmt.Errorf("messages: at least one message is required")
	}
	a := asked{model: w.Model, stream: w.Stream}
	a.request.MaxTokens, a.request.Temperature = w.MaxTokens, w.Temperature
	if len(w.System) > 0 {
		blocks, err := anthropicBlocks(w.System)
		if err != nil {
			return asked{}, fmt.Errorf("system: %w", err)
		}
		for _, b := range blocks {
			a.request.Messages = append(a.request.Messages, model.Text(model.System, b.Text))
		}
	}
	for i, m := range w.Messages {
		blocks, err := anthropicBlocks(m.Content)
		if err == nil {
			err = anthropicMessages(&a.request.Messages, m.Role, blocks)
		}
		if err != nil {
			return asked{}, fmt.Errorf("messages.%d: %w", i, err)
		}
	}
	named(a.request.Messages)
	for i, t := range w.Tools {
		if t.Name == "" || len(t.InputSchema) == 0 {
			return asked{}, fmt.Errorf("tools.%d: name and input_schema are required", i)
		}
		a.request.Tools = append(a.request.Tools, model.ToolSpec{Name: t.Name, Description: t.Description, Schema: t.InputSchema})
	}
	switch f := w.OutputConfig.Format; f.Type {
	case "":
	case "json_schema":
		if a.request.Output = f.Schema; len(f.Schema) == 0 {
			return asked{}, fmt.Errorf("output_config.format.schema: field required")
		}
	default:
		return asked{}, fmt.Errorf("output_config.format.type: unknown type %q", f.Type)
	}
	return a, nil
}

// anthropicBlocks reads content: a string, or a list of blocks.
func anthropicBlocks(raw json.RawMessage) ([]anthropicBlock, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []anthropicBlock{{Type: "text", Text: text}}, nil
	}
	var blocks []anthropicBlock
	if err := json.Unmarshal(raw, &blocks); err != nil {
		return nil, fmt.Errorf("content is neither text nor a list of blocks")
	}
	return blocks, nil
}

// anthropicMessages adds the messages of one turn: results of tools travel in a
// user turn here and are messages of their own in the house.
func anthropicMessages(out *[]model.Message, role string, blocks []anthropicBlock) error {
	if role != "user" && role != "assistant" {
		return fmt.Errorf("role: unknown role %q", role)
	}
	if len(blocks) == 0 {
		return fmt.Errorf("content: at least one block is required")
	}
	begin := len(*out)
	for i, b := range blocks {
		part, err := b.part()
		if err != nil {
			return fmt.Errorf("content.%d: %w", i, err)
		}
		as := model.Role(role)
		if part.Result != nil {
			as = model.ToolRole
		}
		if n := len(*out); n > begin && (*out)[n-1].Role == as {
			(*out)[n-1].Parts = append((*out)[n-1].Parts, part)
			continue
		}
		*out = append(*out, model.Message{Role: as, Parts: []model.Part{part}})
	}
	return nil
}

func (b anthropicBlock) part() (model.Part, error) {
	switch b.Type {
	case "text":
		if b.Text == "" {
			return model.Part{}, fmt.Errorf("text content blocks must be non-empty")
		}
		return model.Part{Text: b.Text}, nil
	case "thinking":
		if b.Signature == "" {
			return model.Part{}, fmt.Errorf("signature: field required")
		}
		return model.Part{Reasoning: &model.Reasoning{Text: b.Thinking, Signature: b.Signature}}, nil
	case "redacted_thinking":
		return model.Part{Reasoning: &model.Reasoning{Signature: b.Data}}, nil
	case "tool_use":
		if b.ID == "" || b.Name == "" || len(b.Input) == 0 || b.Input[0] != '{' {
			return model.Part{}, fmt.Errorf("a tool_use needs an id, a name and an object as input")
		}
		return model.Part{Call: &model.ToolCall{ID: b.ID, Name: b.Name, Args: b.Input}}, nil
	case "tool_result":
		result := &model.ToolResult{CallID: b.ToolUseID, Error: b.IsError}
		if len(b.Content) > 0 {
			blocks, err := anthropicBlocks(b.Content)
			if err != nil {
				return model.Part{}, err
			}
			for _, inner := range blocks {
				result.Content += inner.Text
			}
		}
		return model.Part{Result: result}, nil
	}
	return model.Part{}, fmt.Errorf("a block of type %q is not read here", b.Type)
}

func (anthropicWire) fail(w http.ResponseWriter, status int, message string) {
	const overloaded = 529
	kind := errorType(status, "api_error")
	if status == overloaded {
		kind = "overloaded_error"
	}
	writeJSON(w, status, map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": message}})
}

func anthropicUsage(u model.Usage) map[string]any {
	return map[string]any{
		"input_tokens": u.Input - u.CacheRead - u.CacheWrite, "output_tokens": u.Output,
		"cache_read_input_tokens": u.CacheRead, "cache_creation_input_tokens": u.CacheWrite,
	}
}

func anthropicStop(s model.Stop) string {
	switch s {
	case model.StopCalls:
		return "tool_use"
	case model.StopLength:
		return "max_tokens"
	case model.StopRefusal:
		return "refusal"
	case model.StopEnd:
	}
	return "end_turn"
}

func anthropicBody(r model.Reply, number int, content []any, stop any, usage map[string]any) map[string]any {
	return map[string]any{
		"id": fmt.Sprintf("msg_%d", number), "type": "message", "role": "assistant", "model": r.Model,
		"content": content, "stop_reason": stop, "stop_sequence": nil, "usage": usage,
	}
}

func (anthropicWire) whole(_ asked, r model.Reply, number int) any {
	content := []any{}
	for _, p := range r.Message.Parts {
		switch {
		case p.Reasoning != nil:
			content = append(content, map[string]any{"type": "thinking", "thinking": p.Reasoning.Text, "signature": p.Reasoning.Signature})
		case p.Call != nil:
			var input any = p.Call.Args
			if p.Call.Malformed != "" {
				input = p.Call.Malformed
			}
			content = append(content, map[string]any{"type": "tool_use", "id": p.Call.ID, "name": p.Call.Name, "input": input})
		default:
			content = append(content, map[string]any{"type": "text", "text": p.Text})
		}
	}
	return anthropicBody(r, number, content, anthropicStop(r.Stop), anthropicUsage(r.Usage))
}

// anthropicStream opens a block when the kind of delta, or the call, changes.
type anthropicStream struct {
	reply  model.Reply
	number int
	block  int    // index of the open block
	open   string // what it is, empty when none is
}

func (anthropicWire) stream(_ asked, r model.Reply, number int) streamer {
	return &anthropicStream{reply: r, number: number}
}

func (s *anthropicStream) begin() []event {
	usage := anthropicUsage(s.reply.Usage)
	usage["output_tokens"] = 1
	body := anthropicBody(s.reply, s.number, []any{}, nil, usage)
	return []event{
		{"message_start", map[string]any{"type": "message_start", "message": body}},
		{"ping", map[string]any{"type": "ping"}},
	}
}

func (s *anthropicStream) delta(d model.Delta) []event {
	kind, block, delta := "text", map[string]any{"type": "text", "text": ""}, map[string]any{"type": "text_delta", "text": d.Text}
	switch d.Kind {
	case model.DeltaReasoning:
		kind = "thinking"
		block = map[string]any{"type": "thinking", "thinking": "", "signature": ""}
		delta = map[string]any{"type": "thinking_delta", "thinking": d.Text}
	case model.DeltaCall:
		kind = fmt.Sprintf("call %d", d.Index)
		block = map[string]any{"type": "tool_use", "id": d.ID, "name": d.Name, "input": map[string]any{}}
		delta = map[string]any{"type": "input_json_delta", "partial_json": d.Args}
	case model.DeltaText:
	}
	var events []event
	if s.open != kind {
		events = s.close()
		s.open = kind
		events = append(events, event{"content_block_start", map[string]any{"type": "content_block_start", "index": s.block, "content_block": block}})
	}
	return append(events, s.piece(delta))
}

func (s *anthropicStream) piece(delta map[string]any) event {
	return event{"content_block_delta", map[string]any{"type": "content_block_delta", "index": s.block, "delta": delta}}
}

// close ends the open block; a thinking block gets its signature last.
func (s *anthropicStream) close() []event {
	if s.open == "" {
		return nil
	}
	var events []event
	if s.open == "thinking" {
		for _, p := range s.reply.Message.Parts {
			if p.Reasoning != nil {
				events = append(events, s.piece(map[string]any{"type": "signature_delta", "signature": p.Reasoning.Signature}))
			}
		}
	}
	events = append(events, event{"content_block_stop", map[string]any{"type": "content_block_stop", "index": s.block}})
	s.block++
	s.open = ""
	return events
}

func (s *anthropicStream) end() []event {
	return append(s.close(),
		event{"message_delta", map[string]any{
			"type":  "message_delta",
			"delta": map[string]any{"stop_reason": anthropicStop(s.reply.Stop), "stop_sequence": nil},
			"usage": map[string]any{"output_tokens": s.reply.Usage.Output},
		}},
		event{"message_stop", map[string]any{"type": "message_stop"}},
	)
}
