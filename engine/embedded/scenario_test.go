package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// ledger counts how often each effect happened, outside of the journal.
type ledger struct {
	mu     sync.Mutex
	count  map[string]int
	epochs map[string][]int64 // of the executions, by the key of the step
	dies   chan struct{}      // closed when the process of now is to die
}

// process returns what is closed when the process of now is to die.
func (l *ledger) process() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dies == nil {
		l.dies = make(chan struct{})
	}
	return l.dies
}

// die lets go of steps that nothing else ends.
func (l *ledger) die() {
	l.process()
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.dies)
	l.dies = nil
}

func (l *ledger) add(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.count = map[string]int{}
	}
	l.count[what]++
}

// ran counts an execution of a step.
func (l *ledger) ran(ctx context.Context, what string) {
	l.add(what)
	a := durable.AttemptOf(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epochs == nil {
		l.epochs = map[string][]int64{}
	}
	l.epochs[a.Key] = append(l.epochs[a.Key], a.Epoch)
}

func (l *ledger) times(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[what]
}

const (
	mainRun   = durable.RunID("main-run")
	secondRun = durable.RunID("second-run") // waits in the same queue, in which one runs at once
)

// comesTo is the output of the main run.
const comesTo = `["did one","did two","did three","did four","b","a","did mail","did wire","busy","kid and did leaf","yes"]`

// bounds are the limits and queues of the scenario.
func bounds(s store.Store, programs []durable.Program) embedded.Config {
	return embedded.Config{
		Store: s, Programs: programs,
		Limits: map[string]embedded.Limit{"api": {Count: 1_000_000, Burst: 1, AtOnce: 1}},
		Queues: map[string]embedded.Queue{"narrow": {AtOnce: 1}},
	}
}

// scenario is a program that uses everything an engine offers: steps in a row and at
// once, a retry, a rate limit, a heartbeat, a bound on a step as a whole, irreversible
// steps with and without somebody to ask, timers, signals that are carried into a second
// segment, a question, a tree of children, a coroutine, and a queue for one run at once.
func scenario(l *ledger) []durable.Program {
	w := newWork(l)
	leaf := durable.NewProgram("leaf", func(ctx durable.Context, name string) (string, error) {
		return durable.Do(ctx, w.work, name)
	})
	child := durable.NewProgram("child", func(ctx durable.Context, name string) (string, error) {
		var grown string
		err := ctx.Child(durable.ChildCall{Program: "leaf", Input: json.RawMessage(`"leaf"`)}).Get(ctx, &grown)
		return name + " and " + grown, err
	})
	main := durable.NewProgram("main", func(ctx durable.Context, seen []string) ([]string, error) {
		if len(seen) == 0 {
			return w.first(ctx)
		}
		return w.second(ctx, seen)
	}, w.steps()...)
	return []durable.Program{main, child, leaf, durable.NewProgram("second", func(ctx durable.Context, _ int) (string, error) {
		return durable.Do(ctx, w.work, "beside")
	})}
}

// work is the step functions of the scenario.
type work struct{ work, flaky, beats, bound, mail, wire durable.Func[string, string] }

func newWork(l *ledger) *work {
	did := func(ctx context.Context, name string) (string, error) {
		l.ran(ctx, name)
		return "did " + name, nil
	}
	// firstFails fails its first attempt, as fail says.
	firstFails := func(fail func(context.Context) error) func(context.Context, string) (string, error) {
		return func(ctx context.Context, name string) (string, error) {
			l.ran(ctx, name)
			if durable.AttemptOf(ctx).Number == 1 {
				return "", fail(ctx)
			}
			return "did " + name, nil
		}
	}
	busy := func(context.Context) error { return durable.Errorf(durable.CodeUnavailable, "busy") }
	silent := func(ctx context.Context) error {
		<-ctx.Done()
		return durable.Errorf(durable.CodeUnavailable, "silent")
	}
	quick := durable.Retry{Attempts: 3, Backoff: time.Microsecond}
	w := &work{
		work:  durable.NewFunc("work", durable.StepOptions{Limit: "api"}, did),
		flaky: durable.NewFunc("flaky", durable.StepOptions{Retry: quick}, firstFails(busy)),
		beats: durable.NewFunc("beats", durable.StepOptions{Retry: quick, Heartbeat: time.Millisecond}, firstFails(silent)),
		bound: durable.NewFunc("bound", durable.StepOptions{Within: time.Minute, Retry: durable.Retry{Backoff: time.Hour, Max: time.Hour}}, firstFails(busy)),
		mail:  durable.NewFunc("mail", durable.StepOptions{Effect: durable.Irreversible}, did),
		wire:  durable.NewFunc("wire", durable.StepOptions{Effect: durable.Irreversible, Limit: "api"}, did),
	}
	w.wire.Reconcile = func(context.Context, json.RawMessage) (durable.Outcome, error) {
		return durable.Outcome{Happened: l.times("wire") > 0, Output: json.RawMessage(`"did wire"`)}, nil
	}
	return w
}

func (w *work) steps() (all []durable.StepFunc) {
	for _, f := range []durable.Func[string, string]{w.work, w.flaky, w.beats, w.bound, w.mail, w.wire} {
		all = append(all, f.StepFunc)
	}
	return all
}

// first is the first segment; the words that come before the signal go are carried.
func (w *work) first(ctx durable.Context) ([]string, error) {
	one, err := durable.Do(ctx, w.work, "one")
	if err != nil {
		return nil, err
	}
	two, three := durable.Start(ctx, w.work, "two"), durable.Start(ctx, w.flaky, "three")
	var four string
	end := ctx.Go("four", func(ctx durable.Context) error {
		var err error
		four, err = durable.Do(ctx, w.beats, "four")
		return err
	})
	a, errA := two.Await(ctx)
	b, errB := three.Await(ctx)
	if err := errors.Join(errA, errB, end.Get(ctx, nil), durable.Sleep(ctx, time.Microsecond), ctx.Inbox("go").Receive(ctx, nil)); err != nil {
		return nil, err
	}
	state, err := json.Marshal([]string{one, a, b, four})
	if err != nil {
		return nil, err
	}
	return nil, durable.Continue(state)
}

func (w *work) second(ctx durable.Context, seen []string) ([]string, error) {
	kid := ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage(`"kid"`)})
	sent, err := durable.Do(ctx, w.mail, "mail")
	if err != nil {
		return nil, err
	}
	wired, err := durable.Do(ctx, w.wire, "wire")
	if err != nil {
		return nil, err
	}
	_, late := durable.Do(ctx, w.bound, "bound")
	var grown, said string
	if err := kid.Get(ctx, &grown); err != nil {
		return nil, err
	}
	for range 2 {
		word, err := durable.Receive[string](ctx, "word")
		if err != nil {
			return nil, err
		}
		seen = append(seen, word)
	}
	err = ctx.Ask(durable.Interrupt{ID: "ok", Prompt: "ok?"}).Get(ctx, &said)
	return append(seen, sent, wired, fmt.Sprint(late), grown, said), err
}

