package trigger

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

const (
	// How often a run of an earlier segment is looked at, whose end nobody tells: after a twentieth of
	// the time that it has gone on, within these bounds.
	minLookAgain = time.Second
	maxLookAgain = 5 * time.Minute
	lookShare    = 20
	// noRoom is the pause after the queue of the engine was full.
	noRoom = 5 * time.Second
	// maxSalt is how many IDs are tried for one run.
	maxSalt = 5
)

// occur deals with a reason to start something, as the overlap says.
func (s *segment) occur(r Reason) error {
	s.done++
	switch s.d.overlap() {
	case Allow:
		if s.fresh() < atATime {
			return s.start(r)
		}
	case Skip:
		busy, err := s.busy(true)
		if err != nil {
			return err
		}
		if busy {
			s.Skipped++
			return nil
		}
		return s.start(r)
	case Cancel:
		s.Skipped += int64(len(s.Waiting))
		s.Waiting = []Reason{r}
		return s.cancelRunning()
	case Queue:
	}
	s.Waiting = append(s.Waiting, r)
	return nil
}

// full reports whether no more starts may wait.
func (s *segment) full() bool {
	return s.d.overlap() == Queue && len(s.Waiting) >= cmp.Or(s.d.QueueMax, defaultQueue)
}

// begin starts what waits and may begin.
func (s *segment) begin() error {
	for len(s.Waiting) > 0 && s.fresh() < atATime {
		i, at := s.first()
		if i < 0 {
			if !at.IsZero() {
				s.wakeAt(at)
			}
			return nil
		}
		if s.d.overlap() != Allow {
			if busy, err := s.busy(false); busy || err != nil {
				return err
			}
		}
		r := s.Waiting[i]
		s.Waiting = slices.Delete(s.Waiting, i, i+1)
		if err := s.start(r); err != nil {
			return err
		}
	}
	return nil
}

// first is the first of those that wait which may begin; -1 = none, until a moment.
func (s *segment) first() (int, time.Time) {
	var next time.Time
	for i := range s.Waiting {
		r := &s.Waiting[i]
		if e := s.d.On.Event; e != nil && e.All && r.Event != nil && len(r.Names) < len(e.Names) {
			continue
		}
		if !r.After.After(s.now()) {
			return i, time.Time{}
		}
		if next.IsZero() || r.After.Before(next) {
			next = r.After
		}
	}
	return -1, next
}

// busy reports whether a run goes on that others must not overlap. Nobody tells of the ends of those
// of earlier segments: they are looked at, at once or when it is time again.
func (s *segment) busy(atOnce bool) (bool, error) {
	alone := func(u *under) bool { return !u.Backfill }
	if slices.ContainsFunc(s.under, func(u *under) bool { return u.end != nil && !u.end.Ready() && alone(u) }) {
		return true, nil
	}
	return s.refresh(atOnce, alone)
}

// refresh looks at runs of earlier segments and forgets those that have ended. It reports whether
// some go on.
func (s *segment) refresh(atOnce bool, which func(*under) bool) (bool, error) {
	var ids []durable.RunID
	for _, u := range s.under {
		if u.end == nil && which(u) {
			ids = append(ids, u.Run)
		}
	}
	if len(ids) == 0 {
		return false, nil
	}
	if next := s.Refreshed.Add(s.lookAgain()); !atOnce && next.After(s.now()) {
		s.wakeAt(next)
		return true, nil
	}
	found, err := durable.Do(s.ctx, s.p.look, lookInput{ids})
	if err != nil {
		return false, err
	}
	s.idles()
	s.Refreshed = s.now()
	left := false
	for i, id := range ids {
		if found[i].Over || !found[i].There {
			s.under = slices.DeleteFunc(s.under, func(u *under) bool { return u.Run == id })
		} else {
			left = true
		}
	}
	if left {
		s.wakeAt(s.Refreshed.Add(s.lookAgain()))
	}
	return left, nil
}

// lookAgain is the time from the last look at runs of earlier segments to the next one.
func (s *segment) lookAgain() time.Duration {
	return min(max(s.Refreshed.Sub(s.LastAt)/lookShare, minLookAgain), maxLookAgain)
}

// cancelRunning asks what goes on to stop.
func (s *segment) cancelRunning() error {
	for _, u := range slices.Clone(s.under) {
		if u.Backfill || u.end != nil && u.end.Ready() {
			continue
		}
		if _, err := durable.Do(s.ctx, s.p.cancel, cancelInput{u.Run, "the next run of trigger " + s.d.Name + " is due"}); err != nil {
			return err
		}
	}
	return nil
}

// start starts a run for a reason. What cannot be computed counts as failed.
func (s *segment) start(r Reason) error {
	s.done++
	vars, err := s.variables(&r)
	if err != nil {
		return err
	}
	name, input, err := s.told(r.Input, vars)
	if err != nil {
		s.Failed++
		s.Trouble = fmt.Sprintf("start for %s: %v", r.Key, err)
		return nil
	}
	id := s.p.cfg.RunID(r.Time, s.tail(&r))
	end := s.ctx.Child(durable.ChildCall{
		Program: s.d.Start.Program, Name: cmp.Or(name, s.d.Name), Definition: s.d.Start.Definition, Input: input, Abandon: true, ID: id,
	})
	s.under = append(s.under, &under{Started: Started{Run: id, Backfill: r.Backfill}, reason: r, end: end})
	s.Started++
	s.Last, s.LastAt = id, s.now()
	return nil
}

