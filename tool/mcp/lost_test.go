package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store/sqlite"
	"github.com/orpine-run/orpine/tool/mcp"
)

func effects(e durable.Effect) func(*mcp.Server) {
	return func(s *mcp.Server) { s.Effects = map[string]durable.Effect{"*": e} }
}

// TestDiesDuringACall: what reads or is idempotent may be called again; of what is irreversible
// nobody knows. Either way the next call finds a new process.
func TestDiesDuringACall(t *testing.T) {
	for _, effect := range []durable.Effect{durable.Read, durable.Idempotent, durable.Irreversible} {
		b := open(t, mcp.Config{})
		tools := b.tools(fixtureServer("good", effects(effect)))
		file := ledger(t)
		_, err := tools["die"].Call(t.Context(), encode(t, args{File: file}))
		_, unsure := errors.AsType[*durable.DoubtError](err)
		if durable.CodeOf(err) != durable.CodeUnavailable || unsure != (effect == durable.Irreversible) {
			t.Errorf("%s: got error %v, in doubt %v", effect, err, unsure)
		}
		for _, want := range []string{"MCP server fix", "fix/die was under way", "exit status 137", "out of memory"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", effect, want, err)
			}
		}
		if !slices.Equal(lines(file), []string{"called"}) {
			t.Errorf("%s: it did %v", effect, lines(file))
		}
		until(t, "another process", func() bool {
			r, err := tools["echo"].Call(t.Context(), encode(t, args{Text: "new"}))
			return err == nil && strings.Contains(r.Content, "new")
		})
		if n := b.count(); n != 2 {
			t.Errorf("%s: %d processes", effect, n)
		}
	}
}

