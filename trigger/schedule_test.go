package trigger_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

const tell = `{"due":"${{ trigger.time }}","key":"${{ trigger.key }}"}`

// TestCronStarts: each due time starts one run, at its moment, with what it is told.
func TestCronStarts(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		began := time.Now()
		d := work("tens", trigger.On{Cron: &trigger.Cron{Expr: "*/10 * * * *"}}, tell)
		d.Start.Name = "at ${{ trigger.time }}"
		id := h.start(d)
		<-time.After(time.Hour + time.Minute)
		h.healthy(id)
		runs := h.started(id)
		if diff := cmp.Diff([]string{"10m0s", "20m0s", "30m0s", "40m0s", "50m0s", "1h0m0s"}, times(runs, began)); diff != "" {
			t.Errorf("starts: -want +got\n%s", diff)
		}
		if got := jobs(t, runs)[2].Due; got != "2000-01-01T00:30:00Z" || runs[2].Name != "at "+got {
			t.Errorf("the third is told %q and named %q", got, runs[2].Name)
		}
		v := h.view(id)
		next, ok := v.Next(time.Now())
		if v.Started != 6 || v.Last != runs[5].ID || v.Skipped+v.Missed+v.Failed != 0 || !ok || next.Sub(began) != 70*time.Minute {
			t.Errorf("view %+v, next %s %v", v.State, next, ok)
		}
	})
}

// TestOverlap: what becomes of due times while a run goes on.
func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		overlap trigger.Overlap
		want    []string
		skipped int64
	}{
		// Due each minute, for six minutes; a run takes two and a half.
		{"", []string{"1m0s", "4m0s"}, 4},
		{trigger.Skip, []string{"1m0s", "4m0s"}, 4},
		{trigger.Queue, []string{"1m0s", "3m30s", "6m0s"}, 0},
		{trigger.Cancel, []string{"1m0s", "2m0s", "3m0s", "4m0s", "5m0s", "6m0s"}, 0},
		{trigger.Allow, []string{"1m0s", "2m0s", "3m0s", "4m0s", "5m0s", "6m0s"}, 0},
	} {
		t.Run(string(c.overlap), func(t *testing.T) {
			in(t, func(t *testing.T, h *house) {
				began := time.Now()
				d := work("m", trigger.On{Every: time.Minute}, `{"for":150000000000}`)
				d.Overlap = c.overlap
				id := h.start(d)
				<-time.After(6*time.Minute + time.Second)
				h.healthy(id)
				runs := h.started(id)
				if diff := cmp.Diff(c.want, times(runs, began)); diff != "" {
					t.Errorf("starts: -want +got\n%s", diff)
				}
				h.signal(id, trigger.PauseSignal, nil)
				<-time.After(20 * time.Minute)
				if v := h.view(id); v.Skipped != c.skipped {
					t.Errorf("%d were skipped, want %d", v.Skipped, c.skipped)
				}
				for i, r := range h.started(id)[:len(runs)-1] {
					if canceled := r.Status == durable.Canceled; canceled != (c.overlap == trigger.Cancel) {
						t.Errorf("run %d is %s", i, r.Status)
					}
				}
			})
		})
	}
}

// TestQueueAcrossProcesses: who waits for a run of an earlier segment, or process, begins when that
// has ended.
func TestQueueAcrossProcesses(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		began := time.Now()
		d := work("m", trigger.On{Every: 10 * time.Minute}, `{"for":1500000000000}`) // 25 min
		d.Overlap = trigger.Queue
		id := h.start(d)
		<-time.After(22 * time.Minute)
		h.reopen(time.Minute)
		<-time.After(40 * time.Minute)
		h.healthy(id)
		if diff := cmp.Diff([]string{"10m0s", "35m0s", "1h0m0s"}, times(h.started(id), began)); diff != "" {
			t.Errorf("starts: -want +got\n%s", diff)
		}
	})
}

