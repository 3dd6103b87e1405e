package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

type replayCmd struct {
	Ref string `arg:"" help:"The run."`
}

// Help implements kong.HelpProvider.
func (replayCmd) Help() string {
	return `The programs of this build go through the whole journal of the run again, without effects
and without a write: what they ask for, and how each segment ends, is held against what is
recorded. At the first divergence the command says what the journal has, what the program does
now, and ends with exit code 8. It works beside a process that drives the run.

Examples:
  orpine replay @last
  orpine replay @last -o json`
}

// mismatchError says that a journal does not fit this build.
type mismatchError struct{ text string }

func (e *mismatchError) Error() string { return e.text }

// Run replays a run.
func (c *replayCmd) Run(ctx context.Context, a *app) error {
	report, err := a.replay(ctx, c.Ref)
	if err != nil {
		return err
	}
	id := report.Run
	verdict := "ok"
	if report.Divergence != nil {
		verdict = "diverges at " + report.Divergence.Step()
	}
	segments := ""
	if report.Segments > 1 {
		segments = fmt.Sprintf(" in %d segments", report.Segments)
	}
	line := fmt.Sprintf("run %s: %s replayed%s: %s", id, counted(report.Steps, "step"), segments, verdict)
	err = a.print(listing{single: true, rows: [][]string{{line}}, names: []string{string(id)}, values: []any{report}})
	if err == nil && report.Divergence != nil {
		err = &mismatchError{fmt.Sprintf("run %s does not fit this build\n%s", id, divergenceText(report.Divergence))}
	}
	return err
}

// replay replays a run here, with the programs of this build, or on the server with its own.
func (a *app) replay(ctx context.Context, ref string) (orpine.Report, error) {
	if a.far() {
		return a.replayFar(ctx, ref)
	}
	cfg, err := a.config()
	if err != nil {
		return orpine.Report{}, err
	}
	programs, err := orpine.Programs(cfg)
	if err != nil {
		return orpine.Report{}, err
	}
	r, id, err := a.readHere(ctx, ref)
	if err != nil {
		return orpine.Report{}, err
	}
	report, err := r.Replay(ctx, programs, id)
	err = closing(err, r)
	if _, ok := errors.AsType[*durable.BlockError](err); ok {
		err = environmentError{fmt.Errorf("run %s cannot be loaded: %w", id, err)}
	}
	report.Run = id
	return report, err
}

func (a *app) replayFar(ctx context.Context, ref string) (report orpine.Report, err error) {
	far, err := a.dial()
	if err != nil {
		return report, err
	}
	text, err := far.Replay(ctx, durable.RunID(ref))
	if err = closing(err, far); err != nil {
		return report, err
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return report, durable.Errorf(durable.CodeUnavailable, "read what the server found: %w", err)
	}
	return report, nil
}

func counted[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if stem, ok := strings.CutSuffix(what, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// divergenceText says what both sides have, with their values where there are any.
func divergenceText(d *orpine.Divergence) string {
	var b strings.Builder
	fmt.Fprintf(&b, "at %s (entry %d)\n  journal: %s\n  program: %s", d.Step(), d.Seq, d.Journal, d.Program)
	if string(d.JournalValue) == string(d.ProgramValue) {
		return b.String()
	}
	b.WriteString("\n" + indented(valueDiff("journal", d.JournalValue, "program", d.ProgramValue)))
	return b.String()
}

// checkRuns holds every run that has not ended against this build. What it finds is
// printed as it goes: there may be many.
func (a *app) checkRuns(ctx context.Context, now func(context.Context, string) (*workflow.Definition, error)) error {
	r, err := a.source(ctx)
	if errors.Is(err, durable.ErrNotFound) { // of a data directory only
		a.tellNoRuns()
		return a.print(listing{})
	}
	if err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return closing(err, r)
	}
	cfg.Now = now
	out := &stream{app: a}
	all, diverge, lack := 0, 0, 0
	for c, err := range r.CheckRuns(ctx, cfg) {
		if err != nil {
			return closing(err, r)
		}
		all++
		verdict := "ok"
		switch {
		case c.Divergence != nil:
			diverge++
			verdict = fmt.Sprintf("diverges at %s: journal: %s; program: %s", c.Divergence.Step(), c.Divergence.Journal, c.Divergence.Program)
		case c.Lacks != "":
			lack++
			verdict = "cannot be loaded: " + oneLine(c.Lacks, 300)
		case c.Fit != nil && c.Fit.Status != workflow.FitOK:
			verdict = "ok; by the file it " + c.Fit.String()
		case c.Fit != nil:
			verdict = "ok, also by the file"
		}
		line := fmt.Sprintf("%-16s  %-10s  %-16s  %s", c.Run.ID, c.Run.Status, orDash(c.Run.Name), verdict)
		if err := out.add(line, string(c.Run.ID), c); err != nil {
			return closing(err, r)
		}
	}
	if err := closing(out.end(), r); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s checked: %d ok, %d diverge, %d cannot be loaded\n", counted(all, "run"), all-diverge-lack, diverge, lack)
	if diverge > 0 {
		return &mismatchError{fmt.Sprintf("%d of %s would be blocked by this build; replay them with the one that wrote them, or fork them before the step", diverge, counted(all, "run"))}
	}
	if lack > 0 {
		return environmentError{fmt.Errorf("%d of %s would be blocked here: give this build what they lack; if they are damaged, run orpine doctor --verify%s",
			lack, counted(all, "run"), a.where())}
	}
	return nil
}

// stream prints a list of values in every format without holding it.
type stream struct {
	app *app
	n   int
}

func (s *stream) add(line, name string, v any) error {
	w := s.app.stdout
	s.n++
	switch s.app.flags.Output {
	case "json":
		data, err := json.MarshalIndent(v, "  ", "  ")
		if err != nil {
			return err
		}
		before := ",\n  "
		if s.n == 1 {
			before = "[\n  "
		}
		_, err = fmt.Fprintf(w, "%s%s", before, data)
		return err
	case "jsonl", "yaml":
		return s.app.print(listing{values: []any{v}})
	case "name":
		_, err := fmt.Fprintln(w, name)
		return err
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

func (s *stream) end() error {
	if s.n == 0 {
		return s.app.print(listing{})
	}
	if s.app.flags.Output != "json" {
		return nil
	}
	_, err := fmt.Fprint(s.app.stdout, "\n]\n")
	return err
}
