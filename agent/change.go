package agent

import (
	"encoding/json"

	"github.com/orpine-run/orpine/durable"
)

// WithModel is a pinned definition with another model, for a fork. Error: invalid when it
// is no definition of an agent.
func WithModel(definition json.RawMessage, model string) (json.RawMessage, error) {
	d, err := Decode(definition)
	if err != nil {
		return nil, err
	}
	if d.Model == model {
		return definition, nil
	}
	d.Model = model
	return json.Marshal(d)
}

// Decode reads a pinned definition. Error: invalid.
func Decode(definition json.RawMessage) (Definition, error) {
	var d Definition
	if err := json.Unmarshal(definition, &d); err != nil {
		return d, durable.Errorf(durable.CodeInvalid, "definition of an agent: %w", err)
	}
	return d, nil
}
