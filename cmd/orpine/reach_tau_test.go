package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

// tauKills makes TestTauTasks run all tasks and kill more often than it does by default.
var tauKills = flag.Int("taukills", 0, "how often TestTauTasks kills the server under all tasks of tau-bench; 0 is a few kills under some of them")

// tauCall is a call of a tool that changes something.
type tauCall struct {
	Name string
	Args any
}

// tauTask is one task of tau-bench.
type tauTask struct {
	domain, name string
	writes       []tauCall // in order
	results      []string  // of these
	run          durable.RunID
}

// TestTauTasks runs the tasks of tau-bench at once through the API of a server that is killed
// and started again meanwhile. In the end each task has made its changes once, in order.
func TestTauTasks(t *testing.T) {
	t.Parallel()
	traces := sharedData("tau_traces.json")
	if traces == "" {
		t.Skip("no shared/data/tau_traces.json beside this checkout or above it")
	}
	n, kills, delay, gap := 30, 2, 40*time.Millisecond, 40*time.Millisecond
	if *tauKills > 0 {
		n, kills, delay, gap = 1000, *tauKills, 600*time.Millisecond, 200*time.Millisecond
	}
	seed := *stormSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	r := rand.New(rand.NewPCG(seed, 0))
	f := newTau(t, traces, n, delay)
	began := time.Now()
	var all sync.WaitGroup
	for _, task := range f.tasks {
		all.Go(func() {
			if err := f.play(task); err != nil {
				t.Errorf("task %s: %v (seed %d)", task.name, err, seed)
			}
		})
	}
	select {
	case <-f.half:
	case <-time.After(time.Minute):
		t.Error("after a minute half of the tasks have not begun")
	}
	for range kills {
		<-time.After(time.Duration((0.25 + 2*r.Float64()) * float64(gap)))
		f.server.restart()
	}
	all.Wait()
	took := time.Since(began)
	claimed := f.claims()
	t.Logf("%d tasks, %d kills in %.1f s: %d runs were taken up again, %d requests to start sent again, %d irreversible calls in doubt, of which %d had happened, %d runs resumed after too many kills; seed %d",
		len(f.tasks), kills, took.Seconds(), claimed, f.again.Load(), f.doubts.Load(), f.happened.Load(), f.resumed.Load(), seed)
	if claimed == 0 {
		t.Errorf("no kill fell into a run: the test shows nothing (seed %d)", seed)
	}
	wrote := f.written()
	total := 0
	for _, task := range f.tasks {
		total += len(task.writes)
		if diff := cmp.Diff(task.writes, wrote[task.name]); diff != "" {
			t.Errorf("the changes of task %s (-want +ledger, seed %d):\n%s", task.name, seed, diff)
		}
		delete(wrote, task.name)
	}
	if len(wrote) > 0 || total == 0 {
		t.Errorf("%d changes were due; of other tasks the ledger has %v", total, wrote)
	}
}

// tau is a server with the agents of tau-bench, and the ledger of what they change.
type tau struct {
	t      *testing.T
	led    *stormLedger
	server *serving
	client *client.Client
	http   *http.Client
	tasks  []*tauTask

	begun                            atomic.Int64  // tasks
	half                             chan struct{} // closed when half of them have
	again, doubts, happened, resumed atomic.Int64
}

// newTau serves the agents, and plans up to n tasks, spread over all of them.
func newTau(t *testing.T, traces string, n int, delay time.Duration) *tau {
	t.Helper()
	f := &tau{t: t, led: newStormLedger(t), half: make(chan struct{}), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}}
	t.Cleanup(f.http.CloseIdleConnections)
	data, err := os.ReadFile(traces)
	if err != nil {
		t.Fatal(err)
	}
	var domains map[string]struct {
		Tasks []struct {
			Steps []struct {
				Name, Result string
				Args         any
				Write        bool
			}
		}
	}
	if err := json.Unmarshal(data, &domains); err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"retail", "airline"} {
		for i, planned := range domains[domain].Tasks {
			task := &tauTask{domain: domain, name: fmt.Sprintf("%s-%d", domain, i)}
			for _, s := range planned.Steps {
				if s.Write {
					task.writes, task.results = append(task.writes, tauCall{s.Name, s.Args}), append(task.results, s.Result)
				}
			}
			f.tasks = append(f.tasks, task)
		}
	}
	if every := float64(len(f.tasks)) / float64(n); every > 1 {
		var some []*tauTask
		for i := range n {
			some = append(some, f.tasks[int(float64(i)*every)])
		}
		f.tasks = some
	}
	p := placeOf(t, effectBinary)
	f.server = p.serve("tau", p.path("data"), f.led.url, traces, delay.String())
	if f.client, err = client.New(client.Config{URL: f.server.url(), HTTP: f.http}); err != nil {
		t.Fatal(err)
	}
	return f
}

