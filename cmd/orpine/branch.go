package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/orpine-run/orpine/durable"
)

// branching is a run that is to be made of another one.
type branching struct {
	from   durable.RunID
	id     durable.RunID // of the new one
	what   string        // it is, for people
	shown  int64         // its events up to this seq are those of the other run
	detach bool          // it is left to others
	make   func(h hands, id durable.RunID) (durable.RunID, error)
}

// branch makes a run of another one, where give would carry out an order, and follows it.
func (a *app) branch(ctx context.Context, b branching) error {
	if a.far() {
		return a.branchFar(ctx, b)
	}
	r, _, err := a.readHere(ctx, string(b.from))
	if err != nil {
		return err
	}
	o, err := a.openTo(ctx, b.detach)
	if errors.Is(err, durable.ErrConflict) {
		return closing(a.branchOther(ctx, r, b), r)
	}
	if err != nil {
		return closing(err, r)
	}
	begin := func() error {
		_, err := b.make(o, b.id)
		if err == nil {
			fmt.Fprintf(a.stderr, "run %s  %s\n", b.id, b.what)
		}
		return err
	}
	if !b.detach {
		return errors.Join(a.driveFrom(ctx, o, b.id, b.shown, "", begin), r.Close())
	}
	err = begin()
	if err == nil {
		err = a.printStarted(ctx, o, b.id)
	}
	return errors.Join(err, o.Close(), r.Close())
}

func (a *app) branchFar(ctx context.Context, b branching) error {
	far, err := a.dial()
	if err != nil {
		return err
	}
	id, err := b.make(far, "") // chosen there: so it is made once, however often the request is sent
	if err != nil {
		return closing(err, far)
	}
	fmt.Fprintf(a.stderr, "run %s  %s\n", id, b.what)
	if b.detach {
		return closing(a.printStarted(ctx, far, id), far)
	}
	return closing(a.attend(ctx, far, id, b.shown, ""), far)
}

// branchOther does it through the door of the process that owns the data directory.
func (a *app) branchOther(ctx context.Context, r here, b branching) error {
	door, err := a.knock()
	if err != nil {
		return err
	}
	id, err := b.make(door, b.id)
	if err = closing(err, door); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "run %s  %s, driven by another process\n", id, b.what)
	if b.detach {
		return a.printStarted(ctx, r, id)
	}
	return a.lookOnFrom(ctx, r, id, b.shown, "")
}
