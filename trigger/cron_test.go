package trigger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine may have none

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

func clock(t testing.TB, expr, tz string) *trigger.Clock {
	t.Helper()
	k, err := trigger.NewClock(trigger.Cron{Expr: expr, TZ: tz})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// dues lists due times after a moment, with their offset from UTC.
func dues(t *testing.T, expr, tz, after string, n int) []string {
	t.Helper()
	zone, err := time.LoadLocation(tz)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", after, zone)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for k := clock(t, expr, tz); len(list) < n; {
		next, ok := k.Next(at)
		if !ok {
			break
		}
		at = next
		list = append(list, next.In(zone).Format("01-02 15:04 -07:00"))
	}
	return list
}

// TestDaylightSaving: what becomes of times that do not exist, and of those that exist twice. The
// times were worked out by hand from the rules of the zones.
func TestDaylightSaving(t *testing.T) {
	for _, c := range []struct {
		name, expr, tz, after string
		want                  []string
	}{
		// Europe/Berlin 2026: 29 March 02:00 -> 03:00; 25 October 03:00 -> 02:00.
		{"a time in the gap", "30 2 * * *", "Europe/Berlin", "2026-03-28 00:00", []string{"03-28 02:30 +01:00", "03-29 03:00 +02:00", "03-30 02:30 +02:00"}},
		{"several in the gap are one", "0,15,30 2 * * *", "Europe/Berlin", "2026-03-29 00:00", []string{"03-29 03:00 +02:00", "03-30 02:00 +02:00"}},
		{"in the gap and just behind it", "0 2,3 * * *", "Europe/Berlin", "2026-03-29 00:00", []string{"03-29 03:00 +02:00", "03-30 02:00 +02:00"}},
		{"a time that is there twice", "30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", []string{"10-25 02:30 +02:00", "10-26 02:30 +01:00"}},
		{"the end of the hour that is there twice", "0 3 * * *", "Europe/Berlin", "2026-10-24 12:00", []string{"10-25 03:00 +01:00", "10-26 03:00 +01:00"}},
		{"several of an hour that is there twice", "*/20 2 * * *", "Europe/Berlin", "2026-10-25 00:00", []string{"10-25 02:00 +02:00", "10-25 02:20 +02:00", "10-25 02:40 +02:00", "10-26 02:00 +01:00"}},
		{"each hour goes on over the gap", "0 * * * *", "Europe/Berlin", "2026-03-29 00:30", []string{"03-29 01:00 +01:00", "03-29 03:00 +02:00", "03-29 04:00 +02:00"}},
		{"each hour, also the second of two", "0 * * * *", "Europe/Berlin", "2026-10-25 00:30", []string{"10-25 01:00 +02:00", "10-25 02:00 +02:00", "10-25 02:00 +01:00", "10-25 03:00 +01:00"}},
		{"each half hour in real time", "*/30 * * * *", "Europe/Berlin", "2026-10-25 01:50", []string{"10-25 02:00 +02:00", "10-25 02:30 +02:00", "10-25 02:00 +01:00", "10-25 02:30 +01:00", "10-25 03:00 +01:00"}},
		// America/New_York 2026: 8 March 02:00 -> 03:00; 1 November 02:00 -> 01:00.
		{"New York, the gap", "15 2 * * sun", "America/New_York", "2026-03-07 12:00", []string{"03-08 03:00 -04:00", "03-15 02:15 -04:00"}},
		{"New York, twice", "15 1 * * *", "America/New_York", "2026-10-31 12:00", []string{"11-01 01:15 -04:00", "11-02 01:15 -05:00"}},
		{"New York, each two hours", "0 */2 * * *", "America/New_York", "2026-03-08 00:00", []string{"03-08 04:00 -04:00", "03-08 06:00 -04:00"}},
		// Australia/Lord_Howe 2026: 5 April 02:00 -> 01:30; 4 October 02:00 -> 02:30.
		{"Lord Howe, half an hour of gap", "10 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", []string{"10-04 02:30 +11:00", "10-05 02:10 +11:00"}},
		{"Lord Howe, behind the gap", "40 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", []string{"10-04 02:40 +11:00"}},
		{"Lord Howe, half an hour twice", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00", []string{"04-05 01:45 +11:00", "04-06 01:45 +10:30"}},
		{"Lord Howe, in real time", "*/15 * * * *", "Australia/Lord_Howe", "2026-04-05 01:20", []string{"04-05 01:30 +11:00", "04-05 01:45 +11:00", "04-05 01:30 +10:30", "04-05 01:45 +10:30", "04-05 02:00 +10:30"}},
		// Asia/Kolkata has no daylight saving, and half an hour.
		{"Kolkata", "30 2 29 3,10 *", "Asia/Kolkata", "2026-03-01 00:00", []string{"03-29 02:30 +05:30", "10-29 02:30 +05:30"}},
		// Africa/Cairo 2026: 24 April 00:00 -> 01:00, so the day has no midnight; 30 October 00:00 -> 29 October 23:00.
		{"Cairo, a day without midnight", "0 0 * * *", "Africa/Cairo", "2026-04-23 00:30", []string{"04-24 01:00 +03:00", "04-25 00:00 +03:00"}},
		{"Cairo, the last hour twice", "30 23 * * *", "Africa/Cairo", "2026-10-29 12:00", []string{"10-29 23:30 +03:00", "10-30 23:30 +02:00"}},
		{"Cairo, midnight behind it", "0 0 * * *", "Africa/Cairo", "2026-10-29 12:00", []string{"10-30 00:00 +02:00", "10-31 00:00 +02:00"}},
		{"Berlin, over the end of a leap year", "30 12 31 12 *", "Europe/Berlin", "2039-12-31 23:00", []string{"12-31 12:30 +01:00", "12-31 12:30 +01:00"}},
		{"Berlin, behind it", "0 0 1 1 *", "Europe/Berlin", "2040-12-31 12:00", []string{"01-01 00:00 +01:00", "01-01 00:00 +01:00"}},
		// Samoa had no 30 December 2011.
		{"Apia, a day that was left out", "0 9 * * *", "Pacific/Apia", "2011-12-29 00:00", []string{"12-29 09:00 -10:00", "12-31 00:00 +14:00", "12-31 09:00 +14:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, dues(t, c.expr, c.tz, c.after, len(c.want))); diff != "" {
				t.Errorf("%s in %s: -want +got\n%s", c.expr, c.tz, diff)
			}
		})
	}
}

