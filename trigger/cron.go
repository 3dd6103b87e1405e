package trigger

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Cron is a schedule in five fields, by the wall clock of a time zone.
type Cron struct {
	// Expr is minute, hour, day of month, month and day of week, as crontab(5) has them; or one of
	// @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly. Beyond crontab, L is the
	// last day of a month, 5L its last Friday and 5#2 its second one.
	Expr string `json:"expr"`
	// TZ is a name of the IANA database, such as Europe/Berlin; "" = that of the definition, or UTC.
	TZ string `json:"tz,omitempty"`
}

// Clock says when a schedule by cron is due. Where the wall clock is put forward, a time that does
// not exist is due once, at the first moment after the gap. Where it is put back, a time that exists
// twice is due at the first of them. An expression whose hour is a wildcard goes on in real time
// instead: it is due in both hours that have the same name, and not at all within a gap.
type Clock struct {
	zone *time.Location

	minute, hour, day, month, weekday uint64 // a bit for each value; the weekday 7 is 0
	last                              bool   // the last day of the month, too
	nth                               [7]uint8
	either                            bool // day and weekday were both given: one of them is enough
	real                              bool // the hour is a wildcard
}

// lastWeek is the bit of Clock.nth for the last one of a month.
const lastWeek = 7

// maxYears bounds how far ahead a time is looked for. From one 29 February to the next it may be
// eight years.
const maxYears = 9

// maxExpr is the length of an expression.
const maxExpr = 1000

// field is one of the five.
type field struct {
	what     string
	min, max int
	names    []string // of its values, from min on
}

func fields() [5]field {
	return [5]field{
		{"minute", 0, 59, nil},
		{"hour", 0, 23, nil},
		{"day of month", 1, 31, nil},
		{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
		{"day of week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
	}
}

// macros are the short forms.
func macro(name string) (string, bool) {
	switch strings.ToLower(name) {
	case "@yearly", "@annually":
		return "0 0 1 1 *", true
	case "@monthly":
		return "0 0 1 * *", true
	case "@weekly":
		return "0 0 * * 0", true
	case "@daily", "@midnight":
		return "0 0 * * *", true
	case "@hourly":
		return "0 * * * *", true
	}
	return "", false
}

// NewClock reads a schedule. Error: invalid, with what is wrong in which field and how to mend it,
// also for a zone that there is not.
func NewClock(c Cron) (*Clock, error) {
	zone, err := zoneOf(c.TZ)
	if err != nil {
		return nil, err
	}
	if len(c.Expr) > maxExpr {
		return nil, durable.Errorf(durable.CodeInvalid, "a cron has up to %d bytes, not %d", maxExpr, len(c.Expr))
	}
	text := strings.TrimSpace(c.Expr)
	parts, err := split(text)
	if err != nil {
		return nil, err
	}
	k := &Clock{zone: zone}
	for i, f := range fields() {
		set := []*uint64{&k.minute, &k.hour, &k.day, &k.month, &k.weekday}[i]
		if err := k.read(i, f, parts[i], set); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "cron %q: %w", text, err)
		}
	}
	k.weekday |= k.weekday >> 7 & 1 // 7 is Sunday, too
	k.weekday &= 1<<7 - 1
	k.either = !wild(parts[2]) && !wild(parts[4])
	k.real = wild(parts[1])
	return k, nil
}

func wild(part string) bool { return part[0] == '*' || part[0] == '?' }

// split takes an expression apart, with a hint for what other programs take for cron.
func split(text string) ([]string, error) {
	if strings.HasPrefix(text, "@") {
		full, ok := macro(text)
		switch {
		case ok:
			text = full
		case strings.HasPrefix(text, "@every"):
			return nil, durable.Errorf(durable.CodeInvalid, "cron %q: an interval is no cron; write every: %s in place of cron", text, strings.TrimSpace(text[len("@every"):]))
		default:
			return nil, durable.Errorf(durable.CodeInvalid, "cron %q: the short forms are @yearly, @monthly, @weekly, @daily and @hourly", text)
		}
	}
	parts := strings.Fields(text)
	switch {
	case len(parts) > 0 && strings.Contains(parts[0], "TZ="):
		return nil, durable.Errorf(durable.CodeInvalid, "cron %q: the time zone has a field of its own, tz", text)
	case len(parts) == 6 || len(parts) == 7:
		return nil, durable.Errorf(durable.CodeInvalid, "cron %q: it has %d fields, and five are meant: minute, hour, day of month, month, day of week; leave out the seconds in front (and a year at the end)", text, len(parts))
	case len(parts) != 5:
		return nil, durable.Errorf(durable.CodeInvalid, "cron %q: it has %d fields, and five are meant: minute, hour, day of month, month, day of week, as in 30 9 * * mon-fri", text, len(parts))
	}
	return parts, nil
}

// read reads one field into a set of bits.
func (k *Clock) read(at int, f field, text string, set *uint64) error {
	for item := range strings.SplitSeq(text, ",") {
		if at == 2 && strings.EqualFold(item, "l") {
			k.last = true
			continue
		}
		if at == 4 {
			if ok, err := k.readNth(f, item); ok || err != nil {
				return err
			}
		}
		more, err := f.item(item)
		if err != nil {
			return err
		}
		*set |= more
	}
	return nil
}

// readNth reads a day of week in a certain week of the month.
func (k *Clock) readNth(f field, item string) (bool, error) {
	day, week, hash := strings.Cut(item, "#")
	n := lastWeek
	switch {
	case hash:
		var err error
		if n, err = strconv.Atoi(week); err != nil || n < 1 || n > 5 {
			return false, durable.Errorf(durable.CodeInvalid, "%q in the field of the %s: behind # stands which one in the month, 1 to 5", item, f.what)
		}
	case len(item) > 1 && strings.EqualFold(item[len(item)-1:], "l"):
		day = item[:len(item)-1]
	default:
		return false, nil
	}
	v, err := f.value(day, item)
	if err != nil {
		return false, err
	}
	k.nth[v%7] |= 1 << n
	return true, nil
}

