package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
	"github.com/orpine-run/orpine/workflow/picture"
)

// reviews reports whether the answer to a question is a workflow.Review: an action, and what goes
// with it.
func reviews(i durable.Interrupt) bool {
	return (i.Kind == workflow.ReviewKind || i.Kind == workflow.PlanKind) && len(i.Options) > 0
}

// ofWorkflow reports whether a workflow asks: what it asks about is worth being shown.
func ofWorkflow(i durable.Interrupt) bool {
	return i.Kind == workflow.ReviewKind || i.Kind == workflow.PlanKind || i.Kind == workflow.FormKind
}

// decidable reports whether a question can be decided by an action, as calls of agents can.
func decidable(i durable.Interrupt, action durable.Action) bool {
	return i.Kind == agent.ApprovalKind || reviews(i) && slices.Contains(i.Options, string(action))
}

// valueText is what a question is about in one line, with a word for what that is; none of both where
// there is nothing.
func valueText(i durable.Interrupt) (what, text string) {
	var plan workflow.Draft
	switch {
	case i.Kind == agent.ApprovalKind:
		return "call", wishText(i)
	case i.Kind == workflow.PlanKind && json.Unmarshal(i.Value, &plan) == nil && len(plan.Steps) > 0:
		var list []string
		for _, s := range plan.Steps {
			one := s.ID + " (" + strings.TrimSpace(cmp.Or(s.Agent, s.Tool)+" "+s.Do) + ")"
			if len(s.Needs) > 0 {
				one += " after " + strings.Join(s.Needs, ", ")
			}
			list = append(list, one)
		}
		return "plan", strings.Join(list, "; ")
	case len(i.Value) == 0 || string(i.Value) == "null":
		return "about", ""
	}
	text, err := jsonText(i.Value)
	if err != nil {
		return "about", string(i.Value)
	}
	return "about", text
}

// maxValueLines is how much a person is shown of what is asked about.
const maxValueLines = 40

// valueLines shows what a workflow asks about: a plan as a graph, anything else as text or JSON.
func (a *app) valueLines(i durable.Interrupt) string {
	if !ofWorkflow(i) || len(i.Value) == 0 || string(i.Value) == "null" {
		return ""
	}
	var plan workflow.Draft
	text := ""
	if i.Kind == workflow.PlanKind && json.Unmarshal(i.Value, &plan) == nil && len(plan.Steps) > 0 {
		var b strings.Builder
		b.WriteString(picture.Text(picture.OfDraft("plan", plan), picture.Options{Width: a.width()}))
		for _, s := range plan.Steps {
			fmt.Fprintf(&b, "%s: %s\n", s.ID, oneLine(cmp.Or(s.Do, string(s.With)), 2*waitsWidth))
		}
		text = b.String()
	} else if _, text = valueText(i); strings.HasPrefix(strings.TrimSpace(text), "{") || strings.HasPrefix(text, "[") {
		var pretty bytes.Buffer
		if json.Indent(&pretty, []byte(text), "", "  ") == nil {
			text = pretty.String()
		}
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if more := len(lines) - maxValueLines; more > 0 {
		lines = append(lines[:maxValueLines], fmt.Sprintf("… and %d lines more: orpine approvals -o json", more))
	}
	return "  " + strings.Join(lines, "\n  ") + "\n"
}

// answerWith says by which command a question of a run can be answered.
func (a *app) answerWith(id durable.RunID, i durable.Interrupt) (how, command string) {
	at := a.where() + " " + string(id)
	if i.Kind == agent.ApprovalKind {
		return "Decide with", "orpine approve" + at + ", or reject, edit, respond"
	}
	if f, ok := formOf(i.Schema); ok && i.Kind == workflow.FormKind {
		for _, one := range f.fields {
			at += " " + one.name + "=" + strings.ToUpper(cmp.Or(one.Type, "value"))
		}
		return "Answer with", "orpine answer" + at
	}
	if !reviews(i) {
		return "Answer with", "orpine answer" + at + " TEXT"
	}
	var verbs, others []string
	for _, action := range i.Options {
		switch durable.Action(action) {
		case durable.Accept:
			verbs = append([]string{"approve"}, verbs...)
		case durable.Reject, durable.Edit:
			verbs = append(verbs, action)
		default:
			others = append(others, action)
		}
	}
	if len(verbs) == 0 {
		return "Answer with", "orpine answer" + at + " " + strings.Join(others, "|")
	}
	command = "orpine " + verbs[0] + at
	if len(verbs) > 1 {
		command += ", or " + strings.Join(verbs[1:], ", ")
	}
	if len(others) > 0 {
		command += ", or orpine answer" + at + " " + strings.Join(others, "|")
	}
	return "Decide with", command
}

// reviewOf is what was typed as an answer to a review: an action, or its whole answer as JSON. Other
// words are the comment of respond, where that is an action. Error: invalid.
func reviewOf(i durable.Interrupt, text string) (json.RawMessage, error) {
	var r workflow.Review
	if json.Unmarshal([]byte(text), &r) == nil && slices.Contains(i.Options, r.Action) {
		return json.RawMessage(text), nil
	}
	if json.Unmarshal([]byte(text), &r.Action) == nil {
		text = r.Action // a text in quotes
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	switch action := durable.Action(strings.ToLower(word)); {
	case action == durable.Edit && slices.Contains(i.Options, string(action)):
		return nil, durable.Errorf(durable.CodeInvalid, "say what it is to be in place of what is shown: orpine edit REF JSON, or '{\"action\": \"edit\", \"value\": …}'")
	case slices.Contains(i.Options, string(action)):
		return marshaled(workflow.Review{Action: string(action), Comment: strings.TrimSpace(rest)}), nil
	case slices.Contains(i.Options, string(durable.Respond)):
		return marshaled(workflow.Review{Action: string(durable.Respond), Comment: text}), nil
	}
	return nil, durable.Errorf(durable.CodeInvalid, "%q is none of the answers; say one of %s", text, strings.Join(i.Options, ", "))
}

func marshaled(r workflow.Review) json.RawMessage {
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("orpine: a review does not marshal: %v", err)) // its value was checked
	}
	return data
}