// TestCron: what expressions mean, in UTC.
func TestCron(t *testing.T) {
	for _, c := range []struct {
		expr, after string
		want        []string
	}{
		{"*/15 9-10 * * mon-fri", "2026-01-02 09:40", []string{"01-02 09:45", "01-02 10:00"}},
		{"0 0 13 * 5", "2026-02-01 00:00", []string{"02-06 00:00", "02-13 00:00", "02-20 00:00"}},
		{"0 0 1 * *", "2026-02-01 00:00", []string{"03-01 00:00"}},
		{"0 0 L * *", "2026-02-01 00:00", []string{"02-28 00:00", "03-31 00:00", "04-30 00:00"}},
		{"0 0 15,L 2 *", "2028-02-01 00:00", []string{"02-15 00:00", "02-29 00:00"}},
		{"0 12 * * 5L", "2026-01-01 00:00", []string{"01-30 12:00", "02-27 12:00", "03-27 12:00"}},
		{"0 12 * * fri#2", "2026-01-01 00:00", []string{"01-09 12:00", "02-13 12:00"}},
		{"0 12 * * mon#5", "2026-01-01 00:00", []string{"03-30 12:00", "06-29 12:00"}},
		{"0 0 29 2 *", "2097-01-01 00:00", []string{"02-29 00:00"}}, // 2100 has none
		{"59 23 31 12 *", "2039-12-31 23:59", []string{"12-31 23:59", "12-31 23:59"}},
		{"0 0 * * 7", "2026-01-01 00:00", []string{"01-04 00:00"}},
		{"0 0 * * sat-sun", "2026-01-01 00:00", []string{"01-03 00:00", "01-04 00:00", "01-10 00:00"}},
		{"5/25 0 1 jan,JUL ?", "2026-01-01 00:00", []string{"01-01 00:05", "01-01 00:30", "01-01 00:55", "07-01 00:05"}},
		{"0 0 */2 * mon", "2026-01-01 00:00", []string{"01-05 00:00", "01-19 00:00"}}, // a wildcard with a step is no choice
		{"@daily", "2026-12-31 00:00", []string{"01-01 00:00"}},
		{"@Hourly", "2026-12-31 00:00", []string{"12-31 01:00"}},
		{"@weekly", "2026-01-01 00:00", []string{"01-04 00:00"}},
		{"@monthly", "2026-01-01 00:00", []string{"02-01 00:00"}},
		{"@yearly", "2026-01-01 00:00", []string{"01-01 00:00"}},
	} {
		want := make([]string, len(c.want))
		for i, w := range c.want {
			want[i] = w + " +00:00"
		}
		if diff := cmp.Diff(want, dues(t, c.expr, "UTC", c.after, len(want))); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.expr, diff)
		}
	}
}

