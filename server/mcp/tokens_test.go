package mcp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/server"
)

// TestTokens: a token may do here what it may do there, and what one began is not another's.
func TestTokens(t *testing.T) {
	s := open(t, server.Config{Strict: true})
	local, err := client.New(client.Config{URL: "http://localhost", HTTP: &http.Client{Transport: direct{s.s.Local()}}})
	if err != nil {
		t.Fatal(err)
	}
	token := func(name, tenant string, scopes ...string) string {
		made, err := local.CreateToken(t.Context(), client.NewToken{Name: name, Tenant: tenant, Scopes: scopes})
		if err != nil {
			t.Fatal(err)
		}
		return made.Secret
	}
	all, reader, blind := token("all", "acme", "agents:read", "runs:*", "approvals:write"), token("reader", "acme", "agents:read"), token("blind", "acme", "runs:write")
	other := token("other", "rival", "agents:read", "runs:*", "approvals:write")
	for name, secret := range map[string]string{"no token": "", "no scope": blind, "a wrong one": "orp_nonsense"} {
		c := sdk.NewClient(&sdk.Implementation{Name: "test"}, nil)
		_, err := c.Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: s.web.URL + "/mcp", HTTPClient: &http.Client{Transport: bearer{secret}}}, nil)
		if err == nil {
			t.Errorf("%s is let in", name)
		}
	}
	for _, protocol := range protocols {
		s.token = reader
		c := s.connect(protocol, nil)
		if list, err := c.ListTools(t.Context(), nil); err != nil || len(list.Tools) != 4 {
			t.Errorf("a reader sees %v, error %v", list, err)
		}
		if r, err := c.CallTool(t.Context(), call("chatty", "x")); err != nil || !r.IsError || !strings.Contains(textOf(r), "runs:write") {
			t.Errorf("a reader calls: %+v, error %v", r, err)
		}
		s.token = all
		r, err := s.connect(protocol, nil).CallTool(t.Context(), call("chatty", "x"))
		if err != nil || textOf(r) != "heard x" || s.runOf(r).Tenant != "acme" {
			t.Errorf("%+v, error %v", r, err)
		}
	}
	// The state of a call names a run, which a stranger does not get at.
	s.token = all
	asks := &sdk.ClientOptions{ElicitationHandler: func(context.Context, *sdk.ElicitRequest) (*sdk.ElicitResult, error) { return nil, nil }, MultiRoundTrip: &sdk.MultiRoundTripOptions{Disabled: true}}
	r, err := s.connect("", asks).CallTool(t.Context(), call("teller", "pay"))
	if err != nil || !r.NeedsInput() {
		t.Fatalf("%+v, error %v", r, err)
	}
	p := call("teller", "pay")
	p.RequestState = r.RequestState
	p.InputResponses = sdk.InputResponseMap{}
	for id := range r.InputRequests {
		p.InputResponses[id] = &sdk.ElicitResult{Action: "accept", Content: map[string]any{"action": "accept"}}
	}
	s.token = other
	if r, err := s.connect("", asks).CallTool(t.Context(), p); err != nil || !r.IsError || !strings.Contains(textOf(r), "no run") || s.paid.Load() != 0 {
		t.Errorf("a stranger: %+v, error %v, paid %d times", r, err, s.paid.Load())
	}
	s.token = all
	p.Name = "chatty"
	if r, err := s.connect("", asks).CallTool(t.Context(), p); err != nil || !r.IsError || !strings.Contains(textOf(r), "of another call") {
		t.Errorf("another agent: %+v, error %v", r, err)
	}
	lines, err := local.Audit(t.Context(), 0, 1000)
	if err != nil || !slices.ContainsFunc(lines, func(l client.AuditLine) bool { return l.Who == "all" && l.Path == "/v1/runs" }) {
		t.Errorf("what was started is not in the log of audit, error %v", err)
	}
}

// direct carries requests to a handler.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.RequestURI = r.URL.RequestURI()
	d.h.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestSessionOfAnother: what an older client began with one token is not gone on with by another.
func TestSessionOfAnother(t *testing.T) {
	s := open(t, server.Config{})
	local, _ := client.New(client.Config{URL: "http://localhost", HTTP: &http.Client{Transport: direct{s.s.Local()}}})
	var secrets []string
	for _, name := range []string{"a", "b"} {
		made, err := local.CreateToken(t.Context(), client.NewToken{Name: name, Scopes: []string{"*"}})
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, made.Secret)
	}
	s.token = secrets[0]
	id := s.connect("2025-11-25", nil).ID()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.web.URL+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":9,"method":"tools/list"}`))
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Session-Id": {id}, "Authorization": {"Bearer " + secrets[1]}, "Mcp-Protocol-Version": {"2025-11-25"},
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}
