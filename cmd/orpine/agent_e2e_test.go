package main_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/server/fakemodel"
)

// fake is a scripted model that a process of its own serves over loopback.
type fake struct {
	t      *testing.T
	root   string // its address
	client *http.Client
}

// serveFake starts orpine fake-model and stops it, as Ctrl-C does, when the test ends.
func serveFake(t *testing.T, script string) *fake {
	t.Helper()
	p := newPlace(t)
	path, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	url := make(chan string, 1)
	gone := make(chan struct{})
	pr := p.start(func(_ *process, line string) { url <- line }, nil, "fake-model", path, "--addr", "127.0.0.1:0")
	var o outcome
	go func() {
		defer close(gone)
		o = pr.wait()
	}()
	f := &fake{t: t, client: &http.Client{}}
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		_ = pr.cmd.Process.Signal(os.Interrupt) // if it is gone, its exit code says why
		if <-gone; o.code != 0 {
			t.Errorf("orpine fake-model: exit code %d\n%s", o.code, o.err)
		}
	})
	select {
	case line := <-url:
		f.root = strings.TrimSuffix(line, "/v1")
	case <-gone:
		t.Fatalf("orpine fake-model ended: %s", o.err)
	}
	return f
}

// env points both providers at the fake.
func (f *fake) env() []string {
	return []string{
		"OPENAI_BASE_URL=" + f.root + "/v1", "OPENAI_API_KEY=none",
		"ANTHROPIC_BASE_URL=" + f.root, "ANTHROPIC_API_KEY=none",
	}
}

// calls is what the fake was asked so far.
func (f *fake) calls() fakemodel.Calls {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.root+"/calls", http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	var calls fakemodel.Calls
	if err := errors.Join(json.NewDecoder(resp.Body).Decode(&calls), resp.Body.Close()); err != nil {
		f.t.Fatalf("GET /calls: %v", err)
	}
	return calls
}

// asked counts the requests by the number of messages they held.
func (f *fake) asked() map[int]int {
	f.t.Helper()
	n := map[int]int{}
	for _, c := range f.calls().Calls {
		n[c.Messages]++
	}
	return n
}

// seen is one line of -o jsonl: an event, or a delta where it has an offset, or at last
// the run itself.
type seen struct {
	Kind, Name, Step string
	Command, Attempt int
	Offset           *int
	Data             model.Delta
	Started, Until   time.Time
	Time             time.Time
	Status           string
	ID               string
	Output           json.RawMessage
	Error            *durable.Failure

	at time.Time // when the line came in
}

func (s *seen) delta() bool { return s.Offset != nil }

// stream takes the lines of -o jsonl as they come.
type stream struct {
	t  *testing.T
	mu sync.Mutex
	// all are the lines so far.
	all []seen
	on  func(*process, seen)
}

func (s *stream) line(pr *process, text string) {
	one := seen{at: time.Now()}
	if err := json.Unmarshal([]byte(text), &one); err != nil {
		s.t.Errorf("-o jsonl printed %q: %v", text, err)
	}
	s.mu.Lock()
	s.all = append(s.all, one)
	s.mu.Unlock()
	if s.on != nil {
		s.on(pr, one)
	}
}

// texts joins the text deltas of a step by its command, each time after a reset afresh.
func (s *stream) texts(command int) []string {
	list := []string{""}
	for _, one := range s.all {
		switch {
		case !one.delta() || one.Command != command:
		case one.Kind == durable.DeltaReset:
			list = append(list, "")
		case one.Kind == string(model.DeltaText):
			list[len(list)-1] += one.Data.Text
		}
	}
	return list
}

// find returns the first line that fits.
func (s *stream) find(what string, fits func(seen) bool) seen {
	s.t.Helper()
	i := slices.IndexFunc(s.all, fits)
	if i < 0 {
		s.t.Fatalf("-o jsonl has no %s", what)
	}
	return s.all[i]
}

// answer is the text that the run ends with.
func (s *stream) answer() string {
	s.t.Helper()
	ended := s.find("event ended", func(one seen) bool { return one.Kind == "ended" })
	if ended.Status != "succeeded" {
		s.t.Fatalf("the run %s: %v", ended.Status, ended.Error)
	}
	var output struct{ Text string }
	if err := json.Unmarshal(ended.Output, &output); err != nil {
		s.t.Fatalf("output %s: %v", ended.Output, err)
	}
	return output.Text
}

// wires are the two wire formats, by the model that makes the command speak them.
var wires = []struct{ name, model, path string }{
	{"openai", "openai/demo-1", "/v1/chat/completions"},
	{"anthropic", "anthropic/demo-1", "/v1/messages"},
}

// runAgent runs the agent of clerk.yaml on a text.
func runAgent(t *testing.T, p *place, modelName, text string) *stream {
	t.Helper()
	s := &stream{t: t}
	o := p.start(s.line, nil, "run", "-o", "jsonl", "--model", modelName, clerk(t), text).wait()
	if o.code != 0 {
		t.Fatalf("orpine run: exit code %d\n%s", o.code, o.err)
	}
	return s
}

