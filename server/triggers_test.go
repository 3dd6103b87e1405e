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
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/trigger"
)

// onOrder starts an agent for every event order.
const onOrder = `{"on":{"event":{"names":["order"]}},"overlap":"allow","start":{"program":"agent","name":"chatty","input":{"text":"order ${{ trigger.event.id }}"}}}`

func trig(t *testing.T, data json.RawMessage, err error) orpine.Trigger {
	t.Helper()
	var one orpine.Trigger
	if err == nil {
		err = json.Unmarshal(data, &one)
	}
	if err != nil {
		t.Fatal(err)
	}
	return one
}

func (s *site) setTrigger(name, definition string) orpine.Trigger {
	s.t.Helper()
	data, err := s.SetTrigger(s.t.Context(), name, json.RawMessage(definition))
	if err != nil {
		s.t.Fatal(err)
	}
	var one orpine.Trigger
	if err := json.Unmarshal(data, &one); err != nil {
		s.t.Fatal(err)
	}
	return one
}

// started waits until a trigger has started so many runs, and returns the inputs of all of them, the
// oldest first.
func (s *site) started(tr durable.RunID, want int) []string {
	s.t.Helper()
	ctx := s.t.Context()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(2 * time.Millisecond) {
		runs, err := s.rt.List(ctx, durable.Filter{Parent: tr, Oldest: true})
		if err != nil {
			s.t.Fatal(err)
		}
		if len(runs) < want && time.Now().Before(deadline) {
			continue
		}
		var inputs []string
		for _, run := range runs {
			input, err := s.Input(ctx, run.ID)
			if err != nil {
				s.t.Fatal(err)
			}
			inputs = append(inputs, string(input))
		}
		return inputs
	}
}

