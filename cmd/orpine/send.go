package main

import (
	"context"
	"encoding/json"

	"github.com/orpine-run/orpine/durable"
)

type sendCmd struct {
	Ref  string `arg:"" help:"The run."`
	Name string `arg:"" help:"Name of the signal."`
	Data string `arg:"" optional:"" help:"What it carries: JSON, or text; @FILE reads JSON from a file." placeholder:"JSON"`
}

// Help implements kong.HelpProvider.
func (sendCmd) Help() string {
	return `A signal is kept in order until the program takes it. The command records it and does not wait.

Examples:
  orpine send @last go
  orpine send @last order '{"id": 7}'`
}

// Run sends a run a signal.
func (c *sendCmd) Run(ctx context.Context, a *app) error {
	s := durable.Signal{Name: c.Name}
	if c.Data != "" {
		var err error
		if s.Data, err = c.data(); err != nil {
			return err
		}
	}
	return a.give(ctx, c.Ref, true, func(ctx context.Context, h hands, id durable.RunID) error { return h.Signal(ctx, id, s) })
}

func (c *sendCmd) data() (json.RawMessage, error) {
	if c.Data[0] == '@' {
		return readValue(c.Data)
	}
	return answerJSON(c.Data), nil
}
