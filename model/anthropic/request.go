package anthropic

import (
	"encoding/json"
	"strings"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/param"

	"github.com/orpine-run/orpine/model"
)

// redacted marks the signature of thinking that the API sent encrypted.
const redacted = "redacted:"

// parameters maps a request to the wire.
func parameters(name string, req model.Request) (sdk.MessageNewParams, error) {
	p := sdk.MessageNewParams{Model: name, MaxTokens: DefaultMaxTokens}
	if req.MaxTokens > 0 {
		p.MaxTokens = int64(req.MaxTokens)
	}
	if req.Temperature != nil {
		p.Temperature = sdk.Float(*req.Temperature)
	}
	for _, t := range req.Tools {
		schema := t.Schema
		if len(schema) == 0 {
			schema = json.RawMessage(`{"type":"object","properties":{}}`)
		}
		tool := sdk.ToolParam{Name: t.Name, InputSchema: param.Override[sdk.ToolInputSchemaParam](schema)}
		if t.Description != "" {
			tool.Description = sdk.String(t.Description)
		}
		p.Tools = append(p.Tools, sdk.ToolUnionParam{OfTool: &tool})
	}
	if len(req.Output) > 0 {
		schema, err := closeObjects(req.Output)
		if err != nil {
			return p, &model.Error{Code: "invalid", Message: "the output schema is not JSON: " + err.Error()}
		}
		// As raw JSON the fields keep their order, which is the order they are written in.
		format := json.RawMessage(`{"type":"json_schema","schema":` + string(schema) + `}`)
		p.OutputConfig.Format = param.Override[sdk.JSONOutputFormatParam](format)
	}
	for _, m := range req.Messages {
		if m.Role == model.System {
			if text := m.Text(); strings.TrimSpace(text) != "" {
				p.System = append(p.System, sdk.TextBlockParam{Text: text})
			}
			continue
		}
		add(&p, m)
	}
	if len(p.Messages) == 0 {
		return p, &model.Error{Code: "invalid", Message: "the conversation has no message besides system ones"}
	}
	return p, nil
}

// add appends a message; consecutive ones of a role become one, so that the
// results of parallel calls stand together, in front of what the user adds.
func add(p *sdk.MessageNewParams, m model.Message) {
	role := sdk.MessageParamRoleUser
	if m.Role == model.Assistant {
		role = sdk.MessageParamRoleAssistant
	}
	var blocks []sdk.ContentBlockParamUnion
	for _, part := range m.Parts {
		if b, ok := block(part, m.Role); ok {
			blocks = append(blocks, b)
		}
	}
	if len(blocks) == 0 {
		return
	}
	if n := len(p.Messages); n > 0 && p.Messages[n-1].Role == role {
		p.Messages[n-1].Content = append(p.Messages[n-1].Content, blocks...)
		return
	}
	p.Messages = append(p.Messages, sdk.MessageParam{Role: role, Content: blocks})
}

// block maps a part; the API refuses empty texts, so they are left out.
func block(part model.Part, role model.Role) (sdk.ContentBlockParamUnion, bool) {
	switch {
	case part.Reasoning != nil:
		signature := part.Reasoning.Signature
		if data, ok := strings.CutPrefix(signature, redacted); ok {
			return sdk.NewRedactedThinkingBlock(data), true
		}
		return sdk.NewThinkingBlock(signature, part.Reasoning.Text), role == model.Assistant && signature != ""
	case part.Call != nil:
		var input any = part.Call.Args
		switch {
		case part.Call.Malformed != "":
			input = map[string]string{"malformed": part.Call.Malformed}
		case len(part.Call.Args) == 0:
			input = struct{}{}
		}
		return sdk.NewToolUseBlock(wireID(part.Call.ID), input, part.Call.Name), true
	case part.Result != nil:
		b := sdk.ToolResultBlockParam{ToolUseID: wireID(part.Result.CallID)}
		if part.Result.Error {
			b.IsError = sdk.Bool(true)
		}
		if part.Result.Content != "" {
			b.Content = []sdk.ToolResultBlockParamContentUnion{{OfText: &sdk.TextBlockParam{Text: part.Result.Content}}}
		}
		return sdk.ContentBlockParamUnion{OfToolResult: &b}, true
	}
	return sdk.NewTextBlock(part.Text), strings.TrimSpace(part.Text) != ""
}

// wireID makes an id of another provider acceptable: letters, digits, _ and -.
func wireID(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '_'
	}, id)
}
