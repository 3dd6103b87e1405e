package trigger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
	"github.com/orpine-run/orpine/store/storetest"
	"github.com/orpine-run/orpine/trigger"
)

// The tests run the embedded engine on the real store inside a synctest bubble: the clock jumps to
// the next timer while everybody waits. It begins on 1 January 2000.

const day = 24 * time.Hour

// house is an engine that triggers live in, and what they reach.
type house struct {
	t   *testing.T
	dir string
	s   *storetest.Faulty
	e   *embedded.Engine

	there  chan struct{} // closed once e is
	drives []durable.Program
	queues map[string]embedded.Queue
	poll   atomic.Pointer[func(cursor json.RawMessage) ([]trigger.Item, json.RawMessage, error)]
}

// job is the input of what is started.
type job struct {
	For  time.Duration   `json:"for,omitempty"`
	Due  string          `json:"due,omitempty"`
	Key  string          `json:"key,omitempty"`
	What json.RawMessage `json:"what,omitempty"`
	Fail durable.Code    `json:"fail,omitempty"`
}

func newHouse(t *testing.T) *house { return &house{t: t, dir: t.TempDir()} }

func (h *house) programs() []durable.Program {
	h.t.Helper()
	there := make(chan struct{})
	h.there = there
	come := func() *embedded.Engine { <-there; return h.e }
	cfg := trigger.Config{
		RunID: embedded.RunIDOf,
		Look:  func(ctx context.Context, id durable.RunID) (durable.Run, error) { return come().Get(ctx, id) },
		Cancel: func(ctx context.Context, id durable.RunID, reason string) error {
			return come().Cancel(ctx, id, reason)
		},
		Folder: trigger.OpenFolder,
		Poll: func(_ context.Context, _, cursor json.RawMessage) ([]trigger.Item, json.RawMessage, error) {
			return (*h.poll.Load())(cursor)
		},
		Ended: func(ctx context.Context, cursor json.RawMessage, which trigger.RunEnd) ([]durable.Run, json.RawMessage, error) {
			come()
			return endedIn(ctx, h.s, cursor, which)
		},
	}
	p, err := trigger.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	work := durable.NewProgram("work", func(ctx durable.Context, j job) (job, error) {
		if j.Fail != "" {
			return j, durable.Errorf(j.Fail, "it had to fail")
		}
		return j, durable.Sleep(ctx, j.For)
	})
	return []durable.Program{p, work}
}

// endedIn finds the ends of runs in a store; the cursor is the number of the last one, in the order
// in which runs were made. That will do for tests, whose runs end in that order.
func endedIn(ctx context.Context, s store.Store, cursor json.RawMessage, which trigger.RunEnd) ([]durable.Run, json.RawMessage, error) {
	var after int64
	if len(cursor) > 0 {
		if err := json.Unmarshal(cursor, &after); err != nil {
			return nil, nil, err
		}
	}
	stored, err := s.List(ctx, durable.Filter{Program: which.Program, Name: which.Name, Statuses: which.Statuses, After: after, Oldest: true})
	if err != nil {
		return nil, nil, err
	}
	var runs []durable.Run
	for _, r := range stored {
		runs, after = append(runs, journal.View(r)), r.N
	}
	return runs, json.RawMessage(fmt.Sprint(after)), nil
}

// open opens the house; its store dies at one commit, before or after that lands (0 = never).
func (h *house) open(at int, after bool) {
	h.t.Helper()
	inner, err := sqlite.Open(context.WithoutCancel(h.t.Context()), sqlite.Config{Dir: h.dir, ProcessDurability: true}) // nothing cuts the power here
	if err != nil {
		h.t.Fatal(err)
	}
	h.s = storetest.NewFaulty(inner, at, after)
	h.drives = h.programs()
	if h.e, err = embedded.New(context.WithoutCancel(h.t.Context()), embedded.Config{Store: h.s, Programs: h.drives, Queues: h.queues}); err != nil {
		h.t.Fatal(err)
	}
	close(h.there)
}

func (h *house) close() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.e.Close(ctx); err != nil {
		h.t.Error(err)
	}
	if err := h.s.Close(); err != nil {
		h.t.Error(err)
	}
}

