package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// TestTokens: as soon as there is a token every request needs one; each is good for its scopes
// and sees the runs of its tenant only.
func TestTokens(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	mine := s.must(s.Start(ctx, client.StartRun{Program: "ask", Input: json.RawMessage(`"x"`), Tenant: "acme"}))
	other := s.must(s.Start(ctx, client.StartRun{Program: "ask", Input: json.RawMessage(`"x"`), Tenant: "other"}))
	acme := s.as("acme", "runs:*", "approvals:*")
	if _, err := s.Get(ctx, mine.ID); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("without a token: %v", err)
	}
	if status, p, h := s.raw(http.MethodGet, "/v1/runs", nil, "Authorization", "Bearer orp_nonsense"); status != 401 || p.Code != durable.CodeDenied || h.Get("WWW-Authenticate") == "" {
		t.Errorf("with nonsense: %d %+v", status, p)
	}
	if run, err := acme.Get(ctx, mine.ID); err != nil || run.ID != mine.ID {
		t.Errorf("its own: %v", err)
	}
	for name, err := range map[string]error{
		"get":    second(acme.Get(ctx, other.ID)),
		"steps":  second(acme.Steps(ctx, other.ID)),
		"kill":   acme.Kill(ctx, other.ID, ""),
		"answer": acme.Answer(ctx, other.ID, client.Answer{Value: json.RawMessage(`1`)}),
		"fork":   second(acme.Fork(ctx, other.ID, client.Fork{At: "0"})),
		"last":   second(acme.Get(ctx, "@last")),
		"prefix": second(acme.Get(ctx, mine.ID[:10])),
	} {
		if !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("%s of another tenant's: %v", name, err)
		}
	}
	if runs, err := acme.List(ctx, durable.Filter{}); err != nil || len(runs) != 1 || runs[0].ID != mine.ID {
		t.Errorf("it lists %+v, error %v", runs, err)
	}
	if list, err := acme.Questions(ctx, ""); err != nil || len(list) != 1 || list[0].Run != mine.ID {
		t.Errorf("it is asked %+v, error %v", list, err)
	}
	for name, err := range map[string]error{
		"list of another tenant": second(acme.List(ctx, durable.Filter{Tenant: "other"})),
		"run for another tenant": second(acme.Start(ctx, client.StartRun{Program: "ask", Tenant: "other"})),
		"agents":                 second(acme.Agents(ctx)),
		"tokens":                 second(acme.Tokens(ctx)),
		"audit":                  second(acme.Audit(ctx, 0, 10)),
		"an agent of its own":    second(acme.Start(ctx, client.StartRun{Definition: json.RawMessage(`{"name":"x","model":"script/talk"}`)})),
		"another model":          second(acme.Fork(ctx, mine.ID, client.Fork{At: "0", Model: "script/talk"})),
	} {
		if !errors.Is(err, durable.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if run, err := acme.Start(ctx, client.StartRun{Agent: "chatty"}); err != nil || run.Tenant != "acme" {
		t.Errorf("a run of its own is of tenant %q, error %v", run.Tenant, err)
	}
}

// TestDoor: a page whose name was bound to our address does not get in, nor one of another
// origin, unless they are named.
func TestDoor(t *testing.T) {
	s := open(t, server.Config{Hosts: []string{"runs.example.com"}, Origins: []string{"https://console.example.com"}})
	for _, x := range []struct {
		header []string
		status int
	}{
		{nil, 200},
		{[]string{"Host", "evil.example.com"}, 403},
		{[]string{"Host", "runs.example.com"}, 200},
		{[]string{"Origin", "https://evil.example.com"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Origin", "https://console.example.com"}, 200},
		{[]string{"Origin", s.web.URL}, 200},
	} {
		status, _, h := s.raw(http.MethodGet, "/v1/runs", nil, x.header...)
		if status != x.status {
			t.Errorf("%v: status %d, want %d", x.header, status, x.status)
		}
		if len(x.header) > 0 && x.header[1] == "https://console.example.com" && h.Get("Access-Control-Allow-Origin") != x.header[1] {
			t.Errorf("%v: not allowed", x.header)
		}
	}
	status, _, h := s.raw(http.MethodOptions, "/v1/runs", nil, "Origin", "https://console.example.com", "Access-Control-Request-Method", "POST")
	if status != http.StatusNoContent || h.Get("Access-Control-Allow-Methods") == "" {
		t.Errorf("preflight: status %d", status)
	}
}

// TestAudit: who asked for what is on record, also what was refused.
func TestAudit(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	run := s.must(s.Start(ctx, client.StartRun{Program: "ask", Input: json.RawMessage(`"x"`), Tenant: "acme"}))
	acme := s.as("acme", "runs:read")
	if err := acme.Kill(ctx, run.ID, ""); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("killed: %v", err)
	}
	lines, err := s.as("", "*").Audit(ctx, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines {
		got = append(got, strings.TrimSpace(fmt.Sprint(l.Who, " ", l.Method, " ", l.Path, " ", l.Code)))
	}
	want := fmt.Sprintf("local POST /v1/runs|acme-token POST /v1/runs/%s/kill denied", run.ID)
	if strings.Join(got, "|") != want {
		t.Errorf("audit: %s\nwant:  %s", strings.Join(got, "|"), want)
	}
}

func second[T any](_ T, err error) error { return err }
