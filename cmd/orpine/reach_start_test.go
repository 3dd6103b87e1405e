package main_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

// at64 is how many requests are under way at once where many are.
const at64 = 64

// caller sends requests to a server over connections that stay open.
type caller struct {
	t    *testing.T
	url  string
	http *http.Client
}

func newCaller(t *testing.T, s *serving) *caller {
	t.Helper()
	c := &caller{t: t, url: s.url(), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: at64}}}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// post sends one request and decodes the answer.
func (c *caller) post(path, key string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	said, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: %s", resp.Status, said)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(said, into)
}

// each does something n times, at at once, and returns how long each took.
func (c *caller) each(n, at int, do func(i int) error) []time.Duration {
	c.t.Helper()
	took := make([]time.Duration, n)
	var all sync.WaitGroup
	for first := range at {
		all.Go(func() {
			for i := first; i < n; i += at {
				began := time.Now()
				if err := do(i); err != nil {
					c.t.Errorf("request %d: %v", i, err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	return took
}

// half is the median of some figures.
func half[T cmp.Ordered](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// TestStartLatency starts runs through the API, and without it in the process of the server,
// one after the other and many at once.
func TestStartLatency(t *testing.T) {
	n, rounds := 100, 1
	if *crowd > 0 {
		n, rounds = 2000, 3
	} else {
		t.Parallel()
	}
	p := placeOf(t, effectBinary)
	s := p.serve("crowd", p.path("data"))
	c := newCaller(t, s)
	start := client.StartRun{Program: "nothing", Input: json.RawMessage("1")}
	key := 0
	for _, at := range []int{1, at64} {
		var own, api, keyed, ratio []float64
		for range rounds {
			var took []time.Duration
			if err := c.post(fmt.Sprintf("/direct?n=%d&at=%d", n, at), "", nil, &took); err != nil {
				t.Fatal(err)
			}
			own = append(own, half(took).Seconds()*1000)
			api = append(api, half(c.each(n, at, func(int) error { return c.post("/v1/runs", "", start, nil) })).Seconds()*1000)
			key += n
			keyed = append(keyed, half(c.each(n, at, func(i int) error { return c.post("/v1/runs", fmt.Sprint("key ", key+i), start, nil) })).Seconds()*1000)
			ratio = append(ratio, api[len(api)-1]/own[len(own)-1])
		}
		t.Logf("%d at once, p50 in ms (median, lowest, highest): the engine's own %s, the API %s, with an idempotency key %s; the API takes %s times the engine's own",
			at, spread(own), spread(api), spread(keyed), spread(ratio))
	}
	counts := map[durable.Status]int64{}
	all, err := client.New(client.Config{URL: s.url(), HTTP: c.http})
	if err == nil {
		counts, err = all.Count(t.Context(), durable.Filter{Program: "nothing"})
	}
	var sum int64
	for _, n := range counts {
		sum += n
	}
	if want := int64(2 * 3 * n * rounds); err != nil || sum != want {
		t.Errorf("%d runs are there, error %v; %d were started", sum, err, want)
	}
}

// spread is the median of some figures with the lowest and the highest.
func spread(list []float64) string {
	return fmt.Sprintf("%.2f (%.2f – %.2f)", half(list), slices.Min(list), slices.Max(list))
}

// TestManyWaiting starts runs through the API until many wait for an answer at once, then
// answers all of them.
func TestManyWaiting(t *testing.T) {
	n := 300
	if *crowd > 0 {
		n = 5 * *crowd
	} else {
		t.Parallel()
	}
	p := placeOf(t, effectBinary)
	s := p.serve("crowd", p.path("data"))
	pid := s.pr.cmd.Process.Pid
	c := newCaller(t, s)
	all, err := client.New(client.Config{URL: s.url(), HTTP: c.http})
	if err != nil {
		t.Fatal(err)
	}
	empty := rssOf(t, pid)
	runs := make([]durable.Run, n)
	began := time.Now()
	c.each(n, at64, func(i int) error {
		return c.post("/v1/runs", "", client.StartRun{Program: "ask", Input: json.RawMessage("1")}, &runs[i])
	})
	until(t, all, durable.Waiting, n)
	started, full := time.Since(began), rssOf(t, pid)
	began = time.Now()
	c.each(n, at64, func(i int) error {
		return c.post("/v1/runs/"+string(runs[i].ID)+"/answer", "", client.Answer{Interrupt: "q", Value: json.RawMessage(fmt.Sprintf(`"well, %d"`, i))}, nil)
	})
	until(t, all, durable.Succeeded, n)
	answered := time.Since(began)
	for i := range runs {
		run, err := all.Get(t.Context(), runs[i].ID)
		if want := fmt.Sprintf(`"well, %d"`, i); err != nil || string(run.Output) != want {
			t.Fatalf("run %d came to %s, error %v; want %s", i, run.Output, err, want)
		}
	}
	t.Logf("%d runs wait: started in %.1f s (%.0f/s), RSS %.1f MB before, %.1f MB then; answered in %.1f s (%.0f/s), RSS %.1f MB",
		n, started.Seconds(), float64(n)/started.Seconds(), empty/1e6, full/1e6, answered.Seconds(), float64(n)/answered.Seconds(), rssOf(t, pid)/1e6)
}

// until waits until n runs have a status.
func until(t *testing.T, c *client.Client, status durable.Status, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		counts, err := c.Count(t.Context(), durable.Filter{Program: "ask"})
		if err != nil {
			t.Fatal(err)
		}
		if counts[status] == int64(n) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a minute the runs are %v, want %d of them %s", counts, n, status)
		}
		<-time.After(10 * time.Millisecond)
	}
}
