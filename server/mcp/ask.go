package mcp

import (
	"context"
	"encoding/json"
	"slices"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// maxShown is how much of what an interrupt is about is shown, in bytes.
const maxShown = 4000

// form is an interrupt as a client shows it to its user. The protocol knows forms of plain
// fields only; what does not fit is asked for as JSON.
func form(i durable.Interrupt) *sdk.ElicitParams {
	message := i.Prompt
	if len(i.Value) > 0 && string(i.Value) != "null" {
		message += "\n" + tool.Clip(string(i.Value), maxShown)
	}
	return &sdk.ElicitParams{Mode: "form", Message: message, RequestedSchema: fields(i)}
}

// The fields of our own forms.
const (
	answerField = "answer"
	jsonField   = "json"
)

type object = map[string]any

func fields(i durable.Interrupt) any {
	one := func(name string, field object) object {
		return object{"type": "object", "properties": object{name: field}, "required": []string{name}}
	}
	switch {
	case i.Kind == agent.ApprovalKind:
		return object{"type": "object", "required": []string{"action"}, "properties": object{
			"action": object{"type": "string", "enum": []durable.Action{durable.Accept, durable.Reject, durable.Respond}, "description": "make the call, do not make it, or answer in its place"},
			"reason": object{"type": "string", "description": "reject: why, as the model is told"},
			"text":   object{"type": "string", "description": "respond: what the model is told in place of a result"},
		}}
	case plain(i.Schema):
		return i.Schema
	case len(i.Schema) == 0 && len(i.Options) > 0:
		return one(answerField, object{"type": "string", "description": "one of: " + tool.Clip(join(i.Options), maxShown) + "; or your own words"})
	case len(i.Schema) == 0, textual(i.Schema):
		return one(answerField, object{"type": "string"})
	}
	return one(jsonField, object{"type": "string", "description": "JSON that matches this schema: " + tool.Clip(string(i.Schema), maxShown)})
}

func join(options []string) string {
	text, _ := json.Marshal(options) // texts marshal
	return string(text)
}

// textual reports whether a schema is that of a text.
func textual(schema json.RawMessage) bool {
	var s struct{ Type string }
	return json.Unmarshal(schema, &s) == nil && s.Type == "string"
}

// plain reports whether a schema is a form as the protocol knows it: an object of plain fields.
func plain(schema json.RawMessage) bool {
	var s struct {
		Type       string
		Properties map[string]map[string]json.RawMessage
		AllOf      json.RawMessage
		AnyOf      json.RawMessage
		OneOf      json.RawMessage
		If         json.RawMessage
	}
	if json.Unmarshal(schema, &s) != nil || s.Type != "object" || len(s.Properties) == 0 || s.AllOf != nil || s.AnyOf != nil || s.OneOf != nil || s.If != nil {
		return false
	}
	known := []string{"type", "title", "description", "default", "enum", "enumNames", "minimum", "maximum", "minLength", "maxLength", "format"}
	formats := []string{"", `"email"`, `"uri"`, `"date"`, `"date-time"`}
	for _, p := range s.Properties {
		if !slices.Contains([]string{`"string"`, `"number"`, `"integer"`, `"boolean"`}, string(p["type"])) || !slices.Contains(formats, string(p["format"])) {
			return false
		}
		for word := range p {
			if !slices.Contains(known, word) {
				return false
			}
		}
	}
	return true
}

// answer brings what the user of a client said to the run. It reports false where the user did
// not want to answer: then the question stays open, for others. To decline a call that needs
// approval is to reject it.
func (f *follower) answer(ctx context.Context, run durable.RunID, i durable.Interrupt, said *sdk.ElicitResult) (bool, error) {
	if i.Kind == agent.ApprovalKind {
		d := durable.Decision{Action: durable.Reject, Reason: "the user of the MCP client declined"}
		switch said.Action {
		case "accept":
			text := func(name string) string { t, _ := said.Content[name].(string); return t }
			d = durable.Decision{Action: durable.Action(text("action")), Reason: text("reason"), Text: text("text")}
			if !slices.Contains([]durable.Action{durable.Accept, durable.Reject, durable.Respond}, d.Action) {
				return false, durable.Errorf(durable.CodeInvalid, "the action is accept, reject or respond, not %q", tool.Clip(string(d.Action), maxShown))
			}
		case "decline":
		default:
			return false, nil
		}
		return true, f.c.Approve(ctx, run, client.Approve{Interrupt: i.ID, Digest: i.Digest, Decision: d})
	}
	if said.Action != "accept" {
		return false, nil
	}
	value, err := valueOf(i, said.Content)
	if err != nil {
		return false, err
	}
	return true, f.c.Answer(ctx, run, client.Answer{Interrupt: i.ID, Digest: i.Digest, Value: value})
}

// valueOf turns the fields of a form into the answer to an interrupt.
func valueOf(i durable.Interrupt, content map[string]any) (json.RawMessage, error) {
	var v any = content
	if !plain(i.Schema) {
		if text, ok := content[jsonField].(string); ok && len(i.Schema) > 0 && !textual(i.Schema) {
			if !json.Valid([]byte(text)) {
				return nil, durable.Errorf(durable.CodeInvalid, "the answer is no JSON: %s", tool.Clip(text, maxShown))
			}
			return json.RawMessage(text), nil
		}
		text, ok := content[answerField].(string)
		if !ok {
			return nil, durable.Errorf(durable.CodeInvalid, "the form has no answer")
		}
		v = text
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "the answer: %w", err)
	}
	return data, nil
}
