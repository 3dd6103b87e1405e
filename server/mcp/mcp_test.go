package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/server/mcp"
	"github.com/orpine-run/orpine/tool"
	client2 "github.com/orpine-run/orpine/tool/mcp"
)

// rules is what the model of the tests says.
const rules = `
rules:
  - when: {system: the suite, last_tool: pay}
    reply: {text: "done"}
  - when: {system: the suite of steps}
    reply: {calls: [{name: pay, args: {Amount: 1}}]}
  - when: {system: the suite of texts}
    reply: {text: "This is a simple text response for testing."}
  - when: {last_tool: hold}
    reply: {text: "held"}
  - when: {last_tool: pay, last_result: "(?s)(.*)"}
    reply: {text: "after pay: ${result}"}
  - when: {last_user: hold}
    reply: {calls: [{name: hold, args: {}}]}
  - when: {last_user: pay}
    reply: {calls: [{name: pay, args: {Amount: 5}}]}
  - when: {last_user: city}
    reply: {text: '{"city":"Paris","people":2}'}
  - when: {last_user: "(.*)"}
    reply: {text: "heard $1"}
`

// site is a server over a runtime, on a port of its own.
type site struct {
	t     testing.TB
	rt    *orpine.Runtime
	s     *server.Server
	web   *httptest.Server
	free  chan struct{} // lets the tool hold go on
	paid  atomic.Int64
	token string
}