// play has a task done, whatever becomes of the server.
func (f *tau) play(task *tauTask) error {
	ctx, stop := context.WithTimeout(f.t.Context(), 2*time.Minute)
	defer stop()
	for i := range 2 { // the second request finds the run of the first
		id, err := f.start(ctx, task)
		if err != nil || (i > 0 && id != task.run) {
			return errors.Join(err, fmt.Errorf("start no. %d gave run %q, the one before %q", i+1, id, task.run))
		}
		task.run = id
		if i == 0 && f.begun.Add(1) == int64(len(f.tasks)+1)/2 {
			close(f.half)
		}
	}
	for {
		run, err := f.client.Rest(ctx, task.run)
		switch {
		case errors.Is(err, durable.ErrUnavailable) && ctx.Err() == nil: // it comes back
		case err != nil:
			return err
		case run.Status == durable.Succeeded:
			return nil
		case run.Status == durable.Blocked:
			f.resumed.Add(1)
			err = f.client.Resume(ctx, task.run)
		case run.NeedsPerson():
			err = f.operate(ctx, task, run)
		default:
			return fmt.Errorf("the run is %s: %s %w", run.Status, run.Reason, run.Error)
		}
		// Conflict: it was done, and the answer to it is lost.
		if err != nil && !errors.Is(err, durable.ErrUnavailable) && !errors.Is(err, durable.ErrConflict) {
			return err
		}
	}
}

// start asks for the run of a task until there is an answer.
func (f *tau) start(ctx context.Context, task *tauTask) (durable.RunID, error) {
	body, err := json.Marshal(client.StartRun{Agent: task.domain, Name: task.name, Text: task.name})
	if err != nil {
		return "", err
	}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.server.url()+client.Version+"/runs", bytes.NewReader(body))
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "tau "+task.name)
		resp, err := f.http.Do(req)
		if err != nil {
			if ctx.Err() != nil {
				return "", err
			}
			f.again.Add(1)
			<-time.After(20 * time.Millisecond)
			continue
		}
		said, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil { // it was killed while it said so
			f.again.Add(1)
			continue
		}
		var run durable.Run
		if err := json.Unmarshal(said, &run); err != nil || resp.StatusCode != http.StatusCreated {
			return "", fmt.Errorf("the server answered %s: %s", resp.Status, said)
		}
		return run.ID, nil
	}
}

// operate does what an operator does with a call in doubt: asks the ledger whether it has
// happened, and says so.
func (f *tau) operate(ctx context.Context, task *tauTask, run durable.Run) error {
	steps, err := f.client.Steps(ctx, run.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(steps, func(s durable.Step) bool { return s.Status == durable.StepInDoubt })
	if i < 0 || steps[i].Effect != durable.Irreversible {
		return fmt.Errorf("the run waits for a person, and no irreversible step is in doubt: %+v", run.Waits)
	}
	key := fmt.Sprintf("%s/%d/%d", run.ID, steps[i].Segment, steps[i].Command)
	query := url.Values{"key": {key}, "attempt": {strconv.Itoa(steps[i].Attempt)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.led.url+"/close?"+query.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return err
	}
	var got struct{ Number int }
	if err := errors.Join(json.NewDecoder(resp.Body).Decode(&got), resp.Body.Close()); err != nil {
		return err
	}
	say := durable.Resolution{Retry: true}
	if got.Number > 0 {
		done := 0 // calls of the task before this one, which have come to their end
		for _, s := range steps {
			if s.Effect == durable.Irreversible && s.Status == durable.StepDone {
				done++
			}
		}
		if say.Done, err = json.Marshal(map[string]string{"content": task.results[done]}); err != nil {
			return err
		}
		say.Retry = false
	}
	if err := f.client.Resolve(ctx, run.ID, steps[i].Command, say); err != nil {
		return err
	}
	f.doubts.Add(1)
	if got.Number > 0 {
		f.happened.Add(1)
	}
	return nil
}

// claims counts how often runs were taken up by another process.
func (f *tau) claims() (n int) {
	f.t.Helper()
	const most = 1000
	for _, task := range f.tasks {
		entries, err := f.client.Entries(f.t.Context(), task.run, -1, most)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, e := range entries {
			if e.Kind == durable.EntryClaimed {
				n++
			}
		}
	}
	return n
}

// written is what the ledger has of each task, in its order.
func (f *tau) written() map[string][]tauCall {
	f.t.Helper()
	data, err := os.ReadFile(f.led.path)
	if err != nil {
		f.t.Fatal(err)
	}
	wrote := map[string][]tauCall{}
	for _, line := range readLines[struct {
		Task string
		tauCall
	}](f.t, string(data)) {
		wrote[line.Task] = append(wrote[line.Task], line.tauCall)
	}
	return wrote
}
