package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
)

// verbs are what can be done to a run from outside.
var verbs = []struct {
	name string
	do   func(context.Context, *embedded.Engine) error
}{
	{"send", func(ctx context.Context, e *embedded.Engine) error {
		return e.Signal(ctx, "r", durable.Signal{Name: "word", Data: []byte(`"hello"`)})
	}},
	{"answer", func(ctx context.Context, e *embedded.Engine) error { return e.Answer(ctx, "r", "q", []byte(`"yes"`)) }},
	{"pause", func(ctx context.Context, e *embedded.Engine) error { return e.Pause(ctx, "r", "") }},
	{"resume", func(ctx context.Context, e *embedded.Engine) error { return e.Resume(ctx, "r") }},
	{"cancel", func(ctx context.Context, e *embedded.Engine) error { return e.Cancel(ctx, "r", "enough") }},
	{"kill", func(ctx context.Context, e *embedded.Engine) error { return e.Kill(ctx, "r", "now") }},
	{"fork", func(ctx context.Context, e *embedded.Engine) error {
		_, err := e.Fork(ctx, "r", embedded.ForkRequest{ID: "f", At: durable.StepID{Segment: 0, Command: 0}})
		return err
	}},
}

// statuses are the ways to bring a run into each status; what it waits for is an answer.
var statuses = []struct {
	status durable.Status
	mode   string
	then   []string // verbs
}{
	{status: durable.Queued, mode: "wait"},
	{status: durable.Running, mode: "work"},
	{status: durable.Waiting, mode: "wait"},
	{status: durable.Paused, mode: "wait", then: []string{"pause"}},
	{status: durable.Blocked, mode: "panic"},
	{status: durable.Succeeded, mode: "succeed"},
	{status: durable.Failed, mode: "fail"},
	{status: durable.Canceled, mode: "wait", then: []string{"cancel"}},
	{status: durable.Killed, mode: "wait", then: []string{"kill"}},
}

// arrows is the table of docs/state_machine.md: what a verb makes of a run in a status, or
// why not. A status alone is where the run comes to rest.
func arrows(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/state_machine.md")
	must(t, err)
	table := map[string]string{}
	var head []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		switch {
		case len(cells) < 3:
		case cells[0] == "status":
			head = cells
		case head != nil && !strings.HasPrefix(cells[0], "-"):
			for i, c := range cells[1:] {
				table[cells[0]+" "+head[i+1]] = c
			}
		}
	}
	return table
}

// TestEveryArrow does every verb to a run in every status.
func TestEveryArrow(t *testing.T) {
	table := arrows(t)
	seen := 0
	for _, from := range statuses {
		for _, verb := range verbs {
			want, ok := table[string(from.status)+" "+verb.name]
			if !ok {
				t.Errorf("docs/state_machine.md does not say what %s does to a run that is %s", verb.name, from.status)
				continue
			}
			seen++
			t.Run(string(from.status)+" "+verb.name, func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) { arrow(t, dir, from.mode, from.then, from.status, verb.do, want) })
			})
		}
	}
	if seen != len(statuses)*len(verbs) {
		t.Errorf("%d arrows of %d", seen, len(statuses)*len(verbs))
	}
}

func arrow(t *testing.T, dir, mode string, then []string, from durable.Status, do func(context.Context, *embedded.Engine) error, want string) {
	t.Helper()
	g := newGate(durable.StepOptions{})
	quick := durable.NewFunc("quick", durable.StepOptions{}, func(context.Context, int) (int, error) { return 0, nil })
	p := durable.NewProgram("p", func(ctx durable.Context, mode string) (string, error) {
		if _, err := durable.Do(ctx, quick, 0); err != nil {
			return "", err
		}
		var said string
		switch mode {
		case "work":
			_, err := durable.Do(ctx, g.Func, 0)
			return "", err
		case "wait":
			err := ctx.Ask(durable.Interrupt{ID: "q", Prompt: "well?"}).Get(ctx, &said)
			return said, err
		case "fail":
			return "", errors.New("no")
		case "panic":
			panic("no")
		}
		return "", nil
	}, g.StepFunc, quick.StepFunc)
	s := openStore(t, dir)
	e := openWith(t, s, embedded.Config{Programs: []durable.Program{p}, Queues: map[string]embedded.Queue{"one": {AtOnce: 1}}})
	defer closeEngine(t, e, s)
	start := func(id durable.RunID, mode string) {
		_, err := e.Start(t.Context(), durable.StartRequest{ID: id, Program: "p", Input: fmt.Appendf(nil, "%q", mode), Queue: "one"})
		must(t, err)
		synctest.Wait()
	}
	if from == durable.Queued {
		start("first", "work")
	}
	start("r", mode)
	for _, name := range then {
		i := slices.IndexFunc(verbs, func(v struct {
			name string
			do   func(context.Context, *embedded.Engine) error
		},
		) bool {
			return v.name == name
		})
		must(t, verbs[i].do(t.Context(), e))
	}
	synctest.Wait()
	statusIs(t, e, "r", from)
	err := do(t.Context(), e)
	time.Sleep(10 * time.Second)
	synctest.Wait()
	r, get := e.Get(t.Context(), "r")
	must(t, get)
	got := string(r.Status)
	if err != nil {
		got = string(durable.CodeOf(err))
		if r.Status != from {
			t.Errorf("the verb was refused (%v), and the run is %s", err, r.Status)
		}
	}
	if got != want {
		t.Errorf("got %s (%v), docs/state_machine.md says %s", got, err, want)
	}
}