// TestTriggers sets, tells, shows and removes a trigger, over a restart of the process.
func TestTriggers(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	made := s.setTrigger("orders", onOrder)
	if made.Name != "orders" || made.Definition.Start.Definition == nil || made.Status.Final() {
		t.Fatalf("%+v", made)
	}
	if same := s.setTrigger("orders", onOrder); same.Run != made.Run {
		t.Errorf("set again it is %s, not %s", same.Run, made.Run)
	}
	emit := func(event string, want int) {
		t.Helper()
		if told, err := s.Emit(ctx, json.RawMessage(event)); err != nil || told != want {
			t.Errorf("%s: %d heard it, want %d; error %v", event, told, want, err)
		}
	}
	emit(`{"name":"order","id":"1"}`, 1)
	emit(`{"name":"order","id":"1"}`, 1)
	emit(`{"name":"refund","id":"1"}`, 0)
	s.started(made.Run, 1)
	if err := s.PauseTrigger(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	emit(`{"name":"order","id":"2"}`, 1)
	data, err := s.Trigger(ctx, "orders")
	if is := trig(t, data, err); !is.State.Paused {
		t.Errorf("it is not paused: %+v", is.State)
	}
	s.stop()
	s.start()
	if err := s.ResumeTrigger(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // sent again under its key
		status, p, _ := s.raw(http.MethodPost, "/v1/triggers/orders/fire", strings.NewReader(`{"input":{"text":"by hand"}}`), "Idempotency-Key", "f1")
		if status != http.StatusOK {
			t.Fatalf("status %d: %+v", status, p)
		}
	}
	if status, _, _ := s.raw(http.MethodPost, "/v1/triggers/orders/fire", strings.NewReader(`{}`), "Idempotency-Key", "f1"); status != http.StatusConflict {
		t.Errorf("another request under the key: status %d", status)
	}
	for range 2 {
		if status, p, _ := s.raw(http.MethodPost, "/v1/events", strings.NewReader(`{"name":"order"}`), "Idempotency-Key", "e1"); status != http.StatusOK {
			t.Fatalf("status %d: %+v", status, p)
		}
	}
	emit(`{"name":"order","id":"3"}`, 1)
	if got := strings.Join(s.started(made.Run, 4), " "); strings.Count(got, "{") != 4 || !strings.Contains(got, `{"text":"order 1"}`) || !strings.Contains(got, `{"text":"by hand"}`) || strings.Contains(got, "order 2") || !strings.HasSuffix(got, `{"text":"order 3"}`) {
		t.Errorf("started %s", got)
	}
	data, err = s.Triggers(ctx)
	var list []orpine.Trigger
	if err != nil || json.Unmarshal(data, &list) != nil || len(list) != 1 || list[0].State.Started != 4 || list[0].State.Skipped != 1 || list[0].Definition.Start.Definition != nil || list[0].State.Last == "" {
		t.Errorf("%s, error %v", data, err)
	}
	if err := s.BackfillTrigger(ctx, "orders", json.RawMessage(`{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`)); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a backfill of events: %v", err)
	}
	if err := s.RemoveTrigger(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Trigger(ctx, "orders"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("behind its removal: %v", err)
	}
	emit(`{"name":"order","id":"4"}`, 0)
}

// TestSchedule: a schedule says when it is due, and what was due before it was set is made up for.
func TestSchedule(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	s.putWorkflow("greeting", greeting)
	set := s.setTrigger("daily", `{"on":{"cron":{"expr":"0 7 * * *","tz":"Europe/Berlin"}},"start":{"program":"workflow","name":"greeting","input":{"input":{"who":"${{ trigger.time }}"}}}}`)
	if set.Next.Before(time.Now()) || set.Next.After(time.Now().Add(25*time.Hour)) {
		t.Errorf("it is due at %s", set.Next)
	}
	for range 2 { // what has its run is passed over
		if err := s.BackfillTrigger(ctx, "daily", json.RawMessage(`{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T12:00:00Z","at_once":5}`)); err != nil {
			t.Fatal(err)
		}
	}
	got := s.started(set.Run, 2)
	if len(got) != 2 || !strings.Contains(got[0], "2026-01-01T06:00:00Z") || !strings.Contains(got[1], "2026-01-02T06:00:00Z") {
		t.Errorf("started %v", got)
	}
}

// TestTenantTriggers: a token of a tenant sees and touches what is its own.
func TestTenantTriggers(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	boss := s.secret("*")
	for _, tenant := range []string{"acme", "globex"} {
		if status, p, _ := s.raw(http.MethodPut, "/v1/triggers/orders?tenant="+tenant, strings.NewReader(onOrder), "Authorization", "Bearer "+boss); status != http.StatusOK {
			t.Fatalf("status %d: %+v", status, p)
		}
	}
	acme := s.as("acme", "runs:*")
	data, err := acme.Trigger(ctx, "orders")
	own := trig(t, data, err)
	if own.Tenant != "acme" || own.Definition.Start.Definition != nil {
		t.Errorf("%+v: it shows the definition of an agent to who may not read agents", own)
	}
	if told, err := acme.Emit(ctx, json.RawMessage(`{"name":"order","id":"1"}`)); err != nil || told != 1 {
		t.Errorf("%d heard it, error %v", told, err)
	}
	if status, _, _ := s.raw(http.MethodGet, "/v1/triggers/orders?tenant=globex", nil, "Authorization", "Bearer "+tenantSecret(s, "acme", "runs:read")); status != http.StatusForbidden {
		t.Errorf("that of another tenant: status %d", status)
	}
	if _, err := acme.SetTrigger(ctx, "mine", json.RawMessage(onOrder)); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("set without agents:write: %v", err)
	}
	if err := acme.RemoveTrigger(ctx, "orders"); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("removed without agents:write: %v", err)
	}
	if err := acme.PauseTrigger(ctx, "orders"); err != nil {
		t.Error(err)
	}
	other, err := s.rt.Trigger(ctx, "globex", "orders")
	if err != nil || other.State.Paused || other.State.Started != 0 {
		t.Errorf("that of the other is %+v, error %v", other.State, err)
	}
	if err := acme.PauseTrigger(ctx, "nosuch"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
}

func tenantSecret(s *site, tenant string, scopes ...string) string {
	s.t.Helper()
	token, err := s.s.CreateToken(s.t.Context(), client.NewToken{Name: "t", Scopes: scopes, Tenant: tenant})
	if err != nil {
		s.t.Fatal(err)
	}
	return token.Secret
}

