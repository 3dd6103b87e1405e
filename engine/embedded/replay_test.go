package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/store"
)

// build is one build of a program: what it does with its steps, which count their
// calls and may be held.
type build struct {
	ledger
	begun chan string   // who is about to be held
	held  chan struct{} // nil = the step named hold is not held
	hold  string
}

func (b *build) step() durable.Func[string, string] {
	return durable.NewFunc("step", durable.StepOptions{Effect: durable.Read}, func(ctx context.Context, in string) (string, error) {
		b.add(in)
		if b.held != nil && in == b.hold {
			b.begun <- in
			select {
			case <-b.held:
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		return "did " + in, nil
	})
}

func (b *build) program(fn func(ctx durable.Context, do func(name, in string) error) error) durable.Program {
	step := b.step()
	return durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		err := fn(ctx, func(name, in string) error {
			_, err := durable.StartAs(ctx, name, step, in).Await(ctx)
			return err
		})
		return "finished", err
	}, step.StepFunc)
}

// original is the build that all others are held against.
func original(_ durable.Context, do func(name, in string) error) error {
	return errors.Join(do("a", "1"), do("b", "2"), do("c", "3"))
}

const changed = durable.RunID("changed-run")

// begin runs the original up to its step c, which is running when the process is
// told to end.
func begin(t *testing.T, dir string) {
	t.Helper()
	b := &build{begun: make(chan string, 1), held: make(chan struct{}), hold: "3"}
	s := openStore(t, dir)
	e := openEngine(t, s, b.program(original))
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: changed, Program: "p"}); err != nil {
		t.Fatal(err)
	}
	<-b.begun
	closeEngine(t, e, s)
}

func kinds(t *testing.T, e *embedded.Engine, id durable.RunID) []string {
	t.Helper()
	entries, err := e.Journal().All(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, strings.TrimSpace(string(e.Kind)+" "+e.Name))
	}
	return list
}

func waitFor(t *testing.T, e *embedded.Engine, id durable.RunID) durable.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := e.Wait(ctx, id)
	if err != nil {
		t.Fatalf("the run is %s: %v", r.Status, err)
	}
	return r
}

// TestChangedProgram: a run whose program is not the one that wrote its journal is
// blocked with a text a person can read. Nothing is executed for it and nothing but
// the block is written. With the right program it goes on.
func TestChangedProgram(t *testing.T) {
	type do = func(name, in string) error
	for _, c := range []struct {
		name string
		now  func(ctx durable.Context, do do) error
		says []string
	}{
		{"a step has another name", func(_ durable.Context, do do) error {
			return errors.Join(do("a", "1"), do("bee", "2"), do("c", "3"))
		}, []string{"command 1 of segment 0", `step "b"`, `now issues step "bee"`}},
		{"a step has another input", func(_ durable.Context, do do) error {
			return errors.Join(do("a", "1"), do("b", "two"), do("c", "3"))
		}, []string{"command 1 of segment 0", `step "b" with input`, `now issues step "b" with input`}},
		{"the order is another", func(_ durable.Context, do do) error {
			return errors.Join(do("b", "2"), do("a", "1"), do("c", "3"))
		}, []string{"command 0 of segment 0", `step "a"`, `now issues step "b"`}},
		{"a step more", func(_ durable.Context, do do) error {
			return errors.Join(do("new", "0"), do("a", "1"), do("b", "2"), do("c", "3"))
		}, []string{"command 0 of segment 0", `step "a"`, `now issues step "new"`}},
		{"a step less", func(_ durable.Context, do do) error {
			return errors.Join(do("b", "2"), do("c", "3"))
		}, []string{"command 0 of segment 0", `step "a"`}},
		{"a timer instead of a step", func(ctx durable.Context, do do) error {
			return errors.Join(do("a", "1"), durable.Sleep(ctx, time.Hour), do("c", "3"))
		}, []string{"command 1 of segment 0", `step "b"`, `now issues timer "timer"`}},
		{"a signal instead of a step", func(ctx durable.Context, do do) error {
			return errors.Join(do("a", "1"), ctx.Inbox("go").Receive(ctx, nil))
		}, []string{"command 1 of segment 0", `step "b"`, "issued only 1 commands"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			begin(t, dir)
			var now build
			s := openStore(t, dir)
			e := openEngine(t, s, now.program(c.now))
			r := waitFor(t, e, changed)
			if r.Status != durable.Blocked {
				t.Errorf("the run is %s", r.Status)
			}
			for _, want := range append(c.says, "replay mismatch", "entry ", "run the build that wrote it") {
				if !strings.Contains(r.Reason, want) {
					t.Errorf("%q is not in the reason %q", want, r.Reason)
				}
			}
			if !errors.Is(r.Error, durable.ErrConflict) {
				t.Errorf("the error is %v", r.Error)
			}
			if err := e.Signal(t.Context(), changed, durable.Signal{Name: "go"}); !errors.Is(err, durable.ErrConflict) {
				t.Errorf("a signal to a blocked run: %v", err)
			}
			if diff := cmp.Diff([]string{"started p", "done a", "done b", "blocked"}, kinds(t, e, changed)); diff != "" {
				t.Errorf("journal: -want +got\n%s", diff)
			}
			closeEngine(t, e, s)
			if len(now.count) > 0 {
				t.Errorf("executed: %v", now.count)
			}
			resume(t, dir, []string{"started p", "done a", "done b", "blocked", "unblocked", "done c", "ended"})
		})
	}
}

