package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

type exportCmd struct {
	Ref   string `arg:"" help:"The run."`
	Out   string `short:"O" help:"Where to; - is standard output. Default: ID.orpine." placeholder:"FILE"`
	Tree  bool   `help:"With its children." default:"true" negatable:""`
	Force bool   `help:"Replace the file if there is one."`
}

// Help implements kong.HelpProvider.
func (exportCmd) Help() string {
	return `Writes a run, with all it consists of, to one file that orpine import takes up in another data
directory. Everything is checked on the way; docs/export.md describes the file. It works
beside a process that drives the run.

Examples:
  orpine export @last
  orpine export @last -O run.orpine
  orpine export @last -O - | ssh other orpine import -`
}

// exportedView is the answer of an export to a file.
type exportedView struct {
	Run  durable.RunID `json:"run"`
	File string        `json:"file"`
	orpine.Contents
}

// Run exports a run.
func (c *exportCmd) Run(ctx context.Context, a *app) error {
	if c.Out == "-" && terminal(a.stdout) {
		return durable.Errorf(durable.CodeInvalid, "an export is not for a terminal: give a file with -O, or a pipe")
	}
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	if err := r.Close(); err != nil {
		return err
	}
	if c.Out == "-" {
		sum, err := c.write(ctx, a, id, a.stdout)
		if err == nil {
			c.tell(a, sum)
		}
		return err
	}
	if c.Out == "" {
		c.Out = string(id) + ".orpine"
	}
	var sum orpine.Contents
	err = c.toFile(func(w io.Writer) error {
		var err error
		sum, err = c.write(ctx, a, id, w)
		return err
	})
	if err != nil {
		return err
	}
	c.tell(a, sum)
	return a.print(listing{single: true, names: []string{c.Out}, values: []any{exportedView{id, c.Out, sum}}, rows: [][]string{{c.Out}}})
}

// write writes the export, of the data directory or of the server.
func (c *exportCmd) write(ctx context.Context, a *app, id durable.RunID, w io.Writer) (sum orpine.Contents, err error) {
	if !a.far() {
		r, _, err := a.readHere(ctx, string(id))
		if err != nil {
			return sum, err
		}
		sum, err = r.Export(ctx, w, orpine.ExportConfig{Run: id, Alone: !c.Tree, Build: version})
		return sum, closing(err, r)
	}
	far, err := a.dial()
	if err != nil {
		return sum, err
	}
	text, err := far.Export(ctx, id, !c.Tree, w)
	if err = closing(err, far); err != nil {
		return sum, err
	}
	if err := json.Unmarshal(text, &sum); err != nil {
		return sum, durable.Errorf(durable.CodeUnavailable, "read what is in the export: %w", err)
	}
	return sum, nil
}

func (c *exportCmd) tell(a *app, sum orpine.Contents) {
	fmt.Fprintf(a.stderr, "%s, %s, %s\n", counted(sum.Runs, "run"), counted(sum.Entries, "entry"), counted(sum.Blobs, "blob"))
	if sum.Absent > 0 {
		fmt.Fprintf(a.stderr, "%d values look like references to blobs that are not here; they are exported as they are\n", sum.Absent)
	}
}

// toFile has a file written beside its place, and put there when it is whole.
func (c *exportCmd) toFile(write func(io.Writer) error) error {
	if _, err := os.Lstat(c.Out); err == nil && !c.Force {
		return durable.Errorf(durable.CodeConflict, "%s exists: choose another file with -O, or replace it with --force", c.Out)
	}
	f, err := os.CreateTemp(filepath.Dir(c.Out), ".orpine-export-*")
	if err != nil {
		return environmentError{fmt.Errorf("write %s: %w", c.Out, err)}
	}
	keep := errors.Join(write(f), f.Sync())
	err = errors.Join(keep, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.Out)
	}
	if err == nil {
		return nil
	}
	err = errors.Join(err, os.Remove(f.Name()))
	if _, ours := errors.AsType[*durable.Error](err); !ours {
		err = environmentError{fmt.Errorf("write %s: %w", c.Out, err)}
	}
	return err
}
