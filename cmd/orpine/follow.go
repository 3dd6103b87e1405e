package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// follower drives a run in this process and shows its progress until it ends, or
// stands still until somebody outside does something.
type follower struct {
	app      *app
	runtime  *orpine.Runtime
	root     durable.RunID
	progress *progress
	answer   string // given beforehand; answers the first question
	from     int64  // events of the root up to this seq are not shown

	mu    sync.Mutex
	known map[durable.RunID]*watched
	rests chan durable.Run // a run of the family came to rest
	fails chan error       // the engine stopped
	wg    sync.WaitGroup
}

func (a *app) newFollower(rt *orpine.Runtime, root durable.RunID) *follower {
	return &follower{
		app: a, runtime: rt, root: root, progress: newProgress(a), known: map[durable.RunID]*watched{}, rests: make(chan durable.Run), from: -1,
		fails: make(chan error, 1),
	}
}

// watched is what has been shown of a run.
type watched struct {
	after atomic.Int64  // seq of the last event shown
	over  chan struct{} // closed when its watch has ended
}

// follow returns the run when it is final or blocked, or waits for somebody outside.
// By then all of its events are shown. begin starts the run, once it is watched; nil
// when it has been started before.
func (f *follower) follow(ctx context.Context, begin func() error) (durable.Run, error) {
	defer f.progress.stop()
	inner, stop := context.WithCancel(ctx)
	defer stop()
	f.watch(inner, f.root)
	if begin != nil {
		if err := begin(); err != nil {
			return durable.Run{ID: f.root}, err
		}
	}
	f.wg.Go(func() { f.settle(inner, f.root) })
	state := map[durable.RunID]durable.Run{}
	run, err := f.rest(inner, state)
	if err == nil {
		f.see(inner, state)
	}
	stop()
	f.wg.Wait()
	if err == nil {
		err = f.remainder(ctx)
	}
	return run, err
}

