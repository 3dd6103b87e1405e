package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orpine-run/orpine"
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
	if c.Timeout <= 0 {
		return c.wait(ctx, a, r, id)
	}
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err = c.wait(limited, a, r, id)
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
	return &timeoutError{text + fmt.Sprintf("; it is kept. Go on with: orpine wait%s %s", a.dataFlag(), id)}
}

// wait waits, and closes the reader.
func (c *waitCmd) wait(ctx context.Context, a *app, r *orpine.Reader, id durable.RunID) error {
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
	return errors.Join(a.finish(ctx, &rt.Reader, run, err), rt.Close())
}

// How often a run that another process drives is looked at, and after how many looks it is
// tried whether that process is still there.
const (
	otherInterval = 200 * time.Millisecond
	otherLooks    = 5
)

// lookOn waits for a run that another process drives, and drives it here from the moment
// on at which nobody owns the data directory any more.
func (a *app) lookOn(ctx context.Context, r *orpine.Reader, id durable.RunID, answer string) error {
	run, o, err := a.watchOther(ctx, r, id)
	if o != nil {
		fmt.Fprintln(a.stderr, "the other process is gone: this one goes on")
		return a.drive(ctx, o, id, answer, nil)
	}
	if err == nil && run.Status.Final() {
		err = a.afterwards(ctx, r, run)
	}
	return a.finish(ctx, r, run, err)
}

// watchOther waits until a run that another process drives comes to rest, or until that
// process is gone: then it returns the data directory, opened. To try is to ask for its
// lock, which the owner does not notice.
func (a *app) watchOther(ctx context.Context, r *orpine.Reader, id durable.RunID) (durable.Run, *owned, error) {
	tick := time.NewTicker(otherInterval)
	defer tick.Stop()
	for look := 1; ; look++ {
		run, err := r.Get(ctx, id)
		if err != nil || run.Status.Final() || run.Status == durable.Blocked || run.NeedsPerson() {
			return run, nil, err
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
