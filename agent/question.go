package agent

import (
	"encoding/json"
	"maps"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// QuestionKind is the kind of the interrupt by which a tool asks a person something.
const QuestionKind = "question"

// declined is the field of an answer by which a person refuses to give one.
const declined = "decline"

// put asks a person what a tool wants to know, all at once, and waits for the answers.
func (l *loop) put(ctx durable.Context, out toolOutput) (*tool.Answers, error) {
	answers := &tool.Answers{State: out.State, Given: map[string]json.RawMessage{}}
	a := l.definition.Approval
	futures := make([]durable.Future, len(out.Asks))
	for i, q := range out.Asks {
		futures[i] = ctx.Ask(durable.Interrupt{
			Kind: QuestionKind, Prompt: q.Prompt, Options: q.Options, Schema: orDecline(q.Schema), To: a.To, Within: a.Within, Escalate: a.Escalate,
		})
	}
	for i, q := range out.Asks {
		var said json.RawMessage
		switch err := futures[i].Get(ctx, &said); {
		case durable.CodeOf(err) == durable.CodeExhausted:
			answers.Declined = append(answers.Declined, q.Name) // nobody answered in time
		case err != nil:
			return nil, err
		case refuses(&said):
			answers.Declined = append(answers.Declined, q.Name)
		default:
			answers.Given[q.Name] = said
		}
	}
	return answers, nil
}

// orDecline is the schema of an answer that a person may also refuse to give.
func orDecline(schema json.RawMessage) json.RawMessage {
	var s map[string]any
	if err := json.Unmarshal(schema, &s); err != nil || s["type"] != "object" {
		return schema
	}
	properties, _ := s["properties"].(map[string]any)
	properties = maps.Clone(properties)
	if properties == nil {
		properties = map[string]any{}
	}
	properties[declined] = map[string]any{"type": "boolean", "description": "true = refuse to answer; the rest may be left out then"}
	s["properties"] = properties
	if required, ok := s["required"]; ok {
		delete(s, "required")
		s["if"] = map[string]any{"properties": map[string]any{declined: map[string]any{"const": true}}, "required": []string{declined}}
		s["else"] = map[string]any{"required": required}
	}
	data, err := json.Marshal(s)
	if err != nil {
		return schema
	}
	return data
}

// refuses reports whether an answer is a refusal, and takes the field out of one that is none.
func refuses(said *json.RawMessage) bool {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(*said, &fields); err != nil || fields[declined] == nil {
		return false
	}
	if string(fields[declined]) == "true" {
		return true
	}
	delete(fields, declined)
	if data, err := json.Marshal(fields); err == nil {
		*said = data
	}
	return false
}
