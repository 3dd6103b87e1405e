package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/server/webhook"
	"github.com/orpine-run/orpine/tool"
)

// site is a server over a runtime, on a port of its own.
type site struct {
	*client.Client
	t    testing.TB
	dir  string
	conf orpine.Config // of the runtime
	rt   *orpine.Runtime
	s    *server.Server
	web  *httptest.Server
	cfg  server.Config
	file server.File   // what it has when it starts, besides the agent chatty
	free chan struct{} // lets the tool hold go on

	hooks *webhook.Dispatcher
}

// rules is what the model of the tests says.
const rules = `
rules:
  - when: {last_tool: hold}
    reply: {text: "heard"}
  - when: {last_user: hold}
    reply: {calls: [{name: hold, args: {}}]}
  - reply: {text: "heard"}
`

func open(t testing.TB, cfg server.Config) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), cfg: cfg, free: make(chan struct{}, 100)}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) start() {
	s.t.Helper()
	scripted, err := script.Parse("talk.yaml", []byte(rules))
	if err != nil {
		s.t.Fatal(err)
	}
	hold := tool.Func("hold", "Waits", func(ctx context.Context, _ struct{}) (string, error) {
		select {
		case <-s.free:
			return "let go", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}, tool.Read)
	echo := durable.NewFunc("echo", durable.StepOptions{}, func(_ context.Context, in string) (string, error) { return in, nil })
	ask := durable.NewProgram("ask", func(ctx durable.Context, in string) (string, error) {
		if _, err := durable.Do(ctx, echo, in); err != nil {
			return "", err
		}
		var said string
		err := ctx.Ask(durable.Interrupt{ID: "q", Prompt: "well?"}).Get(ctx, &said)
		return said, err
	}, echo.StepFunc)
	nest := durable.NewProgram("nest", func(ctx durable.Context, in string) (string, error) {
		var out string
		err := ctx.Child(durable.ChildCall{Program: "ask", Input: []byte(fmt.Sprintf("%q", in))}).Get(ctx, &out)
		return out, err
	})
	long := durable.NewFunc("long", durable.StepOptions{}, func(ctx context.Context, in string) (string, error) {
		select {
		case <-s.free:
		case <-ctx.Done():
		}
		return in, nil
	})
	both := durable.NewProgram("both", func(ctx durable.Context, in string) (string, error) {
		work := durable.Start(ctx, long, in)
		var said string
		err := ctx.Ask(durable.Interrupt{ID: "q", Prompt: "well?"}).Get(ctx, &said)
		if err == nil {
			_, err = work.Await(ctx)
		}
		return said, err
	}, long.StepFunc)
	s.hooks = webhook.New(webhook.Config{})
	s.conf = orpine.Config{
		Data: s.dir, Tools: []tool.Tool{hold}, Programs: []durable.Program{ask, nest, both, s.hooks.Program()}, KeepDeltas: true, OnStatus: s.hooks.Changed,
		Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return scripted.Model(), nil }},
	}
	if s.rt, err = orpine.Open(s.t.Context(), s.conf); err != nil {
		s.t.Fatal(err)
	}
	if err := s.hooks.Start(s.t.Context(), s.rt); err != nil {
		s.t.Fatal(err)
	}
	cfg := s.cfg
	cfg.Runtime, cfg.Webhooks = s.rt, s.hooks
	if s.s, err = server.New(s.t.Context(), cfg); err != nil {
		s.t.Fatal(err)
	}
	s.file.Agents = map[string]agent.Definition{"chatty": {Model: "script/talk", Tools: []string{"hold"}}}
	if err := s.s.Load(s.t.Context(), s.file); err != nil {
		s.t.Fatal(err)
	}
	s.web = httptest.NewServer(s.s)
	if s.Client, err = client.New(client.Config{URL: s.web.URL}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) stop() {
	s.s.Drop()
	s.web.CloseClientConnections()
	s.web.Close()
	s.hooks.Stop()
	if err := errors.Join(s.Close(), s.s.Close(), s.rt.Close()); err != nil {
		s.t.Error(err)
	}
}