// TestOwnTrigger: what a trigger hears and what it starts is not for everybody to say.
func TestOwnTrigger(t *testing.T) {
	s := open(t, server.Config{Private: []string{"ask"}})
	ctx := t.Context()
	tr := s.setTrigger("orders", onOrder)
	private := s.setTrigger("private", `{"on":{"event":{"names":["x"]}},"start":{"program":"ask","input":"fixed"}}`)
	if private.Definition.Start.Program != "ask" {
		t.Errorf("%+v", private)
	}
	c := mustClient(s, s.secret("runs:*"))
	s.Client = mustClient(s, s.secret("*"))
	for _, name := range []string{trigger.UpdateSignal, trigger.EventSignal, trigger.FireSignal, trigger.PauseSignal} {
		if err := c.Signal(ctx, tr.Run, durable.Signal{Name: name, Data: json.RawMessage(onOrder)}); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("signal %s: %v", name, err)
		}
	}
	for _, input := range []string{
		`{"text":"x","thread":{"hash":"00"}}`, `{"text":"x","pending":[]}`, `{"text":"x"} {"thread":{}}`, `"x"`,
	} {
		if err := c.FireTrigger(ctx, "orders", json.RawMessage(input)); !errors.Is(err, durable.ErrDenied) && !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("fired with %s: %v", input, err)
		}
	}
	if err := c.FireTrigger(ctx, "orders", json.RawMessage(`{"text":"plain"}`)); err != nil {
		t.Error(err)
	}
	if err := c.FireTrigger(ctx, "private", json.RawMessage(`"other"`)); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("another input for a private program: %v", err)
	}
	if got := s.started(tr.Run, 1); len(got) != 1 || got[0] != `{"text":"plain"}` {
		t.Errorf("started %v", got)
	}
	for _, f := range []func(context.Context, durable.RunID, client.Fork) (durable.Run, error){c.Fork, c.Retry} {
		if _, err := f(ctx, tr.Run, client.Fork{At: "0"}); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("a trigger beside the trigger: %v", err)
		}
	}
	if _, err := c.Emit(ctx, json.RawMessage(`{"name":"webhook:orders"}`)); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("an event that only a signature may send: %v", err)
	}
}

func mustClient(s *site, token string) *client.Client {
	s.t.Helper()
	c, err := client.New(client.Config{URL: s.web.URL, Token: token})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// TestBadTriggers: each kind of bad definition is refused with a text that helps.
func TestBadTriggers(t *testing.T) {
	s := open(t, server.Config{})
	s.setTrigger("orders", onOrder)
	for _, x := range []struct {
		name, path, body, says string
		status                 int
	}{
		{"unknown field", "x", `{"onn":{}}`, "onn", 400},
		{"no source", "x", `{"on":{},"start":{"program":"ask"}}`, "exactly one of", 400},
		{"a name that is none", "a%20b", onOrder, "must be letters", 400},
		{"never due", "x", `{"on":{"cron":{"expr":"0 0 30 2 *"}},"start":{"program":"ask"}}`, "never fires", 400},
		{"a zone that is none", "x", `{"on":{"cron":{"expr":"0 0 * * *","tz":"Europe/Berln"}},"start":{"program":"ask"}}`, "Europe/Berlin", 400},
		{"nothing that is started", "x", `{"on":{"every":60000000000},"start":{"program":"workflow"}}`, "say the definition", 400},
		{"an agent that there is not", "x", `{"on":{"every":60000000000},"start":{"program":"agent","name":"nobody"}}`, `no agent`, 404},
		{"a program of the runtime", "x", `{"on":{"every":60000000000},"start":{"program":"webhook"}}`, "does not start webhook", 400},
		{"a workflow that is none", "x", `{"on":{"every":60000000000},"start":{"program":"workflow","definition":{"name":"w","body":{"nodes":[{"id":"a","needs":["b"],"set":{}}]}}}}`, "w", 400},
	} {
		t.Run(x.name, func(t *testing.T) {
			status, data, _ := s.text(http.MethodPut, "/v1/triggers/"+x.path, strings.NewReader(x.body))
			if status != x.status || !strings.Contains(string(data), x.says) {
				t.Errorf("status %d, want %d with %q: %s", status, x.status, x.says, data)
			}
		})
	}
	for _, body := range []string{`{}`, `{"name":""}`, `{"name":"order","data":"` + strings.Repeat("x", 300<<10) + `"}`} {
		if status, _, _ := s.raw(http.MethodPost, "/v1/events", strings.NewReader(body)); status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
			t.Errorf("event %.40s: status %d", body, status)
		}
	}
}

