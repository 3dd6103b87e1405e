package trigger_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

// soak makes the tests that search for faults go through all they can reach.
var soak = flag.Bool("soak", false, "the long form of the crash and reach tests")

// scene is what is played with a crash at each commit.
type scene struct {
	d     trigger.Definition
	lasts time.Duration
	event func(t *testing.T, h *house, id durable.RunID, second int) // what happens outside, by the second; may be nil
	want  []string                                                   // the names of the runs, sorted
}

const crashed = durable.RunID("1000000000000000")

// play plays a scene with a crash at one commit (0 = none) and returns how many there were.
func (c *scene) play(t *testing.T, at int, after bool) (commits int) {
	h := newHouse(t)
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		h.open(at, after)
		defer func() { h.close() }()
		req, err := trigger.Request(c.d)
		if err != nil {
			t.Fatal(err)
		}
		req.ID = crashed
		begin := func() {
			if _, err := h.e.Start(t.Context(), req); err != nil && !errors.Is(err, durable.ErrConflict) && !h.s.Crashed() {
				t.Fatal(err)
			}
		}
		begin()
		for second := range int(c.lasts / time.Second) {
			if h.s.Crashed() {
				h.close()
				h.open(0, false)
				begin()
			}
			if c.event != nil {
				c.event(t, h, crashed, second)
			}
			<-time.After(time.Second)
		}
		commits = h.s.Commits()
		if h.s.Crashed() {
			return // it came with the last commits: nothing is left to see
		}
		h.healthy(crashed)
		var got []string
		for _, r := range h.started(crashed) {
			got = append(got, r.Name)
		}
		if diff := cmp.Diff(c.want, sorted(got)); diff != "" {
			t.Errorf("crash at commit %d, after=%v: -want +got\n%s", at, after, diff)
		}
	})
	return commits
}

func (c *scene) everywhere(t *testing.T) {
	commits := c.play(t, 0, false)
	step := 1
	if testing.Short() {
		step = 9
	}
	points := 0
	for at := 1; at <= commits && !t.Failed(); at += step {
		for _, after := range []bool{false, true} {
			c.play(t, at, after)
			points++
		}
	}
	t.Logf("%d crash points", points)
}

// TestCrashEverywhere kills the store at every commit of a schedule, before and after it lands, and
// wants one run for each due time.
func TestCrashEverywhere(t *testing.T) {
	for _, c := range []struct {
		overlap trigger.Overlap
		takes   time.Duration
	}{{trigger.Allow, 20 * time.Second}, {trigger.Skip, 20 * time.Second}, {trigger.Queue, 70 * time.Second}, {trigger.Cancel, 70 * time.Second}} {
		t.Run(string(c.overlap), func(t *testing.T) {
			d := work("m", trigger.On{Cron: &trigger.Cron{Expr: "* * * * *"}}, fmt.Sprintf(`{"for":%d}`, c.takes))
			d.Overlap, d.Start.Name = c.overlap, "${{ trigger.time }}"
			c := scene{d: d, lasts: 6*time.Minute + 30*time.Second}
			for i := range 6 {
				c.want = append(c.want, fmt.Sprintf("2000-01-01T00:0%d:00Z", i+1))
			}
			if d.Overlap == trigger.Queue {
				c.want = c.want[:5] // the last one waits
			}
			c.everywhere(t)
		})
	}
}