// told is the name and the input of a run.
func (s *segment) told(input json.RawMessage, vars map[string]any) (string, json.RawMessage, error) {
	w, err := s.words()
	if err != nil {
		return "", nil, err
	}
	name, err := w.name.String(vars)
	if err == nil && input == nil && w.input != nil {
		input, err = w.input.Value(vars)
	}
	return name, input, err
}

// tail is what makes the ID of a run its own: whose it is and why.
func (s *segment) tail(r *Reason) [5]byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", s.ctx.Info().Run, r.Key, r.Salt))
	return [5]byte(sum[:5])
}

// variables are what expressions see of a reason. The error is one of ours.
func (s *segment) variables(r *Reason) (map[string]any, error) {
	v := struct {
		Name   string          `json:"name"`
		Key    string          `json:"key"`
		Time   time.Time       `json:"time"`
		Event  *Occurred       `json:"event,omitempty"`
		Events int             `json:"events,omitempty"`
		File   *File           `json:"file,omitempty"`
		Run    *durable.Run    `json:"run,omitempty"`
		Item   json.RawMessage `json:"item,omitempty"`
	}{s.d.Name, r.Key, r.Time, r.Event, r.Events, r.File, r.Run, nil}
	if r.Item != nil {
		v.Item = r.Item.Value
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	value, err := expr.Decode(data)
	return map[string]any{"trigger": value}, err
}

// ended deals with the end of a run, or with one that could not be started.
func (s *segment) ended(u *under) error {
	s.under = slices.DeleteFunc(s.under, func(o *under) bool { return o == u })
	err := u.end.Get(s.ctx, nil)
	if !errors.Is(err, durable.ErrExhausted) && !errors.Is(err, durable.ErrInvalid) && !errors.Is(err, durable.ErrConflict) {
		return nil // how a run ended is its own affair
	}
	found, unseen := durable.Do(s.ctx, s.p.look, lookInput{[]durable.RunID{u.Run}})
	if unseen != nil {
		return unseen
	}
	r := u.reason
	switch one := found[0]; {
	case one.There && one.Parent == s.ctx.Info().Run:
		if errors.Is(err, durable.ErrConflict) && one.Code != durable.CodeConflict { // it was started before
			s.Started--
			if !one.Over {
				s.under = append(s.under, &under{Started: u.Started, reason: r})
			}
		}
		return nil
	case one.There && r.Salt < maxSalt: // somebody else's run has the ID
		s.Started--
		r.Salt++
		return s.start(r)
	case errors.Is(err, durable.ErrExhausted):
		s.Started--
		r.After = s.now().Add(noRoom)
		s.Waiting = append([]Reason{r}, s.Waiting...)
		return nil
	}
	s.Started--
	s.Failed++
	s.Trouble = fmt.Sprintf("start for %s: %v", r.Key, err)
	return nil
}

// event deals with an event.
func (s *segment) event(e *Occurred) error {
	wants, err := s.wants(e)
	switch {
	case err != nil:
		s.Failed++
		s.Trouble = fmt.Sprintf("event %s: %v", e.Name, err)
		return nil
	case !wants:
		return nil
	case s.Paused:
		s.Skipped++
		return nil
	}
	key := e.ID
	if key == "" {
		s.Serial++
		key = fmt.Sprint("event/", s.Serial)
	} else if !s.Seen.add(key) {
		return nil
	}
	r := Reason{Key: key, Time: s.now(), Event: e, Names: []string{e.Name}, Events: 1}
	if on := s.d.On.Event; on != nil && on.collapses() {
		s.collapse(r, on)
		return nil
	}
	if s.full() {
		s.Skipped++
		return nil
	}
	return s.occur(r)
}

// collapse lets an event become one start with those that wait.
func (s *segment) collapse(r Reason, on *Event) {
	i := slices.IndexFunc(s.Waiting, func(w Reason) bool { return w.Event != nil })
	if i < 0 {
		r.After = r.Time.Add(on.Within)
		s.Waiting = append(s.Waiting, r)
		return
	}
	w := &s.Waiting[i]
	w.Event, w.Events = r.Event, w.Events+1
	if !slices.Contains(w.Names, r.Event.Name) {
		w.Names = append(w.Names, r.Event.Name)
	}
}

// wants reports whether an event is one of those waited for.
func (s *segment) wants(e *Occurred) (bool, error) {
	switch {
	case s.d.On.Event != nil && slices.Contains(s.d.On.Event.Names, e.Name):
	case s.d.On.Webhook != nil && e.Name == s.d.Hears()[0]:
	default:
		return false, nil
	}
	w, err := s.words()
	if err != nil || w.condition == nil {
		return err == nil, err
	}
	data, err := json.Marshal(e)
	if err != nil {
		return false, err
	}
	value, err := expr.Decode(data)
	if err != nil {
		return false, err
	}
	return w.condition.True(map[string]any{"event": value})
}

// Hears names the events that a trigger is to be told of; none for a source that is no event.
func (d *Definition) Hears() []string {
	switch {
	case d.On.Event != nil:
		return d.On.Event.Names
	case d.On.Webhook != nil:
		return []string{"webhook:" + d.Name}
	}
	return nil
}