// as is a client with a token of these scopes.
func (s *site) as(tenant string, scopes ...string) *client.Client {
	s.t.Helper()
	token, err := s.s.CreateToken(s.t.Context(), client.NewToken{Name: tenant + "-token", Scopes: scopes, Tenant: tenant})
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := client.New(client.Config{URL: s.web.URL, Token: token.Secret})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *site) must(run durable.Run, err error) durable.Run {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return run
}

// raw sends a request as it is and returns the status and the problem.
func (s *site) raw(method, path string, body io.Reader, header ...string) (int, client.Problem, http.Header) {
	s.t.Helper()
	status, data, got := s.text(method, path, body, header...)
	var p client.Problem
	if status >= http.StatusBadRequest {
		if kind := got.Get("Content-Type"); kind != "application/problem+json" {
			s.t.Errorf("%s %s: status %d with %s: %s", method, path, status, kind, data)
		}
		if err := json.Unmarshal(data, &p); err != nil {
			s.t.Errorf("%s %s: %v: %s", method, path, err, data)
		}
	}
	return status, p, got
}

// text sends a request as it is and returns the status and the body.
func (s *site) text(method, path string, body io.Reader, header ...string) (int, []byte, http.Header) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.web.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, data, resp.Header
}

func TestRuns(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	run := s.must(s.Start(ctx, client.StartRun{Agent: "chatty", Text: "hello", Name: "first"}))
	if run = s.must(s.Wait(ctx, run.ID)); run.Status != durable.Succeeded || !strings.Contains(string(run.Output), "heard") {
		t.Errorf("it is %s with %s", run.Status, run.Output)
	}
	steps, err := s.Steps(ctx, run.ID)
	if err != nil || len(steps) != 1 || steps[0].Name != "model" {
		t.Errorf("steps: %+v, error %v", steps, err)
	}
	if input, err := s.Input(ctx, run.ID); err != nil || string(input) != `{"text":"hello"}` {
		t.Errorf("input: %s, error %v", input, err)
	}
	if u, err := s.Usage(ctx, run.ID); err != nil || u.Calls != 1 || u.Output == 0 {
		t.Errorf("usage: %+v, error %v", u, err)
	}
	nest := s.must(s.Start(ctx, client.StartRun{Program: "nest", Input: json.RawMessage(`"x"`)}))
	for {
		tree, err := s.Tree(ctx, nest.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(tree.Children) == 1 && tree.Children[0].NeedsPerson() {
			break
		}
		<-time.After(time.Millisecond)
	}
	list, err := s.Questions(ctx, "")
	if err != nil || len(list) != 1 || list[0].Prompt != "well?" {
		t.Fatalf("questions: %+v, error %v", list, err)
	}
	if err := s.Answer(ctx, list[0].Run, client.Answer{Value: json.RawMessage(`"fine"`)}); err != nil {
		t.Fatal(err)
	}
	if run := s.must(s.Wait(ctx, nest.ID)); string(run.Output) != `"fine"` {
		t.Errorf("it is %s with %s", run.Status, run.Output)
	}
	err = s.Answer(ctx, list[0].Run, client.Answer{Value: json.RawMessage(`"late"`)})
	if !errors.Is(err, durable.ErrConflict) {
		t.Errorf("a second answer: %v", err)
	}
	if counts, err := s.Count(ctx, durable.Filter{}); err != nil || counts[durable.Succeeded] != 3 {
		t.Errorf("counts: %v, error %v", counts, err)
	}
}

// TestPages lists all runs of a filter, a few at a time, while others are added.
func TestPages(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	want := map[durable.RunID]bool{}
	for i := range 60 {
		name := "odd"
		if i%2 == 0 {
			name = "even"
		}
		run := s.must(s.Start(ctx, client.StartRun{Agent: "chatty", Name: name}))
		want[run.ID] = name == "even"
	}
	seen := 0
	for run, err := range s.All(ctx, durable.Filter{Search: "EVE", Limit: 7}) {
		if err != nil {
			t.Fatal(err)
		}
		if !want[run.ID] {
			t.Errorf("run %s (%s) is not wanted, or comes twice", run.ID, run.Name)
		}
		want[run.ID] = false
		seen++
		s.must(s.Start(ctx, client.StartRun{Agent: "chatty", Name: "even"}))
	}
	if seen != 30 {
		t.Errorf("%d runs of 30", seen)
	}
	page, err := s.ListPage(ctx, durable.Filter{Name: "even", Limit: 3}, "")
	if err != nil || page.Next == "" {
		t.Fatalf("%+v, error %v", page, err)
	}
	if _, err := s.ListPage(ctx, durable.Filter{Name: "odd", Limit: 3}, page.Next); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a cursor of another list: %v", err)
	}
	if _, err := s.ListPage(ctx, durable.Filter{}, "bm9uZQ"); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a bad cursor: %v", err)
	}
}

