package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// onlooker shows what a run does that a server drives, until it ends or stands still until
// somebody outside does something.
type onlooker struct {
	app      *app
	far      remote
	root     durable.RunID
	progress *progress
	answer   string                  // given beforehand; answers the first question
	seen     map[durable.RunID]int64 // seq of the last event shown, by run
	replied  map[string]bool         // what was answered here; the run waits for it a moment longer
}

// newOnlooker makes one that has shown the events of the run up to seq from; -1 = none.
func (a *app) newOnlooker(far remote, root durable.RunID, from int64, answer string) *onlooker {
	return &onlooker{
		app: a, far: far, root: root, progress: newProgress(a), answer: answer, seen: map[durable.RunID]int64{root: from}, replied: map[string]bool{},
	}
}

// The run is looked at when nothing was heard of it for a moment, and then once in a while:
// no event says that it has come to wait for a signal.
const (
	quietTime = 50 * time.Millisecond
	lookTime  = 2 * time.Second
)

// follow returns the run when it is final or blocked, or waits for somebody outside. By then
// all of its events are shown. Error: unavailable when the server stays away.
func (o *onlooker) follow(ctx context.Context) (durable.Run, error) {
	defer o.progress.stop()
	inner, stop := context.WithCancel(ctx)
	items, over := make(chan client.Item), make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		over <- o.listen(inner, items)
	}()
	defer func() {
		stop()
		<-gone
	}()
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	for {
		select {
		case item := <-items:
			o.show(item)
			if item.Event != nil {
				quiet.Reset(quietTime)
			}
		case err := <-over:
			if err != nil {
				return durable.Run{ID: o.root}, err
			}
			return o.far.Get(ctx, o.root)
		case <-quiet.C:
			run, err := o.look(ctx)
			if err != nil || run != nil {
				return o.found(run), err
			}
			quiet.Reset(lookTime)
		case <-ctx.Done():
			return durable.Run{ID: o.root}, ctx.Err()
		}
	}
}

func (o *onlooker) found(run *durable.Run) durable.Run {
	if run == nil {
		return durable.Run{ID: o.root}
	}
	return *run
}

// listen hands on what happens to the run and its children, until it ends.
func (o *onlooker) listen(ctx context.Context, items chan<- client.Item) error {
	w := client.Watch{}
	if from := o.seen[o.root]; from >= 0 {
		w.After = strconv.FormatInt(from, 10)
	}
	if o.far.door != nil {
		w.Retries = -1 // the owner of a directory does not come back: somebody else takes it
	}
	for item, err := range o.far.Watch(ctx, o.root, w) {
		if err != nil {
			return err
		}
		select {
		case items <- item:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (o *onlooker) show(i client.Item) {
	if i.Event != nil {
		o.seen[i.Event.Run] = i.Event.Seq
	}
	o.app.show(o.progress, &event.Item{Event: i.Event, Delta: i.Delta})
}

// last is the seq of the last event of a run that was shown; -1 = none.
func (o *onlooker) last(id durable.RunID) int64 {
	if seq, ok := o.seen[id]; ok {
		return seq
	}
	return -1
}

// look returns the run, or the child of it, that stands still until somebody outside does
// something; nil while there is none, or a person at the terminal has answered.
func (o *onlooker) look(ctx context.Context) (*durable.Run, error) {
	asking, err := o.standing(ctx)
	if errors.Is(err, durable.ErrUnavailable) {
		return nil, nil // who listens finds out whether the server comes back
	}
	if asking == nil || err != nil {
		return nil, err
	}
	if asking.Status == durable.Blocked {
		return asking, nil
	}
	for _, w := range asking.Waits {
		if w.Kind == durable.WaitAnswer && o.replied[questionKey(asking.ID, *w.Interrupt)] {
			return nil, nil // the answer is on its way
		}
	}
	i, answer, err := o.app.reply(ctx, *asking, &o.answer, func() error { o.progress.stop(); return nil })
	if err != nil || answer == nil {
		return asking, err
	}
	o.replied[questionKey(asking.ID, i)] = true
	return nil, o.far.Answer(ctx, asking.ID, i.ID, answer)
}

func questionKey(id durable.RunID, i durable.Interrupt) string { return string(id) + "/" + i.ID }

// standing finds who stands still, once all that is recorded of it is shown.
func (o *onlooker) standing(ctx context.Context) (*durable.Run, error) {
	root, err := o.far.Get(ctx, o.root)
	if err != nil {
		return nil, err
	}
	asking, still, err := standing(ctx, o.far, root)
	if err != nil || !still || asking == nil {
		return nil, err
	}
	more, err := o.far.Entries(ctx, asking.ID, o.last(asking.ID), 1)
	if err != nil || len(more) > 0 {
		return nil, err
	}
	return asking, nil
}

// standing goes down from a run to the children it waits for. It says whether all of them
// stand still, and which is the first that does so until somebody outside does something.
func standing(ctx context.Context, from runs, run durable.Run) (asking *durable.Run, still bool, err error) {
	if run.Status == durable.Blocked {
		return &run, true, nil
	}
	if run.Status != durable.Waiting {
		return nil, false, nil
	}
	still = true
	for _, w := range run.Waits {
		switch w.Kind {
		case durable.WaitAnswer, durable.WaitInDoubt, durable.WaitSignal:
			if asking == nil {
				asking = &run
			}
		case durable.WaitChild:
			child, err := from.Get(ctx, w.Child)
			if err != nil {
				return nil, false, err
			}
			below, rests, err := standing(ctx, from, child)
			if err != nil {
				return nil, false, err
			}
			still = still && rests
			if asking == nil {
				asking = below
			}
		case durable.WaitTimer:
		}
	}
	return asking, still, nil
}

// attend follows a run on the server that was named, from behind an event on, and says how it
// ended.
func (a *app) attend(ctx context.Context, far remote, id durable.RunID, from int64, answer string) error {
	run, err := a.newOnlooker(far, id, from, answer).follow(ctx)
	return a.finish(ctx, far, run, err)
}

// lookOn follows a run that another process drives, through its door; while that does not
// answer it looks into the data directory. From the moment on at which nobody owns the
// directory any more, it drives the run here.
func (a *app) lookOn(ctx context.Context, r here, id durable.RunID, answer string) error {
	return a.lookOnFrom(ctx, r, id, -1, answer)
}

// lookOnFrom is lookOn for a run whose events up to seq shown are nothing new.
func (a *app) lookOnFrom(ctx context.Context, r here, id durable.RunID, shown int64, answer string) error {
	run := durable.Run{ID: id}
	door, err := a.knock()
	if err == nil {
		o := a.newOnlooker(door, id, shown, answer)
		run, err = o.follow(ctx)
		err, shown = closing(err, door), o.last(id)
	}
	if err != nil && ctx.Err() == nil && errors.Is(err, durable.ErrUnavailable) {
		var own *owned
		run, own, err = a.watchOther(ctx, r, id)
		if own != nil {
			fmt.Fprintln(a.stderr, "the other process is gone: this one goes on")
			return a.driveFrom(ctx, own, id, shown, answer, nil)
		}
	}
	if err == nil && run.Status.Final() {
		err = a.afterwards(ctx, r.Reader, run)
	}
	return a.finish(ctx, r, run, err)
}
