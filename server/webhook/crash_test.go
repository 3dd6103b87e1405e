package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/webhook"
	"github.com/orpine-run/orpine/store"
)

// TestLeftBehind: what changed while nobody handed it on is delivered by the next process,
// once, however often one starts; what is older than the webhook is not.
func TestLeftBehind(t *testing.T) {
	r := newReceiver(t, nil)
	dir := t.TempDir()
	h := open(t, dir, webhook.Config{})
	_, err := h.Wait(t.Context(), h.start(t, durable.StartRequest{Program: "echo", Name: "before"}))
	must(t, err)
	h.register(t, r, client.Webhook{URL: serve(t, r)})
	h.hooks.Stop()
	waits := h.start(t, durable.StartRequest{Program: "ask"})
	ended := h.start(t, durable.StartRequest{Program: "echo", Input: []byte(`"kept"`)})
	for _, id := range []durable.RunID{waits, ended} {
		_, err := h.Settle(t.Context(), id, time.Time{})
		must(t, err)
	}
	must(t, h.Close())
	r.none()
	for range 3 {
		h = open(t, dir, webhook.Config{})
		until(t, func() bool { return len(h.deliveries(t)) >= 2 })
		probe := h.start(t, durable.StartRequest{Program: "echo", Name: "probe"}) // comes behind what was left
		for seen := map[durable.RunID]int{}; seen[probe] == 0; {
			g := r.next()
			if seen[g.event.Run.ID]++; seen[g.event.Run.ID] > 1 {
				t.Errorf("told twice of run %s (%s)", g.event.Run.ID, g.event.Type)
			}
			if g.event.Run.ID == ended && string(g.event.Run.Output) != `"kept"` {
				t.Errorf("what was left behind came with output %s", g.event.Run.Output)
			}
		}
		h.deliveries(t) // one that is cut short would come again
		h.close(t)
	}
	h = open(t, dir, webhook.Config{})
	defer h.close(t)
	if d := h.deliveries(t); len(d) != 5 { // two left behind, three probes
		t.Errorf("there are %d deliveries", len(d))
	}
	r.none()
}

// TestMark: once changes are handed on, the mark follows, no nearer than a tick; what is older
// is not looked at again, even where its delivery is gone. One that is in the future, because
// the clock was set back, comes back.
func TestMark(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house, r *receiver) {
		mark := func() time.Time {
			t.Helper()
			rec, err := h.Record(t.Context(), "webhook-mark", "mark")
			must(t, err)
			micros, err := strconv.ParseInt(string(rec.Data), 10, 64)
			must(t, err)
			return time.UnixMicro(micros)
		}
		time.Sleep(time.Minute)
		if _, err := h.Record(t.Context(), "webhook-mark", "mark"); err == nil {
			t.Error("there is a mark though nothing has happened")
		}
		h.start(t, durable.StartRequest{Program: "echo"})
		first := r.next().event
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if m := mark(); m.After(first.Time) || first.Time.Sub(m) > 20*time.Second {
			t.Errorf("the mark is %s after a change at %s", m, first.Time)
		}
		time.Sleep(time.Hour)
		h.start(t, durable.StartRequest{Program: "echo"})
		second := r.next().event
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if m := mark(); m.After(second.Time) || !m.After(first.Time) {
			t.Errorf("the mark is %s after changes at %s and %s", m, first.Time, second.Time)
		}
		future := strconv.AppendInt(nil, time.Now().Add(time.Hour).UnixMicro(), 10)
		must(t, h.Write(t.Context(), store.RecordChange{Kind: "webhook-mark", Key: "mark", Expect: store.AnyVersion, Data: future}))
		h.hooks.Stop()
		again := webhook.New(webhook.Config{})
		must(t, again.Start(t.Context(), h.Runtime))
		again.Stop()
		if m := mark(); m.After(time.Now()) {
			t.Errorf("the mark is %s, the clock says %s", m, time.Now())
		}
	})
}

// TestNotStarted: a delivery that cannot be started now is started later.
func TestNotStarted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		hooks := webhook.New(webhook.Config{Transport: answers(http.StatusOK)})
		r, err := orpine.Open(t.Context(), orpine.Config{
			Data: dir, Programs: append(programs(), hooks.Program()), OnStatus: hooks.Changed,
			Queues: map[string]orpine.Queue{"": {AtOnce: 1, Depth: 1}, "own": {}},
		})
		must(t, err)
		must(t, hooks.Start(t.Context(), r))
		_, err = hooks.Register(t.Context(), client.Webhook{URL: "http://a"})
		must(t, err)
		h := &house{Runtime: r, hooks: hooks}
		for range 20 { // more than the queue of deliveries takes at once
			h.start(t, durable.StartRequest{Program: "echo", Queue: "own"})
		}
		synctest.Wait()
		time.Sleep(10 * time.Minute)
		if d := h.deliveries(t); len(d) != 20 {
			t.Errorf("%d of 20 changes were delivered", len(d))
		}
		h.close(t)
	})
}