// TestLoadTriggers: what a file has is set, changed and removed with it; what was done by hand since is
// left alone.
func TestLoadTriggers(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	def := func(name, event string) trigger.Definition {
		return trigger.Definition{Name: name, On: trigger.On{Event: &trigger.Event{Names: []string{event}}}, Start: trigger.Start{Program: "ask", Input: json.RawMessage(`"x"`)}}
	}
	load := func(list ...trigger.Definition) {
		t.Helper()
		s.file.Triggers = list
		if err := s.s.Load(ctx, s.file); err != nil {
			t.Fatal(err)
		}
	}
	hears := func(name string) string {
		t.Helper()
		one, err := s.rt.Trigger(ctx, "", name)
		if errors.Is(err, durable.ErrNotFound) {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		return one.Definition.On.Event.Names[0]
	}
	expect := func(name, want string) {
		t.Helper()
		if got := hears(name); got != want {
			t.Errorf("%s hears %q, want %q", name, got, want)
		}
	}
	byHand := func(name, event string) {
		t.Helper()
		s.setTrigger(name, `{"on":{"event":{"names":["`+event+`"]}},"start":{"program":"ask","input":"x"}}`)
	}
	load(def("a", "one"), def("b", "one"), def("c", "one"))
	first, err := s.rt.Trigger(ctx, "", "a")
	if err != nil {
		t.Fatal(err)
	}
	byHand("mine", "one")
	byHand("b", "hand")
	if err := s.RemoveTrigger(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.start()
	load(def("a", "one"), def("b", "one"), def("c", "one")) // nothing in it is new
	expect("a", "one")
	expect("b", "hand")
	expect("c", "")
	load(def("a", "two"), def("b", "two"), def("c", "two")) // all is
	expect("a", "two")
	expect("b", "two")
	expect("c", "two")
	if a, err := s.rt.Trigger(ctx, "", "a"); err != nil || a.Run != first.Run {
		t.Errorf("it is %s and not %s any more, error %v", a.Run, first.Run, err)
	}
	byHand("b", "hand")
	load() // all is gone
	expect("a", "")
	expect("b", "hand")
	expect("c", "")
	expect("mine", "one")
	load(def("mine", "file"))
	expect("mine", "file")
	load()
	expect("mine", "")
}

// TestLoadOver: a one-off that is over is not begun again because its file is loaded again.
func TestLoadOver(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	once := trigger.Definition{Name: "once", On: trigger.On{At: time.Now().Add(time.Second)}, Start: trigger.Start{Program: "ask", Input: json.RawMessage(`"x"`)}}
	load := func() {
		t.Helper()
		if err := s.s.Load(ctx, server.File{Triggers: []trigger.Definition{once}}); err != nil {
			t.Fatal(err)
		}
	}
	load()
	one, err := s.rt.Trigger(ctx, "", "once")
	if err != nil {
		t.Fatal(err)
	}
	runs := s.startedRuns(one.Run)
	s.asks(runs[0].ID)
	if err := s.Answer(ctx, runs[0].ID, client.Answer{Value: json.RawMessage(`"fine"`)}); err != nil {
		t.Fatal(err)
	}
	if over := s.must(s.Wait(ctx, one.Run)); over.Status != durable.Succeeded {
		t.Fatalf("it is %s: %s", over.Status, over.Reason)
	}
	load() // the same file, at the next start of the process: what is over stays over
	again, err := s.rt.Trigger(ctx, "", "once")
	if err != nil || again.Run != one.Run || again.State.Started != 1 {
		t.Errorf("%+v, error %v", again, err)
	}
}

func (s *site) startedRuns(tr durable.RunID) []durable.Run {
	s.t.Helper()
	s.started(tr, 1)
	runs, err := s.rt.List(s.t.Context(), durable.Filter{Parent: tr, Oldest: true})
	if err != nil || len(runs) == 0 {
		s.t.Fatalf("nothing was started, error %v", err)
	}
	return runs
}
