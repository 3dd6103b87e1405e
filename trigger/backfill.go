package trigger

import (
	"encoding/json"
	"slices"
	"time"
)

// maxBackfills is how many backfills wait for each other.
const maxBackfills = 100

// addBackfill takes up a backfill behind those that are under way.
func (s *segment) addBackfill(data json.RawMessage) error {
	var b Backfill
	if err := decode(data, &b); err != nil {
		return err
	}
	if err := b.Check(&s.d); err != nil {
		return err
	}
	if len(s.Backfills) >= maxBackfills {
		return invalid("%d backfills wait already", maxBackfills)
	}
	b.Done = b.From.Add(-1)
	s.Backfills = append(s.Backfills, b)
	return nil
}

// Check says what is wrong with a backfill of a trigger. Error: invalid.
func (b *Backfill) Check(d *Definition) error {
	switch {
	case d.On.Cron == nil && d.On.Every == 0:
		return invalid("a backfill needs a schedule; trigger %s has none that repeats", d.Name)
	case b.From.Year() < 1970 || b.To.IsZero() || b.To.Before(b.From):
		return invalid("a backfill goes from one moment to a later one, not from %s to %s", b.From.Format(time.RFC3339), b.To.Format(time.RFC3339))
	case b.AtOnce < 0 || b.AtOnce > atATime:
		return invalid("a backfill has 1 to %d runs at once, not %d", atATime, b.AtOnce)
	}
	return nil
}

// fill starts the runs of the first backfill, as many as may go on at once. A due time that has its
// run is passed over: the run of a due time has always the same ID.
func (s *segment) fill() error {
	for len(s.Backfills) > 0 && s.times != nil {
		b := &s.Backfills[0]
		next, ok := s.times.next(b.Done)
		if !ok || next.After(b.To) {
			s.Backfills = slices.Delete(s.Backfills, 0, 1)
			s.done++
			continue
		}
		if n := s.backfilling(); n >= max(1, b.AtOnce) {
			if _, err := s.refresh(false, func(u *under) bool { return u.Backfill }); err != nil || s.backfilling() == n {
				return err
			}
			continue
		}
		b.Done = next
		if err := s.start(Reason{Key: next.UTC().Format(time.RFC3339Nano), Time: next, Backfill: true}); err != nil {
			return err
		}
	}
	return nil
}

// backfilling counts the runs of backfills that may go on.
func (s *segment) backfilling() int {
	n := 0
	for _, u := range s.under {
		if u.Backfill {
			n++
		}
	}
	return n
}
