package trigger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
)

const (
	// hold is how long one step goes on looking while it finds nothing: each step is an entry of the
	// journal. It is short, because a process that is told to stop waits for steps under way.
	hold = 5 * time.Second
	// afterFailure is how long a source that failed is left alone, at least.
	afterFailure = 30 * time.Second
	// idleWorth is how many looks that found nothing count as one thing dealt with.
	idleWorth = 16
	// maxFound is how many things one look may find.
	maxFound = 1000
)

type watchInput struct {
	Files  *Files          `json:"files,omitempty"`
	Run    *RunEnd         `json:"run,omitempty"`
	Poll   json.RawMessage `json:"poll,omitempty"`
	Every  time.Duration   `json:"every"`
	Cursor json.RawMessage `json:"cursor,omitempty"`
	Rest   bool            `json:"rest,omitempty"` // an interval goes by before the first look
}

// watched is what was found, and the cursor behind it.
type watched struct {
	Files  []File          `json:"files,omitempty"`
	Runs   []durable.Run   `json:"runs,omitempty"`
	Items  []Item          `json:"items,omitempty"`
	Cursor json.RawMessage `json:"cursor,omitempty"`
}

func (w *watched) empty() bool { return len(w.Files)+len(w.Runs)+len(w.Items) == 0 }

// watching is a look that is under way.
type watching struct{ found durable.Promise[watched] }

// watchSource is the step function that looks until there is something new, or for a while.
func (p *program) watchSource(ctx context.Context, in watchInput) (watched, error) {
	var files *fileWatch
	if in.Files != nil {
		var err error
		if files, err = p.openFiles(ctx, in.Files, in.Cursor); err != nil {
			return watched{}, err
		}
		defer files.close()
	}
	began := time.Now()
	out := watched{Cursor: in.Cursor}
	for rest := in.Rest; ; rest = true {
		if rest {
			select {
			case <-time.After(in.Every):
			case <-ctx.Done():
				return watched{}, context.Cause(ctx)
			}
		}
		var err error
		switch {
		case files != nil:
			out.Files, err = files.look()
		case in.Run != nil:
			out.Runs, out.Cursor, err = p.endedRuns(ctx, out.Cursor, in.Run)
		default:
			out.Items, out.Cursor, err = p.pollItems(ctx, in.Poll, out.Cursor)
		}
		if err != nil {
			return watched{}, err
		}
		if !out.empty() || time.Since(began)+in.Every > hold {
			break
		}
	}
	if files != nil {
		var err error
		if out.Cursor, err = files.save(ctx); err != nil {
			return watched{}, err
		}
	}
	return out, nil
}

// endedRuns leaves out what the trigger has started itself: it would go on for ever.
func (p *program) endedRuns(ctx context.Context, cursor json.RawMessage, which *RunEnd) ([]durable.Run, json.RawMessage, error) {
	if p.cfg.Ended == nil {
		return nil, nil, lacks("tell a trigger of the ends of runs")
	}
	runs, cursor, err := p.cfg.Ended(ctx, cursor, *which)
	self := durable.AttemptOf(ctx).Run
	return slices.DeleteFunc(runs, func(r durable.Run) bool { return r.Parent == self || r.ID == self }), cursor, err
}

func (p *program) pollItems(ctx context.Context, config, cursor json.RawMessage) ([]Item, json.RawMessage, error) {
	if p.cfg.Poll == nil {
		return nil, nil, lacks("poll for a trigger")
	}
	items, cursor, err := p.cfg.Poll(ctx, config, cursor)
	switch {
	case err != nil:
	case len(items) > maxFound:
		err = invalid("the poll has found %d things, and %d are possible: it has to return fewer, and a cursor behind them", len(items), maxFound)
	case slices.ContainsFunc(items, func(i Item) bool { return i.Key == "" }):
		err = invalid("the poll has found something without a key: it says what is started once")
	}
	return items, cursor, err
}

// look has the source asked, when it is time. While starts wait it is left alone: what is new then
// is found later, and need not be kept here.
func (s *segment) look() {
	every := s.d.On.every()
	if every == 0 || s.watch != nil || s.Paused || len(s.Waiting) > 0 {
		return
	}
	at := s.After
	if every > hold && !s.Looked.IsZero() {
		at = later(at, s.Looked.Add(every))
	}
	if at.After(s.now()) {
		s.wakeAt(at)
		return
	}
	in := watchInput{Files: s.d.On.Files, Run: s.d.On.Run, Every: every, Cursor: s.Cursor, Rest: every <= hold && !s.Looked.IsZero()}
	if s.d.On.Poll != nil {
		in.Poll = s.d.On.Poll.Config
	}
	s.watch = &watching{durable.Start(s.ctx, s.p.watch, in)}
}

// watched deals with what a look has found. What was found while the trigger was paused is found
// again later.
func (s *segment) watched() error {
	out, err := s.watch.found.Await(s.ctx)
	s.watch = nil
	switch {
	case err != nil:
		s.Trouble = fmt.Sprintf("look: %v", err)
		s.After = s.now().Add(max(s.d.On.every(), afterFailure))
		s.done++
		return nil
	case s.Paused:
		return nil
	}
	s.Looked, s.Cursor, s.Trouble = s.now(), out.Cursor, ""
	if out.empty() {
		s.idles()
		return nil
	}
	var found []Reason
	for i := range out.Files {
		f := &out.Files[i]
		found = append(found, Reason{Key: f.key(), File: f})
	}
	for i := range out.Runs {
		found = append(found, Reason{Key: string(out.Runs[i].ID), Run: &out.Runs[i]})
	}
	for i := range out.Items {
		found = append(found, Reason{Key: out.Items[i].Key, Item: &out.Items[i]})
	}
	for _, r := range found {
		if !s.Seen.add(r.Key) {
			continue
		}
		r.Time = s.now()
		if err := s.occur(r); err != nil {
			return err
		}
	}
	return nil
}

// key is what one run is started for: the file, as it is.
func (f *File) key() string {
	return fmt.Sprintf("%s@%d+%d", f.Path, f.Changed.UnixNano(), f.Size)
}