// TestOnce: a request that is sent again under its key does nothing again.
func TestOnce(t *testing.T) {
	s := open(t, server.Config{})
	body := `{"agent":"chatty","text":"hi"}`
	start := func(body string) (int, client.Problem, string) {
		status, p, h := s.raw(http.MethodPost, "/v1/runs", strings.NewReader(body), "Idempotency-Key", "k1")
		return status, p, h.Get("Location")
	}
	status, _, first := start(body)
	if status != http.StatusCreated || first == "" {
		t.Fatalf("status %d, location %q", status, first)
	}
	s.web.Close()
	s.stop()
	s.start()
	if status, p, again := start(body); status != http.StatusCreated || again != first {
		t.Errorf("again: status %d (%s), location %q, not %q", status, p.Detail, again, first)
	}
	if status, p, _ := start(`{"agent":"chatty","text":"other"}`); status != http.StatusConflict || p.Code != durable.CodeConflict {
		t.Errorf("another request: status %d, %+v", status, p)
	}
	if counts, err := s.Count(t.Context(), durable.Filter{}); err != nil || counts[durable.Succeeded]+counts[durable.Running] != 1 {
		t.Errorf("%v, error %v", counts, err)
	}
}

// TestBadInput: each kind of bad input has its status, its code and a text that helps.
func TestBadInput(t *testing.T) {
	s := open(t, server.Config{})
	deep := strings.Repeat(`{"input":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	for _, x := range []struct {
		name, method, path, body string
		status                   int
		code                     durable.Code
		says                     string
	}{
		{"malformed", "POST", "/v1/runs", `{"agent":`, 400, durable.CodeInvalid, ""},
		{"unknown field", "POST", "/v1/runs", `{"agnet":"chatty"}`, 422, durable.CodeInvalid, `did you mean "agent"?`},
		{"wrong type", "POST", "/v1/runs", `{"agent":7}`, 422, durable.CodeInvalid, "body.agent: expected string"},
		{"nothing to run", "POST", "/v1/runs", `{"text":"x"}`, 400, durable.CodeInvalid, "say one of agent"},
		{"unknown agent", "POST", "/v1/runs", `{"agent":"nobody"}`, 404, durable.CodeNotFound, `no agent "nobody"`},
		{"unknown program", "POST", "/v1/runs", `{"program":"nope"}`, 400, durable.CodeInvalid, "known:"},
		{"not UTF-8", "POST", "/v1/runs", "{\"agent\":\"\xff\"}", 400, durable.CodeInvalid, "not UTF-8"},
		{"deep", "POST", "/v1/runs", deep, 400, durable.CodeInvalid, "nested deeper than 100"},
		{"large", "POST", "/v1/threads", `{"name":"` + strings.Repeat("x", 100<<20) + `"}`, 413, durable.CodeInvalid, "large"},
		{"a program of the runtime", "POST", "/v1/runs", `{"program":"webhook","input":{}}`, 400, durable.CodeInvalid, "not started by its name"},
		{"unknown run", "GET", "/v1/runs/nosuchrun", "", 404, durable.CodeNotFound, "nosuchrun"},
		{"unknown path", "GET", "/v1/nothing", "", 404, durable.CodeNotFound, "/openapi.json"},
		{"wrong method", "DELETE", "/v1/runs", "", 405, durable.CodeInvalid, "it takes GET, POST"},
		{"bad cursor", "GET", "/v1/runs?cursor=xx", "", 400, durable.CodeInvalid, "no cursor"},
		{"bad limit", "GET", "/v1/runs?limit=100000", "", 422, durable.CodeInvalid, "limit"},
		{"bad status", "GET", "/v1/runs?status=asleep", "", 422, durable.CodeInvalid, "status"},
		{"unknown query", "GET", "/v1/runs?statsu=running", "", 422, durable.CodeInvalid, "statsu"},
		{"bad stream cursor", "GET", "/v1/runs/@last/events?after=1.x", "", 400, durable.CodeInvalid, "no cursor of a stream"},
		{"cursor of another run", "GET", "/v1/runs/@last/events?after=4000", "", 400, durable.CodeInvalid, "behind the last event"},
		{"bad mode", "GET", "/v1/runs/@last/events?mode=all", "", 400, durable.CodeInvalid, "updates"},
		{"long URL", "GET", "/v1/runs?search=" + strings.Repeat("x", 9000), "", 400, durable.CodeInvalid, "URL"},
	} {
		t.Run(x.name, func(t *testing.T) {
			s.t = t
			if x.path == "/v1/runs/@last/events?after=1.x" {
				s.must(s.Start(t.Context(), client.StartRun{Agent: "chatty"}))
			}
			var body io.Reader
			if x.body != "" {
				body = bytes.NewReader([]byte(x.body))
			}
			status, p, _ := s.raw(x.method, x.path, body)
			if status != x.status || p.Code != x.code || !strings.Contains(fmt.Sprintf("%+v", p), x.says) || p.Request == "" {
				t.Errorf("status %d, %.400s; want %d with %q", status, fmt.Sprintf("%+v", p), x.status, x.says)
			}
		})
	}
}

// TestOwnSignals: what the runtime says to its programs is not for others to say.
func TestOwnSignals(t *testing.T) {
	s := open(t, server.Config{})
	th, err := s.StartThread(t.Context(), client.StartThread{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(t.Context(), th.Run.ID, durable.Signal{Name: agent.TurnSignal, Data: json.RawMessage(`{}`)}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a turn by signal: %v", err)
	}
}

// TestWebhook: a change of status reaches the URL, and a tenant has only its own.
func TestWebhook(t *testing.T) {
	s := open(t, server.Config{})
	got := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Header.Get("Webhook-Signature")[:3] + string(body)
	}))
	defer receiver.Close()
	ctx := t.Context()
	w, err := s.AddWebhook(ctx, client.Webhook{URL: receiver.URL, Statuses: []durable.Status{durable.Succeeded}, Tenant: "acme"})
	if err != nil || w.Secret == "" {
		t.Fatalf("%+v, error %v", w, err)
	}
	s.must(s.Start(ctx, client.StartRun{Agent: "chatty", Text: "no", Tenant: "other"}))
	run := s.must(s.Start(ctx, client.StartRun{Agent: "chatty", Text: "hello", Tenant: "acme"}))
	if text := <-got; !strings.HasPrefix(text, "v1,") || !strings.Contains(text, string(run.ID)) || !strings.Contains(text, "run.succeeded") {
		t.Errorf("got %s", text)
	}
	list, err := s.Webhooks(ctx)
	if err != nil || len(list) != 1 || list[0].Secret != "" {
		t.Errorf("%+v, error %v", list, err)
	}
	if err := s.RemoveWebhook(ctx, w.ID); err != nil {
		t.Error(err)
	}
}