// TestDiesInARun: the same through an engine: a call that reads is made again and succeeds, an
// irreversible one leaves its step in doubt.
func TestDiesInARun(t *testing.T) {
	for _, effect := range []durable.Effect{durable.Read, durable.Irreversible} {
		b := open(t, mcp.Config{})
		die := b.tools(fixtureServer("good", effects(effect)))["die"]
		file := ledger(t)
		step := durable.NewFunc("die", die.Spec().Options, func(ctx context.Context, file string) (string, error) {
			r, err := die.Call(ctx, encode(t, args{File: file, Text: "once"}))
			return r.Content, err
		})
		program := durable.NewProgram("p", func(ctx durable.Context, file string) (string, error) { return durable.Do(ctx, step, file) }, step.StepFunc)
		store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		engine, err := embedded.New(t.Context(), embedded.Config{Store: store, Programs: []durable.Program{program}})
		if err != nil {
			t.Fatal(err)
		}
		id, err := engine.Start(t.Context(), durable.StartRequest{Program: "p", Input: encode(t, file)})
		if err != nil {
			t.Fatal(err)
		}
		run, err := engine.Settle(t.Context(), id, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		calls := 2
		if effect == durable.Irreversible {
			calls = 1
			if run.Status != durable.Waiting || len(run.Waits) != 1 || run.Waits[0].Kind != durable.WaitInDoubt {
				t.Errorf("%s: the run is %s and waits for %v", effect, run.Status, run.Waits)
			}
		} else if string(run.Output) != `"alive"` {
			t.Errorf("%s: the run is %s with %s, %v", effect, run.Status, run.Output, run.Error)
		}
		if len(lines(file)) != calls {
			t.Errorf("%s: it was called %d times, want %d", effect, len(lines(file)), calls)
		}
		if err := errors.Join(engine.Close(t.Context()), store.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestDiedBefore: a process that died while nobody called is replaced without anybody noticing,
// whatever the effect: nothing was sent.
func TestDiedBefore(t *testing.T) {
	b := open(t, mcp.Config{})
	echo := b.tools(fixtureServer("good", nil))["echo"]
	for range 3 {
		b.last().Kill()
		<-b.last().ended
		if r := b.call(echo, args{Text: "here"}); !strings.Contains(r.Content, "here") {
			t.Errorf("got %q", r.Content)
		}
	}
	if b.count() != 4 {
		t.Errorf("%d processes", b.count())
	}
}

// TestUnreachable: a server that cannot be started says so at once and is not started over and
// over; a call that reads is for the engine to repeat, of another the model is told.
func TestUnreachable(t *testing.T) {
	for _, c := range []struct {
		name   string
		server mcp.Server
		code   durable.Code
		says   []string
	}{
		{"missing", mcp.Server{Command: "orpine-no-such-program"}, durable.CodeInvalid, []string{`start "orpine-no-such-program"`, "not found", "is it installed"}},
		{"exits", fixtureServer("exits", nil), durable.CodeUnavailable, []string{"exit status 3", "no such database"}},
		{"variable", mcp.Server{Command: "${NO_SUCH}"}, durable.CodeInvalid, []string{"NO_SUCH is not set", "${NO_SUCH:-DEFAULT}"}},
		{"noise", fixtureServer("noise", nil), durable.CodeUnavailable, []string{"that are no MCP messages", "this is no message"}},
		{"long", fixtureServer("long", nil), durable.CodeUnavailable, []string{"longer than 16777216 bytes"}},
		{"binary", fixtureServer("binary", nil), durable.CodeUnavailable, []string{"that are no MCP messages"}},
		{"remote", mcp.Server{URL: "http://127.0.0.1:1/mcp"}, durable.CodeDenied, []string{"no remote servers may be reached here"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, mcp.Config{})
			_, err := b.Source(t.Context(), b.declare(c.server))
			if durable.CodeOf(err) != c.code {
				t.Errorf("got %s: %v", durable.CodeOf(err), err)
			}
			for _, want := range append(c.says, "MCP server fix") {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %v", want, err)
				}
			}
			before := b.count()
			_, err = b.Source(t.Context(), b.declare(c.server))
			if e, ok := errors.AsType[*durable.Error](err); !ok || e.RetryAfter <= 0 || b.count() != before {
				t.Errorf("the second time: %v, %d processes more", err, b.count()-before)
			}
		})
	}
}

// TestIrreversibleUnreachable: the one attempt of an irreversible step tries for a while, and then
// the model is told.
func TestIrreversibleUnreachable(t *testing.T) {
	broken := atomic.Bool{}
	b := open(t, mcp.Config{Env: func(string) (string, bool) {
		if broken.Load() {
			return "exits", true
		}
		return "good", true
	}})
	tools := b.tools(fixtureServer("", func(s *mcp.Server) {
		s.Env = map[string]string{asServer: "${MODE}"}
		s.Effects = map[string]durable.Effect{"add": durable.Read}
	}))
	broken.Store(true)
	b.last().Kill()
	<-b.last().ended
	_, err := tools["echo"].Call(t.Context(), encode(t, args{Text: "x"}))
	if e, ok := errors.AsType[*durable.Error](err); !ok || !e.Final || b.count() < 3 {
		t.Errorf("irreversible: %v after %d processes", err, b.count())
	}
	_, err = tools["add"].Call(t.Context(), json.RawMessage(`{}`))
	if e, ok := errors.AsType[*durable.Error](err); !ok || e.Final || e.Code != durable.CodeUnavailable {
		t.Errorf("read: %v", err)
	}
	broken.Store(false)
	until(t, "it is there again", func() bool {
		r, err := tools["add"].Call(t.Context(), json.RawMessage(`{"A":1,"B":1}`))
		return err == nil && !r.Error
	})
}

// TestOddAnswers: what a server gets wrong is told to the model; the connection goes on.
func TestOddAnswers(t *testing.T) {
	b := open(t, mcp.Config{})
	tools := b.tools(fixtureServer("raw", nil))
	for _, name := range []string{"badschema", "notobject", "remote", ""} {
		if tools[name] != nil {
			t.Errorf("%s is offered", name)
		}
	}
	if s := string(tools["untyped"].Spec().Schema); !strings.Contains(s, `"type":"object"`) {
		t.Errorf("untyped: %s", s)
	}
	for name, want := range map[string]string{
		"typed":   "the call was made, but its result does not match the schema",
		"none":    "it returned no structured result, which the server declares. The result: just text",
		"odd":     "the call was made, but what the server answered is no result",
		"utf8":    "caf",
		"rpc":     "the server answered with an error (-32602): a is missing",
		"garbage": "after all",
		"rude":    "sorry",
	} {
		r := b.call(tools[name], args{})
		if !strings.Contains(r.Content, want) || r.Error != (name != "utf8" && name != "garbage" && name != "rude") {
			t.Errorf("%s: %v %q", name, r.Error, r.Content)
		}
		if !json.Valid(encode(t, r.Content)) || strings.ContainsRune(r.Content, 0xd800) {
			t.Errorf("%s: %q", name, r.Content)
		}
	}
	if r := b.call(tools["nocontent"], args{}); r.Error || r.Content != "" {
		t.Errorf("nocontent: %+v", r)
	}
	// A server must not be able to have an irreversible call made twice with an error of its own.
	r, err := tools["closing"].Call(t.Context(), json.RawMessage(`{}`))
	if err != nil || !r.Error || !strings.Contains(r.Content, "out of stock") {
		t.Errorf("closing: %+v, error %v", r, err)
	}
	if b.count() != 1 {
		t.Errorf("%d processes", b.count())
	}
}

// TestGreeting: a program that says hello to the wrong place is listened to.
func TestGreeting(t *testing.T) {
	b := open(t, mcp.Config{})
	if r := b.call(b.tools(fixtureServer("greets", nil))["echo"], args{Text: "x"}); !strings.Contains(r.Content, "x") {
		t.Errorf("got %q", r.Content)
	}
}

// TestFlood: notifications without end take no memory, and the call comes to its end.
func TestFlood(t *testing.T) {
	b := open(t, mcp.Config{})
	flood := b.tools(fixtureServer("good", nil))["flood"]
	var told atomic.Int64
	ctx, _ := attempt(t.Context(), "k", func(string, json.RawMessage) { told.Add(1) })
	var most atomic.Uint64
	stop := make(chan struct{})
	go func() {
		var m runtime.MemStats
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapAlloc))
			case <-stop:
				return
			}
		}
	}()
	r, err := flood.Call(ctx, json.RawMessage(`{}`))
	close(stop)
	if err != nil || r.Content != "flooded" {
		t.Fatalf("got %+v, error %v", r, err)
	}
	if n := told.Load(); n == 0 || n > 2000 {
		t.Errorf("%d of 40000 were passed on", n)
	}
	if most.Load() > 100<<20 {
		t.Errorf("the heap grew to %d MB", most.Load()>>20)
	}
	t.Logf("%d passed on, heap at most %d MB", told.Load(), most.Load()>>20)
}