// TestSensorCrash kills the store at every commit while files appear, and wants one run a file.
func TestSensorCrash(t *testing.T) {
	folder := t.TempDir()
	d := work("sensor", trigger.On{Files: &trigger.Files{Folder: folder, Glob: "*.csv", Existing: true}}, `{}`)
	d.Start.Name = "${{ trigger.file.path }}"
	c := scene{d: d, lasts: 2 * time.Minute, want: []string{"a.csv", "b.csv", "c.csv"}}
	c.event = func(t *testing.T, _ *house, _ durable.RunID, second int) {
		names := map[int]string{0: "", 12: "a.csv", 40: "b.csv", 43: "c.csv"}
		name, ok := names[second]
		switch {
		case !ok:
		case name == "":
			for _, n := range names {
				if n == "" {
					continue
				}
				if err := os.RemoveAll(filepath.Join(folder, n)); err != nil {
					t.Fatal(err)
				}
			}
		default:
			if err := os.WriteFile(filepath.Join(folder, name), []byte("1"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.everywhere(t)
}

// TestEventCrash kills the store at every commit while events come, each sent until it was taken, and
// wants one run an event.
func TestEventCrash(t *testing.T) {
	d := work("e", trigger.On{Event: &trigger.Event{Names: []string{"x"}}}, `{"for":5000000000}`)
	d.Start.Name = "${{ trigger.event.id }}"
	c := scene{d: d, lasts: time.Minute, want: []string{"1", "11", "21"}}
	c.event = func(t *testing.T, h *house, id durable.RunID, second int) {
		if second%10 > 4 || second > 25 {
			return
		}
		data, err := json.Marshal(trigger.Occurred{ID: fmt.Sprint(second/10*10 + 1), Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		_ = h.e.Signal(t.Context(), id, durable.Signal{Name: trigger.EventSignal, Data: data}) // it is sent again
	}
	c.everywhere(t)
}

// TestOrphans: runs whose trigger has gone on in a new segment still count.
func TestOrphans(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		began := time.Now()
		d := work("e", trigger.On{Event: &trigger.Event{Names: []string{"x"}}}, `{"for":3600000000000}`)
		d.QueueMax = 1000
		id := h.start(d)
		many := work("s", trigger.On{Every: time.Minute}, `{"for":18030000000000}`) // 5 h and a half minute
		skips := h.start(many)
		<-time.After(time.Second)
		for range 300 {
			h.signal(id, trigger.EventSignal, trigger.Occurred{Name: "x"})
		}
		<-time.After(10 * time.Minute)
		h.reopen(0)
		<-time.After(5*time.Hour + 52*time.Minute)
		h.healthy(id)
		runs := h.started(id)
		if len(runs) != 7 {
			t.Fatalf("%d were started", len(runs))
		}
		for i, r := range runs {
			if at := r.Created.Sub(began) - time.Second - time.Duration(i)*time.Hour; at < 0 || at > min(time.Duration(i), 1)*4*time.Minute {
				t.Errorf("run %d began %s late", i, at)
			}
		}
		run, err := h.s.Run(t.Context(), id)
		if err != nil || run.Segment == 0 {
			t.Errorf("segment %d, error %v", run.Segment, err)
		}
		if got := times(h.started(skips), began); len(got) != 2 || got[0] != "1m0s" || got[1] != "5h2m0s" {
			t.Errorf("starts %v", got)
		}
		if v := h.view(skips); v.Skipped < 300 {
			t.Errorf("view %+v", v.State)
		}
	})
}

// TestBackfillOfOrphans: a backfill keeps to its bound over segments.
func TestBackfillOfOrphans(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		d := work("s", trigger.On{Every: time.Minute}, `{"for":1000000000,"due":"${{ trigger.time }}"}`)
		id := h.start(d)
		<-time.After(time.Second)
		slow := d
		slow.Start.Input = json.RawMessage(`{"for":18000000000000}`) // 5 h
		slow.Overlap = trigger.Skip
		h.signal(id, trigger.UpdateSignal, slow)
		began := time.Now()
		h.signal(id, trigger.BackfillSignal, trigger.Backfill{From: began.Add(-200 * time.Second), To: began, AtOnce: 2})
		<-time.After(10*time.Hour + 30*time.Minute)
		h.healthy(id)
		var got []string
		for _, r := range h.started(id) {
			if r.Created.Sub(began)%time.Minute == 0 || r.Created.Sub(began) > 5*time.Hour { // not by the schedule
				got = append(got, r.Created.Sub(began).Round(30*time.Minute).String())
			}
		}
		if diff := cmp.Diff([]string{"0s", "0s", "5h0m0s", "5h0m0s", "5h0m0s", "10h0m0s"}, got); diff != "" {
			t.Errorf("starts: -want +got\n%s", diff)
		}
		if v := h.view(id); len(v.Backfills) != 0 || v.Started != int64(len(h.started(id))) {
			t.Errorf("view %+v", v.State)
		}
	})
}
