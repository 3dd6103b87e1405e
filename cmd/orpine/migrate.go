package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/orpine-run/orpine/durable"
)

type migrateCmd struct {
	Ref string `arg:"" help:"The run of a workflow."`
	To  string `required:"" help:"The workflow it goes on by." placeholder:"FILE[#NAME]"`
}

// Help implements kong.HelpProvider.
func (migrateCmd) Help() string {
	return `A run keeps the definition that it started with, whatever becomes of its file. This has it go on by
another one from where it is: what has ended keeps its result, what is under way ends first, and what
waits goes on waiting for as long as is left. 'orpine check FILE --runs' says beforehand which runs fit.

Examples:
  orpine migrate @last --to report.yaml#report`
}

// Run has a run go on by another definition.
func (c *migrateCmd) Run(ctx context.Context, a *app) error {
	w, err := a.work(c.To, "")
	if err != nil {
		return err
	}
	if w.flow == nil {
		return durable.Errorf(durable.CodeInvalid, "%s is an agent: name a workflow", c.To)
	}
	definition, err := json.Marshal(w.flow)
	if err != nil {
		return err
	}
	return a.give(ctx, c.Ref, true, func(ctx context.Context, h hands, id durable.RunID) error {
		if err := h.Migrate(ctx, id, definition); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "run %s goes on by %s\n", id, c.To)
		return nil
	})
}