func open(t testing.TB, cfg server.Config) *site {
	t.Helper()
	s := &site{t: t, free: make(chan struct{}, 100)}
	scripted, err := script.Parse("talk.yaml", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	hold := tool.Func("hold", "Waits", func(ctx context.Context, _ struct{}) (string, error) {
		select {
		case <-s.free:
			return "let go", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}, tool.Read)
	pay := tool.Func("pay", "Pays", func(_ context.Context, in struct{ Amount int }) (string, error) {
		s.paid.Add(1)
		return fmt.Sprint("paid ", in.Amount), nil
	})
	s.rt, err = orpine.Open(t.Context(), orpine.Config{
		Data: t.TempDir(), Tools: []tool.Tool{hold, pay}, Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return scripted.Model(), nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Runtime = s.rt
	if s.s, err = server.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	err = s.s.Load(t.Context(), server.File{Agents: map[string]agent.Definition{
		"chatty":  {Model: "script/talk", Description: "Talks.", Tools: []string{"hold"}},
		"teller":  {Model: "script/talk", Tools: []string{"pay"}, Permissions: tool.Policy{Ask: []string{"pay"}}},
		"planner": {Model: "script/talk", Output: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"},"people":{"type":"integer"}},"required":["city"]}`)},
		"failing": {Model: "script/talk", Budget: agent.Budget{Turns: 1}, Tools: []string{"hold"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.web = httptest.NewServer(s.s)
	t.Cleanup(func() {
		s.s.Drop()
		s.web.CloseClientConnections()
		s.web.Close()
		if err := s.s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.rt.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// bearer puts a token on requests.
type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// connect connects a client of the SDK.
func (s *site) connect(protocol string, o *sdk.ClientOptions) *sdk.ClientSession {
	s.t.Helper()
	t := &sdk.StreamableClientTransport{Endpoint: s.web.URL + "/mcp", HTTPClient: &http.Client{Transport: bearer{s.token}}}
	c, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, o).Connect(s.t.Context(), t, &sdk.ClientSessionOptions{ProtocolVersion: protocol})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func call(name, text string) *sdk.CallToolParams {
	return &sdk.CallToolParams{Name: name, Arguments: map[string]string{"text": text}}
}

// textOf is the text of a result.
func textOf(r *sdk.CallToolResult) string {
	if r == nil || len(r.Content) == 0 {
		return ""
	}
	text, _ := r.Content[0].(*sdk.TextContent)
	if text == nil {
		return ""
	}
	return text.Text
}

// runOf is the run that a result is of.
func (s *site) runOf(r *sdk.CallToolResult) durable.Run {
	s.t.Helper()
	id, _ := r.Meta[mcp.RunMeta].(string)
	run, err := s.rt.Get(s.t.Context(), durable.RunID(id))
	if err != nil {
		s.t.Fatal(err)
	}
	return run
}

var protocols = []string{"2026-07-28", "2025-11-25", "2025-03-26"}

// TestTools: every agent is a tool, as it is at the moment.
func TestTools(t *testing.T) {
	s := open(t, server.Config{})
	for _, protocol := range protocols {
		c := s.connect(protocol, nil)
		list, err := c.ListTools(t.Context(), nil)
		if err != nil || len(list.Tools) != 4 || list.Tools[0].Name != "chatty" || list.Tools[0].Description != "Talks." || list.Tools[2].OutputSchema == nil || list.Tools[0].OutputSchema != nil {
			t.Fatalf("%s: %+v, error %v", protocol, list, err)
		}
		if got := c.InitializeResult().ProtocolVersion; got != protocol {
			t.Errorf("it speaks %s, not %s", got, protocol)
		}
		if err := s.s.Load(t.Context(), server.File{Agents: map[string]agent.Definition{"new" + protocol: {Model: "script/talk"}}}); err != nil {
			t.Fatal(err)
		}
		if r, err := c.CallTool(t.Context(), call("new"+protocol, "x")); err != nil || textOf(r) != "heard x" {
			t.Errorf("%s: one that is new: %+v, error %v", protocol, r, err)
		}
		api, _ := client.New(client.Config{URL: s.web.URL})
		if err := api.DeleteAgent(t.Context(), "new"+protocol); err != nil {
			t.Fatal(err)
		}
		if r, err := c.CallTool(t.Context(), call("new"+protocol, "x")); err == nil || !strings.Contains(err.Error(), "unknown tool") {
			t.Errorf("%s: one that is gone: %+v, error %v", protocol, r, err)
		}
	}
}

// TestCall: a call is a run, and the answer of the run is its result.
func TestCall(t *testing.T) {
	s := open(t, server.Config{URL: "https://orpine.example"})
	for _, protocol := range protocols {
		c := s.connect(protocol, nil)
		r, err := c.CallTool(t.Context(), call("chatty", "hello"))
		if err != nil || r.IsError || textOf(r) != "heard hello" {
			t.Fatalf("%s: %+v, error %v", protocol, r, err)
		}
		run := s.runOf(r)
		link, _ := r.Content[1].(*sdk.ResourceLink)
		if run.Name != "chatty" || run.Status != durable.Succeeded || link == nil || link.URI != "https://orpine.example/v1/runs/"+string(run.ID) {
			t.Errorf("%s: the run is %+v, the link %+v", protocol, run, link)
		}
		r, err = c.CallTool(t.Context(), call("planner", "city"))
		if err != nil || textOf(r) != `{"city":"Paris","people":2}` || fmt.Sprint(r.StructuredContent) != "map[city:Paris people:2]" {
			t.Errorf("%s: a value: %+v, error %v", protocol, r, err)
		}
		s.free <- struct{}{}
		r, err = c.CallTool(t.Context(), call("failing", "hold"))
		if err != nil || !r.IsError || !strings.Contains(textOf(r), "turn") || s.runOf(r).Status != durable.Failed {
			t.Errorf("%s: one that fails: %+v, error %v", protocol, r, err)
		}
		for _, args := range []any{map[string]any{"text": 5}, map[string]any{"texts": "x"}} {
			if r, err := c.CallTool(t.Context(), &sdk.CallToolParams{Name: "chatty", Arguments: args}); err != nil || !r.IsError || !strings.Contains(textOf(r), "the arguments must be") {
				t.Errorf("%s: %v: %+v, error %v", protocol, args, r, err)
			}
		}
	}
}

// TestOnce: the same key and call find the run that there is; another call under it is refused.
func TestOnce(t *testing.T) {
	s := open(t, server.Config{})
	var runs []durable.RunID
	for _, protocol := range protocols {
		p := call("chatty", "once")
		p.Meta = sdk.Meta{mcp.KeyMeta: "run/0/7"}
		r, err := s.connect(protocol, nil).CallTool(t.Context(), p)
		if err != nil || textOf(r) != "heard once" {
			t.Fatalf("%+v, error %v", r, err)
		}
		runs = append(runs, s.runOf(r).ID)
	}
	if len(slices.Compact(runs)) != 1 {
		t.Errorf("the runs are %v", runs)
	}
	p := call("chatty", "something else")
	p.Meta = sdk.Meta{mcp.KeyMeta: "run/0/7"}
	if r, err := s.connect("", nil).CallTool(t.Context(), p); err != nil || !r.IsError || !strings.Contains(textOf(r), "key") {
		t.Errorf("another call: %+v, error %v", r, err)
	}
}

// TestProgress: each step that ends is told.
func TestProgress(t *testing.T) {
	s := open(t, server.Config{})
	for _, protocol := range protocols {
		said := make(chan string, 100)
		c := s.connect(protocol, &sdk.ClientOptions{ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) {
			said <- fmt.Sprintf("%v %v %s", r.Params.ProgressToken, r.Params.Progress, r.Params.Message)
		}})
		p := call("chatty", "hold")
		p.SetProgressToken("tok")
		s.free <- struct{}{}
		if r, err := c.CallTool(t.Context(), p); err != nil || textOf(r) != "held" {
			t.Fatalf("%+v, error %v", r, err)
		}
		for _, want := range []string{"tok 1 model", "tok 2 hold", "tok 3 model"} {
			select {
			case got := <-said:
				if got != want {
					t.Errorf("%s: it said %q, want %q", protocol, got, want)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%s: it did not say %q", protocol, want)
			}
		}
	}
}

// TestCancel: a call that is canceled cancels its run; a server that stops does not.
func TestCancel(t *testing.T) {
	s := open(t, server.Config{})
	running := func() durable.Run {
		var run durable.Run
		until(t, "the run is under way", func() bool {
			list, err := s.rt.List(t.Context(), durable.Filter{Statuses: []durable.Status{durable.Running}})
			if err == nil && len(list) == 1 {
				run = list[0]
			}
			return run.ID != ""
		})
		return run
	}
	for _, protocol := range protocols {
		c := s.connect(protocol, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.CallTool(ctx, call("chatty", "hold"))
		}()
		run := running()
		cancel()
		<-done
		if run, err := s.rt.Wait(t.Context(), run.ID); err != nil || run.Status != durable.Canceled || !strings.Contains(run.Reason, "MCP client canceled") {
			t.Errorf("%s: the run is %s (%s), error %v", protocol, run.Status, run.Reason, err)
		}
	}
	c := s.connect("", nil)
	go func() { _, _ = c.CallTool(t.Context(), call("chatty", "hold")) }()
	run := running()
	s.s.Drop()
	s.web.CloseClientConnections()
	s.free <- struct{}{}
	if run, err := s.rt.Wait(t.Context(), run.ID); err != nil || run.Status != durable.Succeeded {
		t.Errorf("the server stopped: the run is %s (%s), error %v", run.Status, run.Reason, err)
	}
}

// TestApproval: what a run asks of a person is asked of the user of the client.
func TestApproval(t *testing.T) {
	for _, protocol := range protocols {
		for _, c := range []struct {
			name string
			said sdk.ElicitResult
			want string
			paid int64
		}{
			{"accept", sdk.ElicitResult{Action: "accept", Content: map[string]any{"action": "accept"}}, "after pay: paid 5", 1},
			{"reject", sdk.ElicitResult{Action: "accept", Content: map[string]any{"action": "reject", "reason": "too much"}}, "after pay: a person rejected the call: too much", 0},
			{"respond", sdk.ElicitResult{Action: "accept", Content: map[string]any{"action": "respond", "text": "by cash"}}, "after pay: by cash", 0},
			{"decline", sdk.ElicitResult{Action: "decline"}, "after pay: a person rejected the call: the user of the MCP client declined", 0},
			{"cancel", sdk.ElicitResult{Action: "cancel"}, "The run waits for a person: May pay be called?", 0},
		} {
			t.Run(protocol+" "+c.name, func(t *testing.T) {
				s := open(t, server.Config{})
				var asked []string
				link := s.connect(protocol, &sdk.ClientOptions{ElicitationHandler: func(_ context.Context, r *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
					asked = append(asked, r.Params.Message)
					return &c.said, nil
				}})
				r, err := link.CallTool(t.Context(), call("teller", "pay"))
				if err != nil || !strings.Contains(textOf(r), c.want) || r.IsError != (c.name == "cancel") {
					t.Fatalf("got %q, error %v", textOf(r), err)
				}
				if len(asked) != 1 || !strings.Contains(asked[0], "May pay be called?") || !strings.Contains(asked[0], `"Amount":5`) {
					t.Errorf("asked %q", asked)
				}
				if s.paid.Load() != c.paid {
					t.Errorf("paid %d times", s.paid.Load())
				}
				if run := s.runOf(r); c.name == "cancel" && run.Status != durable.Waiting {
					t.Errorf("the run is %s", run.Status)
				}
			})
		}
	}
	s := open(t, server.Config{})
	r, err := s.connect("", nil).CallTool(t.Context(), call("teller", "pay"))
	if err != nil || !r.IsError || !strings.Contains(textOf(r), "The run waits for a person") {
		t.Errorf("a client without anybody to ask: %q, error %v", textOf(r), err)
	}
}

// TestAsCalledByOrpine: our own client against our own server: the approval of the one becomes the
// question of the other.
func TestAsCalledByOrpine(t *testing.T) {
	for _, protocol := range protocols {
		s := open(t, server.Config{})
		c := client2.New(client2.Config{HTTP: s.web.Client()})
		defer c.Close() //nolint:errcheck // it never fails
		d, err := client2.Declare("far", client2.Server{URL: s.web.URL + "/mcp", Protocol: protocol})
		if err != nil {
			t.Fatal(err)
		}
		list, err := c.Source(t.Context(), d)
		if err != nil || len(list) != 4 {
			t.Fatalf("%v, error %v", list, err)
		}
		i := slices.IndexFunc(list, func(d tool.Declaration) bool { return d.Name == "far/teller" })
		teller, err := c.Make(list[i])
		if err != nil {
			t.Fatal(err)
		}
		args := json.RawMessage(`{"text":"pay"}`)
		r, err := teller.Call(t.Context(), args)
		if err != nil || len(r.Asks) != 1 {
			t.Fatalf("%s: %+v, error %v", protocol, r, err)
		}
		r, err = teller.Call(tool.WithAnswers(t.Context(), tool.Answers{State: r.State, Given: map[string]json.RawMessage{r.Asks[0].Name: json.RawMessage(`{"action":"accept"}`)}}), args)
		if err != nil || !strings.HasPrefix(r.Content, "after pay: paid 5\n[resource orpine:/v1/runs/") || s.paid.Load() != 1 {
			t.Errorf("%s: %+v, error %v, paid %d times", protocol, r, err, s.paid.Load())
		}
	}
}

// TestStdio: the same over a pair of pipes.
func TestStdio(t *testing.T) {
	s := open(t, server.Config{})
	m := mcp.New(mcp.Config{Client: func(token string) (*client.Client, error) {
		return client.New(client.Config{URL: s.web.URL, Token: token})
	}})
	defer m.Close()
	theirIn, ourOut := io.Pipe()
	ourIn, theirOut := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- m.Serve(t.Context(), ourIn, ourOut, "") }()
	c, err := sdk.NewClient(&sdk.Implementation{Name: "test"}, nil).Connect(t.Context(), &sdk.IOTransport{Reader: theirIn, Writer: theirOut}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.CallTool(t.Context(), call("chatty", "pipes")); err != nil || textOf(r) != "heard pipes" {
		t.Errorf("%+v, error %v", r, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// until polls for something that happens elsewhere.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("it did not come to this: %s", what)
		case <-tick.C:
		}
	}
}
