package trigger

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// segment is a trigger at work, from one continue to the next.
type segment struct {
	State
	p   *program
	ctx durable.Context

	d     Definition
	read  *words // what of it is computed; nil = nothing was yet
	times *times // nil = the source is not time

	under []*under  // runs that were started and are not known to have ended
	alarm alarm     // the timer that is set
	watch *watching // the look that is under way; nil = none
	idle  int       // looks that have found nothing
	due   time.Time // when the next thing is to be done; zero = nothing is known
	done  int       // what was dealt with in this segment
	fired bool      // a one-off has been dealt with
}

// under is a run that was started.
type under struct {
	Started
	reason Reason
	end    durable.Future // nil = it was started in a segment before
}

type alarm struct {
	at     time.Time
	future durable.Future // nil = none is set
}

// Bounds of a segment. It ends when it has dealt with enough for the state to be worth writing; each
// thing dealt with is worth the bytes of its own entries.
const (
	worth   = 1024
	mostOf  = 256 // things that are dealt with in one segment, whatever goes on
	atATime = 64  // starts whose beginning is not known
)

// open takes up the definition and what an earlier segment has left.
func (s *segment) open() error {
	raw := s.Definition
	if raw == nil {
		raw = s.ctx.Info().Definition
	}
	var d Definition // it was checked when the trigger was set, or updated
	if err := json.Unmarshal(raw, &d); err != nil {
		return durable.Errorf(durable.CodeInvalid, "definition of a trigger: %w", err)
	}
	if s.Begun.IsZero() {
		s.Begun = s.now()
		s.Paused = d.Paused
		if d.On.At.IsZero() {
			s.Since = s.Begun
		}
	}
	for _, r := range s.Running {
		s.under = append(s.under, &under{Started: r})
	}
	return s.use(d)
}

// use goes by a definition.
func (s *segment) use(d Definition) error {
	s.d, s.read, s.times, s.fired = d, nil, nil, false
	if !d.On.timed() {
		return nil
	}
	var err error
	s.times, err = newTimes(&d, s.Begun)
	return err
}

// words are what of the definition is computed, read when it is first needed.
func (s *segment) words() (*words, error) {
	if s.read == nil {
		w, err := s.p.spaces.compile(&s.d)
		if err != nil {
			return nil, err
		}
		s.read = w
	}
	return s.read, nil
}

func (s *segment) now() time.Time { return durable.Now(s.ctx) }

// idles notes that nothing was to be dealt with. Many of those together are worth a new segment.
func (s *segment) idles() {
	s.idle++
	if s.idle%idleWorth == 0 {
		s.done++
	}
}

// live goes on until a new segment is due, or the trigger is over.
func (s *segment) live() (over bool, err error) {
	for {
		s.due = time.Time{}
		if err := s.move(); err != nil {
			return false, err
		}
		switch over, next := s.rests(); {
		case over:
			return true, nil
		case next:
			if ok, err := s.settled(); ok || err != nil {
				return false, err
			}
			s.wakeAt(s.now().Add(minLookAgain))
		}
		s.look()
		if err := s.wait(); err != nil {
			return false, err
		}
	}
}

// move does all that can be done now.
func (s *segment) move() error {
	if s.Paused {
		return nil
	}
	if err := s.tick(); err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return err
	}
	return s.fill()
}

// wakeAt notes that something is to be done at a moment. It is rounded up to what a journal keeps of
// a time: by its clock, a timer must not ring before.
func (s *segment) wakeAt(t time.Time) {
	if down := t.Truncate(time.Microsecond); down.Before(t) {
		t = down.Add(time.Microsecond)
	}
	if s.due.IsZero() || t.Before(s.due) {
		s.due = t
	}
}

// tick deals with the due times that have come.
func (s *segment) tick() error {
	for s.times != nil && s.fresh() < atATime {
		next, ok := s.times.next(s.Since)
		if !ok {
			s.fired = !s.d.On.At.IsZero()
			return nil
		}
		now := s.now()
		at := next.Add(jitterOf(s.ctx.Info().Run, next, s.d.Jitter))
		if at.After(now) {
			s.wakeAt(at)
			return nil
		}
		if oldest := now.Add(-s.d.catchUp() - onTime); at.Before(oldest) {
			s.miss(next, oldest.Add(-s.d.Jitter))
			continue
		}
		s.Since = next
		if err := s.occur(Reason{Key: next.UTC().Format(time.RFC3339Nano), Time: next}); err != nil {
			return err
		}
	}
	return nil
}

// miss counts a due time that was noticed too late, with all others up to one moment.
func (s *segment) miss(due, upTo time.Time) {
	s.done++
	s.Missed++
	s.Since, s.MissedAt = due, due
	if upTo.After(due) {
		s.Missed += s.times.count(due, upTo)
		s.Since, s.MissedAt = upTo, upTo
	}
}

// rests reports whether the trigger is over, or a new segment is due if nothing is left open.
func (s *segment) rests() (over, next bool) {
	idle := len(s.Waiting) == 0 && len(s.Backfills) == 0
	if s.fired && idle && !s.Paused && len(s.under) == 0 {
		return true, false
	}
	if s.done == 0 {
		return false, false
	}
	size := len(s.Seen) + len(s.Cursor) + len(s.Definition)
	for i := range s.Waiting {
		size += len(s.Waiting[i].Key) + len(s.Waiting[i].Input)
		if e := s.Waiting[i].Event; e != nil {
			size += len(e.Data)
		}
	}
	fresh := s.fresh()
	return false, s.done >= mostOf || fresh >= atATime || s.done*worth >= size && fresh == 0 && s.watch == nil
}

