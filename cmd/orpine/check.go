package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

type checkCmd struct {
	File   string `arg:"" optional:"" help:"The YAML file."`
	Runs   bool   `help:"Hold every run that has not ended against this build."`
	Schema bool   `help:"Print the JSON Schema of such files, for editors."`
}

// Help implements kong.HelpProvider.
func (checkCmd) Help() string {
	return `Every fault of a file is told with file, line, column and how to mend it. Nothing is run. Rules of permissions
that never fit, that others always beat, and tools that may never be called are noted on standard
error.

With a file and --runs it says for every run of a workflow of the file whether it could go on by what the file
says now: ok, where it diverges, or that it waits on a step that there is not any more; see orpine migrate.

With --runs the last segment of every run that has not ended is replayed offline with the
programs, tools and models of this build: before an upgrade takes over a data directory, it says
which runs would be blocked. With --server it is the build of the server. Exit code 8 when one diverges, else 3 when one cannot be loaded.

Examples:
  orpine check agent.yaml
  orpine check --runs
  orpine check report.yaml --runs
  orpine check --runs --server http://127.0.0.1:7420
  orpine check --schema > orpine.schema.json`
}

// Run checks a file.
func (c *checkCmd) Run(ctx context.Context, a *app) error {
	if c.Schema {
		_, err := a.stdout.Write(config.JSONSchema())
		return err
	}
	if c.Runs {
		var now func(context.Context, string) (*workflow.Definition, error)
		if c.File != "" {
			f, err := a.checkFile(c.File)
			if err != nil {
				return err
			}
			now = func(_ context.Context, name string) (*workflow.Definition, error) {
				w, err := a.workOf(f, c.File, name, "")
				if err == nil && w.flow == nil {
					err = durable.ErrNotFound
				}
				return w.flow, err
			}
		}
		return a.checkRuns(ctx, now)
	}
	if c.File == "" {
		return durable.Errorf(durable.CodeInvalid, "name a file: orpine check FILE")
	}
	f, err := a.checkFile(c.File)
	if errors.Is(err, durable.ErrInvalid) {
		return errors.Join(err, a.printProblems(c.File, err))
	}
	if err != nil {
		return err
	}
	gear, err := a.outfit()
	if err != nil {
		return err
	}
	odd, err := gear.Review(f)
	if err != nil {
		return err
	}
	for _, p := range odd {
		fmt.Fprintln(a.stderr, "note:", p)
	}
	l := listing{single: true, names: []string{f.Name}, values: []any{f}}
	if a.flags.Output == "table" || a.flags.Output == "wide" {
		_, err := fmt.Fprintf(a.stdout, "%s: ok, %s\n", c.File, parts(f))
		return err
	}
	return a.print(l)
}

// parts says what a file has.
func parts(f *config.File) string {
	list := []string{counted(len(f.Agents), "agent"), counted(len(f.Tools), "tool")}
	if n := len(f.Workflows); n > 0 {
		list = append(list, counted(n, "workflow"))
	}
	return strings.Join(list, ", ")
}

// printProblems prints the faults of a file in the formats for programs; people read them
// as the error.
func (a *app) printProblems(path string, err error) error {
	if a.flags.Output == "table" || a.flags.Output == "wide" {
		return nil
	}
	problems := []config.Problem{{File: path, Message: err.Error()}}
	if e, ok := errors.AsType[*config.Error](err); ok {
		problems = e.Problems
	}
	var l listing
	for _, p := range problems {
		l.names, l.values = append(l.names, fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)), append(l.values, p)
	}
	return a.print(l)
}

// checkFile reads a file and all of its agents.
func (a *app) checkFile(path string) (*config.File, error) {
	f, err := config.Load(path, a.env)
	if err != nil {
		return nil, err
	}
	for _, name := range runnable(f) {
		w, err := a.work(path+"#"+name, "")
		if err != nil {
			return nil, err
		}
		for _, model := range w.models() {
			if err := scriptThere(model); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// scriptThere checks that the file of a scripted model exists; other models are not
// asked, because a check needs no key and no network.
func scriptThere(name string) error {
	const prefix = "script/"
	if len(name) <= len(prefix) || name[:len(prefix)] != prefix {
		return nil
	}
	if _, err := os.Stat(name[len(prefix):]); err != nil {
		return durable.Errorf(durable.CodeInvalid, "model %s: %w", name, err)
	}
	return nil
}