// resume lets the blocked run go on with the build that began it.
func resume(t *testing.T, dir string, journal []string) {
	t.Helper()
	var right build
	s := openStore(t, dir)
	e := openEngine(t, s, right.program(original))
	defer closeEngine(t, e, s)
	if r := waitFor(t, e, changed); r.Status != durable.Blocked {
		t.Fatalf("a blocked run was taken up by itself: %s", r.Status)
	}
	if err := e.Resume(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	r := settle(t, e, changed)
	if r.Status != durable.Succeeded || string(r.Output) != `"finished"` || r.Reason != "" {
		t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
	}
	if diff := cmp.Diff(map[string]int{"3": 1}, right.count); diff != "" {
		t.Errorf("executed: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(journal, kinds(t, e, changed)); diff != "" {
		t.Errorf("journal: -want +got\n%s", diff)
	}
	if err := e.Resume(t.Context(), changed); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("resuming what has ended: %v", err)
	}
}

// settle waits until a resumed run is final.
func settle(t *testing.T, e *embedded.Engine, id durable.RunID) durable.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for item, err := range e.Feed().Watch(ctx, id, event.After(-1)) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Event != nil && item.Event.Kind == durable.EntryEnded {
			break
		}
	}
	return waitFor(t, e, id)
}

// TestOtherBuild: a build that lacks the program, or cannot do what the run needs,
// blocks the run and does not fail it.
func TestOtherBuild(t *testing.T) {
	another := durable.NewProgram("another", func(durable.Context, int) (int, error) { return 0, nil })
	var b build
	for _, c := range []struct {
		name    string
		program durable.Program
		says    []string
		code    error
	}{
		{"without the program", another, []string{`no program "p"`, "it has another"}, durable.ErrNotFound},
		{"a program that says it cannot", b.program(func(durable.Context, func(name, in string) error) error {
			return durable.Block(durable.Errorf(durable.CodeUnavailable, "no tool fax here"))
		}), []string{"no tool fax here"}, durable.ErrUnavailable},
		{"a program that panics", b.program(func(_ durable.Context, do func(name, in string) error) error {
			if err := do("a", "1"); err != nil {
				return err
			}
			panic("out of luck")
		}), []string{"panic: out of luck", "replay_test.go"}, durable.ErrInternal},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			begin(t, dir)
			s := openStore(t, dir)
			e := openEngine(t, s, c.program)
			r := waitFor(t, e, changed)
			if r.Status != durable.Blocked || !errors.Is(r.Error, c.code) {
				t.Errorf("the run is %s with error %v", r.Status, r.Error)
			}
			for _, want := range c.says {
				if !strings.Contains(r.Reason, want) {
					t.Errorf("%q is not in the reason %q", want, r.Reason)
				}
			}
			closeEngine(t, e, s)
			if len(b.count) > 0 {
				t.Errorf("executed: %v", b.count)
			}
			resume(t, dir, []string{"started p", "done a", "done b", "blocked", "unblocked", "done c", "ended"})
		})
	}
}

