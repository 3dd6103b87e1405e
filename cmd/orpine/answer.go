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
  orpine answer @last --question 0.7 '{"approve": true}'`
}

// Run answers a question.
func (c *answerCmd) Run(ctx context.Context, a *app) error {
	answer := answerJSON(strings.Join(c.Text, " "))
	return a.act(ctx, c.Ref, c.Detach, func(rt *orpine.Runtime, id durable.RunID) error {
		asking, question, err := asks(ctx, rt, id)
		if err != nil {
			return err
		}
		if c.Question != "" {
			question = c.Question
		}
		return rt.Answer(ctx, asking, question, answer)
	})
}

// asks finds who asks: the run itself, or a child it waits for.
func asks(ctx context.Context, rt *orpine.Runtime, id durable.RunID) (durable.RunID, string, error) {
	run, err := rt.Get(ctx, id)
	if err != nil {
		return "", "", err
	}
	for _, w := range run.Waits {
		if w.Kind == durable.WaitChild {
			if asking, question, err := asks(ctx, rt, w.Child); err == nil && question != "" {
				return asking, question, nil
			}
		}
	}
	question := ""
	if len(run.Waits) == 1 && run.Waits[0].Kind == durable.WaitAnswer {
		question = run.Waits[0].Interrupt.ID
	}
	return id, question, nil
}

// act opens the data directory, does something to a run, and follows the run
// unless detached.
func (a *app) act(ctx context.Context, ref string, detach bool, do func(*orpine.Runtime, durable.RunID) error) error {
	rt, err := a.open(ctx)
	if err != nil {
		return err
	}
	id, err := rt.Find(ctx, ref)
	if err == nil {
		err = do(rt, id)
	}
	if err != nil || detach {
		return closing(err, rt)
	}
	return a.drive(ctx, rt, id, "")
}
