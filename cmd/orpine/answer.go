package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

type answerCmd struct {
	Ref      string   `arg:"" help:"The run that asks."`
	Text     []string `arg:"" optional:"" help:"The answer: text, JSON, or NAME=VALUE for each field of a form. Without one a terminal is asked."`
	Question string   `help:"ID of the question, when there are several." placeholder:"ID"`
	Detach   bool     `help:"Only record the answer; do not drive the run."`
}

// Help implements kong.HelpProvider.
func (answerCmd) Help() string {
	return `The question may also be one of a child that the run waits for. The first answer wins. Then the
run is followed as 'orpine wait' does, unless --detach. To an approval the words accept and
reject are enough; any other text is told to the agent in place of a result. To a question with
actions say one of them, and a comment.

Examples:
  orpine answer @last accept
  orpine answer @last "leave R3 out"
  orpine answer @last reject too long
  orpine answer @last amount=120 approved=true
  orpine answer @last
  orpine answer @last --question feedback '{"approve": true}'`
}

// Run answers a question.
func (c *answerCmd) Run(ctx context.Context, a *app) error {
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	q, err := a.choose(ctx, r, id, c.Question, anyAction)
	if err = closing(err, r); err != nil {
		return err
	}
	answer, err := c.answer(ctx, a, q)
	if err != nil {
		return err
	}
	return a.give(ctx, string(id), c.Detach, func(ctx context.Context, h hands, _ durable.RunID) error {
		return h.Answer(ctx, q.Run, q.ID, answer)
	})
}

// answer is what was typed, or what the person at the terminal says.
func (c *answerCmd) answer(ctx context.Context, a *app, q orpine.Question) (json.RawMessage, error) {
	if len(c.Text) > 0 {
		return answerTo(q.Interrupt, c.Text...)
	}
	if !a.talks() {
		form := "TEXT"
		if f, ok := formOf(q.Schema); ok && q.Kind != agent.ApprovalKind {
			form = "JSON"
			if q.Kind == workflow.FormKind {
				form = f.fields[0].name + "=VALUE …"
			}
		} else if reviews(q.Interrupt) {
			form = strings.Join(q.Options, "|")
		}
		return nil, durable.Errorf(durable.CodeInvalid, "say the answer: orpine answer%s %s %s", a.where(), c.Ref, form)
	}
	fmt.Fprintln(a.stderr, q.Prompt)
	answer, err := a.ask(ctx, q.Interrupt)
	if err == nil && answer == nil {
		err = &runError{run: durable.Run{ID: q.Run, Status: durable.Waiting, Reason: "the question is left open"}}
	}
	return answer, err
}
