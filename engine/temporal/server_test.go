package temporal

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.temporal.io/sdk/client"

	"github.com/orpine-run/orpine/durable"
)

// want fails the test unless the run ended with this output.
func want(t *testing.T, e durable.Engine, id durable.RunID, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run, err := e.Wait(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != durable.Succeeded || string(run.Output) != output {
		t.Fatalf("the run is %s (%s, %v) with %.200s, want %.200s", run.Status, run.Reason, run.Error, run.Output, output)
	}
}

func begin(t *testing.T, e durable.Engine, req durable.StartRequest) durable.RunID {
	t.Helper()
	id, err := e.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// look waits until the run looks as it should.
func look(t *testing.T, e durable.Engine, id durable.RunID, ok func(durable.Run) bool) durable.Run {
	t.Helper()
	for deadline := time.After(time.Minute); ; {
		run, err := e.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if ok(run) {
			return run
		}
		select {
		case <-deadline:
			t.Fatalf("the run stays %+v", run)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestGet says what a run waits for, by asking it, and what is known of it and of its
// child from their start.
func TestGet(t *testing.T) {
	child := durable.NewProgram("child", func(ctx durable.Context, _ int) (int, error) {
		return durable.Receive[int](ctx, "go")
	})
	e := openOnServer(t, child, durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		timer := ctx.Timer(time.Hour)
		answer := ctx.Ask(durable.Interrupt{Prompt: "Sure?"})
		born := ctx.Child(durable.ChildCall{Program: "child", Name: "little"})
		ctx.Select(timer, answer, ctx.Inbox("stop"))
		var n int
		return n, born.Get(ctx, &n)
	}))
	begun := time.Now()
	id := begin(t, e, durable.StartRequest{Program: "p", Name: "big", Definition: json.RawMessage(`{"a": 1}`)})
	run := look(t, e, id, func(r durable.Run) bool { return len(r.Waits) == 4 })
	childID := run.Waits[3].Child
	if diff := cmp.Diff(durable.Run{
		ID: id, Name: "big", Program: "p", Status: durable.Waiting, Definition: hashOf([]byte(`{"a": 1}`)),
		Waits: []durable.Wait{
			{Kind: durable.WaitSignal, Name: "stop"},
			{Kind: durable.WaitTimer, Name: "timer"},
			{Kind: durable.WaitAnswer, Command: 1, Name: "0.1", Interrupt: &durable.Interrupt{ID: "0.1", Kind: "question", Prompt: "Sure?"}},
			{Kind: durable.WaitChild, Command: 2, Name: "little", Child: childID},
		},
	}, run, cmpopts.IgnoreTypes(time.Time{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if d := run.Waits[1].Until.Sub(begun); d < 59*time.Minute || d > 61*time.Minute {
		t.Errorf("the timer is due in %s", d)
	}
	little := look(t, e, childID, func(r durable.Run) bool { return r.Status == durable.Waiting })
	if little.Name != "little" || little.Parent != id || little.Command != 2 || little.Created.Before(begun.Add(-time.Minute)) {
		t.Errorf("the child is %+v", little)
	}
	if err := e.Kill(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []durable.RunID{id, childID} {
		if r := look(t, e, id, func(r durable.Run) bool { return r.Status.Final() }); r.Status != durable.Killed || r.Reason != "enough" {
			t.Errorf("run %s is %s because %q", id, r.Status, r.Reason)
		}
	}
}

// TestSelectAtOnce is what keeps enginetest's "select follows the journal" out of its
// core: signals that came while nobody worked reach the program together.
func TestSelectAtOnce(t *testing.T) {
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (int, error) {
		return ctx.Select(ctx.Inbox("a"), ctx.Inbox("b")), nil
	})
	queue := string(newRunID(time.Now(), randomTail()))
	e := onServer(t, Config{Queue: queue, Programs: []durable.Program{p}})
	e.Close()
	id := begin(t, e, durable.StartRequest{Program: "p"})
	for _, name := range []string{"b", "a"} {
		if err := e.Signal(t.Context(), id, durable.Signal{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	e = onServer(t, Config{Queue: queue, Programs: []durable.Program{p}})
	t.Cleanup(e.Close)
	want(t, e, id, "0")
}

// TestBlocked: a program that lacks something stands still with its reason, and goes
// on by itself where it is no longer lacking.
func TestBlocked(t *testing.T) {
	if testing.Short() {
		t.Skip("the server takes half a minute to try a turn four times")
	}
	var ready atomic.Bool
	e := openOnServer(t, durable.NewProgram("p", func(durable.Context, int) (int, error) {
		if !ready.Load() {
			return 0, durable.Block(errors.New("no key"))
		}
		return 1, nil
	}))
	id := begin(t, e, durable.StartRequest{Program: "p"})
	run, err := e.Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != durable.Blocked || !strings.Contains(run.Reason, "no key") {
		t.Errorf("the run is %s because %q", run.Status, run.Reason)
	}
	ready.Store(true)
	look(t, e, id, func(r durable.Run) bool { return r.Status.Final() })
	want(t, e, id, "1")
}

// TestWorkerDies kills the process of a worker in the middle of two steps. Another
// process repeats the idempotent one, with its key, and not the irreversible one.
func TestWorkerDies(t *testing.T) {
	devClient(t)
	queue := string(newRunID(time.Now(), randomTail()))
	ledger := t.TempDir() + "/ledger"
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWorkerProcess$") //nolint:gosec // this very binary
	cmd.Env = append(os.Environ(), "ORPINE_WORKER="+server.peer.FrontendHostPort()+" "+queue+" "+ledger)
	out, err := cmd.CombinedOutput()
	if state := cmd.ProcessState; state == nil || state.ExitCode() != dies {
		t.Fatalf("the worker process: %v\n%s", err, out)
	}
	e := onServer(t, Config{Queue: queue, Programs: []durable.Program{shop(ledger, false)}})
	t.Cleanup(e.Close)
	id := durable.RunID(queue)
	want(t, e, id, `["unavailable in_doubt","shipped at attempt 2"]`)
	data, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(data), "ship "+queue+"/0/1\npay "+queue+"/0/0\nship "+queue+"/0/1\n"; got != want {
		t.Errorf("the ledger says\n%swant\n%s", got, want)
	}
}

const dies = 86

// shop is a program with an irreversible and an idempotent step at once; where dying
// is set, the process ends when both are on their way.
func shop(ledger string, dying bool) durable.Program {
	write := func(ctx context.Context, what string) error {
		f, err := os.OpenFile(ledger, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = f.WriteString(what + " " + durable.AttemptOf(ctx).Key + "\n")
		return errors.Join(err, f.Close())
	}
	shipping := make(chan struct{})
	ship := durable.NewFunc("ship", durable.StepOptions{}, func(ctx context.Context, _ int) (string, error) {
		if err := write(ctx, "ship"); err != nil {
			return "", err
		}
		if dying {
			close(shipping)
			<-ctx.Done()
		}
		return "shipped at attempt " + string(rune('0'+durable.AttemptOf(ctx).Number)), nil
	})
	pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, func(ctx context.Context, _ int) (int, error) {
		if dying {
			<-shipping
		}
		if err := write(ctx, "pay"); err != nil {
			return 0, err
		}
		if dying {
			os.Exit(dies)
		}
		return 0, nil
	})
	return durable.NewProgram("p", func(ctx durable.Context, _ int) ([]string, error) {
		paid, shipped := durable.Start(ctx, pay, 0), durable.Start(ctx, ship, 0)
		_, err := paid.Await(ctx)
		f := durable.FailureOf(err)
		if f == nil {
			f = &durable.Failure{Code: "paid"}
		}
		s, err := shipped.Await(ctx)
		return []string{string(f.Code) + " " + f.Reason, s}, err
	}, pay.StepFunc, ship.StepFunc)
}

// TestWorkerProcess is the other process of TestWorkerDies.
func TestWorkerProcess(t *testing.T) {
	host, rest, ok := strings.Cut(os.Getenv("ORPINE_WORKER"), " ")
	if !ok {
		t.Skip("only as a process of TestWorkerDies")
	}
	queue, ledger, _ := strings.Cut(rest, " ")
	c, err := client.Dial(client.Options{HostPort: host})
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{Client: c, Queue: queue, Programs: []durable.Program{shop(ledger, true)}, Heartbeat: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Wait(t.Context(), begin(t, e, durable.StartRequest{ID: durable.RunID(queue), Program: "p"}))
	t.Fatalf("the run ended here, with %v", err)
}
