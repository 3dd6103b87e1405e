package workflow

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// The kinds of the questions that workflows put.
const (
	ReviewKind = "review" // the answer is a Review
	FormKind   = "form"   // the answer is an object
)

// Review is what a person says about what was shown.
type Review struct {
	Action  string          `json:"action"`
	Comment string          `json:"comment,omitempty"`
	Value   json.RawMessage `json:"value,omitempty"` // edit: in place of what was shown
}

// actionsOf are those that a person has.
func (h *Human) actionsOf() []string {
	if len(h.Actions) > 0 {
		return h.Actions
	}
	return []string{string(durable.Accept), string(durable.Reject)}
}

// human puts a question to a person.
func (w *walker) human(ctx durable.Context, n *node, s scope, m *Mark) (any, error) {
	h := n.Human
	prompt, err := n.ask.String(w.eval(s))
	if err != nil {
		return nil, invalid("human.ask", err)
	}
	show, err := n.show.Value(w.eval(s))
	if err != nil {
		return nil, invalid("human.show", err)
	}
	i := durable.Interrupt{Kind: FormKind, Prompt: prompt, Value: show, Schema: h.Form, To: h.To, Quorum: h.Quorum}
	if len(h.Form) == 0 {
		i.Kind, i.Options, i.Schema = ReviewKind, h.actionsOf(), reviewSchema(h.actionsOf())
	}
	if len(h.OnTimeout) > 0 {
		i.Default = h.OnTimeout
	}
	if h.Timeout > 0 {
		if m.Until.IsZero() { // else it is known from the segment before
			m.Until = durable.Now(ctx).Add(h.Timeout)
		}
		i.Within = max(m.Until.Sub(durable.Now(ctx)), time.Millisecond)
	}
	question := ctx.Ask(i)
	defer w.waiting(question)()
	var said json.RawMessage
	if err := question.Get(ctx, &said); err != nil {
		return nil, err
	}
	if len(h.Form) > 0 {
		return accept(h.Form, said)
	}
	return reviewed(said, show, h.actionsOf())
}

// reviewSchema is the JSON Schema of a review with these actions, or of an action alone.
func reviewSchema(actions []string) json.RawMessage {
	text := map[string]any{"type": "string"}
	data, _ := json.Marshal(map[string]any{"anyOf": []any{ // plain values marshal
		map[string]any{"enum": actions},
		map[string]any{
			"type": "object", "required": []string{"action"},
			"properties": map[string]any{"action": map[string]any{"type": "string", "enum": actions}, "comment": text, "reason": text, "value": true},
		},
	}})
	return data
}

// reviewed is an answer as expressions see it: with all fields, whatever was left out.
func reviewed(said, show json.RawMessage, actions []string) (any, error) {
	var r struct {
		Review
		Reason string          `json:"reason"` // what an approval calls its comment
		Text   string          `json:"text"`
		Args   json.RawMessage `json:"args"`
	}
	if err := json.Unmarshal(said, &r.Action); err != nil {
		r.Action = ""
		if err := json.Unmarshal(said, &r); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "the answer: %w", err)
		}
	}
	if !slices.Contains(actions, r.Action) {
		return nil, durable.Errorf(durable.CodeInvalid, "the answer says %q, which is none of %v", r.Action, actions)
	}
	value := show
	for _, other := range []json.RawMessage{r.Args, r.Value} {
		if len(other) > 0 && string(other) != "null" {
			value = other
		}
	}
	v, err := expr.Decode(value)
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	comment := r.Comment
	for _, other := range []string{r.Reason, r.Text} {
		if comment == "" {
			comment = other
		}
	}
	return map[string]any{"action": r.Action, "comment": comment, "value": v}, nil
}
