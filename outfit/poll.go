package outfit

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/trigger"
)

// poll is what a trigger that polls is told: a tool, and what it is called with.
type poll struct {
	Tool tool.Declaration `json:"tool"`
	With json.RawMessage  `json:"with,omitempty"`
}

// pollOf puts the declaration of its tool into the poll of a file.
func (o *Outfit) pollOf(f *config.File, said json.RawMessage) (json.RawMessage, error) {
	var p config.TriggerPoll
	if err := json.Unmarshal(said, &p); err != nil {
		return nil, err
	}
	declared, err := o.declared(f, agent.Definition{Tools: []string{p.Tool}})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(declared, func(d tool.Declaration) bool { return d.Name == p.Tool })
	if i < 0 {
		return nil, durable.Errorf(durable.CodeInvalid, "%s is a tool of a server or of a document, which a trigger does not poll: declare one under tools", p.Tool)
	}
	return json.Marshal(poll{declared[i], p.With})
}

// Poll calls the tool of a trigger, which returns a list: of texts, which are keys, or of objects
// with one under key or id. Which of them are new the trigger knows.
func (o *Outfit) Poll(ctx context.Context, said, cursor json.RawMessage) ([]trigger.Item, json.RawMessage, error) {
	var p poll
	if err := json.Unmarshal(said, &p); err != nil {
		return nil, nil, durable.Errorf(durable.CodeInvalid, "poll: %w", err)
	}
	maker := o.makers()[p.Tool.Kind]
	if maker == nil {
		return nil, nil, durable.Errorf(durable.CodeInvalid, "poll: this build makes no tools of kind %q", p.Tool.Kind)
	}
	made, err := maker(p.Tool)
	if err != nil {
		return nil, nil, err
	}
	if len(p.With) == 0 {
		p.With = json.RawMessage("{}")
	}
	registry, err := tool.NewRegistry(made)
	if err != nil {
		return nil, nil, err
	}
	result, err := registry.Dispatch(ctx, tool.Call{Name: made.Spec().Name, Args: p.With})
	switch {
	case err != nil:
		return nil, nil, err
	case result.Error:
		return nil, nil, durable.Errorf(durable.CodeUnavailable, "%s: %s", p.Tool.Name, tool.Clip(o.Redact(result.Content), maxTold))
	}
	items, err := itemsOf([]byte(result.Content))
	return items, cursor, err
}

// maxTold is how much of what a tool says went wrong goes into an error, in bytes.
const maxTold = 1000

// itemsOf reads what a poll has returned.
func itemsOf(data []byte) ([]trigger.Item, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "what is polled returns no JSON list: %w", err)
	}
	items := make([]trigger.Item, len(list))
	for i, one := range list {
		var text string
		var object struct {
			Key, ID json.RawMessage
		}
		switch {
		case json.Unmarshal(one, &text) == nil:
			items[i].Key = text
		case json.Unmarshal(one, &object) == nil && len(object.Key)+len(object.ID) > 0:
			items[i].Key = string(object.Key) + string(object.ID)
		default:
			items[i].Key = durable.RefOf(one).Hash
		}
		items[i].Value = one
	}
	return items, nil
}
