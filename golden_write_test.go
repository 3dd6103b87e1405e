package orpine_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	engine "github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/store/sqlite"
	"github.com/orpine-run/orpine/store/storetest"
	"github.com/orpine-run/orpine/tool"
)

// Golden journals are data directories as a release left them: testdata/journals/vN has
// those of the N-th stored form. Every later build must open, replay and finish them.
// They are written once, by the build whose form they show:
//
//	go test -run '^TestWriteGolden$' . -update-golden testdata/journals/v2
//
// after which golden_test.go reads the new form too. This file uses only what the first
// release had, so that it could write v0 when it was put into that tree; what came later
// is in laterGoldens.
var updateGolden = flag.String("update-golden", "", "write golden journals into this new directory")

// goldenPrograms are what the golden runs execute. They may not change: journals are
// held against them.
func goldenPrograms(t testing.TB) []durable.Program {
	t.Helper()
	work := durable.NewFunc("work", durable.StepOptions{}, func(_ context.Context, name string) (string, error) { return "did " + name, nil })
	long := durable.NewFunc("long", durable.StepOptions{}, func(_ context.Context, name string) (string, error) {
		return strings.Repeat(name+" ", 5000), nil // too long for an entry
	})
	flaky := durable.NewFunc("flaky", durable.StepOptions{Retry: durable.Retry{Attempts: 3, Backoff: time.Microsecond}},
		func(ctx context.Context, name string) (string, error) {
			if durable.AttemptOf(ctx).Number == 1 {
				return "", durable.Errorf(durable.CodeUnavailable, "busy")
			}
			return "did " + name, nil
		})
	mail := durable.NewFunc("mail", durable.StepOptions{Effect: durable.Irreversible}, func(_ context.Context, name string) (string, error) {
		return "sent " + name, nil
	})
	child := durable.NewProgram("child", func(ctx durable.Context, name string) (string, error) { return durable.Do(ctx, work, name) })
	asks := durable.NewProgram("asks", func(ctx durable.Context, name string) (string, error) {
		var said string
		err := ctx.Ask(durable.Interrupt{Prompt: name + "?", Options: []string{"yes", "no"}}).Get(ctx, &said)
		return name + ": " + said, err
	})
	all := durable.NewProgram("all", func(ctx durable.Context, seen []string) ([]string, error) {
		if len(seen) == 0 {
			return goldenFirst(ctx, work, flaky)
		}
		return goldenSecond(ctx, seen, mail, long)
	}, work.StepFunc, flaky.StepFunc, mail.StepFunc, long.StepFunc)
	parent := durable.NewProgram("parent", func(ctx durable.Context, _ int) ([]string, error) {
		a := ctx.Child(durable.ChildCall{Program: "asks", Name: "left", Input: json.RawMessage(`"left"`)})
		b := ctx.Child(durable.ChildCall{Program: "asks", Name: "right", Input: json.RawMessage(`"right"`)})
		said := make([]string, 2)
		err := errors.Join(a.Get(ctx, &said[0]), b.Get(ctx, &said[1]))
		return said, err
	})
	sleeper := durable.NewProgram("sleeper", func(ctx durable.Context, _ int) (string, error) {
		return "slept", durable.Sleep(ctx, 2*time.Second)
	})
	fails := durable.NewProgram("fails", func(ctx durable.Context, _ int) (string, error) {
		return "", durable.Errorf(durable.CodeDenied, "no")
	})
	return []durable.Program{all, child, asks, parent, sleeper, fails, goldenAgent(t)}
}

func goldenFirst(ctx durable.Context, work, flaky durable.Func[string, string]) ([]string, error) {
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
	if err := errors.Join(errA, errB, end.Get(ctx, nil), durable.Sleep(ctx, 50*time.Millisecond)); err != nil {
		return nil, err
	}
	state, err := json.Marshal([]string{one, a, b, four})
	if err != nil {
		return nil, err
	}
	return nil, durable.Continue(state)
}

