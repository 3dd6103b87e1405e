package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/storetest"
)

// ledger counts how often each effect happened, outside of the journal.
type ledger struct {
	mu    sync.Mutex
	count map[string]int
}

func (l *ledger) add(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.count = map[string]int{}
	}
	l.count[what]++
}

// scenario is a program that uses everything an engine offers: steps in a row and
// at once, a retry, an irreversible step, a timer, a signal, a question, a child, a
// coroutine and a second segment.
func scenario(l *ledger) []durable.Program {
	work := durable.NewFunc("work", durable.StepOptions{}, func(_ context.Context, name string) (string, error) {
		l.add(name)
		return "did " + name, nil
	})
	flaky := durable.NewFunc("flaky", durable.StepOptions{Retry: durable.Retry{Attempts: 3, Backoff: time.Microsecond}},
		func(ctx context.Context, name string) (string, error) {
			l.add(name)
			if durable.AttemptOf(ctx).Number == 1 {
				return "", durable.Errorf(durable.CodeUnavailable, "busy")
			}
			return "did " + name, nil
		})
	mail := durable.NewFunc("mail", durable.StepOptions{Effect: durable.Irreversible}, func(_ context.Context, name string) (string, error) {
		l.add(name)
		return "sent " + name, nil
	})
	child := durable.NewProgram("child", func(ctx durable.Context, name string) (string, error) {
		return durable.Do(ctx, work, name)
	})
	main := durable.NewProgram("main", func(ctx durable.Context, seen []string) ([]string, error) {
		if len(seen) == 0 {
			return first(ctx, work, flaky)
		}
		kid := ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage(`"kid"`)})
		sent, err := durable.Do(ctx, mail, "mail")
		if err != nil {
			return nil, err
		}
		var grown, said string
		if err := kid.Get(ctx, &grown); err != nil {
			return nil, err
		}
		word, err := durable.Receive[string](ctx, "word")
		if err != nil {
			return nil, err
		}
		err = ctx.Ask(durable.Interrupt{ID: "ok", Prompt: "ok?"}).Get(ctx, &said)
		return append(seen, sent, grown, word, said), err
	}, work.StepFunc, flaky.StepFunc, mail.StepFunc)
	return []durable.Program{main, child}
}

func first(ctx durable.Context, work, flaky durable.Func[string, string]) ([]string, error) {
	one, err := durable.Do(ctx, work, "one")
	if err != nil {
		return nil, err
	}
	two, three := durable.Start(ctx, work, "two"), durable.Start(ctx, flaky, "three")
	var four string
	end := ctx.Go("four", func(ctx durable.Context) error {
		var err error
		four, err = durable.Do(ctx, work, "four")
		return err
	})
	a, errA := two.Await(ctx)
	b, errB := three.Await(ctx)
	if err := errors.Join(errA, errB, end.Get(ctx, nil), durable.Sleep(ctx, time.Microsecond)); err != nil {
		return nil, err
	}
	state, err := json.Marshal([]string{one, a, b, four})
	if err != nil {
		return nil, err
	}
	return nil, durable.Continue(state)
}

const mainRun = durable.RunID("main-run")

// play brings the scenario as far as it gets: to its end, or to the crash.
func play(ctx context.Context, e *embedded.Engine) (durable.Run, error) {
	_, err := e.Start(ctx, durable.StartRequest{ID: mainRun, Program: "main"})
	if err != nil && !errors.Is(err, durable.ErrConflict) {
		return durable.Run{}, err
	}
	if entries, err := e.Journal().All(ctx, mainRun, 0); err != nil {
		return durable.Run{}, err
	} else if !slices.ContainsFunc(entries, func(e durable.Entry) bool { return e.Kind == durable.EntrySignal }) {
		if err := e.Signal(ctx, mainRun, durable.Signal{Name: "word", Data: json.RawMessage(`"word"`)}); err != nil {
			return durable.Run{}, err
		}
	}
	var since time.Time
	for {
		r, err := e.Settle(ctx, mainRun, since)
		if err != nil || r.Status != durable.Waiting {
			return r, err
		}
		since = r.Updated
		for _, w := range r.Waits {
			switch w.Kind {
			case durable.WaitAnswer:
				err = e.Answer(ctx, mainRun, "ok", json.RawMessage(`"yes"`))
			case durable.WaitInDoubt: // a person looks, sees that it was not sent, and says so
				err = e.Resolve(ctx, mainRun, w.Command, embedded.Resolution{Done: json.RawMessage(`"sent mail"`)})
			default:
			}
			if err != nil && !errors.Is(err, durable.ErrConflict) {
				return r, err
			}
		}
	}
}

