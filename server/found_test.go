package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// What readers and strangers have found, each as a test.

// TestForeignCursor: a cursor with a run that is no child of the one that is watched opens no
// stream, least of all that of another tenant.
func TestForeignCursor(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	foreign := s.must(s.Start(ctx, client.StartRun{Program: "ask", Tenant: "other", Input: json.RawMessage(`"secret words"`)}))
	own := s.must(s.Start(ctx, client.StartRun{Program: "ask", Tenant: "acme", Input: json.RawMessage(`"x"`)}))
	s.must(s.Rest(ctx, own.ID))
	for _, err := range s.as("acme", "runs:read").Watch(ctx, own.ID, client.Watch{After: "0," + string(foreign.ID) + ":-1"}) {
		if !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("got %v", err)
		}
		break
	}
}

// TestOneVoice: one voice of a quorum decides nothing for good.
func TestOneVoice(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	run := s.must(s.Start(ctx, client.StartRun{Text: "hold", Definition: json.RawMessage(
		`{"name":"careful","model":"script/talk","tools":["hold"],"permissions":{"ask":["*"]},"approval":{"quorum":2}}`)}))
	s.must(s.Rest(ctx, run.ID))
	accept := orpine.Approval{Decision: durable.Decision{Action: durable.Accept, Always: durable.ThisAgent}, By: "ann"}
	if err := s.rt.Approve(ctx, run.ID, accept); err != nil {
		t.Fatal(err)
	}
	if rules, err := s.rt.Rules(ctx, ""); err != nil || len(rules) > 0 {
		t.Errorf("after one voice of two: %+v, error %v", rules, err)
	}
	accept.By = "bob"
	if err := s.rt.Approve(ctx, run.ID, accept); err != nil {
		t.Fatal(err)
	}
	if rules, err := s.rt.Rules(ctx, ""); err != nil || len(rules) != 1 {
		t.Errorf("after both: %+v, error %v", rules, err)
	}
	if err := s.rt.Approve(ctx, run.ID, orpine.Approval{Decision: durable.Decision{Action: durable.Reject, Always: durable.ThisAgent}}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a rejection for good: %v", err)
	}
}