// TestStops: a process is told to end, and killed if it does not; a connection that nobody uses
// is closed, and made again when it is wanted.
func TestStops(t *testing.T) {
	b := open(t, mcp.Config{Idle: 50 * time.Millisecond})
	tools := b.tools(fixtureServer("good", nil))
	first := b.last()
	until(t, "the idle process ends", func() bool {
		select {
		case <-first.ended:
			return true
		default:
			return false
		}
	})
	if first.cmd.Err != nil {
		t.Errorf("it did not end by itself: %v", first.cmd.Err)
	}
	if r := b.call(tools["echo"], args{Text: "again"}); !strings.Contains(r.Content, "again") || b.count() != 2 {
		t.Errorf("got %q, %d processes", r.Content, b.count())
	}

	deaf := open(t, mcp.Config{})
	deaf.tools(fixtureServer("deaf", nil))
	began := time.Now()
	if err := deaf.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("it took %s to end a process that does not listen", took)
	}
	if err := deaf.last().cmd.Process.Signal(syscall.Signal(0)); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("the process is still there: %v", err)
	}
	if _, err := deaf.Source(t.Context(), deaf.declare(fixtureServer("good", nil))); !errors.Is(err, durable.ErrUnavailable) {
		t.Errorf("a closed client: %v", err)
	}
}

// TestSilent: a server that never answers takes no longer than the caller waits, and an older one
// that does not answer what it does not know is spoken to in its own words.
func TestSilent(t *testing.T) {
	b := open(t, mcp.Config{})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, durable.Errorf(durable.CodeUnavailable, "waited long enough"))
	defer cancel()
	if _, err := b.Source(ctx, b.declare(fixtureServer("silent", nil))); err == nil || !strings.Contains(err.Error(), "waited long enough") {
		t.Errorf("got error %v", err)
	}
	old := open(t, mcp.Config{Connect: 4 * time.Second})
	if r := old.call(old.tools(fixtureServer("mute-discover", nil))["t"], args{}); r.Content != "old but alive" {
		t.Errorf("got %q", r.Content)
	}
}