// see waits for the watches of the runs that have ended: deltas may still be on their way.
func (f *follower) see(ctx context.Context, state map[durable.RunID]durable.Run) {
	for id, r := range state {
		if !r.Status.Final() {
			continue
		}
		f.mu.Lock()
		over := f.known[id].over
		f.mu.Unlock()
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
}

// remainder shows the events that no watch has shown: those of a run that waits.
func (f *follower) remainder(ctx context.Context) error {
	for id, w := range f.known {
		const page = 500
		for more := true; more; {
			entries, err := f.runtime.Entries(ctx, id, w.after.Load(), page)
			if err != nil {
				return err
			}
			for _, e := range entries {
				w.after.Store(e.Seq)
				f.show(&event.Item{Event: &durable.Event{Run: id, Entry: e}})
			}
			more = len(entries) == page
		}
	}
	return nil
}

// rest drives the run until it comes to rest for good; state is filled with its family.
func (f *follower) rest(ctx context.Context, state map[durable.RunID]durable.Run) (durable.Run, error) {
	for {
		select {
		case r := <-f.rests:
			state[r.ID] = r
		case err := <-f.fails:
			return durable.Run{ID: f.root}, err
		case <-ctx.Done():
			return durable.Run{ID: f.root}, ctx.Err()
		}
		root := state[f.root]
		if root.Status.Final() || root.Status == durable.Blocked {
			return root, nil
		}
		asking := f.asking(state)
		if asking == nil {
			continue
		}
		answered, err := f.reply(ctx, *asking)
		if err != nil {
			return root, err
		}
		if !answered {
			return *asking, nil
		}
		delete(state, asking.ID)
	}
}

// asking finds a run that waits for somebody outside, once all of the family are at rest.
func (f *follower) asking(state map[durable.RunID]durable.Run) *durable.Run {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(state) < len(f.known) {
		return nil // some are still in motion
	}
	for _, r := range state {
		if r.Status == durable.Blocked {
			return &r
		}
		if r.Status != durable.Waiting {
			continue
		}
		for _, w := range r.Waits {
			if w.Kind == durable.WaitAnswer || w.Kind == durable.WaitInDoubt || w.Kind == durable.WaitSignal {
				return &r
			}
		}
	}
	return nil
}

// reply answers a question with what was given beforehand, or asks the person in
// front of the terminal. False means that nobody can answer here, or that the run is
// blocked.
func (f *follower) reply(ctx context.Context, r durable.Run) (bool, error) {
	i, answer, err := f.app.reply(ctx, r, &f.answer, func() error {
		err := f.shown(ctx, r.ID)
		f.progress.stop()
		return err
	})
	if err != nil || answer == nil {
		return false, err
	}
	err = f.runtime.Answer(ctx, r.ID, i.ID, answer)
	return err == nil, err
}

// reply is the answer to the first question of a run that waits: given, the one that was
// given beforehand, which is used up, or what the person in front of the terminal says. before
// is called when one is asked. Nil means that nobody can answer here.
func (a *app) reply(ctx context.Context, r durable.Run, given *string, before func() error) (i durable.Interrupt, answer json.RawMessage, err error) {
	if r.Status == durable.Blocked {
		return i, nil, nil
	}
	for _, w := range r.Waits {
		if w.Kind != durable.WaitAnswer {
			continue
		}
		i = *w.Interrupt
		text := *given
		*given = ""
		if text != "" {
			answer, err := answerTo(i, text)
			return i, answer, err
		}
		if !a.talks() {
			return i, nil, nil
		}
		if err := before(); err != nil {
			return i, nil, err
		}
		answer, err = a.ask(ctx, i)
		return i, answer, err
	}
	return i, nil, nil
}

// shownInterval is how often it is looked whether all of a run is shown.
const shownInterval = 5 * time.Millisecond

// shown waits until the watch of a run has shown all that is recorded: a person is to read
// the question before the prompt.
func (f *follower) shown(ctx context.Context, id durable.RunID) error {
	f.mu.Lock()
	w := f.known[id]
	f.mu.Unlock()
	tick := time.NewTicker(shownInterval)
	defer tick.Stop()
	for {
		more, err := f.runtime.Entries(ctx, id, w.after.Load(), 1)
		if err != nil || len(more) == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-w.over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch begins to show a run of the family. False means that it is shown already.
func (f *follower) watch(ctx context.Context, id durable.RunID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known[id] != nil {
		return false
	}
	w := &watched{over: make(chan struct{})}
	w.after.Store(-1)
	if id == f.root {
		w.after.Store(f.from)
	}
	f.known[id] = w
	items := f.runtime.Watch(ctx, id, event.After(w.after.Load()))
	f.wg.Go(func() {
		defer close(w.over)
		f.showAll(ctx, items, w)
	})
	return true
}

func (f *follower) showAll(ctx context.Context, items iter.Seq2[*event.Item, error], w *watched) {
	for item, err := range items {
		if err != nil {
			return
		}
		if e := item.Event; e != nil && e.Kind == durable.EntryChild && f.watch(ctx, e.Child) {
			f.wg.Go(func() { f.settle(ctx, e.Child) })
		}
		f.show(item)
		if item.Event != nil {
			w.after.Store(item.Event.Seq)
		}
	}
}

func (f *follower) show(item *event.Item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.app.show(f.progress, item)
}

// show shows an event or a delta: as progress, or as a line of its own.
func (a *app) show(p *progress, item *event.Item) {
	if a.flags.Output != "jsonl" {
		p.show(item)
		return
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	var v any = item.Event
	if item.Delta != nil {
		v = item.Delta
	}
	if err := enc.Encode(v); err != nil {
		fmt.Fprintln(a.stderr, "orpine: write:", err)
	}
}

// settle reports each time a run comes to rest.
func (f *follower) settle(ctx context.Context, id durable.RunID) {
	var since time.Time
	for {
		r, err := f.runtime.Settle(ctx, id, since)
		if err != nil {
			if ctx.Err() == nil {
				select {
				case f.fails <- err:
				default: // one is enough
				}
			}
			return
		}
		select {
		case f.rests <- r:
		case <-ctx.Done():
			return
		}
		if r.Status.Final() {
			return
		}
		since = r.Updated
	}
}

// finish prints how a followed run ended and turns that into the command's error.
func (a *app) finish(ctx context.Context, from source, r durable.Run, err error) error {
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(a.stderr, "detached; the run is kept. Go on with: orpine wait%s %s\n", a.where(), r.ID)
		return err
	}
	if err != nil {
		return err
	}
	switch r.Status {
	case durable.Succeeded:
		return a.printOutput(r)
	case durable.Waiting:
		segment, err := doubtSegment(ctx, from, r)
		if err != nil {
			return err
		}
		return &runError{run: durable.Run{ID: r.ID, Status: r.Status, Reason: waitsFor(r, segment)}, hint: hintFor(a, r, segment)}
	case durable.Blocked:
		hint := fmt.Sprintf("When it is mended: orpine resume%s %s", a.where(), r.ID)
		if strings.Contains(r.Reason, "damaged") {
			hint = fmt.Sprintf("What is damaged is named by: orpine doctor --verify%s\n%s", a.where(), hint)
		}
		return &runError{run: r, hint: hint}
	default:
		return &runError{run: r}
	}
}

// where is the flag that a printed command needs to find this data directory, or the server.
func (a *app) where() string {
	if a.far() {
		if a.flags.Server == a.getenv("ORPINE_SERVER") {
			return ""
		}
		return " --server " + a.flags.Server
	}
	if a.flags.Data == defaultData || a.flags.Data == a.getenv("ORPINE_DATA") {
		return ""
	}
	return " --data " + a.flags.Data
}

// callWidth is how much is shown of a call that waits for a decision.
const callWidth = 400

// hintFor says how a run that waits can go on; its steps in doubt are of the segment.
func hintFor(a *app, r durable.Run, segment int) string {
	data := a.where()
	for _, w := range r.Waits {
		switch w.Kind {
		case durable.WaitAnswer:
			how, command := a.answerWith(r.ID, *w.Interrupt)
			text := a.valueLines(*w.Interrupt)
			if w.Interrupt.Kind == agent.ApprovalKind {
				text = "It wants to call " + oneLine(wishText(*w.Interrupt), callWidth) + "\n"
			}
			return text + how + ": " + command
		case durable.WaitInDoubt:
			step := durable.StepID{Segment: segment, Command: w.Command}
			return fmt.Sprintf("Find out what happened, then: orpine resolve%s %s %s --done JSON | --retry | --fail REASON", data, r.ID, step)
		case durable.WaitTimer, durable.WaitSignal, durable.WaitChild:
		}
	}
	return ""
}