// reopen is the next process, after a while.
func (h *house) reopen(after time.Duration) {
	h.t.Helper()
	h.close()
	<-time.After(after)
	h.open(0, false)
}

// start sets a trigger.
func (h *house) start(d trigger.Definition) durable.RunID {
	h.t.Helper()
	req, err := trigger.Request(d)
	if err != nil {
		h.t.Fatal(err)
	}
	id, err := h.e.Start(h.t.Context(), req)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *house) signal(id durable.RunID, name string, data any) {
	h.t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.e.Signal(h.t.Context(), id, durable.Signal{Name: name, Data: raw}); err != nil {
		h.t.Fatal(err)
	}
}

// started lists the runs that a trigger has started, oldest first.
func (h *house) started(id durable.RunID) []durable.Run {
	h.t.Helper()
	stored, err := h.s.List(h.t.Context(), durable.Filter{Parent: id, Oldest: true, Limit: 100_000})
	if err != nil {
		h.t.Fatal(err)
	}
	var runs []durable.Run
	for _, r := range stored {
		whole, err := h.e.Get(h.t.Context(), r.ID)
		if err != nil {
			h.t.Fatal(err)
		}
		runs = append(runs, whole)
	}
	return runs
}

// times are the moments at which runs were started, after a first one, in a short form.
func times(runs []durable.Run, since time.Time) []string {
	var list []string
	for _, r := range runs {
		list = append(list, r.Created.Sub(since).String())
	}
	return list
}

// jobs are the inputs that runs were given, which they return.
func jobs(t *testing.T, runs []durable.Run) []job {
	t.Helper()
	var list []job
	for _, r := range runs {
		var j job
		if err := json.Unmarshal(r.Output, &j); err != nil {
			t.Fatalf("run %s is %s with %q: %v", r.ID, r.Status, r.Output, err)
		}
		list = append(list, j)
	}
	return list
}

// view is what the journal of a trigger tells.
func (h *house) view(id durable.RunID) *trigger.View {
	h.t.Helper()
	j, err := journal.New(h.s)
	if err != nil {
		h.t.Fatal(err)
	}
	run, err := h.s.Run(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	pinned, err := j.Get(h.t.Context(), durable.Ref{Hash: run.Definition})
	if err != nil {
		h.t.Fatal(err)
	}
	entries, err := j.All(h.t.Context(), id, run.Start)
	if err != nil {
		h.t.Fatal(err)
	}
	v := trigger.NewView(id, pinned)
	for i := range entries {
		if err := j.Load(h.t.Context(), &entries[i]); err != nil {
			h.t.Fatal(err)
		}
		if err := v.See(&entries[i]); err != nil {
			h.t.Fatal(err)
		}
	}
	return v
}

// healthy wants a trigger that waits for what comes, and whose whole journal its program goes through
// again in the same way.
func (h *house) healthy(id durable.RunID) {
	h.t.Helper()
	synctest.Wait()
	run, err := h.e.Get(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	if run.Status != durable.Waiting && run.Status != durable.Running {
		h.t.Errorf("the trigger is %s: %s %v", run.Status, run.Reason, run.Error)
	}
	j, err := journal.New(h.s)
	if err != nil {
		h.t.Fatal(err)
	}
	row, err := h.s.Run(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	report, err := embedded.Replay(h.t.Context(), embedded.Source{Journal: j, Run: row}, h.drives)
	if err != nil {
		h.t.Fatal(err)
	}
	if report.Divergence != nil {
		h.t.Errorf("its journal does not replay: %s", report.Divergence.Text())
	}
}

// work is a definition that starts the program work.
func work(name string, on trigger.On, input string) trigger.Definition {
	return trigger.Definition{Name: name, On: on, Start: trigger.Start{Program: "work", Input: json.RawMessage(input)}}
}

// in runs a test in a bubble, in a house that is open.
func in(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	h := newHouse(t)
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		h.open(0, false)
		defer func() { h.close() }()
		test(t, h)
	})
}

// tight is a queue in which one run moves and two wait.
func tight() map[string]embedded.Queue {
	return map[string]embedded.Queue{"": {AtOnce: 1, Depth: 2}}
}

// wide is a queue in which as many may be as there are.
func wide(many int) map[string]embedded.Queue {
	return map[string]embedded.Queue{"": {Depth: 4 * many}}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
