// Package ask is the tool by which an agent asks a person: its question is an interrupt like any
// other, and the run waits for the answer however long that takes.
//
// It keeps nothing and does no I/O. On the line request -> run -> step -> journal -> event -> client
// it stands inside a step, behind tool.Registry.Dispatch.
package ask

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Name is the name of the tool.
const Name = "ask_human"

// New makes the tool.
func New() tool.Tool { return asker{} }

type asker struct{}

type args struct {
	Question string   `json:"question"`
	Options  []string `json:"options"`
}

// Spec implements tool.Tool.
func (asker) Spec() tool.Spec {
	return tool.Spec{
		Name: Name, Asks: true, Options: durable.StepOptions{Effect: durable.Read},
		Description: "Asks a person, and returns the answer. Use it for what only a person can know or decide.",
		Schema: json.RawMessage(`{"type":"object","properties":{
			"question":{"type":"string","description":"what the person reads; say all that is needed to answer"},
			"options":{"type":"array","items":{"type":"string"},"description":"answers to choose from; the person may give another one"}
		},"required":["question"],"additionalProperties":false}`),
	}
}

// question is the name of the only question.
const question = "question"

// Call implements tool.Tool.
func (asker) Call(ctx context.Context, raw json.RawMessage) (tool.Result, error) {
	answers, again := tool.AnswersOf(ctx)
	if !again {
		var in args
		if err := json.Unmarshal(raw, &in); err != nil {
			return tool.Result{}, err
		}
		if strings.TrimSpace(in.Question) == "" {
			return tool.Result{}, errors.New("the question is empty")
		}
		return tool.Result{Asks: []tool.Question{{Name: question, Prompt: in.Question, Options: in.Options}}}, nil
	}
	said, ok := answers.Given[question]
	if !ok {
		return tool.Result{Content: "nobody answered", Error: true}, nil
	}
	var text string
	if err := json.Unmarshal(said, &text); err != nil {
		text = string(said) // it is not a text, and is told as it is
	}
	return tool.Result{Content: text}, nil
}
