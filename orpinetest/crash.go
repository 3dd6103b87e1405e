package orpinetest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
)

// CrashAfterEveryStep plays a test undisturbed, and then with a crash at each write of the
// journal, before it and after it. Each time it must come to the same: the status, output and error
// of every run, their steps, the effects in their order, and the calls of irreversible steps. So
// compensations happen in order and once, wherever the process dies.
//
// The configuration is made for each play, so that what stubs remember begins anew; what they remember
// outlives the crash, as the world outside does. An irreversible step that has no Reconcile gets one that
// knows what happened.
func CrashAfterEveryStep(t *testing.T, config func() Config, test func(t *testing.T, e *Env)) {
	t.Helper()
	calm := play(t, config(), &calls{reconcile: true}, point{}, test)
	if t.Failed() {
		return
	}
	died, tried := 0, 0
	for at := 1; at <= calm.commits; at++ {
		for _, after := range []bool{false, true} {
			tried++
			p := point{at, after}
			t.Run(p.String(), func(t *testing.T) {
				got := play(t, config(), &calls{reconcile: true}, p, test)
				if t.Failed() {
					return
				}
				if got.lives > calm.lives {
					died++
				}
				if diff := difference(calm.lines, got.lines); diff != "" {
					t.Errorf("a crash %s came to something else (- undisturbed, + after the crash):\n%s", p, diff)
				}
			})
		}
	}
	t.Logf("%d crash points of %d were reached", died, tried)
	if died == 0 {
		t.Error("no process died: the test shows nothing")
	}
}

// tale is what a play came to.
type tale struct {
	lines   []string
	commits int // of the first process, up to here
	lives   int
}

// tell waits until nothing moves, and says what there is. Every journal must replay.
func (e *Env) tell() *tale {
	e.t.Helper()
	for _, id := range e.started {
		e.Settle(id)
	}
	told := &tale{lives: e.Lives(), commits: e.commits}
	if told.lives == 1 {
		told.commits = e.life.Load().store.asked()
	}
	paths := map[durable.RunID]string{}
	for _, s := range e.list() {
		path := string(s.ID)
		if s.Parent != "" { // its ID is another each time
			path = fmt.Sprintf("%s/%d.%s", paths[s.Parent], s.Command, cmp.Or(s.Name, s.Program))
		}
		paths[s.ID] = path
		e.replays(s.ID)
		r, steps := e.journal(s.ID)
		told.lines = append(told.lines, fmt.Sprintf("run %s: %s %s %s%s", path, r.Status, r.Reason, r.Output, failed(r.Error)))
		for _, step := range steps {
			told.lines = append(told.lines, fmt.Sprintf("run %s step %s: %s", path, step.StepID(), e.describe(s.ID, &step)))
		}
	}
	effects := e.Effects()
	if e.cfg.AnyOrder {
		for i, line := range told.lines { // numbers are given in the order in which steps are asked for
			if head, text, ok := strings.Cut(line, " step "); ok {
				_, text, _ = strings.Cut(text, ": ")
				told.lines[i] = head + " step: " + text
			}
		}
		slices.Sort(told.lines)
		slices.Sort(effects)
	}
	for _, name := range effects {
		told.lines = append(told.lines, "effect "+name)
	}
	return told
}

// describe says of a step what must be the same each time.
func (e *Env) describe(run durable.RunID, s *durable.Step) string {
	line := fmt.Sprintf("%s %s is %s", s.Kind, s.Name, s.Status)
	if s.Kind != durable.CommandChild {
		line += " " + string(s.Out) + failed(s.Error)
	}
	if s.Effect == durable.Irreversible {
		key := fmt.Sprintf("%s/%d/%d", run, s.Segment, s.Command)
		line += fmt.Sprintf(", called %d times", e.calls.of("", key))
	}
	return line
}

func failed(f *durable.Failure) string {
	if f == nil {
		return ""
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err.Error()
	}
	return " " + string(text)
}

// journal reads a run and its steps.
func (e *Env) journal(id durable.RunID) (r durable.Run, steps []durable.Step) {
	e.t.Helper()
	err := e.do(func(l *life) (err error) {
		if r, err = l.engine.Get(context.Background(), id); err != nil {
			return err
		}
		entries, err := l.engine.Journal().All(context.Background(), id, 0)
		steps = journal.Steps(entries, r.Waits)
		return err
	})
	e.must("read run "+string(id), err)
	return r, steps
}

// replays wants the programs to go through the journal of a run again.
func (e *Env) replays(id durable.RunID) {
	e.t.Helper()
	var report embedded.Report
	err := e.do(func(l *life) error {
		s, err := l.store.Run(context.Background(), id)
		if err != nil {
			return err
		}
		report, err = embedded.Replay(context.Background(), embedded.Source{Journal: l.engine.Journal(), Run: s}, e.programs)
		return err
	})
	if err != nil {
		e.t.Errorf("run %s does not replay: %v", id, err)
	}
	if report.Divergence != nil {
		e.t.Errorf("run %s is not deterministic: %s", id, report.Divergence.Text())
	}
}

// difference shows where two lists part, "" if they do not.
func difference(want, got []string) string {
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	if i == len(want) && i == len(got) {
		return ""
	}
	var b strings.Builder
	const shown = 8
	for _, side := range []struct {
		sign  string
		lines []string
	}{{" ", want[max(0, i-2):i]}, {"-", want[i:]}, {"+", got[i:]}} {
		for _, line := range side.lines[:min(shown, len(side.lines))] {
			fmt.Fprintf(&b, "%s %s\n", side.sign, line)
		}
	}
	return b.String()
}
