package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

type diffCmd struct {
	A string `arg:"" help:"One run."`
	B string `arg:"" help:"The other run, such as a fork of it."`
}

// Help implements kong.HelpProvider.
func (diffCmd) Help() string {
	return `Steps are the same step when segment, number, kind and name agree; they differ in status,
input, output or error. Exit code 0 when the runs are equal, 1 when they are not.

Examples:
  orpine diff nightly nightly-fork
  orpine diff 38g7k5 38g7m2 -o json | jq '.steps[] | select(.differs != [])'`
}

// differError says that two runs differ; the answer has said how.
type differError struct{}

func (*differError) Error() string { return "the runs differ" }

// compared is the answer of diff.
type compared struct {
	Equal bool                 `json:"equal"`
	Runs  []string             `json:"runs"` // in what the runs as such differ
	A     durable.Run          `json:"a"`
	B     durable.Run          `json:"b"`
	Steps []journal.Difference `json:"steps"`
}

// Run compares two runs.
func (c *diffCmd) Run(ctx context.Context, a *app) error {
	r, idA, err := a.read(ctx, c.A)
	if err != nil {
		return err
	}
	idB, err := r.Find(ctx, c.B)
	if err != nil {
		return closing(err, r)
	}
	if idA == idB && c.A != c.B {
		err := durable.Errorf(durable.CodeConflict, "%s and %s are both run %s: name the one you mean by its ID, which orpine ps lists", c.A, c.B, idA)
		return closing(err, r)
	}
	d, err := compareRuns(ctx, r, idA, idB)
	if err != nil {
		return closing(err, r)
	}
	if a.flags.Output == "table" || a.flags.Output == "wide" {
		err = a.printCompared(ctx, r, d)
	} else {
		l := listing{single: true, values: []any{d}}
		for _, s := range d.Steps {
			if len(s.Differs) > 0 {
				l.names = append(l.names, s.Step.String())
			}
		}
		err = a.print(l)
	}
	if err == nil && !d.Equal {
		err = &differError{}
	}
	return closing(err, r)
}

func compareRuns(ctx context.Context, r source, idA, idB durable.RunID) (compared, error) {
	d := compared{Runs: []string{}}
	var steps [2][]durable.Step
	var inputs [2]string
	for i, id := range []durable.RunID{idA, idB} {
		run, err := r.Get(ctx, id)
		if err != nil {
			return d, err
		}
		if steps[i], err = r.Steps(ctx, id); err != nil {
			return d, err
		}
		first, err := r.Entries(ctx, id, -1, 1)
		if err != nil {
			return d, err
		}
		if len(first) > 0 {
			inputs[i] = first[0].InputHash
		}
		if i == 0 {
			d.A = run
		} else {
			d.B = run
		}
	}
	for _, x := range []struct {
		what    string
		differs bool
	}{
		{"program", d.A.Program != d.B.Program},
		{"definition", d.A.Definition != d.B.Definition},
		{"input", inputs[0] != inputs[1]},
		{"status", d.A.Status != d.B.Status},
		{"output", !bytes.Equal(d.A.Output, d.B.Output)},
		{"error", (d.A.Error == nil) != (d.B.Error == nil) || (d.A.Error != nil && *d.A.Error != *d.B.Error)},
	} {
		if x.differs {
			d.Runs = append(d.Runs, x.what)
		}
	}
	d.Steps = journal.Diff(steps[0], steps[1])
	d.Equal = len(d.Runs) == 0 && !slices.ContainsFunc(d.Steps, func(s journal.Difference) bool { return len(s.Differs) > 0 })
	return d, nil
}

// printCompared prints a line per step, then what differs in each, then the ends.
func (a *app) printCompared(ctx context.Context, r source, d compared) error {
	l := listing{head: []string{"STEP", "NAME", "KIND", "A", "B", "DIFFERENCE"}}
	for _, s := range d.Steps {
		l.rows = append(l.rows, []string{s.Step.String(), s.Name, string(s.Kind), statusOf(s.A), statusOf(s.B), differs(s.Differs)})
	}
	if err := a.print(l); err != nil {
		return err
	}
	for _, s := range d.Steps {
		text, err := stepText(ctx, r, d, s)
		if err != nil {
			return err
		}
		if text != "" {
			fmt.Fprintf(a.stdout, "\nstep %s %s\n%s\n", s.Step, s.Name, indented(text))
		}
	}
	fmt.Fprintf(a.stdout, "\nA %s\nB %s\n", endText(d.A), endText(d.B))
	if len(d.Runs) > 0 {
		fmt.Fprintf(a.stdout, "the runs differ in %s\n", strings.Join(d.Runs, ", "))
	}
	if slices.Contains(d.Runs, "output") {
		fmt.Fprintln(a.stdout, indented("output\n"+valueDiff("A", d.A.Output, "B", d.B.Output)))
	}
	return nil
}

func statusOf(s *durable.Step) string {
	if s == nil {
		return "-"
	}
	return string(s.Status)
}

func differs(in []string) string {
	if len(in) == 0 {
		return "same"
	}
	words := map[string]string{journal.OnlyA: "only in A", journal.OnlyB: "only in B"}
	var list []string
	for _, w := range in {
		if text, ok := words[w]; ok {
			w = text
		}
		list = append(list, w)
	}
	return strings.Join(list, ", ")
}

// stepText shows the values in which a step differs.
func stepText(ctx context.Context, r source, d compared, s journal.Difference) (string, error) {
	if s.A == nil || s.B == nil {
		return "", nil
	}
	var parts []string
	for _, what := range s.Differs {
		switch what {
		case journal.OtherFailure:
			parts = append(parts, fmt.Sprintf("error\n- %s\n+ %s", failureText(s.A.Error), failureText(s.B.Error)))
		case journal.OtherInput, journal.OtherOutput:
			inA, refA, inB, refB := s.A.In, s.A.Input, s.B.In, s.B.Input
			if what == journal.OtherOutput {
				inA, refA, inB, refB = s.A.Out, s.A.Output, s.B.Out, s.B.Output
			}
			left, err := valueOf(ctx, r, d.A.ID, inA, refA)
			if err != nil {
				return "", err
			}
			right, err := valueOf(ctx, r, d.B.ID, inB, refB)
			if err != nil {
				return "", err
			}
			parts = append(parts, what+"\n"+valueDiff("A", left, "B", right))
		}
	}
	return strings.Join(parts, "\n"), nil
}

func failureText(f *durable.Failure) string {
	if f == nil {
		return "none"
	}
	return string(f.Code) + ": " + oneLine(f.Message, diffWidth)
}

// valueOf is a value of a run that is inline or a blob.
func valueOf(ctx context.Context, r source, id durable.RunID, inline json.RawMessage, ref *durable.Ref) (json.RawMessage, error) {
	if inline != nil || ref == nil {
		return inline, nil
	}
	return r.Blob(ctx, id, *ref)
}

// endText says how a run stands, and what it has used if it is an agent that is done.
func endText(r durable.Run) string {
	text := fmt.Sprintf("run %s: %s", r.ID, r.Status)
	if r.Error != nil {
		text += ": " + oneLine(r.Error.Message, diffWidth)
	}
	if r.Program == agent.Program && r.Status == durable.Succeeded {
		if answer, err := agent.AnswerOf(r); err == nil {
			text += fmt.Sprintf(", %s, %d tokens in, %d out", counted(answer.Turns, "turn"), answer.Usage.Input, answer.Usage.Output)
		}
	}
	return text
}