// TestCronErrors: what is wrong is said, and how to mend it.
func TestCronErrors(t *testing.T) {
	for _, c := range []struct{ expr, tz, want string }{
		{"", "", "it has 0 fields, and five are meant"},
		{"* * *", "", "it has 3 fields"},
		{"0 30 9 * * *", "", "leave out the seconds in front"},
		{"60 * * * *", "", "60 is not within 0 to 59"},
		{"* 24 * * *", "", "24 is not within 0 to 23"},
		{"* * 0 * *", "", "0 is not within 1 to 31"},
		{"* * * 13 *", "", "13 is not within 1 to 12"},
		{"* * * * 8", "", "8 is not within 0 to 7"},
		{"* * * * frei", "", "it takes 0 to 7, or sun to sat"},
		{"* 17-9 * * *", "", "goes backwards; write it as two: 17-23,0-9"},
		{"*/0 * * * *", "", "a step from 1 to 59"},
		{"*/x * * * *", "", "a step from 1 to 59"},
		{"0 0 15W * *", "", "the nearest weekday (W) is not known"},
		{"0 0 * * 5#6", "", "1 to 5"},
		{"-5 0 * * *", "", "it takes 0 to 59"},
		{"1,,2 0 * * *", "", "it takes 0 to 59"},
		{"@every 5m", "", "write every: 5m"},
		{"@reboot", "", "the short forms are"},
		{"TZ=UTC 0 0 * * *", "", "a field of its own, tz"},
		{"0 0 * * *", "Europe/Berln", "did you mean Europe/Berlin?"},
		{"0 0 * * *", "berlin", "did you mean Europe/Berlin?"},
		{"0 0 * * *", "New York", "did you mean America/New_York?"},
		{"0 0 * * *", "Local", "there is no time zone"},
		{"0 0 * * *", "../etc/passwd", "there is no time zone"},
		{"0 0 * * *", "Middle-earth/Shire", "such as Europe/Berlin or UTC"},
	} {
		_, err := trigger.NewClock(trigger.Cron{Expr: c.expr, TZ: c.tz})
		if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%q %q: %v; want %q", c.expr, c.tz, err, c.want)
		}
	}
}

// TestNextAgainstWalk: in real time, what is due next is what one comes to by walking minute by minute.
func TestNextAgainstWalk(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"}
	for range 200 {
		step, hours, weekday := 1+r.IntN(59), 1+r.IntN(23), r.IntN(7)
		expr := fmt.Sprintf("*/%d */%d * * %d", step, hours, weekday)
		tz := zones[r.IntN(len(zones))]
		zone, err := time.LoadLocation(tz)
		if err != nil {
			t.Fatal(err)
		}
		from := time.Date(2026, time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
		want := from.Truncate(time.Minute).Add(time.Minute)
		for ; ; want = want.Add(time.Minute) {
			if w := want.In(zone); w.Minute()%step == 0 && w.Hour()%hours == 0 && int(w.Weekday()) == weekday {
				break
			}
			if want.Sub(from) > 15*24*time.Hour {
				t.Fatal("the walk does not end")
			}
		}
		if got, ok := clock(t, expr, tz).Next(from); !ok || !got.Equal(want) {
			t.Errorf("%s in %s after %s: %s, want %s", expr, tz, from, got, want)
		}
	}
}

// FuzzCron: whatever is read, due times come one after the other, on whole minutes, and each fits
// the clock or ends a gap.
func FuzzCron(f *testing.F) {
	for _, seed := range []string{"* * * * *", "30 2 * * *", "0 0 29 2 *", "0 0 L * 5#2", "*/7 1-5/2 1,15 jan-mar mon,5L", "@daily", "5/15 0 ? * sat-sun", "0 0 30 2 *", "0 30 9 * * *", "@every 1s"} {
		for _, tz := range []string{"", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo"} {
			f.Add(seed, tz, int64(1774740000))
		}
	}
	f.Fuzz(func(t *testing.T, expr, tz string, at int64) {
		k, err := trigger.NewClock(trigger.Cron{Expr: expr, TZ: tz})
		if err != nil {
			if !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("%q: %v is not invalid", expr, err)
			}
			return
		}
		after := time.Unix(at%(1<<33), 0)
		for range 5 {
			next, ok := k.Next(after)
			if !ok {
				return
			}
			if !next.After(after) || next.Nanosecond() != 0 {
				t.Fatalf("%q in %q: %s follows %s", expr, tz, next, after)
			}
			after = next
		}
	})
}

func BenchmarkNext(b *testing.B) {
	k, at := clock(b, "30 2 * * mon-fri", "Europe/Berlin"), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		at, _ = k.Next(at)
	}
}
