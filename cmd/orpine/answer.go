package main

import (
	"context"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

type answerCmd struct {
	Ref      string   `arg:"" help:"The run that asks."`
	Text     []string `arg:"" help:"The answer: text, or JSON."`
	Question string   `help:"ID of the question, when there are several." placeholder:"ID"`
	Detach   bool     `help:"Only record the answer; do not drive the run."`
}

// Help implements kong.HelpProvider.
func (answerCmd) Help() string {
	return `The first answer wins. Then the run is followed as 'orpine wait' does, unless --detach.

Examples:
  orpine answer @last accept
  orpine answer @last "leave R3 out"
  orpine answer @last --question feedback '{"approve": true}'`
}

// Run answers a question.
func (c *answerCmd) Run(ctx context.Context, a *app) error {
	answer := answerJSON(strings.Join(c.Text, " "))
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	asking, question, err := asks(ctx, r, id)
	if err = closing(err, r); err != nil {
		return err
	}
	if c.Question != "" {
		question = c.Question
	}
	return a.give(ctx, string(id), c.Detach, func(ctx context.Context, h hands, _ durable.RunID) error {
		return h.Answer(ctx, asking, question, answer)
	})
}

// asks finds who asks what: the run itself, or a child it waits for. The question is
// left open where there are several.
func asks(ctx context.Context, r *orpine.Reader, id durable.RunID) (durable.RunID, string, error) {
	run, err := r.Get(ctx, id)
	if err != nil {
		return "", "", err
	}
	for _, w := range run.Waits {
		if w.Kind != durable.WaitChild {
			continue
		}
		if asking, question, err := asks(ctx, r, w.Child); err == nil && question != "" {
			return asking, question, nil
		}
	}
	question := ""
	if len(run.Waits) == 1 && run.Waits[0].Kind == durable.WaitAnswer {
		question = run.Waits[0].Interrupt.ID
	}
	return id, question, nil
}
