package trigger

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// onTime is how late a due time may be noticed without being late: a restart takes a moment.
const onTime = time.Minute

// times says when a schedule is due.
type times struct {
	clock  *Clock        // or
	every  time.Duration // counted from anchor, or
	anchor time.Time
	at     time.Time
}

// newTimes makes the due times of a definition whose intervals are counted from anchor.
func newTimes(d *Definition, anchor time.Time) (*times, error) {
	t := &times{every: d.On.Every, anchor: anchor, at: d.On.At.UTC().Truncate(time.Millisecond)}
	if c := d.On.Cron; c != nil {
		clock, err := NewClock(Cron{Expr: c.Expr, TZ: cmp.Or(c.TZ, d.Timezone)})
		if err != nil {
			return nil, invalid("on.cron: %w", err)
		}
		t.clock = clock
	}
	return t, nil
}

// next is the first due time after a moment; false when there is none.
func (t *times) next(after time.Time) (time.Time, bool) {
	switch {
	case t.clock != nil:
		return t.clock.Next(after)
	case t.every > 0:
		n := after.Sub(t.anchor) / t.every
		next := t.anchor.Add(n * t.every) // rounded towards the anchor
		for !next.After(after) {
			next = next.Add(t.every)
		}
		return next, true
	}
	return t.at, t.at.After(after)
}

// maxCounted is how many missed due times of a cron are counted one by one.
const maxCounted = 10_000

// count counts the due times after one moment and up to another.
func (t *times) count(after, to time.Time) int64 {
	if t.every > 0 {
		return int64(to.Sub(t.anchor)/t.every) - int64(after.Sub(t.anchor)/t.every)
	}
	var n int64
	for n < maxCounted {
		next, ok := t.next(after)
		if !ok || next.After(to) {
			break
		}
		n, after = n+1, next
	}
	return n
}

// jitterOf is by how much a due time is put off.
func jitterOf(run durable.RunID, due time.Time, jitter time.Duration) time.Duration {
	if jitter <= 0 {
		return 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", run, due.UnixNano()))
	by := time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(jitter)) //nolint:gosec // less than the jitter
	return by.Truncate(time.Millisecond)
}
