package mcp

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp/login"
	"github.com/orpine-run/orpine/tool/mcp/transport"
)

// Stdio says which process is a server: one that speaks MCP on its standard input and output.
type Stdio struct {
	Server  string // its name, for messages and logs
	Command string
	Args    []string
	Env     map[string]string // all that is said; nothing else of the environment is meant
	Dir     string            // "" = wherever the spawner starts processes
	Sandbox json.RawMessage   // what it may touch, as it was declared; nil = that was not said
}

// Process is a server that runs.
type Process = transport.Process

// Config is what a client is given to reach servers with. What it is not given it refuses to
// use, and says so.
type Config struct {
	// Spawn starts a server; ctx bounds the start only. Nil = there are no servers over stdio.
	Spawn func(ctx context.Context, s Stdio) (Process, error)
	// HTTP is how remote servers are reached; whoever gives it decides which addresses may be.
	// Nil = there are no remote servers.
	HTTP *http.Client
	// Env looks up what ${NAME} stands for. Nil = nothing is set.
	Env func(name string) (string, bool)
	// Expand fills in ${secret:NAME}. Nil = there are no secrets.
	Expand func(ctx context.Context, text string) (string, error)
	Pins   Pins         // what tools were when they were first used; nil = they may change
	Logins Logins       // where logins to remote servers are kept; nil = for as long as the client lives
	Log    *slog.Logger // nil = no log

	Version string        // of the program, as servers are told it
	Connect time.Duration // that a server may take to start and to shake hands; 0 = 30 seconds
	Idle    time.Duration // after which a connection that nobody uses is closed; 0 = 10 minutes
	Park    time.Duration // how long a server that asks during a call is kept waiting for a person; 0 = 1 hour
}

// Defaults of [Config] and of [Server].
const (
	defaultTime   = 30 * time.Second
	defaultIdle   = 10 * time.Minute
	defaultPark   = time.Hour
	defaultCalls  = 16
	defaultResult = 1 << 20 // bytes
)

// Client reaches MCP servers: one connection for each, whatever agents and runs use it. Make it
// with New; all methods are safe for concurrent use.
type Client struct {
	cfg    Config
	log    *slog.Logger
	parked *lot
	logins *login.Keeper

	mu     sync.Mutex
	links  map[string]*link // by what they are connected to
	closed bool
}

// New makes a client. It connects to nothing by itself.
func New(cfg Config) *Client {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Connect == 0 {
		cfg.Connect = defaultTime
	}
	if cfg.Idle == 0 {
		cfg.Idle = defaultIdle
	}
	if cfg.Park == 0 {
		cfg.Park = defaultPark
	}
	c := &Client{cfg: cfg, log: cfg.Log, parked: &lot{calls: map[string]*flight{}}, logins: login.New(cfg.HTTP, cfg.Logins), links: map[string]*link{}}
	return c
}

// Close ends all connections and the processes behind them, and waits until they have ended.
// Calls under way fail.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	links := c.links
	c.links = map[string]*link{}
	c.mu.Unlock()
	var all sync.WaitGroup
	for _, l := range links {
		all.Go(l.close)
	}
	all.Wait()
	return nil
}

// link finds the connection to a server.
func (c *Client) link(name string, s Server) (*link, error) {
	key := name + " " + hashOf(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, durable.Errorf(durable.CodeUnavailable, "MCP server %s: the client is closed", name)
	}
	l := c.links[key]
	if l == nil {
		calls := s.Calls
		if calls == 0 {
			calls = defaultCalls
		}
		l = &link{client: c, name: name, server: s, slots: make(chan struct{}, calls)}
		l.forget = func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.links[key] == l {
				delete(c.links, key)
			}
		}
		c.links[key] = l
	}
	return l, nil
}

// Make is the [tool.Maker] of the kind: it makes a tool of one that a [Client.Source] listed. The
// server is connected to when the tool is first called. Error: invalid.
func (c *Client) Make(d tool.Declaration) (tool.Tool, error) {
	name, config, err := parse(d)
	if err != nil {
		return nil, err
	}
	if config.Tool == nil {
		return nil, durable.Errorf(durable.CodeInvalid, "%s stands for all tools of an MCP server; they are listed first", d.Name)
	}
	return newTool(c, d.Name, name, config)
}

// guard keeps what a server sends from ending the process: the SDK trusts it to be complete.
func guard(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, r sdk.Request) (result sdk.Result, err error) {
		defer func() {
			if v := recover(); v != nil {
				result, err = nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the request cannot be understood"}
			}
		}()
		return next(ctx, method, r)
	}
}

// options are how we appear to a server.
func (w *wire) options() *sdk.ClientOptions {
	o := &sdk.ClientOptions{
		Logger:                      w.link.client.log,
		Capabilities:                &sdk.ClientCapabilities{},
		MultiRoundTrip:              &sdk.MultiRoundTripOptions{Disabled: true}, // a person answers, in another step
		ToolListChangedHandler:      func(context.Context, *sdk.ToolListChangedRequest) { w.stale() },
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) { w.progress(r.Params) },
	}
	if yes(w.link.server.Ask) {
		o.ElicitationHandler = w.elicit
		o.Capabilities.Elicitation = &sdk.ElicitationCapabilities{Form: &sdk.FormElicitationCapabilities{}, URL: &sdk.URLElicitationCapabilities{}}
	}
	return o
}
