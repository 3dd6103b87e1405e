// Package outline is a rule-based wording machine behind the model interface: it
// needs no key, no network and no weights, and it never claims to be intelligent.
// It lets the demo and the first steps of a user run anywhere, and the same
// request always gets the same answer. It may not compute, guess or fetch
// anything: every number and name in its answers stands in the request.
//
// On the line request -> run -> step -> journal -> event -> client it stands
// inside a step, where the agent's model step calls it like any other model.
//
// Its rules, first match wins:
//
//   - A tool "sql" is offered, the last user message holds fenced sql blocks and
//     no tool has answered since: it calls sql once per block, all in one reply,
//     with the arguments {"query": BLOCK}.
//   - A JSON answer is demanded: it walks the schema and fills it from the last
//     fenced json block of the last user message. An array of objects with an id
//     gets one element per item of the block; a field the item has too is copied
//     when it fits; other strings are worded from the item's fields, a string at
//     the top counts the items; all else is the smallest legal value. Without a
//     json block it is the smallest legal instance.
//   - Else it lists the sentences of the tool results, or of the last user
//     message, under a line that says what it is.
//
// MaxTokens and Temperature of a request do not apply. Usage counts words.
package outline

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/orpine-run/orpine/model"
)

// Header is the first line of every free-text answer.
const Header = "Outline (rule-based wording, no language model):"

const (
	name     = "outline"
	fullName = "builtin/" + name
	sqlTool  = "sql"
	idPrefix = "call_sql_"
)

// New returns the wording machine. It has no state and is safe for concurrent use.
func New() model.Model { return machine{} }

// Provider returns the provider of builtin/outline, the only name it knows.
func Provider() model.Provider {
	return func(asked string) (model.Model, error) {
		if asked != name {
			return nil, &model.Error{Code: "invalid", Message: fmt.Sprintf("unknown model builtin/%s; the built-in one is %s", asked, fullName)}
		}
		return New(), nil
	}
}

type machine struct{}

var _ model.Model = machine{}

// Generate implements model.Model.
func (machine) Generate(ctx context.Context, req model.Request, emit func(model.Delta)) (model.Reply, error) {
	if emit == nil {
		emit = func(model.Delta) {}
	}
	last, results := ending(req.Messages)
	reply := model.Reply{Message: model.Message{Role: model.Assistant}, Stop: model.StopEnd, Model: fullName}
	if calls := sqlCalls(req, last, results); len(calls) > 0 {
		reply.Stop = model.StopCalls
		for i, c := range calls {
			if err := ctx.Err(); err != nil {
				return model.Reply{}, left(err)
			}
			reply.Message.Parts = append(reply.Message.Parts, model.Part{Call: &c})
			emit(model.Delta{Kind: model.DeltaCall, Index: i, ID: c.ID, Name: c.Name, Args: string(c.Args)})
		}
	} else {
		text, err := word(req, last, results)
		if err != nil {
			return model.Reply{}, err
		}
		for _, piece := range pieces(text) {
			if err := ctx.Err(); err != nil {
				return model.Reply{}, left(err)
			}
			emit(model.Delta{Kind: model.DeltaText, Text: piece})
		}
		reply.Message.Parts = []model.Part{{Text: text}}
	}
	if err := ctx.Err(); err != nil {
		return model.Reply{}, left(err)
	}
	for _, m := range req.Messages {
		reply.Usage.Input += count(m)
	}
	reply.Usage.Output = count(reply.Message)
	return reply, nil
}

func left(err error) error { return fmt.Errorf("call model %s: %w", fullName, err) }

// ending returns the last user message and the tool results after it.
func ending(messages []model.Message) (last string, results []model.ToolResult) {
	for _, m := range messages {
		switch m.Role {
		case model.User:
			last, results = m.Text(), nil
		case model.ToolRole:
			for _, p := range m.Parts {
				if p.Result != nil {
					results = append(results, *p.Result)
				}
			}
		case model.System, model.Assistant:
		}
	}
	return last, results
}

// sqlCalls is the first rule.
func sqlCalls(req model.Request, last string, results []model.ToolResult) []model.ToolCall {
	if len(results) > 0 || !offered(req.Tools, sqlTool) {
		return nil
	}
	next := 0 // ids stay unique in the conversation
	for _, m := range req.Messages {
		for _, c := range m.Calls() {
			if n, err := strconv.Atoi(strings.TrimPrefix(c.ID, idPrefix)); err == nil && n >= next {
				next = n + 1
			}
		}
	}
	var calls []model.ToolCall
	for i, block := range fenced(last, sqlTool) {
		args := newObject()
		args.set("query", block)
		calls = append(calls, model.ToolCall{ID: idPrefix + strconv.Itoa(next+i), Name: sqlTool, Args: json.RawMessage(encode(args))})
	}
	return calls
}

func offered(tools []model.ToolSpec, name string) bool {
	for _, t := range tools {
		if t.Name == name {
			return true
		}
	}
	return false
}

// word is the second and the third rule.
func word(req model.Request, last string, results []model.ToolResult) (string, error) {
	if len(req.Output) == 0 {
		return list(last, results), nil
	}
	blocks := fenced(last, "json")
	var data any
	if n := len(blocks); n > 0 {
		var err error
		if data, err = decode([]byte(blocks[n-1])); err != nil {
			return "", &model.Error{Code: "invalid", Message: fmt.Sprintf("the last json block of the user message is not JSON: %v", err)}
		}
	}
	answer, err := fill(req.Output, data)
	if err != nil {
		return "", &model.Error{Code: "invalid", Message: fmt.Sprintf("%s cannot fill the output schema: %v", fullName, err)}
	}
	return answer, nil
}

// fenced returns the bodies of the closed fenced blocks in that language.
func fenced(text, language string) []string {
	var blocks []string
	var body strings.Builder
	fence, wanted := "", false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		ticks := len(trimmed) - len(strings.TrimLeft(trimmed, "`"))
		switch {
		case fence == "" && ticks >= 3:
			fence, wanted = trimmed[:ticks], strings.EqualFold(strings.TrimSpace(trimmed[ticks:]), language)
			body.Reset()
		case fence != "" && ticks >= len(fence) && ticks == len(trimmed):
			if wanted && strings.TrimSpace(body.String()) != "" {
				blocks = append(blocks, strings.TrimSpace(body.String()))
			}
			fence = ""
		case fence != "":
			body.WriteString(line)
		}
	}
	return blocks
}
