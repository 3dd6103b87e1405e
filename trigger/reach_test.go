package trigger_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

// TestManySchedules: schedules that are all due within one hour, while the process is killed again and
// again: each starts one run, none late. The long form has 100,000 of them and ten kills. The times are
// virtual: what the machine computes takes none, so a delay is a due time that somebody slept over.
func TestManySchedules(t *testing.T) {
	many, kills := 2000, 3
	switch {
	case *soak:
		many, kills = 100_000, 10
	case testing.Short():
		many, kills = 300, 2
	}
	h := newHouse(t)
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		h.queues = wide(many)
		h.open(0, false)
		defer func() { h.close() }()
		before := heap()
		ids := make([]durable.RunID, many)
		due := make(map[durable.RunID]time.Time, many)
		var starts sync.WaitGroup
		for i := range ids {
			minute, second := (i+1)%60, i/60%60
			d := work(fmt.Sprint("s", i), trigger.On{At: time.Date(2000, 1, 1, 1, minute, second, 0, time.UTC)}, tell)
			if i%2 == 0 {
				second = 0
				d.On = trigger.On{Cron: &trigger.Cron{Expr: fmt.Sprint(minute, " 1 * * *")}}
			}
			starts.Go(func() { ids[i] = h.start(d) })
			if i%500 == 499 {
				starts.Wait()
			}
			due[durable.RunID(d.Name)] = time.Date(2000, 1, 1, 1, minute, second, 0, time.UTC)
		}
		starts.Wait()
		synctest.Wait()
		t.Logf("%d wait: %d bytes of memory and %d of disk each", many, (heap()-before)/int64(many), disk(t, h.dir)/int64(many))
		h.crowd(t, many, kills)
		var late []time.Duration
		for i, id := range ids {
			runs := h.started(id)
			if len(runs) != 1 {
				t.Errorf("schedule %d has started %d runs", i, len(runs))
				continue
			}
			delay := runs[0].Created.Sub(due[durable.RunID(fmt.Sprint("s", i))])
			if delay < 0 {
				t.Errorf("schedule %d has started %s early", i, -delay)
			}
			late = append(late, delay)
		}
		if t.Failed() {
			return
		}
		slices.Sort(late)
		p99 := late[len(late)*99/100]
		t.Logf("start delay: p50 %s, p99 %s, most %s", late[len(late)/2], p99, late[len(late)-1])
		if p99 >= time.Second {
			t.Errorf("the start delay is %s at p99", p99)
		}
	})
}

// crowd lets the hour go by, with kills at commits that are drawn.
func (h *house) crowd(t *testing.T, many, kills int) {
	t.Helper()
	r := rand.New(rand.NewPCG(7, uint64(many)))
	end := time.Date(2000, 1, 1, 2, 1, 0, 0, time.UTC)
	killed := 0
	for time.Now().Before(end) {
		if killed < kills && (h.s.Crashed() || killed == 0) {
			h.close()
			killed++
			h.open(1+r.IntN(many/kills*2), r.IntN(2) == 0)
		} else if h.s.Crashed() {
			h.close()
			h.open(0, false)
		}
		<-time.After(100 * time.Millisecond)
	}
	synctest.Wait()
	if h.s.Crashed() {
		h.close()
		h.open(0, false)
		<-time.After(time.Second)
	}
	t.Logf("killed %d times", killed)
}

// TestStartDelay measures, by the clock of the machine, how late runs are: of schedules that are due in
// one moment, a minute of 100,000 in an hour, and of as many a second as those have, put apart by a jitter.
func TestStartDelay(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures, and takes a while")
	}
	for _, c := range []struct {
		many   int
		jitter time.Duration
	}{{1667, 0}, {280, 10 * time.Second}} {
		h := newHouse(t)
		h.queues = wide(c.many)
		h.open(0, false)
		due := time.Now().Add(4 * time.Second).Truncate(time.Second)
		ids, want := make([]durable.RunID, c.many), make([]time.Time, c.many)
		var starts sync.WaitGroup
		for i := range ids {
			d := work(fmt.Sprint("s", i), trigger.On{At: due}, tell)
			d.Jitter = c.jitter
			starts.Go(func() {
				ids[i] = h.start(d)
				want[i], _ = h.view(ids[i]).Next(time.Now())
			})
		}
		starts.Wait()
		var late []time.Duration
		for i, id := range ids {
			if _, err := h.e.Wait(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			runs := h.started(id)
			if len(runs) != 1 {
				t.Fatalf("%d runs were started", len(runs))
			}
			if !want[i].IsZero() { // else this machine was too slow to set it in time
				late = append(late, runs[0].Created.Sub(want[i]))
			}
		}
		h.close()
		if len(late) < c.many/2 {
			t.Skipf("this machine is too slow: %d of %d were set in time", len(late), c.many)
		}
		slices.Sort(late)
		t.Logf("%d due within %s: start delay p50 %s, p99 %s, most %s", len(late), c.jitter, late[len(late)/2], late[len(late)*99/100], late[len(late)-1])
		if late[0] < 0 {
			t.Errorf("one was started %s early", -late[0])
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // less than the memory of any machine
}

func disk(t *testing.T, dir string) int64 {
	t.Helper()
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		size += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}
