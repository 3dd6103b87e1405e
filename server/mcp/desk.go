package mcp

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

// desk is what one client talks to. It knows the agents and workflows that it was asked for, and looks up
// whether they are still the same whenever it is asked again.
type desk struct {
	s     *Server
	token string // of all calls, where they bring none themselves
	sdk   *sdk.Server
	there context.Context //nolint:containedctx // as long as the client is there, as far as that can be seen

	mu     sync.Mutex
	offers map[string]*sdk.Tool // by the name of the agent or workflow
	flows  map[string]bool      // names of workflows, which are given an input in place of a text
}

// desk makes one. There ends when the client is gone: with a newer one the request is all there is
// of it, and the SDK does not tell.
func (s *Server) desk(there context.Context, token string) *sdk.Server {
	d := &desk{s: s, token: token, there: there, offers: map[string]*sdk.Tool{}, flows: map[string]bool{}}
	d.sdk = sdk.NewServer(&sdk.Implementation{Name: "orpine", Title: "Orpine", Version: s.cfg.Version}, &sdk.ServerOptions{
		Logger: s.cfg.Log, Capabilities: &sdk.ServerCapabilities{Tools: &sdk.ToolCapabilities{}},
		Instructions: "Each tool is an agent, which is told what is to be done, or a workflow, which is given its input. A call takes as long as its run, which goes on here whatever becomes of the connection, unless the call is canceled.",
	})
	d.sdk.AddReceivingMiddleware(d.look)
	return d.sdk
}

// client is that of whoever made a request.
func (d *desk) client(r sdk.Request) (*client.Client, error) {
	return d.s.cfg.Client(cmp.Or(tokenOf(r), d.token))
}

// look looks up what a request is about before it is carried out.
func (d *desk) look(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, r sdk.Request) (result sdk.Result, err error) {
		defer func() {
			if v := recover(); v != nil { // the SDK trusts a request to be complete
				d.s.cfg.Log.ErrorContext(ctx, "a request panicked", slog.String("method", method), slog.Any("panic", v))
				result, err = nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the request cannot be understood"}
			}
		}()
		noun, _, _ := strings.Cut(method, "/")
		switch {
		case method == "resources/read": // the SDK answers that there is no such resource
		case noun == "prompts", noun == "resources", noun == "completion": // and here that there are none, which is more than the client was told
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: "there are tools here, and no " + noun}
		}
		switch method {
		case "tools/list":
			err = d.all(ctx, r)
		case "tools/call":
			if p, ok := r.GetParams().(*sdk.CallToolParamsRaw); ok {
				err = d.one(ctx, r, p.Name)
			}
		}
		if err != nil {
			return nil, refused(err)
		}
		return next(ctx, method, r)
	}
}

// The error codes of JSON-RPC that ours become; those of MCP are taken.
const (
	codeDenied      = -32050
	codeUnavailable = -32051
)

// refused is an error as the protocol has it.
func refused(err error) error {
	code := int64(jsonrpc.CodeInternalError)
	switch durable.CodeOf(err) {
	case durable.CodeDenied:
		code = codeDenied
	case durable.CodeUnavailable, durable.CodeExhausted:
		code = codeUnavailable
	case durable.CodeInvalid, durable.CodeNotFound, durable.CodeConflict:
		code = jsonrpc.CodeInvalidParams
	case durable.CodeInternal, durable.CodeCanceled:
	}
	return &jsonrpc.Error{Code: code, Message: err.Error()}
}

// all has the desk offer the agents and workflows that there are. Of two of one name the agent is
// offered.
func (d *desk) all(ctx context.Context, r sdk.Request) error {
	c, err := d.client(r)
	if err != nil {
		return err
	}
	agents, err := c.Agents(ctx)
	if err != nil {
		return err
	}
	flows, err := c.Workflows(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for i, a := range slices.Concat(agents, flows) {
		if there[a.Name] {
			continue
		}
		there[a.Name] = true
		if err := d.offer(ctx, c, a, i >= len(agents)); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.offers {
		if !there[name] {
			d.withdraw(name)
		}
	}
	return nil
}

// withdraw offers something no more. The caller holds the lock.
func (d *desk) withdraw(name string) {
	delete(d.offers, name)
	delete(d.flows, name)
	d.sdk.RemoveTools(name)
}

// one has the desk offer an agent or a workflow as it is now; one that is not there is no error here.
func (d *desk) one(ctx context.Context, r sdk.Request, name string) error {
	c, err := d.client(r)
	if err != nil {
		return err
	}
	a, err := c.Agent(ctx, name, "")
	flow := durable.CodeOf(err) == durable.CodeNotFound
	if flow {
		a, err = c.Workflow(ctx, name, "")
	}
	switch durable.CodeOf(err) {
	case durable.CodeNotFound, durable.CodeInvalid:
		d.mu.Lock()
		defer d.mu.Unlock()
		d.withdraw(name)
		return nil
	default:
	}
	if err != nil {
		return err
	}
	return d.offer(ctx, c, a, flow)
}

// offer makes a tool of an agent or a workflow, where it is not one already.
func (d *desk) offer(ctx context.Context, c *client.Client, a client.Agent, flow bool) error {
	t, err := d.s.tool(ctx, c, a, flow)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flows[a.Name] = flow
	if d.offers[a.Name] != t {
		d.offers[a.Name] = t
		d.sdk.AddTool(t, d.call)
	}
	return nil
}

// isFlow reports whether what is offered under a name is a workflow.
func (d *desk) isFlow(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flows[name]
}

// maxKnown is how many tools are remembered.
const maxKnown = 10_000

// tool is an agent or a workflow as clients see it. The hash says all of it, so it is read once.
func (s *Server) tool(ctx context.Context, c *client.Client, a client.Agent, flow bool) (*sdk.Tool, error) {
	key := fmt.Sprint(flow, " ", a.Hash, " ", a.Name)
	s.mu.Lock()
	t := s.known[key]
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	if a.Definition == nil {
		read := c.Agent
		if flow {
			read = c.Workflow
		}
		var err error
		if a, err = read(ctx, a.Name, a.Hash); err != nil {
			return nil, err
		}
	}
	t, err := toolOf(a, flow)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[key] = t
	return t, nil
}

// toolOf makes a tool of a definition. An agent is told a text, also where it runs as a workflow.
func toolOf(a client.Agent, flow bool) (*sdk.Tool, error) {
	t := &sdk.Tool{
		Name:        a.Name,
		InputSchema: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string","description":"what the agent is told"}},"required":["text"],"additionalProperties":false}`),
	}
	if !flow && a.Program == "" {
		d, err := agent.Decode(a.Definition)
		t.Description = cmp.Or(d.Description, "The agent "+a.Name+".")
		if isObject(d.Output) {
			t.OutputSchema = d.Output
		}
		return t, err
	}
	d, err := workflow.Decode(a.Definition)
	if err != nil {
		return nil, err
	}
	if !flow {
		t.Description = cmp.Or(d.Description, "The agent "+a.Name+".")
		return t, nil
	}
	t.Description, t.InputSchema = cmp.Or(d.Description, "The workflow "+a.Name+"."), d.Input
	if !isObject(d.Input) {
		t.InputSchema = json.RawMessage(`{"type":"object"}`) // it takes anything
	}
	return t, nil
}

// isObject reports whether a schema is that of an object, which the output of a tool must be.
func isObject(schema json.RawMessage) bool {
	var s struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(schema, &s) == nil && s.Type == "object"
}