// play brings the scenario as far as it gets: to its end, or to the crash.
func play(ctx context.Context, e *embedded.Engine) (durable.Run, error) {
	for id, program := range map[durable.RunID]string{mainRun: "main", secondRun: "second"} {
		_, err := e.Start(ctx, durable.StartRequest{ID: id, Program: program, Queue: "narrow"})
		if err != nil && !errors.Is(err, durable.ErrConflict) {
			return durable.Run{}, err
		}
	}
	if err := speak(ctx, e); err != nil {
		return durable.Run{}, err
	}
	var since time.Time
	for {
		r, err := e.Settle(ctx, mainRun, since)
		if err != nil {
			return r, err
		}
		if r.Status != durable.Waiting {
			if second, err := e.Wait(ctx, secondRun); err != nil || second.Status != durable.Succeeded {
				return second, err
			}
			return r, nil
		}
		since = r.Updated
		for _, w := range r.Waits {
			switch w.Kind {
			case durable.WaitAnswer:
				err = e.Answer(ctx, mainRun, "ok", json.RawMessage(`"yes"`))
			case durable.WaitInDoubt: // a person looks, and says that it was sent
				err = e.Resolve(ctx, mainRun, w.Command, durable.Resolution{Done: json.RawMessage(`"did mail"`)})
			default:
			}
			if err != nil && !errors.Is(err, durable.ErrConflict) {
				return r, err
			}
		}
	}
}

