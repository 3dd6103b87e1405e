package main_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

// crowd makes the tests of many clients measure, with more of them than they have by default.
var crowd = flag.Int("crowd", 0, "how many clients TestCrowd has on one run, which then must not wait for more than 50 ms at the 99th percentile, and a fifth of how many runs TestManyWaiting has; 0 is a few, and no bound")

// crowdHeard is what the process of the clients prints.
type crowdHeard struct {
	Clients, Deltas, Least, Most int
	Ms                           []float64
}

// TestCrowd lets many clients in one process listen to one run of a server in another, which
// streams 100 deltas a second. Each gets all of them; how late they come is measured.
func TestCrowd(t *testing.T) {
	sizes, rate, n := []int{50}, 100, 100
	if *crowd > 0 {
		sizes, n = []int{*crowd / 2, *crowd}, 1000
	} else {
		t.Parallel()
	}
	empty := listenCrowd(t, 0, rate, n)
	t.Logf("no clients: RSS %.1f MB", empty.rss/1e6)
	for _, size := range sizes {
		got := listenCrowd(t, size, rate, n)
		h := got.heard
		t.Logf("%d clients, %d deltas/s: delay p50 %.1f ms, p99 %.1f ms, longest %.1f ms; RSS %.1f MB, %.1f KB for each client; %.2f CPU of the server, %.2f of the clients",
			h.Clients, rate, h.Ms[0], h.Ms[1], h.Ms[2], got.rss/1e6, (got.rss-empty.rss)/float64(size)/1e3, got.cpu, got.theirs)
		if h.Least != n || h.Most != n {
			t.Errorf("of %d deltas the clients had %d to %d", n, h.Least, h.Most)
		}
		if size == *crowd && h.Ms[1] >= 50 {
			t.Errorf("one delta of a hundred came more than %.1f ms late, want less than 50", h.Ms[1])
		}
	}
}

// listened is what came of a crowd.
type listened struct {
	heard  crowdHeard
	rss    float64 // of the server in bytes, while it streams
	cpu    float64 // processors that the server used meanwhile
	theirs float64 // and the clients
}

// listenCrowd starts a server, lets so many clients listen to a run of it, and has that stream
// n deltas.
func listenCrowd(t *testing.T, clients, rate, n int) (got listened) {
	t.Helper()
	p := placeOf(t, effectBinary)
	s := p.serve("crowd", p.path("data"))
	defer s.kill()
	c, err := client.New(client.Config{URL: s.url()})
	if err != nil {
		t.Fatal(err)
	}
	run, err := c.Start(t.Context(), client.StartRun{Program: "flow", Input: json.RawMessage(fmt.Sprintf(`{"rate":%d,"n":%d}`, rate, n))})
	if err != nil {
		t.Fatal(err)
	}
	var hearing *process
	ready := make(chan struct{})
	if clients > 0 {
		hearing = p.start(func(_ *process, line string) {
			if line == "ready" {
				close(ready)
			}
		}, nil, "hear", s.addr, string(run.ID), strconv.Itoa(clients))
		select {
		case <-ready:
		case <-time.After(time.Minute):
			hearing.kill()
			t.Fatalf("the clients are not there: %s", hearing.wait().err)
		}
	}
	before, began := cpuOf(t, s.pr.cmd.Process.Pid), time.Now()
	if err := c.Signal(t.Context(), run.ID, durable.Signal{Name: "go"}); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Duration(n) * time.Second / time.Duration(rate) * 3 / 4)
	got.rss = rssOf(t, s.pr.cmd.Process.Pid)
	got.cpu = (cpuOf(t, s.pr.cmd.Process.Pid) - before) / time.Since(began).Seconds()
	if _, err := c.Wait(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if hearing == nil {
		return got
	}
	o := hearing.wait()
	_, line, _ := strings.Cut(o.out, "\n")
	if err := json.Unmarshal([]byte(line), &got.heard); err != nil || o.code != 0 {
		t.Fatalf("the clients ended with exit code %d and said %q: %v\n%s", o.code, o.out, err, o.err)
	}
	got.theirs = time.Duration(o.usage.Utime.Nano()+o.usage.Stime.Nano()).Seconds() / time.Since(began).Seconds()
	return got
}

// rssOf is the memory of a process in bytes; 0 where nobody can say.
func rssOf(t *testing.T, pid int) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			return kb * 1024
		}
	}
	return 0
}

// cpuOf is the processor time of a process in seconds; 0 where nobody can say.
func cpuOf(t *testing.T, pid int) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	const user, system, ticks = 11, 12, 100 // behind the name; Linux has 100 ticks a second
	var sum float64
	for _, i := range []int{user, system} {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n / ticks
	}
	return sum
}
