package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/orpine-run/orpine"
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

	mu    sync.Mutex
	known map[durable.RunID]bool
	rests chan durable.Run // a run of the family came to rest
	fails chan error       // the engine stopped
	wg    sync.WaitGroup
}

func (a *app) newFollower(rt *orpine.Runtime, root durable.RunID) *follower {
	return &follower{
		app: a, runtime: rt, root: root, progress: newProgress(a), known: map[durable.RunID]bool{}, rests: make(chan durable.Run),
		fails: make(chan error, 1),
	}
}

// follow returns the run when it is final or blocked, or waits for somebody outside.
func (f *follower) follow(ctx context.Context) (durable.Run, error) {
	inner, stop := context.WithCancel(ctx)
	defer f.wg.Wait()
	defer stop()
	defer f.progress.stop()
	f.adopt(inner, f.root)
	state := map[durable.RunID]durable.Run{}
	for {
		select {
		case r := <-f.rests:
			state[r.ID] = r
		case err := <-f.fails:
			return durable.Run{}, err
		case <-ctx.Done():
			return durable.Run{}, ctx.Err()
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
	for _, w := range r.Waits {
		if w.Kind != durable.WaitAnswer {
			continue
		}
		text := f.answer
		f.answer = ""
		if text == "" && f.app.talks() {
			f.progress.stop()
			var err error
			if text, err = f.app.prompt(ctx, *w.Interrupt); err != nil {
				return false, err
			}
		}
		if text == "" {
			return false, nil
		}
		err := f.runtime.Answer(ctx, r.ID, w.Interrupt.ID, answerJSON(text))
		return err == nil, err
	}
	return false, nil
}

// answerJSON is an answer as JSON: what is typed, unless that is JSON already.
func answerJSON(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	data, err := json.Marshal(text)
	if err != nil {
		panic(fmt.Sprintf("orpine: a string does not marshal: %v", err))
	}
	return data
}

// adopt begins to watch a run of the family.
func (f *follower) adopt(ctx context.Context, id durable.RunID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known[id] {
		return
	}
	f.known[id] = true
	f.wg.Go(func() { f.watch(ctx, id) })
	f.wg.Go(func() { f.settle(ctx, id) })
}

func (f *follower) watch(ctx context.Context, id durable.RunID) {
	for item, err := range f.runtime.Watch(ctx, id, -1) {
		if err != nil {
			return
		}
		if e := item.Event; e != nil && e.Kind == durable.EntryChild {
			f.adopt(ctx, e.Child)
		}
		f.show(item)
	}
}

func (f *follower) show(item event.Item) {
	if f.app.flags.Output == "jsonl" {
		f.mu.Lock()
		defer f.mu.Unlock()
		enc := json.NewEncoder(f.app.stdout)
		enc.SetEscapeHTML(false)
		var v any = item.Event
		if item.Delta != nil {
			v = item.Delta
		}
		if err := enc.Encode(v); err != nil {
			fmt.Fprintln(f.app.stderr, "orpine: write:", err)
		}
		return
	}
	f.progress.show(item)
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
func (a *app) finish(r durable.Run, err error) error {
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(a.stderr, "detached; the run is kept. Go on with: orpine wait %s\n", "@last")
		return err
	}
	if err != nil {
		return err
	}
	switch r.Status {
	case durable.Succeeded:
		return a.printOutput(r)
	case durable.Waiting:
		return &runError{run: durable.Run{ID: r.ID, Status: r.Status, Reason: waitsFor(r)}, hint: hintFor(a, r)}
	case durable.Blocked:
		return &runError{run: r, hint: "When it is mended: orpine resume " + string(r.ID)}
	default:
		return &runError{run: r}
	}
}

// hintFor says how a run that waits can go on.
func hintFor(a *app, r durable.Run) string {
	data := ""
	if a.flags.Data != defaultData {
		data = " --data " + a.flags.Data
	}
	for _, w := range r.Waits {
		switch w.Kind {
		case durable.WaitAnswer:
			return fmt.Sprintf("Answer with: orpine answer%s %s TEXT", data, r.ID)
		case durable.WaitInDoubt:
			return fmt.Sprintf("Find out what happened, then: orpine resolve%s %s %d --done JSON | --retry | --fail REASON", data, r.ID, w.Command)
		case durable.WaitTimer, durable.WaitSignal, durable.WaitChild:
		}
	}
	return ""
}