// normal is a journal without what may differ between two honest histories: times,
// take-overs, run IDs, and the order of what happened at once.
func normal(entries []durable.Entry) []string {
	segment := 0
	var lines []string
	for _, e := range entries {
		switch e.Kind {
		case durable.EntryClaimed:
			continue
		case durable.EntryContinued:
			segment = e.Segment
		default:
		}
		line := fmt.Sprintf("%d/%d %s %s %s in=%s out=%s err=%v", segment, e.Command, e.Kind, e.Name, e.Status, e.Input, e.Output, e.Error)
		if e.Kind == durable.EntrySignal {
			line = fmt.Sprintf("signal %s %s", e.Name, e.Input) // may come at any moment
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func family(t *testing.T, s store.Store) [][]string {
	t.Helper()
	j, err := journal.New(s)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := s.List(t.Context(), store.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var journals [][]string
	for _, r := range slices.Backward(runs) {
		entries, err := j.All(t.Context(), r.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		journals = append(journals, normal(entries))
	}
	return journals
}

// TestCrashEverywhere kills the store at every commit of the scenario, before and
// after it lands, then at every commit of the recovery, and wants the same journal
// and the same effects each time.
func TestCrashEverywhere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var calm ledger
	s := storetest.NewFaulty(openStore(t, t.TempDir()), 0, false)
	e := openEngine(t, s, scenario(&calm)...)
	r, err := play(ctx, e)
	if err != nil || r.Status != durable.Succeeded {
		t.Fatal(r.Status, r.Reason, r.Error, err)
	}
	want, output, commits := family(t, s), string(r.Output), s.Commits()
	closeEngine(t, e, s)

	points := 0
	for _, after := range []bool{false, true} {
		for at := 1; at <= commits; at++ {
			for _, again := range []int{0, 1, 2, 3} { // the recovery crashes too, at its n-th commit
				points++
				crash(ctx, t, want, output, at, after, again)
			}
		}
	}
	t.Logf("%d crash points: %d commits, before and after, each with 4 recoveries", points, commits)
}

func crash(ctx context.Context, t *testing.T, want [][]string, output string, at int, after bool, again int) {
	t.Helper()
	name := fmt.Sprintf("commit %d, after=%v, recovery crash %d", at, after, again)
	dir := t.TempDir()
	var l ledger
	faults := []int{at, again, 0}
	if again == 0 {
		faults = []int{at, 0}
	}
	for i, fault := range faults {
		s := storetest.NewFaulty(openStore(t, dir), fault, after)
		e := openEngine(t, s, scenario(&l)...)
		r, err := play(ctx, e)
		if i < len(faults)-1 {
			if err == nil && r.Status != durable.Succeeded {
				t.Errorf("%s: the run is %s without an error", name, r.Status)
			}
			closeEngine(t, e, s)
			continue
		}
		if err != nil || r.Status != durable.Succeeded || string(r.Output) != output {
			t.Errorf("%s: the run is %s (%s) with %s, error %v", name, r.Status, r.Reason, r.Output, err)
		}
		if diff := cmp.Diff(want, family(t, s)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		closeEngine(t, e, s)
	}
	if l.count["mail"] != 1 && l.count["mail"] != 0 {
		t.Errorf("%s: the irreversible step ran %d times", name, l.count["mail"])
	}
}