// TestCatchUp: what was due while nobody was there is made up for as far as the window reaches, and
// the rest is counted.
func TestCatchUp(t *testing.T) {
	hours := func(d time.Duration) *time.Duration { return &d }
	for _, c := range []struct {
		name    string
		catchUp *time.Duration
		on      trigger.On
		started int
		missed  int64
	}{
		{"an hour by default", nil, trigger.On{Every: 20 * time.Minute}, 4, 213},
		{"none", hours(0), trigger.On{Every: 20 * time.Minute}, 1, 216},
		{"ten hours", hours(10 * time.Hour), trigger.On{Every: 20 * time.Minute}, 31, 186},
		{"all", hours(30 * day), trigger.On{Every: 20 * time.Minute}, 217, 0},
		{"cron", hours(10 * time.Hour), trigger.On{Cron: &trigger.Cron{Expr: "*/20 * * * *"}}, 31, 186},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, h *house) {
				d := work("m", c.on, tell)
				d.CatchUp, d.Overlap = c.catchUp, trigger.Allow
				id := h.start(d)
				<-time.After(time.Second)
				h.reopen(3*day + 20*time.Minute - 1*time.Second)
				<-time.After(time.Minute)
				h.healthy(id)
				runs, v := h.started(id), h.view(id)
				if len(runs) != c.started || v.Started != int64(c.started) || v.Missed != c.missed {
					t.Errorf("%d were started, %d counted, %d missed; want %d and %d", len(runs), v.Started, v.Missed, c.started, c.missed)
				}
				seen := map[string]bool{}
				for _, j := range jobs(t, runs) {
					if seen[j.Due] {
						t.Errorf("%s was started twice", j.Due)
					}
					seen[j.Due] = true
				}
			})
		})
	}
}

// TestJitter: a due time is put off by less than the jitter, always by the same, and not all by the
// same.
func TestJitter(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		began := time.Now()
		d := work("m", trigger.On{Every: time.Hour}, tell)
		d.Jitter = 10 * time.Minute
		var ids []durable.RunID
		for range 40 {
			ids = append(ids, h.start(d))
		}
		<-time.After(30 * time.Minute)
		promised := h.view(ids[0])
		next, _ := promised.Next(time.Now())
		h.reopen(10 * time.Minute)
		<-time.After(time.Hour)
		offsets := map[time.Duration]bool{}
		for _, id := range ids {
			h.healthy(id)
			runs := h.started(id)
			if len(runs) != 1 {
				t.Fatalf("%d were started", len(runs))
			}
			by := runs[0].Created.Sub(began) - time.Hour
			if by < 0 || by >= d.Jitter {
				t.Errorf("put off by %s", by)
			}
			if due := jobs(t, runs)[0].Due; due != "2000-01-01T01:00:00Z" {
				t.Errorf("it is told that it was due %s", due)
			}
			offsets[by] = true
		}
		if len(offsets) < 35 {
			t.Errorf("there are only %d offsets", len(offsets))
		}
		if got := h.started(ids[0])[0].Created; !got.Equal(next) {
			t.Errorf("started at %s, promised %s", got, next)
		}
	})
}

// TestPause: while it is paused nothing is started, and what was due then is not made up for.
func TestPause(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		began := time.Now()
		d := work("m", trigger.On{Every: 10 * time.Minute}, tell)
		d.Paused = true
		id := h.start(d)
		<-time.After(25 * time.Minute)
		if v := h.view(id); !v.Paused || v.Started != 0 {
			t.Errorf("view %+v", v.State)
		}
		h.signal(id, trigger.ResumeSignal, nil)
		<-time.After(20 * time.Minute) // 45
		h.signal(id, trigger.PauseSignal, nil)
		h.signal(id, trigger.FireSignal, trigger.Fire{Input: json.RawMessage(`{"due":"by hand"}`)})
		<-time.After(time.Minute)
		h.reopen(time.Hour) // 106
		h.signal(id, trigger.ResumeSignal, nil)
		<-time.After(10 * time.Minute)
		h.healthy(id)
		if diff := cmp.Diff([]string{"30m0s", "40m0s", "45m0s", "1h50m0s"}, times(h.started(id), began)); diff != "" {
			t.Errorf("starts: -want +got\n%s", diff)
		}
		if j := jobs(t, h.started(id))[2]; j.Due != "by hand" {
			t.Errorf("what was fired is told %+v", j)
		}
	})
}