// askReview asks what is to become of what was shown. Nil means that it is left open.
func (a *app) askReview(ctx context.Context, i durable.Interrupt) (json.RawMessage, error) {
	for {
		fmt.Fprintf(a.stderr, "(%s; an empty line leaves it open)\n", strings.Join(i.Options, ", "))
		text, err := a.line(ctx, "")
		if err != nil || text == "" {
			return nil, err
		}
		word, comment, _ := strings.Cut(text, " ")
		r := workflow.Review{Action: optionOf(i, word), Comment: strings.TrimSpace(comment)}
		switch durable.Action(r.Action) {
		case "":
			fmt.Fprintf(a.stderr, "%q is none of them\n", word)
			continue
		case durable.Accept:
			return marshaled(r), nil
		case durable.Edit:
			text, err := a.line(ctx, "what it is to be, as JSON")
			if err != nil || text == "" {
				return nil, err
			}
			if r.Value, err = editOf(i, json.RawMessage(text)); err != nil {
				fmt.Fprintln(a.stderr, err)
				continue
			}
		default:
			if r.Comment == "" {
				if r.Comment, err = a.line(ctx, "why"); err != nil {
					return nil, err
				}
			}
		}
		return marshaled(r), nil
	}
}

// optionOf is the option that a word begins; "" = none, or more than one.
func optionOf(i durable.Interrupt, word string) string {
	word = strings.ToLower(word)
	found := ""
	for _, option := range i.Options {
		switch {
		case option == word:
			return option
		case strings.HasPrefix(option, word) && found != "":
			return ""
		case strings.HasPrefix(option, word):
			found = option
		}
	}
	return found
}

// editOf holds what a person wants in place of what a question is about against what that is: the
// arguments of a call, a plan, or anything. Error: invalid.
func editOf(i durable.Interrupt, value json.RawMessage) (json.RawMessage, error) {
	var plan workflow.Draft
	switch {
	case !json.Valid(value):
		return nil, durable.Errorf(durable.CodeInvalid, "%s is not JSON; quote a text: '\"…\"'", oneLine(string(value), waitsWidth))
	case i.Kind == workflow.PlanKind && (json.Unmarshal(value, &plan) != nil || len(plan.Steps) == 0):
		return nil, durable.Errorf(durable.CodeInvalid, `a plan is {"steps": [{"id": …, "agent": …, "do": …, "needs": […]}]}; orpine approvals -o json prints the one that waits`)
	case ofWorkflow(i):
		return value, nil
	}
	return argsOf(string(value))
}