func clerk(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("testdata/e2e/clerk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *place) steps() []durable.Step {
	p.t.Helper()
	var steps []durable.Step
	p.decode(&steps, "steps", "@last", "-o", "json")
	slices.SortFunc(steps, func(a, b durable.Step) int { return cmp.Compare(a.Command, b.Command) })
	return steps
}

// TestRunStreams runs an agent that asks two tools at once and streams its answer.
func TestRunStreams(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		t.Run(wire.name, func(t *testing.T) {
			t.Parallel()
			f := serveFake(t, "testdata/e2e/replies.yaml")
			p := newPlace(t, f.env()...)
			s := runAgent(t, p, wire.model, "revenue of January")

			const want = "The revenue of January was 42.00, and both tools were asked."
			if got := s.answer(); got != want {
				t.Errorf("the answer is %q, want %q", got, want)
			}
			if got := s.texts(3); len(got) != 1 || got[0] != want {
				t.Errorf("the streamed pieces of the answer are %q, want %q", got, want)
			}
			piece := s.find("piece of the answer", func(one seen) bool { return one.delta() && one.Command == 3 && one.Kind == "text" })
			done := s.find("end of the answer", func(one seen) bool { return one.Kind == "done" && one.Command == 3 })
			if took := done.at.Sub(piece.at); took < 100*time.Millisecond { // 12 pieces of 20 ms each
				t.Errorf("the first piece came %s before the end: it was not streamed", took)
			}
			checkCalls(t, p)
			calls := f.calls()
			if calls.Count != 2 {
				t.Errorf("the model was asked %d times, want 2", calls.Count)
			}
			for _, c := range calls.Calls {
				if c.Path != wire.path || !c.Stream || !c.Authorized || c.Status != http.StatusOK {
					t.Errorf("the model was asked as %+v", c)
				}
			}
		})
	}
}

// checkCalls looks for each model and tool call once in the journal, and for the two
// tools at work at once.
func checkCalls(t *testing.T, p *place) {
	t.Helper()
	steps := p.steps()
	var names []string
	for _, s := range steps {
		names = append(names, s.Name)
		if s.Status != durable.StepDone || s.Attempt != 1 || s.Error != nil {
			t.Errorf("step %s is %s, attempt %d, error %v", s.Name, s.Status, s.Attempt, s.Error)
		}
	}
	if want := []string{"model", "sales", "clock", "model"}; !slices.Equal(names, want) {
		t.Fatalf("the journal has steps %v, want %v", names, want)
	}
	sales, clock := steps[1], steps[2]
	if !clock.Started.Before(sales.Ended) || !sales.Started.Before(clock.Ended) {
		t.Errorf("sales ran from %s to %s, clock from %s to %s: not at once", sales.Started, sales.Ended, clock.Started, clock.Ended)
	}
}

// TestRunRetries runs an agent on a model that fails in all the ways in which it is
// asked again.
func TestRunRetries(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, say, answer string
		attempts          int
		wait              time.Duration // before the next attempt, at least
		streamed          []string      // the text of each attempt that sent any
	}{
		{"429 with Retry-After", "overloaded", "Here I am again.", 2, time.Second, []string{"", "Here I am again."}},
		{"500 twice", "broken", "Whole again.", 3, 500 * time.Millisecond, []string{"", "", "Whole again."}},
		{"a stream that is cut", "cut", "This is the answer.", 2, 0, []string{"This will ne", "This is the answer."}},
	}
	for _, wire := range wires {
		for _, tt := range tests {
			t.Run(wire.name+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				f := serveFake(t, "testdata/e2e/replies.yaml")
				p := newPlace(t, f.env()...)
				s := runAgent(t, p, wire.model, tt.say)
				if got := s.answer(); got != tt.answer {
					t.Errorf("the answer is %q, want %q", got, tt.answer)
				}
				if got := s.texts(0); !slices.Equal(got, tt.streamed) {
					t.Errorf("each attempt streamed %q, want %q", got, tt.streamed)
				}
				if steps := p.steps(); len(steps) != 1 || steps[0].Attempt != tt.attempts || steps[0].Status != durable.StepDone {
					t.Errorf("steps are %+v, want one that is done in attempt %d", steps, tt.attempts)
				}
				if got := f.calls().Count; got != tt.attempts {
					t.Errorf("the model was asked %d times, want %d", got, tt.attempts)
				}
				checkWaits(t, s, tt.attempts, tt.wait)
			})
		}
	}
}

// checkWaits holds each failed attempt against the start of the next.
func checkWaits(t *testing.T, s *stream, attempts int, least time.Duration) {
	t.Helper()
	var failed, begun []seen
	for _, one := range s.all {
		switch {
		case one.Kind == "attempt" && !one.delta():
			failed = append(failed, one)
		case one.Kind == durable.DeltaBegun && one.delta() && one.Attempt > 1: // the first may begin before anybody watches
			begun = append(begun, one)
		}
	}
	if len(failed) != attempts-1 || len(begun) != attempts-1 {
		t.Fatalf("%d attempts failed, %d more begun; want %d of each", len(failed), len(begun), attempts-1)
	}
	for i, f := range failed {
		if f.Error == nil || f.Attempt != i+1 {
			t.Errorf("attempt %d is told as %+v", i+1, f)
		}
		const slack = 50 * time.Millisecond // between the answer, its entry, and the line that tells of it
		if planned := f.Until.Sub(f.Time); planned < least-slack {
			t.Errorf("the wait after attempt %d is planned as %s, want %s", i+1, planned, least)
		}
		if waited := begun[i].at.Sub(f.at); waited < least-slack {
			t.Errorf("attempt %d began %s after the one before had failed, want at least %s", i+2, waited, least)
		}
	}
}