func goldenSecond(ctx durable.Context, seen []string, mail, long durable.Func[string, string]) ([]string, error) {
	kid := ctx.Child(durable.ChildCall{Program: "child", Input: json.RawMessage(`"kid"`)})
	sent, err := durable.Do(ctx, mail, "mail")
	if err != nil {
		return nil, err
	}
	text, err := durable.Do(ctx, long, "long")
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
	return append(seen, sent, fmt.Sprint(len(text)), grown, word, said), err
}

// goldenAgent plays a model that asks for two tools, one of them with a long result and
// one that is irreversible.
func goldenAgent(t testing.TB) durable.Program {
	t.Helper()
	type query struct {
		Topic string `json:"topic"`
	}
	read := tool.Func("read", "Reads.", func(_ context.Context, q query) (string, error) {
		return strings.Repeat("about "+q.Topic+". ", 1000), nil
	}, tool.Read)
	send := tool.Func("send", "Sends.", func(_ context.Context, q query) (string, error) { return "sent", nil })
	played, err := script.Parse("golden.yaml", []byte(`
rules:
  - when: { turn: 1 }
    reply: { text: "I read.", calls: [{ name: read, args: { topic: orpines } }] }
  - when: { turn: 2 }
    reply: { calls: [{ name: send, args: { topic: orpines } }] }
  - when: { turn: 3 }
    reply: { text: "It was sent." }
`))
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(agent.Config{
		Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return played.Model(), nil }},
		Tools:     []tool.Tool{read, send},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a[0]
}

// golden is one golden journal: the runs it starts and how far they come.
type golden struct {
	name  string
	play  func(ctx context.Context, e *engine.Engine) error // starts runs and meddles with them
	until durable.EntryKind                                 // the store dies when the run "main" has this as its last entry
	step  string                                            // of a step with this name
	again bool                                              // then another process opens it, and parks what it can
}

func goldens() []golden {
	start := func(id durable.RunID, program string) func(context.Context, *engine.Engine) error {
		req := durable.StartRequest{ID: id, Program: program}
		if program == "asks" {
			req.Input = json.RawMessage(`"main"`)
		}
		return func(ctx context.Context, e *engine.Engine) error {
			_, err := e.Start(ctx, req)
			return err
		}
	}
	word := func(ctx context.Context, e *engine.Engine) error {
		return e.Signal(ctx, "main", durable.Signal{Name: "word", Data: json.RawMessage(`"word"`)})
	}
	after := func(list ...func(context.Context, *engine.Engine) error) func(context.Context, *engine.Engine) error {
		return func(ctx context.Context, e *engine.Engine) error {
			for _, do := range list {
				if err := do(ctx, e); err != nil {
					return err
				}
			}
			return nil
		}
	}
	asked := func(ctx context.Context, e *engine.Engine) error {
		req, err := agent.Start(agent.Definition{Name: "golden", Model: "script/golden", Tools: []string{"read", "send"}}, "Read, then send.")
		if err != nil {
			return err
		}
		req.ID = "main"
		_, err = e.Start(ctx, req)
		return err
	}
	all := after(start("main", "all"), word)
	return []golden{
		{name: "ended", play: after(all, goldenAnswer, start("failed", "fails"), start("killed", "asks"), start("canceled", "asks"), goldenStop)},
		{name: "agent-ended", play: asked},
		{name: "agent-model", play: asked, until: durable.EntryDone, step: "model"},
		{name: "agent-tool", play: asked, until: durable.EntryDone, step: "read"},
		{name: "agent-doubt", play: asked, until: durable.EntryIntent, again: true},
		{name: "started", play: all, until: durable.EntryStarted},
		{name: "middle", play: all, until: durable.EntryDone, step: "work"},
		{name: "retry", play: all, until: durable.EntryAttempt},
		{name: "timer-set", play: all, until: durable.EntryTimer},
		{name: "continued", play: all, until: durable.EntryContinued},
		{name: "intent", play: all, until: durable.EntryIntent},
		{name: "doubt", play: all, until: durable.EntryIntent, again: true},
		{name: "asked", play: all},
		{name: "signal", play: start("main", "all")},
		{name: "children", play: start("main", "parent")},
		{name: "timer", play: start("main", "sleeper")},
	}
}

