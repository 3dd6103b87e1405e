package main

import (
	"context"
	"encoding/json"
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
	if a.far() {
		return closing(c.importFar(ctx, a, f), f)
	}
	rt, err := a.open(ctx)
	if errors.Is(err, durable.ErrConflict) {
		return closing(c.importOther(ctx, a, f), f)
	}
	if err != nil {
		return closing(err, f)
	}
	got, err := rt.Import(ctx, f, orpine.ImportConfig{AsNew: c.AsNew})
	err = errors.Join(err, f.Close())
	if err != nil {
		if !errors.Is(err, durable.ErrConflict) {
			err = fmt.Errorf("%s: %w", c.File, err)
		}
		return closing(err, rt)
	}
	c.tell(a, got)
	if !c.resumes(got) {
		return closing(c.print(a, got), rt)
	}
	if err := c.resume(ctx, rt, got); err != nil {
		return closing(err, rt)
	}
	return a.drive(ctx, rt, got.Run, "", nil)
}

// importFar imports on the server that was named.
func (c *importCmd) importFar(ctx context.Context, a *app, f io.Reader) error {
	far, err := a.dial()
	if err != nil {
		return err
	}
	got, err := c.send(ctx, a, far, f)
	if err == nil && c.resumes(got) {
		err = a.attend(ctx, far, got.Run, -1, "")
	}
	return closing(err, far)
}

// importOther imports through the door of the process that owns the data directory.
func (c *importCmd) importOther(ctx context.Context, a *app, f io.Reader) error {
	door, err := a.knock()
	if err != nil {
		return err
	}
	got, err := c.send(ctx, a, door, f)
	if err = closing(err, door); err != nil || !c.resumes(got) {
		return err
	}
	r, _, err := a.readHere(ctx, string(got.Run))
	if err != nil {
		return err
	}
	return closing(a.lookOn(ctx, r, got.Run, ""), r)
}

// send has a server import the file, and resumes what is to be resumed.
func (c *importCmd) send(ctx context.Context, a *app, to remote, f io.Reader) (got orpine.Imported, err error) {
	text, err := to.Import(ctx, f, c.AsNew)
	if err != nil {
		if !errors.Is(err, durable.ErrConflict) {
			err = fmt.Errorf("%s: %w", c.File, err)
		}
		return got, err
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return got, durable.Errorf(durable.CodeUnavailable, "read what was imported: %w", err)
	}
	c.tell(a, got)
	if !c.resumes(got) {
		return got, c.print(a, got)
	}
	return got, c.resume(ctx, to, got)
}

func (c *importCmd) resumes(got orpine.Imported) bool { return c.Resume && len(got.Unfinished) > 0 }

// tell says what was imported, and how to go on with it.
func (c *importCmd) tell(a *app, got orpine.Imported) {
	fmt.Fprintf(a.stderr, "%s, %s, %s\n", counted(len(got.Runs), "run"), counted(got.Entries, "entry"), counted(got.Blobs, "blob"))
	if c.Resume {
		return
	}
	for _, id := range got.Unfinished {
		fmt.Fprintf(a.stderr, "run %s has not ended: orpine resume%s %s goes on with it\n", id, a.where(), id)
	}
}

func (c *importCmd) print(a *app, got orpine.Imported) error {
	return a.print(listing{single: true, names: []string{string(got.Run)}, values: []any{got}, rows: [][]string{{string(got.Run)}}})
}

// resume goes on with what has not ended, children first: a parent that is resumed finds
// those that it waits for in motion.
func (c *importCmd) resume(ctx context.Context, h switches, got orpine.Imported) error {
	for _, id := range slices.Backward(got.Unfinished) {
		if err := h.Resume(ctx, id); err != nil && !errors.Is(err, durable.ErrConflict) {
			return err
		}
	}
	return nil
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
