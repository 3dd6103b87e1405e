package server_test

import (
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
	"github.com/orpine-run/orpine/workflow"
)

// greeting is a workflow that asks a person in its middle.
const greeting = `{
	"name": "greeting",
	"input": {"type": "object", "required": ["who"], "properties": {"who": {"type": "string"}}},
	"state": {"said": {}},
	"output": {"to": "${{ input.who }}", "said": "${{ state.said }}"},
	"body": {"ordered": true, "nodes": [
		{"id": "say", "agent": "chatty", "prompt": "greet ${{ input.who }}"},
		{"id": "may", "human": {"ask": "May it be sent?"}},
		{"id": "keep", "set": {"said": "${{ steps.say.output }}"}}
	]},
	"agents": {"chatty": {"name": "chatty", "model": "script/talk"}}
}`

// replaying is a site whose server can replay its journals.
func replaying(t *testing.T) *site {
	var s *site
	s = open(t, server.Config{Fresh: func() orpine.Config { return s.conf }})
	return s
}

func (s *site) putWorkflow(name, definition string) client.Workflow {
	s.t.Helper()
	w, err := s.PutWorkflow(s.t.Context(), name, json.RawMessage(definition))
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// asks waits until a run asks somebody.
func (s *site) asks(id durable.RunID) {
	s.t.Helper()
	if run := s.must(s.Rest(s.t.Context(), id)); !run.NeedsPerson() {
		s.t.Fatalf("it is %s and asks nobody: %+v", run.Status, run.Error)
	}
}

func (s *site) accept(id durable.RunID) {
	s.t.Helper()
	if err := s.Answer(s.t.Context(), id, client.Answer{Value: json.RawMessage(`{"action":"accept"}`)}); err != nil {
		s.t.Fatal(err)
	}
}

// output is that of a run of a workflow.
func output(t *testing.T, run durable.Run) string {
	t.Helper()
	var r workflow.Outcome
	if err := json.Unmarshal(run.Output, &r); err != nil {
		t.Errorf("output %s: %v", run.Output, err)
	}
	return string(r.Output)
}

func (s *site) view(id durable.RunID) map[string]workflow.NodeView {
	s.t.Helper()
	data, err := s.Progress(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	var v workflow.View
	if err := json.Unmarshal(data, &v); err != nil {
		s.t.Fatal(err)
	}
	nodes := map[string]workflow.NodeView{}
	for _, n := range v.Nodes {
		nodes[n.ID] = n
	}
	return nodes
}

// TestWorkflows: a workflow is kept, changed, gone back to and started by its name.
func TestWorkflows(t *testing.T) {
	s := replaying(t)
	ctx := t.Context()
	first := s.putWorkflow("greeting", greeting)
	run := s.must(s.Start(ctx, client.StartRun{Workflow: "greeting", Input: json.RawMessage(`{"who":"Ann"}`)}))
	if run.Name != "greeting" || run.Program != workflow.Program || run.Definition != first.Hash {
		t.Errorf("it is %s of %s with %s, and the workflow is %s", run.Name, run.Program, run.Definition, first.Hash)
	}
	s.asks(run.ID)
	if nodes := s.view(run.ID); nodes["say"].Status != workflow.Succeeded || nodes["keep"].Status != workflow.Pending || nodes["may"].Status.Ended() {
		t.Errorf("progress %+v", nodes)
	}
	second := s.putWorkflow("greeting", strings.ReplaceAll(greeting, "May it be sent?", "Send it?"))
	if len(second.Versions) != 2 || second.Versions[1] != first.Hash || second.Source != "api" {
		t.Errorf("%+v", second)
	}
	old := s.must(s.Start(ctx, client.StartRun{Workflow: "greeting", Version: first.Hash[:12], Input: json.RawMessage(`{"who":"Bob"}`)}))
	if old.Definition != first.Hash {
		t.Errorf("version %s was asked for, and it has %s", first.Hash, old.Definition)
	}
	if back, err := s.RollbackWorkflow(ctx, "greeting", first.Hash); err != nil || back.Hash != first.Hash {
		t.Errorf("rolled back to %s, error %v", back.Hash, err)
	}
	if list, err := s.Workflows(ctx); err != nil || len(list) != 1 || list[0].Name != "greeting" || list[0].Definition != nil {
		t.Errorf("%+v, error %v", list, err)
	}
	status, data, _ := s.text(http.MethodGet, "/v1/workflows/greeting/graph?version="+second.Hash[:8], nil)
	var drawn workflow.View
	if err := json.Unmarshal(data, &drawn); status != http.StatusOK || err != nil || len(drawn.Nodes) != 3 || drawn.Nodes[1].ID != "may" || len(drawn.Nodes[1].Needs) != 1 {
		t.Errorf("its graph: status %d: %s", status, data)
	}
	if err := s.DeleteWorkflow(ctx, "greeting"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(ctx, client.StartRun{Workflow: "greeting"}); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("started behind its removal: %v", err)
	}
	s.accept(run.ID) // a run goes on by what it has pinned
	run = s.must(s.Wait(ctx, run.ID))
	if run.Status != durable.Succeeded || output(t, run) != `{"said":"heard","to":"Ann"}` {
		t.Errorf("it is %s with %s: %v", run.Status, run.Output, run.Error)
	}
}

// TestBadWorkflows: what is wrong with a workflow, or with how it is started, is said at the door.
func TestBadWorkflows(t *testing.T) {
	s := open(t, server.Config{})
	s.putWorkflow("greeting", greeting)
	for _, x := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"unknown step", "PUT", "/v1/workflows/w", strings.ReplaceAll(greeting, "steps.say", "steps.sya"), 400, "sya"},
		{"unknown field", "PUT", "/v1/workflows/w", `{"naem":"w"}`, 400, "naem"},
		{"cycle", "PUT", "/v1/workflows/w", `{"name":"w","body":{"nodes":[{"id":"a","needs":["b"],"set":{}},{"id":"b","needs":["a"],"set":{}}]}}`, 400, "a circle: a needs b"},
		{"input", "POST", "/v1/runs", `{"workflow":"greeting","input":{"who":7}}`, 400, "greeting"},
		{"no input", "POST", "/v1/runs", `{"workflow":"greeting"}`, 400, "greeting"},
		{"a text", "POST", "/v1/runs", `{"workflow":"greeting","text":"hi"}`, 400, "is given an input"},
		{"two", "POST", "/v1/runs", `{"workflow":"greeting","agent":"chatty"}`, 400, "say one of"},
		{"select of an agent", "POST", "/v1/runs", `{"agent":"chatty","select":["a"]}`, 400, "select goes with"},
		{"no definition", "POST", "/v1/runs", `{"program":"workflow","input":{}}`, 400, "say one of"},
		{"a trigger as a run", "POST", "/v1/runs", `{"program":"trigger","input":{}}`, 400, "not started by its name"},
		{"unknown", "GET", "/v1/workflows/nosuch", "", 404, `no workflow \"nosuch\"`},
		{"unknown version", "GET", "/v1/workflows/greeting?version=0000", "", 404, "no version 0000"},
	} {
		t.Run(x.name, func(t *testing.T) {
			status, data, _ := s.text(x.method, x.path, strings.NewReader(x.body))
			if status != x.status || !strings.Contains(string(data), x.says) {
				t.Errorf("status %d, want %d with %q: %s", status, x.status, x.says, data)
			}
		})
	}
}

