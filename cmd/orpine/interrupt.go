package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

// answerJSON is an answer as JSON: what is typed, unless that is JSON already.
func answerJSON(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	data, err := json.Marshal(text)
	if err != nil {
		panic(fmt.Sprintf("orpine: a string does not marshal: %v", err))
	}
	return data
}

// answerTo is what was typed as an answer to an interrupt. A form takes NAME=VALUE for each field, a
// review one of its actions, with a comment behind it. To an approval a word of its own is enough, and
// anything else is told to the agent in place of a result. Error: invalid.
func answerTo(i durable.Interrupt, typed ...string) (json.RawMessage, error) {
	text := strings.Join(typed, " ")
	if reviews(i) {
		return reviewOf(i, text)
	}
	if i.Kind != agent.ApprovalKind {
		if f, ok := formOf(i.Schema); ok && f.assigns(typed, i.Kind == workflow.FormKind) {
			return f.assign(typed)
		}
		return inForm(i.Schema, answerJSON(text), text), nil
	}
	var d durable.Decision
	if json.Unmarshal([]byte(text), &d) == nil && d.Action != "" {
		return json.RawMessage(text), nil
	}
	if action := durable.Action(strings.ToLower(text)); action == durable.Accept || action == durable.Reject {
		return decided(durable.Decision{Action: action}), nil
	}
	return decided(durable.Decision{Action: durable.Respond, Text: text}), nil
}

// declined is the field by which a form can be left unanswered.
const declined = "decline"

// inForm puts an answer into the only field of a form, if it is no object itself; the word decline
// leaves a form unanswered that can be.
func inForm(schema, answer json.RawMessage, text string) json.RawMessage {
	f, ok := formOf(schema)
	if !ok || strings.HasPrefix(strings.TrimSpace(string(answer)), "{") {
		return answer
	}
	may := false
	f.fields = slices.DeleteFunc(f.fields, func(one field) bool {
		may = may || one.name == declined
		return one.name == declined
	})
	value := map[string]any{}
	switch {
	case may && text == declined:
		value[declined] = true
	case len(f.fields) != 1:
		return answer
	case f.fields[0].Type == "string":
		value[f.fields[0].name] = text
	default:
		value[f.fields[0].name] = answer
	}
	data, err := json.Marshal(value)
	if err != nil {
		return answer
	}
	return data
}

func decided(d durable.Decision) json.RawMessage {
	data, err := json.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("orpine: a decision does not marshal: %v", err)) // its arguments were checked
	}
	return data
}

// ask asks the person at the terminal. Nil means that they leave it open.
func (a *app) ask(ctx context.Context, i durable.Interrupt) (json.RawMessage, error) {
	if i.Kind == agent.ApprovalKind {
		return a.askApproval(ctx, i)
	}
	fmt.Fprint(a.stderr, a.valueLines(i))
	if reviews(i) {
		return a.askReview(ctx, i)
	}
	if f, ok := formOf(i.Schema); ok {
		return a.fill(ctx, f)
	}
	text, err := a.prompt(ctx, i)
	if err != nil || text == "" {
		return nil, err
	}
	return answerTo(i, text)
}

// askApproval shows the call that is to be decided on and asks what to do with it.
func (a *app) askApproval(ctx context.Context, i durable.Interrupt) (json.RawMessage, error) {
	fmt.Fprintf(a.stderr, "  call %s\n", wishText(i))
	for {
		fmt.Fprintln(a.stderr, "(accept, edit, reject, respond; an empty line leaves it open)")
		word, err := a.line(ctx, "")
		if err != nil || word == "" {
			return nil, err
		}
		d := durable.Decision{Action: actionOf(word)}
		switch d.Action {
		case durable.Accept:
			return decided(d), nil
		case durable.Reject:
			d.Reason, err = a.line(ctx, "why")
			return decided(d), err
		case durable.Respond:
			if d.Text, err = a.line(ctx, "what the agent is told"); err != nil || d.Text == "" {
				return nil, err
			}
			return decided(d), nil
		case durable.Edit:
			text, err := a.line(ctx, "arguments as JSON")
			if err != nil || text == "" {
				return nil, err
			}
			if d.Args, err = argsOf(text); err == nil {
				return decided(d), nil
			}
			fmt.Fprintln(a.stderr, err)
		default:
			fmt.Fprintf(a.stderr, "%q is none of them\n", word)
		}
	}
}

// actionOf is the action that a word begins; "" = none, or more than one.
func actionOf(word string) durable.Action {
	word = strings.ToLower(word)
	var found durable.Action
	for _, action := range []durable.Action{durable.Accept, durable.Edit, durable.Reject, durable.Respond} {
		if strings.HasPrefix(string(action), word) {
			if found != "" {
				return ""
			}
			found = action
		}
	}
	return found
}

// argsOf reads the arguments of a call. Error: invalid.
func argsOf(text string) (json.RawMessage, error) {
	var args map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &args); err != nil || args == nil {
		return nil, durable.Errorf(durable.CodeInvalid, "the arguments of a call are a JSON object, such as '{\"amount\": 5}', not %s", text)
	}
	return json.RawMessage(text), nil
}

// wishText is the call that an approval is about, or what another question asks, in one line.
func wishText(i durable.Interrupt) string {
	var w agent.Wish
	switch {
	case i.Kind == agent.ApprovalKind && json.Unmarshal(i.Value, &w) == nil:
		return w.Tool + " " + string(w.Args)
	case !ofWorkflow(i) || len(i.Value) == 0:
		return i.Prompt
	}
	_, text := valueText(i)
	return i.Prompt + " " + text
}