// fresh counts the runs of this segment of which no end is known.
func (s *segment) fresh() int {
	n := 0
	for _, u := range s.under {
		if u.end != nil {
			n++
		}
	}
	return n
}

// settled makes sure that all that this segment has started has begun: a command that the segment
// ends before would never be given. What has begun is left to the next one.
func (s *segment) settled() (bool, error) {
	if s.fresh() == 0 {
		return true, nil
	}
	var ids []durable.RunID
	for _, u := range s.under {
		ids = append(ids, u.Run)
	}
	found, err := durable.Do(s.ctx, s.p.look, lookInput{ids})
	if err != nil {
		return false, err
	}
	var left []*under
	all, again := true, false
	for i, u := range s.under {
		switch {
		case u.end != nil && !found[i].There:
			all = false
			left = append(left, u)
		case u.end != nil && u.end.Ready():
			again = true // how it ended is to be dealt with
			left = append(left, u)
		case !found[i].Over:
			left = append(left, u)
		}
	}
	s.under = left
	return all && !again, nil
}

// runs are those that the next segment must know of. Where they may overlap it need not.
func (s *segment) runs() []Started {
	var list []Started
	for _, u := range s.under {
		if s.d.overlap() != Allow || u.Backfill {
			list = append(list, u.Started)
		}
	}
	return list
}

// wait waits until something happens, and deals with it.
func (s *segment) wait() error {
	names := []string{PauseSignal, ResumeSignal, UpdateSignal, FireSignal, BackfillSignal, EventSignal}
	var ready []durable.Ready
	var ends []*under
	for _, u := range s.under {
		if u.end != nil {
			ends, ready = append(ends, u), append(ready, u.end)
		}
	}
	for _, n := range names {
		ready = append(ready, s.ctx.Inbox(n))
	}
	s.set()
	watch, ring := len(ready), len(ready)
	if s.watch != nil {
		ready, ring = append(ready, s.watch.found), ring+1
	}
	if s.alarm.future != nil {
		ready = append(ready, s.alarm.future)
	}
	switch i := s.ctx.Select(ready...); {
	case i < 0:
		return durable.ErrCanceled
	case i < len(ends):
		return s.ended(ends[i])
	case i < watch:
		return s.hear(names[i-len(ends)])
	case i < ring:
		return s.watched()
	}
	err := s.alarm.future.Get(s.ctx, nil)
	s.alarm = alarm{}
	return err
}

// set sets the alarm. One that was set for later is left to ring; one that rings too early does no
// harm.
func (s *segment) set() {
	if s.due.IsZero() || s.alarm.future != nil && !s.due.Before(s.alarm.at) {
		return
	}
	s.alarm = alarm{s.due, s.ctx.Timer(max(0, s.due.Sub(s.now())))}
}

// hear deals with a signal.
func (s *segment) hear(name string) error {
	var data json.RawMessage
	if err := s.ctx.Inbox(name).Receive(s.ctx, &data); err != nil {
		return err
	}
	s.done++
	var err error
	switch name {
	case PauseSignal:
		s.Paused = true
	case ResumeSignal:
		if s.Paused && s.d.On.At.IsZero() {
			s.Since = later(s.Since, s.now())
		}
		s.Paused = false
	case UpdateSignal:
		err = s.update(data)
	case FireSignal:
		var f Fire
		if err = decode(data, &f); err == nil {
			return s.fire(f)
		}
	case BackfillSignal:
		err = s.addBackfill(data)
	case EventSignal:
		var e Occurred
		if err = decode(data, &e); err == nil {
			return s.event(&e)
		}
	}
	if err != nil { // whoever sent it is gone
		s.Trouble = fmt.Sprintf("signal %s: %v", name, err)
	}
	return nil
}

// fire starts a run, whatever goes on.
func (s *segment) fire(f Fire) error {
	key := "fire/" + f.ID
	if f.ID == "" {
		s.Serial++
		key = fmt.Sprint("fire/", s.Serial)
	} else if !s.Seen.add(key) {
		return nil
	}
	return s.start(Reason{Key: key, Time: s.now(), Input: f.Input})
}

func decode(data json.RawMessage, v any) error {
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return durable.Errorf(durable.CodeInvalid, "its data cannot be read: %w", err)
	}
	return nil
}

// update goes on by another definition. What was due before by the new one is not made up for.
func (s *segment) update(data json.RawMessage) error {
	d, err := Decode(data)
	if err != nil {
		return err
	}
	before, err := json.Marshal(s.d.On)
	if err != nil {
		return err
	}
	after, err := json.Marshal(d.On)
	if err != nil {
		return err
	}
	if string(before) != string(after) || d.Timezone != s.d.Timezone {
		s.Begun, s.Since = s.now(), s.now()
		if !d.On.At.IsZero() {
			s.Since = time.Time{}
		}
		if !d.On.resumes(&s.d.On) {
			s.Cursor, s.Looked = nil, time.Time{}
		}
		s.watch, s.After = nil, time.Time{}
		if d.On.Cron == nil && d.On.Every == 0 {
			s.Backfills = nil
		}
	}
	s.Definition = data
	return s.use(d)
}

// resumes reports whether a source can go on with the cursor of another.
func (o *On) resumes(other *On) bool {
	return o.Files != nil && other.Files != nil && o.Files.Folder == other.Files.Folder ||
		o.Run != nil && other.Run != nil || o.Poll != nil && other.Poll != nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