// TestStepBlocks: a step that finds that this machine lacks something blocks the run,
// is not recorded and runs again once the run is resumed. What is beside it is
// recorded first.
func TestStepBlocks(t *testing.T) {
	mended := make(chan struct{})
	beside, release := make(chan struct{}), make(chan struct{})
	lacking := durable.NewFunc("lacking", durable.StepOptions{}, func(_ context.Context, n int) (int, error) {
		select {
		case <-mended:
			return n + 1, nil
		default:
			close(release)
			return 0, durable.Block(durable.Errorf(durable.CodeDenied, "no key for the model: set MODEL_KEY"))
		}
	})
	other := durable.NewFunc("other", durable.StepOptions{}, func(_ context.Context, n int) (int, error) {
		close(beside) // panics if it runs again
		<-release
		return n, nil
	})
	dir := t.TempDir()
	s := openStore(t, dir)
	program := durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		two := durable.Start(ctx, other, 2)
		one, err := durable.Do(ctx, lacking, 1)
		if err != nil {
			return 0, err
		}
		n, err := two.Await(ctx)
		return one * n, err
	}, lacking.StepFunc, other.StepFunc)
	e := openEngine(t, s, program)
	id, err := e.Start(t.Context(), durable.StartRequest{ID: changed, Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	<-beside
	r := waitFor(t, e, id)
	if r.Status != durable.Blocked || !errors.Is(r.Error, durable.ErrDenied) || r.Reason != "no key for the model: set MODEL_KEY" {
		t.Errorf("the run is %s (%s) with error %v", r.Status, r.Reason, r.Error)
	}
	if diff := cmp.Diff([]string{"started p", "done other", "blocked"}, kinds(t, e, id)); diff != "" {
		t.Errorf("journal: -want +got\n%s", diff)
	}
	closeEngine(t, e, s)
	close(mended)
	s = openStore(t, dir)
	e = openEngine(t, s, program)
	defer closeEngine(t, e, s)
	if err := e.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if r := settle(t, e, id); r.Status != durable.Succeeded || string(r.Output) != "4" {
		t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
	}
}

// TestIrreversibleStepBlocks: whether it has happened is not known, so it is not
// repeated: it fails.
func TestIrreversibleStepBlocks(t *testing.T) {
	mail := durable.NewFunc("mail", durable.StepOptions{Effect: durable.Irreversible}, func(context.Context, int) (int, error) {
		return 0, durable.Block(durable.Errorf(durable.CodeDenied, "no key"))
	})
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		_, err := durable.Do(ctx, mail, 1)
		return string(durable.CodeOf(err)), nil
	}, mail.StepFunc))
	defer closeEngine(t, e, s)
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if r := waitFor(t, e, id); r.Status != durable.Succeeded || string(r.Output) != `"denied"` {
		t.Errorf("the run is %s (%s) with %s", r.Status, r.Reason, r.Output)
	}
}

