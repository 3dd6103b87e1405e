package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

// questionsOf lists what a run, and the children that it waits for, all levels down, ask.
func questionsOf(ctx context.Context, from runs, id durable.RunID) ([]orpine.Question, error) {
	run, err := from.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	var list []orpine.Question
	for _, w := range run.Waits {
		switch w.Kind {
		case durable.WaitAnswer:
			list = append(list, orpine.Question{Run: run.ID, Name: run.Name, Tenant: run.Tenant, Since: run.Updated, Until: w.Until, Interrupt: *w.Interrupt})
		case durable.WaitChild:
			below, err := questionsOf(ctx, from, w.Child)
			if err != nil {
				return nil, err
			}
			list = append(list, below...)
		case durable.WaitTimer, durable.WaitSignal, durable.WaitInDoubt:
		}
	}
	return list, nil
}

// anyAction stands for an answer of any kind.
const anyAction durable.Action = ""

// choose finds the question that is meant: with an ID that one, with an action one that it decides.
// Where there are several, the person at the terminal says which; nobody there is a conflict.
// Where none is seen it is left to the engine what there is: a run in motion may ask too.
func (a *app) choose(ctx context.Context, from runs, id durable.RunID, question string, action durable.Action) (orpine.Question, error) {
	all, err := questionsOf(ctx, from, id)
	if err != nil {
		return orpine.Question{}, err
	}
	fits := slices.DeleteFunc(slices.Clone(all), func(q orpine.Question) bool {
		return (question != "" && q.ID != question) || (action != anyAction && !decidable(q.Interrupt, action))
	})
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case len(fits) > 1 && a.talks():
		return a.pick(ctx, fits)
	case len(fits) > 1:
		return orpine.Question{}, severalError(fits)
	case question != "" && len(all) > 0:
		return orpine.Question{}, durable.Errorf(durable.CodeNotFound, "run %s asks nothing of that kind with the ID %s; there is %s", id, question, questionList(all))
	case len(all) > 0 && reviews(all[0].Interrupt):
		_, command := a.answerWith(id, all[0].Interrupt)
		return orpine.Question{}, durable.Errorf(durable.CodeConflict, "run %s asks %q, and %s is none of the answers: say %s", id, all[0].Prompt, action, command)
	case len(all) > 0:
		_, command := a.answerWith(id, all[0].Interrupt)
		return orpine.Question{}, durable.Errorf(durable.CodeConflict, "run %s asks %q, which is no approval: say %s", id, all[0].Prompt, command)
	}
	q := orpine.Question{Run: id}
	q.ID = question
	return q, nil
}

// severalError says that a question must be named.
func severalError(list []orpine.Question) error {
	return durable.Errorf(durable.CodeConflict, "%d questions wait: name one with --question ID: %s", len(list), questionList(list))
}

func questionList(list []orpine.Question) string {
	var names []string
	for _, q := range list {
		names = append(names, fmt.Sprintf("%s of run %s (%s)", q.ID, q.Run, oneLine(wishText(q.Interrupt), waitsWidth)))
	}
	return strings.Join(names, ", ")
}

// pick asks the person at the terminal which question is meant.
func (a *app) pick(ctx context.Context, list []orpine.Question) (orpine.Question, error) {
	for i, q := range list {
		fmt.Fprintf(a.stderr, "%d  %s  %s\n", i+1, q.ID, oneLine(wishText(q.Interrupt), 2*waitsWidth))
	}
	text, err := a.line(ctx, "which")
	if err != nil {
		return orpine.Question{}, err
	}
	var named []orpine.Question
	for i, q := range list {
		if text == fmt.Sprint(i+1) || text == q.ID {
			named = append(named, q)
		}
	}
	if len(named) != 1 {
		return orpine.Question{}, durable.Errorf(durable.CodeConflict, "%q is none of them: nothing is decided", text)
	}
	return named[0], nil
}
