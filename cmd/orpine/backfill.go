package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

type backfillCmd struct {
	File       string   `arg:"" help:"YAML file, with #NAME for one of several workflows." placeholder:"FILE[#NAME]"`
	Input      []string `arg:"" optional:"" help:"The other fields of the input, as NAME=VALUE."`
	Partitions string   `required:"" help:"Which ones: a range such as 2018-01..2018-06, 2018-01-01..2018-01-31 or 2018..2020, or a list such as a,b,c." placeholder:"RANGE"`
	Field      string   `help:"The field of the input that takes a partition; default the one that an asset is partitioned by." placeholder:"NAME"`
	AtOnce     int      `help:"How many partitions at once." default:"1"`
	Name       string   `help:"Name of the run; that of the workflow with -backfill behind it when absent."`
	Detach     bool     `help:"Start the run and leave it to the next orpine wait."`
}

// Help implements kong.HelpProvider.
func (backfillCmd) Help() string {
	return `One run starts the workflow once for each partition, and goes on when one of them fails. 'orpine show'
lists them with their status; 'orpine retry' runs again only those that failed.

Examples:
  orpine backfill shop.yaml#orders --partitions 2018-01..2018-06 --at-once 2
  orpine retry @last`
}

// Run starts a backfill and follows it.
func (c *backfillCmd) Run(ctx context.Context, a *app) error {
	if err := goodName(c.Name); err != nil {
		return err
	}
	w, err := a.work(c.File, "")
	if err != nil {
		return err
	}
	if w.flow == nil || w.text {
		return durable.Errorf(durable.CodeInvalid, "%s is an agent: name a workflow", c.File)
	}
	partitions, err := workflow.Partitions(c.Partitions)
	if err != nil {
		return err
	}
	if c.Field == "" {
		if c.Field = partitionField(w.flow); c.Field == "" {
			return durable.Errorf(durable.CodeInvalid, "workflow %s has no asset with a partition: say --field NAME, the field of its input that takes one", w.flow.Name)
		}
	}
	raw, err := inputOf(a, c.Input, w.flow.Input)
	if err != nil {
		return err
	}
	more := map[string]any{}
	if err := json.Unmarshal(raw, &more); err != nil {
		return durable.Errorf(durable.CodeInvalid, "the input is no object: %w", err)
	}
	d, err := workflow.Backfill(w.flow, c.Field, c.AtOnce, more)
	if err != nil {
		return err
	}
	input, err := json.Marshal(map[string]any{"partitions": partitions})
	if err != nil {
		return err
	}
	req, err := workflow.Start(d, workflow.Input{Input: input})
	if err != nil {
		return err
	}
	if c.Name != "" {
		req.Name = c.Name
	}
	return a.begin(ctx, req, starting{detach: c.Detach})
}

// partitionField is the field of the input that an asset of a workflow is partitioned by; "" where
// there is none.
func partitionField(d *workflow.Definition) string {
	for _, n := range d.Body.Nodes {
		if n.Asset == nil {
			continue
		}
		text := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(n.Asset.Partition, "${{"), "}}"))
		if field, ok := strings.CutPrefix(text, "input."); ok {
			return field
		}
	}
	return ""
}
