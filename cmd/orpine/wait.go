package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orpine-run/orpine/durable"
)

type waitCmd struct {
	Ref     string        `arg:"" help:"The run."`
	Answer  string        `help:"Answer the first question with this." placeholder:"TEXT"`
	Timeout time.Duration `help:"Give up after this long; exit code 124." placeholder:"TIME"`
}

// Help implements kong.HelpProvider.
func (waitCmd) Help() string {
	return `Waits until the run ends or needs a person, and prints its answer. If no process owns the
data directory, this one takes it and drives every unfinished run in it; if another one does,
it looks on, and takes over when that one is gone.

Examples:
  orpine wait @last
  orpine wait @last --timeout 10m -o json`
}

// Run waits for a run.
func (c *waitCmd) Run(ctx context.Context, a *app) error {
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	if err := r.Close(); err != nil {
		return err
	}
	if c.Timeout <= 0 {
		return c.wait(ctx, a, id)
	}
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err = c.wait(limited, a, id)
	if errors.Is(err, context.DeadlineExceeded) {
		return a.timedOut(ctx, id, c.Timeout)
	}
	return err
}

// timeoutError says what a run does after it was waited for in vain.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string { return e.text }

func (*timeoutError) Unwrap() error { return context.DeadlineExceeded }

func (a *app) timedOut(ctx context.Context, id durable.RunID, after time.Duration) error {
	r, _, err := a.read(ctx, string(id))
	if err != nil {
		return err
	}
	run, err := r.Get(ctx, id)
	if err = closing(err, r); err != nil {
		return err
	}
	text := fmt.Sprintf("run %s is %s after %s", id, run.Status, after)
	if why := waitsFor(run, 0); why != "" {
		text += " (" + oneLine(why, waitsWidth) + ")"
	}
	return &timeoutError{text + fmt.Sprintf("; it is kept. Go on with: orpine wait%s %s", a.where(), id)}
}

// wait waits on the server, here, or beside the process that drives the run.
func (c *waitCmd) wait(ctx context.Context, a *app, id durable.RunID) error {
	if a.far() {
		far, err := a.dial()
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "run %s\n", id)
		return closing(a.attend(ctx, far, id, -1, c.Answer), far)
	}
	r, _, err := a.readHere(ctx, string(id))
	if err != nil {
		return err
	}
	rt, err := a.open(ctx)
	if errors.Is(err, durable.ErrConflict) {
		fmt.Fprintf(a.stderr, "run %s is driven by another process\n", id)
		return closing(a.lookOn(ctx, r, id, c.Answer), r)
	}
	if err != nil {
		return closing(err, r)
	}
	return errors.Join(a.drive(ctx, rt, id, c.Answer, nil), r.Close())
}

// drive follows a run to its end in this process and closes the runtime. begin starts
// the run and says so; nil when there is nothing to start.
func (a *app) drive(ctx context.Context, rt *owned, id durable.RunID, answer string, begin func() error) error {
	return a.driveFrom(ctx, rt, id, -1, answer, begin)
}

// driveFrom is drive for a run whose events up to seq from are nothing new.
func (a *app) driveFrom(ctx context.Context, rt *owned, id durable.RunID, from int64, answer string, begin func() error) error {
	if begin == nil {
		fmt.Fprintf(a.stderr, "run %s\n", id)
	}
	f := a.newFollower(rt.Runtime, id)
	f.answer, f.from = answer, from
	run, err := f.follow(ctx, begin)
	if err == nil && run.Status.Final() {
		err = a.afterwards(ctx, &rt.Reader, run)
	}
	return errors.Join(a.finish(ctx, here{&rt.Reader}, run, err), rt.Close())
}

// How often a run that another process drives is looked at, and after how many looks it is
// tried whether that process is still there.
const (
	otherInterval = 200 * time.Millisecond
	otherLooks    = 5
)

// watchOther waits until a run that another process drives comes to rest, or until that
// process is gone: then it returns the data directory, opened. To try is to ask for its
// lock, which the owner does not notice.
func (a *app) watchOther(ctx context.Context, r here, id durable.RunID) (durable.Run, *owned, error) {
	tick := time.NewTicker(otherInterval)
	defer tick.Stop()
	for look := 1; ; look++ {
		run, err := r.Get(ctx, id)
		if err != nil || run.Status.Final() {
			return run, nil, err
		}
		asking, still, err := standing(ctx, r, run)
		if err != nil {
			return run, nil, err
		}
		if still && asking != nil {
			return *asking, nil, nil
		}
		if look%otherLooks == 0 {
			o, err := a.open(ctx)
			if err == nil || !errors.Is(err, durable.ErrConflict) {
				return run, o, err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return run, nil, ctx.Err()
		}
	}
}