// TestPausedThread: a thread that is paused takes neither turns nor edits, and says so.
func TestPausedThread(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	th, err := s.StartThread(ctx, client.StartThread{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(ctx, th.Run.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StartTurn(ctx, th.Run.ID, client.StartTurn{StartRun: client.StartRun{Agent: "chatty", Text: "one"}}); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("a turn: %v", err)
	}
	if entries, err := s.Entries(ctx, th.Run.ID, -1, 100); err != nil || strings.Contains(string(entries[len(entries)-1].Kind), "signal") {
		t.Errorf("it was recorded all the same: %+v, error %v", entries, err)
	}
}

// TestBlockedTurn: an interrupt ends a turn that is blocked, and the next one goes on.
func TestBlockedTurn(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	th, err := s.StartThread(ctx, client.StartThread{})
	if err != nil {
		t.Fatal(err)
	}
	turn := func(definition string, busy orpine.Busy) durable.RunID {
		id, err := s.rt.TakeTurn(ctx, th.Run.ID, agent.Turn{Text: "x", Definition: json.RawMessage(definition)}, busy)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := turn(`{"name":"x","model":"script/talk","tools":["nosuch"]}`, "")
	if run, err := s.rt.Wait(ctx, first); err != nil || run.Status != durable.Blocked {
		t.Fatalf("it is %s, error %v", run.Status, err)
	}
	next := turn(`{"name":"y","model":"script/talk"}`, orpine.BusyInterrupt)
	if run, err := s.rt.Wait(ctx, next); err != nil || run.Status != durable.Succeeded {
		t.Errorf("the next is %s, error %v", run.Status, err)
	}
}

// TestChosenID: a request with an ID of its own is sent again under its key like any other.
func TestChosenID(t *testing.T) {
	s := open(t, server.Config{})
	body := `{"program":"ask","input":"x","id":"` + string(orpine.NewRunID()) + `"}`
	for range 2 {
		if status, p, _ := s.raw(http.MethodPost, "/v1/runs", strings.NewReader(body), "Idempotency-Key", "k1"); status != http.StatusCreated {
			t.Errorf("status %d: %s", status, p.Detail)
		}
	}
}

// TestQuestionBesideWork: a question is listed while another step of its run is under way.
func TestQuestionBesideWork(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	run := s.must(s.Start(ctx, client.StartRun{Program: "both", Input: json.RawMessage(`"x"`)}))
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
		list, err := s.Questions(ctx, "")
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("it is never listed, error %v", err)
		}
		if len(list) == 1 && list[0].Run == run.ID && list[0].Prompt == "well?" {
			break
		}
	}
	s.free <- struct{}{}
}

// TestQuestionOfPaused: what a paused run asks is listed, and can be answered.
func TestQuestionOfPaused(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	run := s.must(s.Start(ctx, client.StartRun{Program: "ask", Input: json.RawMessage(`"x"`)}))
	s.must(s.Rest(ctx, run.ID))
	if err := s.Pause(ctx, run.ID); err != nil {
		t.Fatal(err)
	}
	list, err := s.Questions(ctx, "")
	if err != nil || len(list) != 1 || list[0].ID != "q" || list[0].Prompt != "well?" {
		t.Fatalf("%+v, error %v", list, err)
	}
	if err := s.Answer(ctx, run.ID, client.Answer{Interrupt: "q", Value: json.RawMessage(`"fine"`)}); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Questions(ctx, ""); err != nil || len(list) != 0 {
		t.Errorf("after the answer: %+v, error %v", list, err)
	}
}

// TestForeignThread: what a thread was told is not for a token of a tenant to change by a fork.
func TestForeignThread(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	a := s.as("acme", "runs:*", "threads:*")
	th, err := a.StartThread(ctx, client.StartThread{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Fork(ctx, th.Run.ID, client.Fork{At: "0", Input: json.RawMessage(`{"thread":{}}`)}); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("got %v", err)
	}
}

// TestRevokedUnderAStream: a stream does not outlive the token that opened it.
func TestRevokedUnderAStream(t *testing.T) {
	s := open(t, server.Config{Beat: 5 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	run := s.must(s.Start(ctx, client.StartRun{Program: "ask", Input: json.RawMessage(`"x"`)}))
	token, err := s.s.CreateToken(ctx, client.NewToken{Name: "ann", Scopes: []string{"runs:read", "tokens:write"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{URL: s.web.URL, Token: token.Secret})
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for item, err := range c.Watch(ctx, run.ID, client.Watch{}) {
		if last = err; err != nil {
			break
		}
		if item.Event.Seq == 0 {
			if err := c.RevokeToken(ctx, token.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !errors.Is(last, durable.ErrDenied) {
		t.Errorf("the stream ended with %v", last)
	}
}

// TestGuardStays: once there was a token every request needs one, also when the last one is
// gone and the server was started again.
func TestGuardStays(t *testing.T) {
	s := open(t, server.Config{})
	admin := s.as("", "*")
	list, err := admin.Tokens(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, error %v", list, err)
	}
	if err := admin.RevokeToken(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.start()
	if _, err := s.List(t.Context(), durable.Filter{}); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("got %v", err)
	}
}

// TestRollbackStays: what was gone back to by hand stays, until the file has something new.
func TestRollbackStays(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	load := func(text string) {
		if err := s.s.Load(ctx, server.File{Agents: map[string]agent.Definition{"x": {Model: "script/talk", Instructions: text}}}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want string) {
		t.Helper()
		if a, err := s.Agent(ctx, "x", ""); err != nil || !strings.Contains(string(a.Definition), want) {
			t.Errorf("it is %s, error %v; want %s", a.Definition, err, want)
		}
	}
	load("one")
	first, err := s.Agent(ctx, "x", "")
	if err != nil {
		t.Fatal(err)
	}
	load("two")
	if _, err := s.RollbackAgent(ctx, "x", first.Hash); err != nil {
		t.Fatal(err)
	}
	load("two")
	is("one")
	load("three")
	is("three")
}

// TestNames: a name is for people to read, in a table.
func TestNames(t *testing.T) {
	s := open(t, server.Config{})
	for _, name := range []string{"@last", "a\\u001b[31mred", "two\\nrows"} {
		status, _, _ := s.raw(http.MethodPost, "/v1/runs", strings.NewReader(`{"agent":"chatty","name":"`+name+`"}`))
		if status != http.StatusUnprocessableEntity {
			t.Errorf("%q: status %d", name, status)
		}
	}
}