// answers is a receiver without a network.
type answers int

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// TestManyChanges: more changes than memory is kept for are delivered all the same.
func TestManyChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	dir := t.TempDir()
	const n = 6000
	synctest.Test(t, func(t *testing.T) {
		hooks := webhook.New(webhook.Config{Transport: answers(http.StatusOK)})
		r, err := orpine.Open(t.Context(), orpine.Config{Data: dir, Programs: append(programs(), hooks.Program())})
		must(t, err)
		must(t, hooks.Start(t.Context(), r))
		_, err = hooks.Register(t.Context(), client.Webhook{URL: "http://a"})
		must(t, err)
		h := &house{Runtime: r, hooks: hooks}
		ids := make([]durable.RunID, n)
		for i := range ids {
			ids[i] = h.start(t, durable.StartRequest{Program: "echo"})
		}
		for _, id := range ids { // all at once
			run, err := h.Wait(t.Context(), id)
			must(t, err)
			go hooks.Changed(run)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		counts, err := h.Count(t.Context(), durable.Filter{Program: webhook.Program})
		must(t, err)
		if counts[durable.Succeeded] != n {
			t.Errorf("of %d changes: %v", n, counts)
		}
		h.close(t)
	})
}

// These tell a process of the tests that it is to die; see TestKilled.
const (
	childDir  = "ORPINE_WEBHOOK_DIR"
	childURL  = "ORPINE_WEBHOOK_URL"
	childKey  = "ORPINE_WEBHOOK_KEY"
	childLife = "ORPINE_WEBHOOK_LIFE" // how many changes it lives to see
)

// childRuns is how many runs of echo and of ask a process of TestKilled starts.
const childRuns = 6

// TestKilled: a process is killed as a change becomes durable, at every change there is; the
// next one delivers whatever changed and was not delivered, each change under one ID.
func TestKilled(t *testing.T) {
	if os.Getenv(childDir) != "" {
		child(t)
		return
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for life := 1; life <= 2*childRuns; life += step {
		t.Run(fmt.Sprint(life), func(t *testing.T) {
			t.Parallel()
			killed(t, life)
		})
	}
}

func killed(t *testing.T, life int) {
	r := newReceiver(t, nil)
	r.secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$", "-test.v")
	cmd.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+serve(t, r), childKey+"="+r.secret, childLife+"="+strconv.Itoa(life))
	if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), "FAIL") {
		t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
	h := open(t, dir, webhook.Config{})
	defer h.close(t)
	changed, err := h.List(t.Context(), durable.Filter{Program: "echo", Limit: 1000})
	must(t, err)
	asked, err := h.List(t.Context(), durable.Filter{Program: "ask", Limit: 1000})
	must(t, err)
	changed = append(changed, asked...)
	if len(changed) == 0 {
		t.Fatal("nothing has changed")
	}
	ids := map[string]string{} // of events, by run and type
	until(t, func() bool {
		for len(r.taken) > 0 {
			g := r.next()
			what := string(g.event.Run.ID) + " " + g.event.Type
			if ids[what] != "" && ids[what] != g.id {
				t.Errorf("%s came as %s and as %s", what, ids[what], g.id)
			}
			ids[what] = g.id
		}
		for _, run := range changed {
			run, err := h.Settle(t.Context(), run.ID, time.Time{}) // what was under way goes on
			must(t, err)
			if ids[string(run.ID)+" run."+string(run.Status)] == "" {
				return false
			}
		}
		return true
	})
	if d := h.deliveries(t); len(d) != len(ids) {
		t.Errorf("%d deliveries for %d changes", len(d), len(ids))
	}
}

// child is a process that is killed.
func child(t *testing.T) {
	life, err := strconv.ParseInt(os.Getenv(childLife), 10, 64)
	must(t, err)
	hooks := webhook.New(webhook.Config{})
	var seen atomic.Int64
	r, err := orpine.Open(t.Context(), orpine.Config{
		Data: os.Getenv(childDir), Programs: append(programs(), hooks.Program()),
		OnStatus: func(run durable.Run) {
			if run.Program != webhook.Program && seen.Add(1) == life {
				self, err := os.FindProcess(os.Getpid())
				must(t, err, self.Kill())
				select {} // it is dead
			}
			hooks.Changed(run)
		},
	})
	must(t, err)
	must(t, hooks.Start(t.Context(), r))
	_, err = hooks.Register(t.Context(), client.Webhook{URL: os.Getenv(childURL), Secret: os.Getenv(childKey)})
	must(t, err)
	h := &house{Runtime: r, hooks: hooks}
	for range childRuns {
		h.start(t, durable.StartRequest{Program: "echo"})
		h.start(t, durable.StartRequest{Program: "ask"})
	}
	for {
		<-time.After(time.Second) // the last changes are on their way
	}
}