// dead is the data directory as it would be found if the process were killed now.
// The engine must be still.
func dead(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := fs.ReadFile(os.DirFS(dir), f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestPoison: a run whose step kills the process again and again is taken over five
// times; at the sixth it is blocked. Other runs are not held up, and an operator can
// let it try again.
func TestPoison(t *testing.T) {
	b := &build{begun: make(chan string), held: make(chan struct{}), hold: "3"}
	dir := t.TempDir()
	open := func() (*embedded.Engine, store.Store) {
		s := openStore(t, dir)
		e := openEngine(t, s, b.program(original))
		t.Cleanup(func() { closeEngine(t, e, s) })
		return e, s
	}
	e, _ := open()
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: changed, Program: "p"}); err != nil {
		t.Fatal(err)
	}
	<-b.begun
	for !slices.Contains(kinds(t, e, changed), "done b") { // a step that reads begins before that is durable
		time.Sleep(time.Millisecond)
	}
	const takeovers = 5
	for range takeovers {
		dir = dead(t, dir)
		open()
		<-b.begun
	}
	dir = dead(t, dir)
	e, s := open()
	r := waitFor(t, e, changed)
	if r.Status != durable.Blocked || !strings.Contains(r.Reason, "taken over 6 times without progress") {
		t.Errorf("the run is %s: %s", r.Status, r.Reason)
	}
	if diff := cmp.Diff(map[string]int{"1": 1, "2": 1, "3": 1 + takeovers}, b.count); diff != "" {
		t.Errorf("executed: -want +got\n%s", diff)
	}
	close(b.held) // the step is mended
	other, err := e.Start(t.Context(), durable.StartRequest{Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	<-b.begun
	if r := waitFor(t, e, other); r.Status != durable.Succeeded {
		t.Errorf("the other run is %s: %s", r.Status, r.Reason)
	}
	if err := e.Resume(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	<-b.begun
	if r := settle(t, e, changed); r.Status != durable.Succeeded {
		t.Errorf("the run is %s: %s", r.Status, r.Reason)
	}
	if s.Epoch() != 2+takeovers {
		t.Errorf("epoch %d after %d openings", s.Epoch(), 2+takeovers)
	}
}

// TestCrashesWithProgress: a run that gets further each time is not poison, however
// often the process dies.
func TestCrashesWithProgress(t *testing.T) {
	const steps = 10
	dir := t.TempDir()
	for round := range steps + 1 {
		b := &build{begun: make(chan string, 1), held: make(chan struct{}), hold: strings.Repeat("x", round)}
		s := openStore(t, dir)
		e := openEngine(t, s, b.program(func(_ durable.Context, do func(name, in string) error) error {
			for i := range steps {
				if err := do("s", strings.Repeat("x", i)); err != nil {
					return err
				}
			}
			return nil
		}))
		t.Cleanup(func() { closeEngine(t, e, s) })
		if round == 0 {
			if _, err := e.Start(t.Context(), durable.StartRequest{ID: changed, Program: "p"}); err != nil {
				t.Fatal(err)
			}
		}
		if round < steps {
			<-b.begun
			dir = dead(t, dir)
			continue
		}
		if r := waitFor(t, e, changed); r.Status != durable.Succeeded {
			t.Errorf("the run is %s: %s", r.Status, r.Reason)
		}
	}
}

// TestKillBlocked: what is blocked can be killed, with its children.
func TestKillBlocked(t *testing.T) {
	dir := t.TempDir()
	begin(t, dir)
	s := openStore(t, dir)
	e := openEngine(t, s)
	defer closeEngine(t, e, s)
	if r := waitFor(t, e, changed); r.Status != durable.Blocked {
		t.Fatalf("the run is %s", r.Status)
	}
	if err := e.Answer(t.Context(), changed, "", json.RawMessage(`1`)); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("an answer to a blocked run: %v", err)
	}
	if err := e.Cancel(t.Context(), changed, "x"); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("a cancel of a blocked run: %v", err)
	}
	if err := e.Kill(t.Context(), changed, "enough"); err != nil {
		t.Fatal(err)
	}
	if r := settle(t, e, changed); r.Status != durable.Killed || r.Reason != "enough" {
		t.Errorf("the run is %s (%s)", r.Status, r.Reason)
	}
}