// TestBackfill: due times of the past are started, so many at once, but for those that were.
func TestBackfill(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		<-time.After(10 * day)
		d := work("days", trigger.On{Cron: &trigger.Cron{Expr: "@daily"}}, `{"for":3600000000000,"due":"${{ trigger.time }}"}`)
		id := h.start(d)
		<-time.After(2*day + time.Hour) // two have been started: the 12th and the 13th
		began := time.Now()
		from := time.Date(2000, 1, 5, 0, 0, 0, 0, time.UTC)
		h.signal(id, trigger.BackfillSignal, trigger.Backfill{From: from, To: from.AddDate(0, 0, 8), AtOnce: 3})
		h.signal(id, trigger.BackfillSignal, trigger.Backfill{From: from, To: from.Add(-day)}) // from late to early
		<-time.After(90 * time.Minute)
		h.reopen(0)
		<-time.After(10 * time.Hour)
		h.healthy(id)
		runs := h.started(id)[2:]
		var got []string
		under := 0
		for i, j := range jobs(t, runs) {
			got = append(got, j.Due[:10])
			n := 0
			for _, o := range runs[:i] {
				if o.Updated.After(runs[i].Created) {
					n++
				}
			}
			under = max(under, n+1)
		}
		want := []string{"2000-01-05", "2000-01-06", "2000-01-07", "2000-01-08", "2000-01-09", "2000-01-10", "2000-01-11"}
		if diff := cmp.Diff(want, got); diff != "" || under != 3 {
			t.Errorf("%d at once, starts: -want +got\n%s", under, diff)
		}
		if last := runs[len(runs)-1].Created.Sub(began); last > 2*time.Hour+10*time.Second {
			t.Errorf("the last one began after %s", last)
		}
		if v := h.view(id); v.Started != 9 || len(v.Backfills) != 0 || v.Trouble == "" {
			t.Errorf("view %+v", v.State)
		}
	})
}

// TestUpdate: a trigger goes on by another definition, keeps its counts and makes up for nothing.
func TestUpdate(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		began := time.Now()
		id := h.start(work("m", trigger.On{Every: 10 * time.Minute}, tell))
		<-time.After(25 * time.Minute)
		h.signal(id, trigger.UpdateSignal, work("m", trigger.On{Cron: &trigger.Cron{Expr: "0 */2 * * *"}}, `{"due":"new"}`))
		<-time.After(time.Minute)
		h.reopen(time.Minute)
		<-time.After(4 * time.Hour)
		h.signal(id, trigger.UpdateSignal, map[string]any{"name": "m", "colour": "blue"})
		<-time.After(2 * time.Hour)
		h.healthy(id)
		runs := h.started(id)
		if diff := cmp.Diff([]string{"10m0s", "20m0s", "2h0m0s", "4h0m0s", "6h0m0s"}, times(runs, began)); diff != "" {
			t.Errorf("starts: -want +got\n%s", diff)
		}
		if v := h.view(id); v.Started != 5 || jobs(t, runs)[2].Due != "new" || v.Trouble == "" {
			t.Errorf("view %+v", v.State)
		}
	})
}

// TestDaylightSavingInRuns: half past two, when there is none, is at three; and when there are two it
// is the first.
func TestDaylightSavingInRuns(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		d := work("night", trigger.On{Cron: &trigger.Cron{Expr: "30 2 * 3,10 sun", TZ: "Europe/Berlin"}}, tell)
		id := h.start(d)
		<-time.After(330 * day)
		h.healthy(id)
		var got []string
		for _, j := range jobs(t, h.started(id)) {
			if j.Due > "2000-03-2" && j.Due < "2000-04" || j.Due > "2000-10-2" {
				got = append(got, j.Due)
			}
		}
		// The clocks of Berlin were changed on 26 March and 29 October 2000.
		if diff := cmp.Diff([]string{"2000-03-26T01:00:00Z", "2000-10-22T00:30:00Z", "2000-10-29T00:30:00Z"}, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// TestOnce: a one-off fires once and is over, also when nobody was there.
func TestOnce(t *testing.T) {
	for _, c := range []struct {
		name            string
		away            time.Duration
		started, missed int64
	}{
		{"in time", 0, 1, 0},
		{"a little late", 10*time.Hour + 30*time.Minute, 1, 0},
		{"too late", 12 * time.Hour, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, h *house) {
				id := h.start(work("once", trigger.On{At: time.Now().Add(10 * time.Hour)}, tell))
				<-time.After(time.Millisecond)
				h.reopen(c.away)
				run, err := h.e.Wait(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				var state trigger.State
				if err := json.Unmarshal(run.Output, &state); err != nil || run.Status != durable.Succeeded {
					t.Fatal(run.Status, run.Reason, err)
				}
				if state.Started != c.started || state.Missed != c.missed || int64(len(h.started(id))) != c.started {
					t.Errorf("state %+v", state)
				}
			})
		})
	}
}

