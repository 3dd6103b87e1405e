package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/outfit"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/workflow"
)

// The tests play the workflows of the files in virtual time. What the tools of a file would do, Go
// functions do in their place: they have the names, the arguments and the effects that the file
// declares, and what they did is counted. cmd/orpine runs the files as they stand.

func load(t *testing.T, path string) *config.File {
	t.Helper()
	f, err := config.Load(filepath.FromSlash(path), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// flow is a workflow of a file without what its tools are made of.
func flow(t *testing.T, f *config.File, name string) *workflow.Definition {
	t.Helper()
	d, err := f.Workflow(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// planned is the workflow of an agent that plans, likewise.
func planned(t *testing.T, f *config.File, name string) *workflow.Definition {
	t.Helper()
	o, err := outfit.New(outfit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := o.Planned(f, name)
	if err != nil || d == nil {
		t.Fatalf("agent %s: %v, %v", name, d, err)
	}
	d.Hands.Declared = nil
	for who, a := range d.Agents {
		a.Declared = nil
		d.Agents[who] = a
	}
	return d
}

// hand is what a tool does in a test. n counts the calls with these arguments, from 1; one that a crash
// had made again is no other.
type hand func(ctx context.Context, n int, args map[string]any) (any, error)

// says is a hand that returns the same each time.
func says(v any) hand {
	return func(context.Context, int, map[string]any) (any, error) { return v, nil }
}

// takes is a hand that needs a while.
func takes(d time.Duration, do hand) hand {
	return func(ctx context.Context, n int, args map[string]any) (any, error) {
		select {
		case <-time.After(d):
			return do(ctx, n, args)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dies is a hand whose first process is killed before it does anything.
func dies(reached chan<- bool, do hand) hand {
	return func(ctx context.Context, n int, args map[string]any) (any, error) {
		if durable.AttemptOf(ctx).Epoch == 1 {
			reached <- true
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return do(ctx, n, args)
	}
}

// kill kills the process once that is reached.
func kill(e *orpinetest.Env, reached <-chan bool) {
	for len(reached) == 0 {
		time.Sleep(time.Millisecond)
	}
	e.Crash()
}

// world is what tools reach. It outlives every process of a play, and heeds keys: what was done under
// one is not done again.
type world struct {
	tools []tool.Tool

	mu   sync.Mutex
	asks map[string][]string // which commands of runs asked for a tool with some arguments
	kept map[string]tool.Result
	done []string // calls that succeeded, in order
}

// newWorld makes tools of a file out of hands.
func newWorld(t *testing.T, f *config.File, hands map[string]hand) *world {
	t.Helper()
	w := &world{asks: map[string][]string{}, kept: map[string]tool.Result{}}
	for name, do := range hands {
		declared, ok := f.Tools[name]
		spec := tool.Spec{Name: name, Description: declared.Description, Schema: declared.Input, Options: durable.StepOptions{Effect: declared.Effect}}
		if strings.HasPrefix(name, config.RunPrefix) { // the command of a step
			spec.Options.Effect = durable.Idempotent
		} else if !ok {
			t.Fatalf("the file has no tool %s", name)
		}
		if spec.Schema == nil {
			spec.Schema = json.RawMessage(`{"type":"object"}`)
		}
		spec.Options.Retry.Attempts = 1
		w.tools = append(w.tools, &standIn{w, spec, do})
	}
	slices.SortFunc(w.tools, func(a, b tool.Tool) int { return strings.Compare(a.Spec().Name, b.Spec().Name) })
	return w
}

// tries is how often a tool was called with some arguments, but for what a crash had called again.
func (w *world) tries(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asks[call])
}

// did is what was done by some tools, in order, each as its name and its arguments.
func (w *world) did(names ...string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, text := range w.done {
		if name, _, _ := strings.Cut(text, " "); slices.Contains(names, name) {
			list = append(list, text)
		}
	}
	return list
}

// standIn stands for a tool of a file.
type standIn struct {
	world *world
	spec  tool.Spec
	do    hand
}

// Spec implements tool.Tool.
func (s *standIn) Spec() tool.Spec { return s.spec }

// Call implements tool.Tool.
func (s *standIn) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	w, a := s.world, durable.AttemptOf(ctx)
	key, command := a.Key, fmt.Sprintf("%s/%d", a.Run, a.Command)
	var in map[string]any
	if err := json.Unmarshal(args, &in); err != nil {
		return tool.Result{}, err
	}
	what := s.spec.Name + " " + string(args)
	w.mu.Lock()
	result, again := w.kept[key]
	if !slices.Contains(w.asks[what], command) {
		w.asks[what] = append(w.asks[what], command)
	}
	n := 1 + slices.Index(w.asks[what], command)
	w.mu.Unlock()
	if again {
		return result, nil
	}
	out, err := s.do(ctx, n, in)
	if err != nil {
		return tool.Result{}, err
	}
	text, ok := out.(string)
	if !ok {
		data, err := json.Marshal(out)
		if err != nil {
			return tool.Result{}, err
		}
		text = string(data)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, again := w.kept[key]; !again {
		w.kept[key] = tool.Result{Content: text}
		w.done = append(w.done, what)
	}
	return w.kept[key], nil
}

// begin starts a run of a workflow with an input, of what is selected or of all.
func begin(t *testing.T, e *orpinetest.Env, d *workflow.Definition, input string, selected ...string) durable.RunID {
	t.Helper()
	req, err := workflow.Start(d, workflow.Input{Input: json.RawMessage(input), Select: selected})
	if err != nil {
		t.Fatal(err)
	}
	return e.StartAs(req)
}

// output is the output of a run that has succeeded, as JSON.
func output(t *testing.T, r durable.Run) string {
	t.Helper()
	if r.Status != durable.Succeeded {
		t.Fatalf("run %s is %s: %s %v", r.ID, r.Status, r.Reason, r.Error)
	}
	var out workflow.Outcome
	if err := json.Unmarshal(r.Output, &out); err != nil {
		t.Fatal(err)
	}
	return string(out.Output)
}

// statuses are those of the steps of a run, in the order of the file.
func statuses(e *orpinetest.Env, id durable.RunID) string {
	var list []string
	for _, n := range e.Progress(id).Nodes {
		list = append(list, fmt.Sprintf("%s:%s", n.ID, n.Status))
	}
	return strings.Join(list, " ")
}

// step is where a step of a run is.
func step(t *testing.T, e *orpinetest.Env, id durable.RunID, name string) workflow.NodeView {
	t.Helper()
	for _, n := range e.Progress(id).Nodes {
		if n.ID == name {
			return n
		}
	}
	t.Fatalf("there is no step %s", name)
	return workflow.NodeView{}
}

// same compares, and says what.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

// asked is what a run asks a person, once it does.
func asked(t *testing.T, e *orpinetest.Env, id durable.RunID) *durable.Interrupt {
	t.Helper()
	for range 600_000 { // ten minutes
		r := e.Settle(id)
		for _, w := range r.Waits {
			if w.Interrupt != nil {
				return w.Interrupt
			}
		}
		if r.Status.Final() {
			break
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("it asks nobody: %+v", e.Get(id))
	return nil
}
