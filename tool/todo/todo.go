// Package todo is the tool by which an agent keeps a list of what it has to do: it says the whole
// list each time, so that the list is in the thread, in the journal and with whoever watches, and
// nowhere else.
//
// It keeps nothing and does no I/O. On the line request -> run -> step -> journal -> event -> client
// it stands inside a step, behind tool.Registry.Dispatch.
package todo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Name is the name of the tool.
const Name = "todo"

// Delta is the kind of the deltas by which watchers see the list: each is the whole of it, as a
// JSON list of [Item].
const Delta = "todo"

// Item is one thing to do.
type Item struct {
	Text   string `json:"text"`
	Status string `json:"status"` // open, doing or done
}

const schema = `{"type":"object","properties":{"items":{"type":"array","maxItems":100,"items":{"type":"object","properties":{
	"text":{"type":"string","description":"what is to be done, in a few words"},
	"status":{"enum":["open","doing","done"]}
},"required":["text","status"],"additionalProperties":false}}},"required":["items"],"additionalProperties":false}`

// New makes the tool.
func New() tool.Tool { return list{} }

type list struct{}

// Spec implements tool.Tool.
func (list) Spec() tool.Spec {
	return tool.Spec{
		Name: Name, Options: durable.StepOptions{Effect: durable.Read}, Schema: json.RawMessage(schema),
		Description: "Keeps your list of what is to be done, for work of several steps. Say the whole list each time: one item is doing, and is done before the next begins.",
	}
}

// Call implements tool.Tool.
func (list) Call(ctx context.Context, raw json.RawMessage) (tool.Result, error) {
	var in struct {
		Items []Item `json:"items"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return tool.Result{}, err
	}
	if a := durable.AttemptOf(ctx); a != nil && a.Emit != nil {
		data, err := json.Marshal(in.Items)
		if err != nil {
			return tool.Result{}, err
		}
		a.Emit(Delta, data)
	}
	done := 0
	var open []string
	for _, i := range in.Items {
		switch i.Status {
		case "done":
			done++
		case "doing":
			open = append([]string{i.Text}, open...)
		default:
			open = append(open, i.Text)
		}
	}
	text := fmt.Sprintf("%d of %d are done.", done, len(in.Items))
	if len(open) > 0 {
		text += " Next: " + strings.TrimSpace(open[0])
	}
	return tool.Result{Content: text}, nil
}