// TestStopped: a trigger that is canceled is over; what it has started goes on.
func TestStopped(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		id := h.start(work("m", trigger.On{Every: time.Hour}, `{"for":36000000000000}`))
		<-time.After(90 * time.Minute)
		if err := h.e.Cancel(t.Context(), id, "no longer needed"); err != nil {
			t.Fatal(err)
		}
		run, err := h.e.Wait(t.Context(), id)
		if err != nil || run.Status != durable.Canceled {
			t.Fatal(run.Status, err)
		}
		<-time.After(day)
		if runs := h.started(id); len(runs) != 1 || runs[0].Status != durable.Succeeded {
			t.Errorf("runs %+v", runs)
		}
	})
}

// TestFailedStarts: what cannot be started is counted and said; the trigger goes on.
func TestFailedStarts(t *testing.T) {
	for _, c := range []struct {
		name           string
		start          trigger.Start
		started, fails int64
		trouble        bool
	}{
		{"no such program", trigger.Start{Program: "nobody"}, 0, 3, true},
		{"an input that cannot be computed", trigger.Start{Program: "work", Input: json.RawMessage(`{"due":"${{ trigger.file.path }}"}`)}, 0, 3, true},
		{"a run that fails", trigger.Start{Program: "work", Input: json.RawMessage(`{"fail":"invalid"}`)}, 3, 0, false},
		{"a run that says conflict", trigger.Start{Program: "work", Input: json.RawMessage(`{"fail":"conflict"}`)}, 3, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, h *house) {
				id := h.start(trigger.Definition{Name: "m", On: trigger.On{Every: time.Minute}, Start: c.start})
				<-time.After(3*time.Minute + time.Second)
				h.healthy(id)
				if v := h.view(id); v.Started != c.started || v.Failed != c.fails || (v.Trouble != "") != c.trouble || v.Skipped != 0 {
					t.Errorf("view %+v", v.State)
				}
			})
		})
	}
}

// TestNoRoom: what finds the queue of the engine full is started when there is room.
func TestNoRoom(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		h.close()
		<-time.After(time.Second)
		h.queues = tight()
		h.open(0, false)
		d := work("m", trigger.On{Every: time.Hour}, tell)
		var ids []durable.RunID
		for range 6 {
			ids = append(ids, h.start(d))
			<-time.After(time.Second)
		}
		<-time.After(time.Hour + time.Minute)
		for _, id := range ids {
			h.healthy(id)
			if n := len(h.started(id)); n != 1 {
				t.Errorf("%d were started", n)
			}
		}
	})
}

// TestTakenID: an ID that somebody else's run has does not stop a start.
func TestTakenID(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		d := work("m", trigger.On{At: time.Now().Add(time.Hour)}, tell)
		first := h.start(d)
		if _, err := h.e.Wait(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		// The same trigger in another life comes to the same IDs.
		other := newHouse(t)
		other.t = t
		other.open(0, false)
		defer other.close()
		taken := h.started(first)[0].ID
		if _, err := other.e.Start(t.Context(), durable.StartRequest{ID: taken, Program: "work", Input: json.RawMessage(`{}`)}); err != nil {
			t.Fatal(err)
		}
		req, err := trigger.Request(d)
		if err != nil {
			t.Fatal(err)
		}
		req.ID = first
		if _, err := other.e.Start(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if _, err := other.e.Wait(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if runs := other.started(first); len(runs) != 1 || runs[0].ID == taken {
			t.Errorf("runs %+v; taken is %s", runs, taken)
		}
	})
}

// TestLongLife: the journal that is replayed stays short, and a state is small.
func TestLongLife(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		d := work("m", trigger.On{Every: time.Minute}, tell)
		id := h.start(d)
		<-time.After(1000*time.Minute + time.Second)
		synctest.Wait()
		run, err := h.s.Run(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		last, err := h.s.Last(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if replayed := last.Seq - run.Start; replayed > 10 || last.Seq > 6001 {
			t.Errorf("%d of %d entries are replayed", replayed, last.Seq)
		}
		if n := len(h.started(id)); n != 1000 {
			t.Errorf("%d were started", n)
		}
		t.Logf("%d entries for 1,000 starts", last.Seq)
	})
}