// item reads *, a, a-b, each also with /step.
func (f field) item(text string) (uint64, error) {
	body, step, stepped := strings.Cut(text, "/")
	every := 1
	if stepped {
		var err error
		if every, err = strconv.Atoi(step); err != nil || every < 1 || every > f.max {
			return 0, durable.Errorf(durable.CodeInvalid, "%q in the field of the %s: behind / stands a step from 1 to %d", text, f.what, f.max)
		}
	}
	from, to := f.min, f.max
	if body != "*" && body != "?" {
		first, last, ranged := strings.Cut(body, "-")
		var err error
		if from, err = f.value(first, text); err != nil {
			return 0, err
		}
		switch {
		case ranged:
			if to, err = f.value(last, text); err != nil {
				return 0, err
			}
		case !stepped:
			to = from
		}
		if to == 0 && f.max == 7 && from > 0 {
			to = 7 // sat-sun
		}
		if to < from {
			return 0, durable.Errorf(durable.CodeInvalid, "%q in the field of the %s goes backwards; write it as two: %s-%d,%d-%s", text, f.what, first, f.max, f.min, last)
		}
	} else if f.max == 7 {
		to = 6
	}
	var set uint64
	for v := from; v <= to; v += every {
		set |= 1 << v
	}
	return set, nil
}

// value reads a number or a name.
func (f field) value(text, item string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return i + f.min, nil
	}
	v, err := strconv.Atoi(text)
	switch {
	case strings.ContainsAny(text, "wW") && f.max == 31:
		return 0, durable.Errorf(durable.CodeInvalid, "%q in the field of the %s: the nearest weekday (W) is not known here", item, f.what)
	case err != nil:
		names := ""
		if f.names != nil {
			names = ", or " + f.names[0] + " to " + f.names[len(f.names)-1]
		}
		return 0, durable.Errorf(durable.CodeInvalid, "%q in the field of the %s: it takes %d to %d%s", item, f.what, f.min, f.max, names)
	case v < f.min || v > f.max:
		return 0, durable.Errorf(durable.CodeInvalid, "%q in the field of the %s: %d is not within %d to %d", item, f.what, v, f.min, f.max)
	}
	return v, nil
}

// Next is the first due time after a moment, in UTC; false when there is none within nine years.
func (k *Clock) Next(after time.Time) (time.Time, bool) {
	t := after.In(k.zone)
	from := wallOf(t).Truncate(time.Minute).Add(time.Minute)
	stop := t.AddDate(maxYears, 0, 0)
	for t.Before(stop) {
		begin, end := t.ZoneBounds()
		if !end.IsZero() && !end.After(t) {
			end = t.AddDate(0, 0, 1) // on the last day of a leap year after 2037 the library goes round in a circle
		}
		offset := offsetOf(t)
		if !k.real && !begin.IsZero() {
			// What the clock had shown before it was put back has been served.
			if shown := begin.UTC().Add(offsetOf(begin.Add(-1))); from.Before(shown) {
				from = shown
			}
		}
		wall, ok := k.wall(from)
		if !ok {
			return time.Time{}, false
		}
		if due := wall.Add(-offset); end.IsZero() || due.Before(end) {
			return due, true
		}
		t = end.In(k.zone)
		from = wallOf(t)
		if !k.real && wall.Before(from) {
			return end.UTC(), true // it would be within the gap
		}
	}
	return time.Time{}, false
}

// wallOf is what the clock on the wall shows, as if it were UTC: so it can be counted with.
func wallOf(t time.Time) time.Time { return t.UTC().Add(offsetOf(t)) }

func offsetOf(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// wall is the first time that fits, from one on, by a clock that nobody puts forward or back.
func (k *Clock) wall(from time.Time) (time.Time, bool) {
	if over := from.Truncate(time.Minute); over.Before(from) {
		from = over.Add(time.Minute)
	}
	year, month, day := from.Date()
	hour, minute := from.Hour(), from.Minute()
	for stop := year + maxYears; year <= stop; {
		if k.month>>month&1 == 0 {
			year, month = time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC).Year(), month%12+1
			day, hour, minute = 1, 0, 0
			continue
		}
		if k.fits(year, month, day) {
			if h, m, ok := k.within(hour, minute); ok {
				return time.Date(year, month, day, h, m, 0, 0, time.UTC), true
			}
		}
		year, month, day = time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC).Date()
		hour, minute = 0, 0
	}
	return time.Time{}, false
}

// within is the first time of a day from one on.
func (k *Clock) within(hour, minute int) (int, int, bool) {
	if k.hour>>hour&1 == 1 {
		if rest := k.minute >> minute << minute; rest != 0 {
			return hour, bits.TrailingZeros64(rest), true
		}
	}
	hours := k.hour >> (hour + 1) << (hour + 1)
	if hours == 0 || k.minute == 0 {
		return 0, 0, false
	}
	return bits.TrailingZeros64(hours), bits.TrailingZeros64(k.minute), true
}

// fits reports whether a day is one of those meant.
func (k *Clock) fits(year int, month time.Month, day int) bool {
	length := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	weekday := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Weekday()
	byDay := k.day>>day&1 == 1 || k.last && day == length
	nth := k.nth[weekday]
	byWeekday := k.weekday>>weekday&1 == 1 || nth>>((day+6)/7)&1 == 1 || nth>>lastWeek&1 == 1 && day > length-7
	if k.either {
		return byDay || byWeekday
	}
	return byDay && byWeekday
}