// speak sends the signals that the journal does not have yet.
func speak(ctx context.Context, e *embedded.Engine) error {
	entries, err := e.Journal().All(ctx, mainRun, 0)
	if err != nil {
		return err
	}
	for _, s := range []durable.Signal{{Name: "word", Data: json.RawMessage(`"b"`)}, {Name: "word", Data: json.RawMessage(`"a"`)}, {Name: "go"}} {
		if slices.ContainsFunc(entries, func(e durable.Entry) bool {
			return e.Kind == durable.EntrySignal && e.Name == s.Name && string(e.Input) == string(s.Data)
		}) {
			continue
		}
		if err := e.Signal(ctx, mainRun, s); err != nil && !errors.Is(err, durable.ErrConflict) {
			return err
		}
	}
	return nil
}

// normal is a journal without what may differ between two honest histories: times,
// take-overs, run IDs, the order of what happened at once, what was in doubt until
// somebody was asked and knew that it had not happened, and how often a cancel was passed on.
func normal(entries []durable.Entry) []string {
	segment := 0
	var lines []string
	for _, e := range entries {
		switch e.Kind {
		case durable.EntryClaimed:
			continue
		case durable.EntryContinued:
			segment = e.Segment
		case durable.EntryAttempt:
			if strings.HasPrefix(e.Error.Message, "in doubt; reconciled") {
				continue
			}
		default:
		}
		if e.Kind == durable.EntryIntent && slices.ContainsFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, fmt.Sprintf("%d/%d intent ", segment, e.Command))
		}) {
			continue
		}
		line := fmt.Sprintf("%d/%d %s %s %s in=%s out=%s err=%v", segment, e.Command, e.Kind, e.Name, e.Status, e.Input, e.Output, e.Error)
		if e.Kind == durable.EntrySignal {
			line = fmt.Sprintf("signal %s %s", e.Name, e.Input) // may come at any moment
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return slices.CompactFunc(lines, func(a, b string) bool { // a child that is given up ends twice: for who gave it up, and in truth
		return a == b && (strings.Contains(a, " cancel ") || strings.Contains(a, " childdone "))
	})
}

// family is the journals of all runs, by what is in them.
func family(t *testing.T, s store.Store) [][]string {
	t.Helper()
	var journals [][]string
	for _, entries := range entriesOf(t, s) {
		journals = append(journals, normal(entries))
	}
	slices.SortFunc(journals, slices.Compare[[]string])
	return journals
}

func entriesOf(t *testing.T, s store.Store) map[durable.RunID][]durable.Entry {
	t.Helper()
	j, err := journal.New(s)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := s.List(t.Context(), durable.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	all := map[durable.RunID][]durable.Entry{}
	for _, r := range runs {
		if all[r.ID], err = j.All(t.Context(), r.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// repeated names the steps that were executed in a later epoch than the one that
// recorded their result.
func (l *ledger) repeated(all map[durable.RunID][]durable.Entry) (keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, entries := range all {
		segment := 0
		for _, e := range entries {
			if e.Kind == durable.EntryContinued {
				segment = e.Segment
			}
			if e.Kind != durable.EntryDone {
				continue
			}
			key := fmt.Sprintf("%s/%d/%d", id, segment, e.Command)
			for _, epoch := range l.epochs[key] {
				if epoch > e.Epoch {
					keys = append(keys, fmt.Sprintf("%s %s, recorded in epoch %d, ran in %d", key, e.Name, e.Epoch, epoch))
				}
			}
		}
	}
	return keys
}
