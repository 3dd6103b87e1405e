package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
)

type topCmd struct {
	Every time.Duration `help:"How often the list is drawn anew." default:"2s" placeholder:"TIME"`
	Once  bool          `help:"Print it once; so it is off a terminal, too."`
	Limit int           `short:"n" help:"How many runs at most, newest first." default:"30" placeholder:"N"`
}

// Help implements kong.HelpProvider.
func (topCmd) Help() string {
	return `Shows the runs that have not ended, and what each is doing, until Ctrl-C.

Examples:
  orpine top
  orpine top --once
  orpine top --server http://127.0.0.1:7420 --every 5s`
}

// Run shows what is in motion.
func (c *topCmd) Run(ctx context.Context, a *app) error {
	s, err := a.source(ctx)
	if errors.Is(err, durable.ErrNotFound) { // of a data directory only
		a.tellNoRuns()
		return a.print(listing{})
	}
	if err != nil {
		return err
	}
	if c.Every <= 0 {
		return closing(durable.Errorf(durable.CodeInvalid, "--every %s is no time to wait: 2s is", c.Every), s)
	}
	live := a.flags.Output == "table" && !c.Once && terminal(a.stdout) && a.draws()
	for {
		l, err := c.look(ctx, s)
		if err != nil || !live {
			if err == nil {
				err = a.print(l)
			}
			return closing(err, s)
		}
		if err := c.draw(a, l); err != nil {
			return closing(err, s)
		}
		select {
		case <-ctx.Done():
			return closing(nil, s) // Ctrl-C is how it ends
		case <-time.After(c.Every):
		}
	}
}

// draw prints the list in place of the one before.
func (c *topCmd) draw(a *app, l listing) error {
	const wipe = "\x1b[H\x1b[2J"
	var page bytes.Buffer
	if err := a.printTo(&page, l); err != nil {
		return err
	}
	_, err := io.WriteString(a.stdout, wipe+page.String())
	return err
}

// look lists the runs that have not ended.
func (c *topCmd) look(ctx context.Context, s source) (listing, error) {
	counts, err := s.Count(ctx, durable.Filter{})
	if err != nil {
		return listing{}, err
	}
	open := []durable.Status{durable.Running, durable.Waiting, durable.Queued, durable.Paused, durable.Blocked}
	runs, err := s.List(ctx, durable.Filter{Statuses: open, Limit: c.Limit})
	if err != nil {
		return listing{}, err
	}
	l := listing{head: []string{"RUN", "NAME", "STATUS", "AGE", "STEPS", "DOING"}}
	for _, run := range runs {
		steps, err := s.Steps(ctx, run.ID)
		if errors.Is(err, durable.ErrNotFound) {
			continue // it is gone
		}
		doing := ""
		if err == nil {
			doing = underway(run, steps)
		}
		l.rows = append(l.rows, []string{string(run.ID), orDash(run.Name), string(run.Status), age(run.Created), fmt.Sprint(len(steps)), orDash(oneLine(doing, waitsWidth))})
		l.names = append(l.names, string(run.ID))
		l.values = append(l.values, run)
	}
	l.title = totals(counts, open)
	return l, nil
}

// totals says how many runs there are of each status.
func totals(counts map[durable.Status]int64, open []durable.Status) string {
	var parts []string
	all := int64(0)
	for _, n := range counts {
		all += n
	}
	for _, status := range open {
		if counts[status] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[status], status))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing in motion")
	}
	return strings.Join(parts, ", ") + "; " + counted(all, "run") + " in all"
}

// underway says what a run waits for, or which of its steps are being done.
func underway(run durable.Run, steps []durable.Step) string {
	if run.Status == durable.Waiting || run.Reason != "" {
		return waitsFor(run, lastSegment(steps))
	}
	var list []string
	for _, step := range steps {
		if step.Status == durable.StepRunning || step.Status == durable.StepRetrying {
			list = append(list, step.Name)
		}
	}
	return strings.Join(list, ", ")
}