const story = "It is a long story of $42.00 that is told in many small pieces, one after the other."

// interrupted starts the agent and does something to its process once its answer has
// begun to stream.
func interrupted(t *testing.T, p *place, modelName string, do func(*process)) (outcome, *stream) {
	t.Helper()
	var once sync.Once
	s := &stream{t: t, on: func(pr *process, one seen) {
		if one.delta() && one.Command == 3 && one.Kind == "text" && one.Data.Text != "" {
			once.Do(func() { do(pr) })
		}
	}}
	return p.start(s.line, nil, "run", "-o", "jsonl", "--model", modelName, clerk(t), "slow please").wait(), s
}

// TestRunKilled kills the process while the model speaks; another one finishes the run
// and asks nobody again who has answered.
func TestRunKilled(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		t.Run(wire.name, func(t *testing.T) {
			t.Parallel()
			f := serveFake(t, "testdata/e2e/replies.yaml")
			p := newPlace(t, f.env()...)
			o, before := interrupted(t, p, wire.model, (*process).kill)
			if !o.killed {
				t.Fatalf("the process was not killed: exit code %d\n%s", o.code, o.err)
			}
			if got := strings.Join(before.texts(3), ""); got == "" || !strings.HasPrefix(story, got) || got == story {
				t.Fatalf("before the kill %q was streamed; want a part of the answer", got)
			}
			after := &stream{t: t}
			if o := p.start(after.line, nil, "wait", "@last", "-o", "jsonl").wait(); o.code != 0 {
				t.Fatalf("orpine wait: exit code %d\n%s", o.code, o.err)
			}
			if got := after.answer(); got != story {
				t.Errorf("the answer is %q, want %q", got, story)
			}
			// A reset before it may be missed by who watches from now on: nothing is void for them.
			if got := after.texts(3); strings.Join(got, "") != story || got[len(got)-1] != story {
				t.Errorf("after the kill %q was streamed, want %q", got, story)
			}
			checkCalls(t, p)
			first := func(a, b fakemodel.Call) int { return cmp.Compare(a.Messages, b.Messages) }
			calls := f.calls().Calls
			slices.SortStableFunc(calls, first)
			asked := f.asked()
			if least := calls[0].Messages; len(asked) != 2 || asked[least] != 1 || asked[calls[len(calls)-1].Messages] != 2 {
				t.Errorf("the model was asked %v (messages: times); want the first turn once and the second, cut one twice", asked)
			}
			for _, s := range recordedIn(t, p) {
				if want := map[bool]int64{true: 1, false: 2}[s.Command < 3]; s.Epoch != want {
					t.Errorf("%s, command %d, is recorded in epoch %d, want %d", s.Name, s.Command, s.Epoch, want)
				}
			}
		})
	}
}

// recordedIn lists the ends of steps in the journal of the last run.
func recordedIn(t *testing.T, p *place) []durable.Entry {
	t.Helper()
	entries := readLines[durable.Entry](t, p.ok("logs", "@last", "-o", "jsonl"))
	return slices.DeleteFunc(entries, func(e durable.Entry) bool { return e.Kind != durable.EntryDone })
}

// TestRunDetached interrupts the process while the model speaks: it says how to go on,
// and who does finds the run unharmed.
func TestRunDetached(t *testing.T) {
	t.Parallel()
	f := serveFake(t, "testdata/e2e/replies.yaml")
	p := newPlace(t, f.env()...)
	o, _ := interrupted(t, p, "openai/demo-1", func(pr *process) {
		if err := pr.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("interrupt: %v", err)
		}
	})
	if o.code != 130 || o.killed {
		t.Fatalf("after Ctrl-C: exit code %d, want 130\n%s", o.code, o.err)
	}
	if !strings.Contains(o.err, "detached") || !strings.Contains(o.err, "orpine wait ") {
		t.Errorf("after Ctrl-C there is no word on how to go on:\n%s", o.err)
	}
	var runs []durable.Run
	if p.decode(&runs, "ps", "-o", "json"); len(runs) != 1 || runs[0].Status.Final() || runs[0].Status == durable.Blocked {
		t.Fatalf("after Ctrl-C the runs are %+v, want one that can go on", runs)
	}
	if got := strings.TrimSpace(p.ok("wait", "@last")); got != story {
		t.Errorf("the answer is %q, want %q", got, story)
	}
	checkCalls(t, p)
	if got := f.calls().Count; got != 3 {
		t.Errorf("the model was asked %d times, want 3: the interrupted turn twice", got)
	}
}