// TestOnceWorkflow: a workflow that is started again under its key is started once.
func TestOnceWorkflow(t *testing.T) {
	s := open(t, server.Config{})
	s.putWorkflow("greeting", greeting)
	in := client.StartRun{Workflow: "greeting", Input: json.RawMessage(`{"who":"Ann"}`)}
	one := s.must(s.StartOnce(t.Context(), "k", in))
	s.stop()
	s.start()
	if two := s.must(s.StartOnce(t.Context(), "k", in)); two.ID != one.ID {
		t.Errorf("%s, then %s", one.ID, two.ID)
	}
}

// TestPlannedAgent: an agent that runs as a workflow is started like any other, and takes no turns.
func TestPlannedAgent(t *testing.T) {
	s := replaying(t)
	ctx := t.Context()
	planned := &workflow.Definition{}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(strings.ReplaceAll(greeting, "who", "text"), `"greeting"`, `"thinker"`)), planned); err != nil {
		t.Fatal(err)
	}
	if err := s.s.Load(ctx, server.File{Planned: map[string]*workflow.Definition{"thinker": planned}}); err != nil {
		t.Fatal(err)
	}
	a, err := s.Agent(ctx, "thinker", "")
	if err != nil || a.Program != workflow.Program || a.Source != "file" {
		t.Fatalf("%+v, error %v", a, err)
	}
	run := s.must(s.Start(ctx, client.StartRun{Agent: "thinker", Text: "think"}))
	s.asks(run.ID)
	if nodes := s.view(run.ID); nodes["say"].Status != workflow.Succeeded {
		t.Errorf("progress %+v", nodes)
	}
	s.accept(run.ID)
	if run = s.must(s.Wait(ctx, run.ID)); output(t, run) != `{"said":"heard","to":"think"}` {
		t.Errorf("it is %s with %s", run.Status, run.Output)
	}
	th, err := s.StartThread(ctx, client.StartThread{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.StartTurn(ctx, th.Run.ID, client.StartTurn{StartRun: client.StartRun{Agent: "thinker", Text: "x"}}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a turn: %v", err)
	}
	if _, err := s.PutAgent(ctx, "thinker", json.RawMessage(`{"model":"script/talk"}`)); err != nil {
		t.Fatal(err)
	}
	if plain := s.must(s.Start(ctx, client.StartRun{Agent: "thinker", Text: "x"})); plain.Program != "agent" {
		t.Errorf("put as an agent, it is of %s", plain.Program)
	}
	if back, err := s.RollbackAgent(ctx, "thinker", a.Hash); err != nil || back.Program != workflow.Program {
		t.Errorf("rolled back: %+v, error %v", back, err)
	}
}

// TestMigrate: what a check says of runs under way, and what becomes of one that fits and one that
// does not.
func TestMigrate(t *testing.T) {
	s := replaying(t)
	ctx := t.Context()
	s.putWorkflow("greeting", greeting)
	run := s.must(s.Start(ctx, client.StartRun{Workflow: "greeting", Input: json.RawMessage(`{"who":"Ann"}`), Tenant: "acme"}))
	s.asks(run.ID)
	fit := func() string {
		t.Helper()
		for data, err := range s.CheckRuns(ctx) {
			var found struct {
				orpine.Checked
				Fit *workflow.Fit `json:"fit"`
			}
			if err != nil || json.Unmarshal(data, &found) != nil {
				t.Fatalf("%s, error %v", data, err)
			}
			if found.Run.ID == run.ID && found.Fit != nil {
				return found.Fit.Status
			}
		}
		return ""
	}
	if got := fit(); got != workflow.FitOK {
		t.Errorf("by its own workflow: %q", got)
	}
	// The step that it waits at is gone: that does not fit.
	s.putWorkflow("greeting", strings.Replace(greeting, `"id": "may"`, `"id": "can"`, 1))
	if got := fit(); got != workflow.FitRemoved {
		t.Errorf("without the step that it waits at: %q", got)
	}
	if _, err := s.MigrateTo(ctx, run.ID, "greeting", ""); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("migrated all the same: %v", err)
	}
	// Another step at the end: that fits.
	longer := strings.Replace(greeting, `{"id": "keep", "set": {"said": "${{ steps.say.output }}"}}`, `{"id": "keep", "set": {"said": "twice ${{ steps.say.output }}"}}`, 1)
	w := s.putWorkflow("greeting", longer)
	if got := fit(); got != workflow.FitOK {
		t.Errorf("with another last step: %q", got)
	}
	tenant := s.as("acme", "runs:*")
	if _, err := tenant.MigrateTo(ctx, run.ID, "greeting", ""); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("a token of a tenant migrates: %v", err)
	}
	boss := s.as("", "*")
	if _, err := boss.MigrateTo(ctx, run.ID, "greeting", w.Hash[:10]); err != nil {
		t.Fatal(err)
	}
	s.Client = boss
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) { // the question is put anew, and the one before answered by nobody
		err := s.Answer(ctx, run.ID, client.Answer{Value: json.RawMessage(`{"action":"accept"}`)})
		if now := s.must(s.Get(ctx, run.ID)); now.Status == durable.Succeeded {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not end: %v", err)
		}
	}
	if run = s.must(s.Wait(ctx, run.ID)); output(t, run) != `{"said":"twice heard","to":"Ann"}` {
		t.Errorf("it ends with %s", run.Output)
	}
	if status, _, _ := s.raw(http.MethodPost, "/v1/runs/"+string(run.ID)+"/migrate", strings.NewReader(`{}`), "Authorization", "Bearer "+s.secret("*")); status != http.StatusBadRequest {
		t.Errorf("migrated to nothing: status %d", status)
	}
}