func goldenAnswer(ctx context.Context, e *engine.Engine) error {
	if _, err := e.Settle(ctx, "main", time.Time{}); err != nil {
		return err
	}
	if err := e.Answer(ctx, "main", "ok", json.RawMessage(`"yes"`)); err != nil {
		return err
	}
	_, err := e.Wait(ctx, "main")
	return err
}

func goldenStop(ctx context.Context, e *engine.Engine) error {
	if err := errors.Join(e.Kill(ctx, "killed", "golden"), e.Cancel(ctx, "canceled", "golden")); err != nil {
		return err
	}
	_, err := e.Wait(ctx, "canceled")
	return err
}

// TestWriteGolden writes golden journals; see updateGolden.
func TestWriteGolden(t *testing.T) {
	if *updateGolden == "" {
		t.Skip("only with -update-golden DIR")
	}
	if err := os.Mkdir(*updateGolden, 0o750); err != nil {
		t.Fatalf("golden journals are written once, never again: %v", err)
	}
	for _, g := range append(goldens(), laterGoldens()...) {
		dir := g.make(t)
		if g.again {
			again := golden{play: func(context.Context, *engine.Engine) error { return nil }}
			again.write(t, dir, 0)
		}
		packGolden(t, filepath.Join(dir, sqlite.File), filepath.Join(*updateGolden, g.name+".db.gz"))
	}
}

// make plays until the store dies where it shall, and returns the directory. What goes into
// which commit is not the same every time.
func (g golden) make(t *testing.T) string {
	t.Helper()
	const commits, tries = 20, 20
	for i := range commits * tries {
		at := 1 + i%commits
		if g.until == "" {
			at = 0 // it does not die
		}
		if dir := t.TempDir(); g.write(t, dir, at) {
			return dir
		}
	}
	t.Fatalf("%s: the run does not come there", g.name)
	return ""
}

// write plays in a directory; false when the run was not where it shall be when the store died.
func (g golden) write(t *testing.T, dir string, at int) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(ctx, engine.Config{Store: storetest.NewFaulty(s, at, true), Programs: goldenPrograms(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.play(ctx, e); err != nil && at == 0 {
		t.Fatal(g.name, err)
	}
	if _, err := e.Settle(ctx, "main", time.Time{}); err != nil && at == 0 {
		t.Fatal(g.name, err)
	}
	entries, err := e.Journal().All(ctx, "main", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}
	if g.until == "" {
		return true
	}
	return g.there(entries)
}

// there reports whether a journal is where it shall be: it ends with an entry of that
// kind; or the command that such an entry is about, or the segment that it begins, has
// not got any further.
func (g golden) there(entries []durable.Entry) bool {
	i := len(entries) - 1
	further := func(durable.Entry) bool { return false }
	switch g.until {
	case durable.EntryIntent, durable.EntryAttempt, durable.EntryTimer:
		i = slices.IndexFunc(entries, func(e durable.Entry) bool { return e.Kind == g.until })
		further = func(e durable.Entry) bool { return e.Command == entries[i].Command && e.Kind != durable.EntrySignal }
	case durable.EntryContinued:
		i = slices.IndexFunc(entries, func(e durable.Entry) bool { return e.Kind == g.until })
		further = func(e durable.Entry) bool { return e.Kind == durable.EntryDone }
	default:
	}
	return i >= 0 && entries[i].Kind == g.until && (g.step == "" || entries[i].Name == g.step) && !slices.ContainsFunc(entries[i+1:], further)
}

func packGolden(t *testing.T, from, to string) {
	t.Helper()
	for _, left := range []string{"-wal", "-shm"} {
		if info, err := os.Stat(from + left); err == nil && info.Size() > 0 {
			t.Fatalf("%s%s is left", from, left)
		}
	}
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	w, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(data)
	if err := errors.Join(err, w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
