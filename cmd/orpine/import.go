package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

type importCmd struct {
	File   string `arg:"" help:"The export; - is standard input."`
	AsNew  bool   `help:"Give every run a new ID."`
	Resume bool   `help:"Go on with what has not ended, at once."`
}

// Help implements kong.HelpProvider.
func (importCmd) Help() string {
	return `Takes up the run, and its children, of a file that orpine export wrote. All of it is checked
before anything is written. A run keeps its ID. One that had not ended is blocked until it
is resumed, so that two data directories never do the same work unnoticed: resume it
where it is to go on, and there only.

Examples:
  orpine import run.orpine
  orpine import run.orpine --as-new --resume`
}

// Run imports runs.
func (c *importCmd) Run(ctx context.Context, a *app) error {
	f, err := c.open(a)
	if err != nil {
		return err
	}
	rt, err := a.open(ctx)
	if err != nil {
		return closing(err, f)
	}
	got, err := rt.Import(ctx, f, c.AsNew)
	err = errors.Join(err, f.Close())
	if err != nil {
		if !errors.Is(err, durable.ErrConflict) {
			err = fmt.Errorf("%s: %w", c.File, err)
		}
		return closing(err, rt)
	}
	fmt.Fprintf(a.stderr, "%s, %s, %s\n", counted(len(got.Runs), "run"), counted(got.Entries, "entry"), counted(got.Blobs, "blob"))
	if c.Resume && len(got.Unfinished) > 0 {
		return c.resume(ctx, a, rt, got)
	}
	for _, id := range got.Unfinished {
		fmt.Fprintf(a.stderr, "run %s has not ended: orpine resume%s %s goes on with it\n", id, a.dataFlag(), id)
	}
	l := listing{single: true, names: []string{string(got.Run)}, values: []any{got}, rows: [][]string{{string(got.Run)}}}
	return closing(a.print(l), rt)
}

// resume goes on with what has not ended, children first: a parent that is resumed finds
// those that it waits for in motion.
func (c *importCmd) resume(ctx context.Context, a *app, rt *owned, got orpine.Imported) error {
	for _, id := range slices.Backward(got.Unfinished) {
		if err := rt.Resume(ctx, id); err != nil && !errors.Is(err, durable.ErrConflict) {
			return closing(err, rt)
		}
	}
	return a.drive(ctx, rt, got.Run, "", nil)
}

// open opens the file. What cannot be read twice is kept in a nameless file first.
func (c *importCmd) open(a *app) (*os.File, error) {
	in := a.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if errors.Is(err, os.ErrNotExist) {
			return nil, durable.Errorf(durable.CodeNotFound, "open the export: %w", err)
		}
		if err != nil {
			return nil, environmentError{fmt.Errorf("open the export: %w", err)}
		}
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			err = durable.Errorf(durable.CodeInvalid, "%s is a directory, not an export", c.File)
		}
		if err == nil && info.Mode().IsRegular() {
			return f, nil
		}
		if err != nil {
			return nil, closing(err, f)
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	spool, err := os.CreateTemp("", "orpine-import-*")
	if err != nil {
		return nil, environmentError{fmt.Errorf("keep the export: %w", err)}
	}
	_, err = io.Copy(spool, in)
	if err = errors.Join(err, os.Remove(spool.Name())); err != nil {
		return nil, closing(environmentError{fmt.Errorf("keep the export: %w", err)}, spool)
	}
	return spool, nil
}