// secret is that of a new token without a tenant.
func (s *site) secret(scopes ...string) string {
	s.t.Helper()
	token, err := s.s.CreateToken(s.t.Context(), client.NewToken{Name: "more", Scopes: scopes})
	if err != nil {
		s.t.Fatal(err)
	}
	return token.Secret
}

// TestAssets: assets are listed with what they were made of, by tenant and partition.
func TestAssets(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	s.putWorkflow("build", `{"name": "build", "input": {"type": "object", "properties": {"month": {"type": "string"}}}, "body": {"nodes": [
		{"id": "raw", "agent": "chatty", "prompt": "x", "asset": {"name": "orders"}},
		{"id": "sum", "needs": ["raw"], "agent": "chatty", "prompt": "y", "asset": {"name": "report", "partition": "${{ input.month }}"}}
	]}, "agents": {"chatty": {"name": "chatty", "model": "script/talk"}}}`)
	var last durable.RunID
	for _, month := range []string{"2026-01", "2026-02"} {
		run := s.must(s.Start(ctx, client.StartRun{Workflow: "build", Tenant: "acme", Input: json.RawMessage(`{"month":"` + month + `"}`)}))
		last = s.must(s.Wait(ctx, run.ID)).ID
	}
	token, err := s.s.CreateToken(ctx, client.NewToken{Name: "reader", Scopes: []string{"runs:read"}, Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	get := func(query string) []workflow.Materialization {
		t.Helper()
		status, data, _ := s.text(http.MethodGet, "/v1/assets"+query, nil, "Authorization", "Bearer "+token.Secret)
		var list []workflow.Materialization
		if status != http.StatusOK || json.Unmarshal(data, &list) != nil {
			t.Fatalf("status %d: %s", status, data)
		}
		return list
	}
	if all := get(""); len(all) != 3 {
		t.Errorf("%+v", all)
	}
	february := get("?asset=report&partition=2026-02")
	if len(february) != 1 || february[0].Run != last || february[0].Node != "sum" || len(february[0].Needs) != 1 || february[0].Needs[0] != "orders" {
		t.Errorf("%+v", february)
	}
	if none := get("?asset=report&partition=2026-03"); len(none) != 0 {
		t.Errorf("%+v", none)
	}
	if data, err := s.as("globex", "runs:read").Assets(ctx, ""); err != nil || string(data) != "[]" {
		t.Errorf("another tenant sees %s, error %v", data, err)
	}
}

// TestOwnWorkflow: what the runtime says to the runs of workflows is not for others to say, and what a
// run was told is not for everybody to change.
func TestOwnWorkflow(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	s.putWorkflow("greeting", greeting)
	run := s.must(s.Start(ctx, client.StartRun{Workflow: "greeting", Input: json.RawMessage(`{"who":"Ann"}`), Tenant: "acme"}))
	s.asks(run.ID)
	if err := s.Signal(ctx, run.ID, durable.Signal{Name: workflow.MigrateSignal, Data: json.RawMessage(greeting)}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("migrated by a signal: %v", err)
	}
	if err := s.Signal(ctx, run.ID, durable.Signal{Name: "steer"}); err != nil {
		t.Errorf("an event that a workflow may wait for: %v", err)
	}
	for name, f := range map[string]client.Fork{
		"input":      {At: "0", Input: json.RawMessage(`{"definition":` + greeting + `}`)},
		"definition": {At: "0", Definition: json.RawMessage(greeting)},
		"results":    {At: "0", Results: []client.ForkResult{{Step: "0", Output: json.RawMessage(`{"hash":"00"}`)}}},
	} {
		if _, err := s.as("acme", "runs:*").Fork(ctx, run.ID, f); !errors.Is(err, durable.ErrDenied) {
			t.Errorf("a fork with another %s: %v", name, err)
		}
	}
	err := s.as("acme", "runs:*").Resolve(ctx, run.ID, 0, durable.Resolution{Done: json.RawMessage(`{"ref":{"hash":"00"}}`)})
	if !errors.Is(err, durable.ErrDenied) {
		t.Errorf("a result that refers to a blob: %v", err)
	}
	if _, err := s.as("acme", "runs:*").Start(ctx, client.StartRun{Program: "workflow", Definition: json.RawMessage(greeting)}); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("a workflow that comes with the request: %v", err)
	}
}
