// Package outfit gives a runtime what the agents of orpine files work with: it makes definitions of
// a checked file, and of what they declare the tools, be they queries, commands, HTTP APIs, MCP
// servers, folders or modules.
//
// It wires rooms together and decides nothing about a call. It may not read flags, and reads the
// environment only through what it is given. On the line request -> run -> step -> journal -> event
// -> client it stands before the request, where a definition is made, and beneath a step, where a
// tool is.
package outfit

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/sandbox"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/ask"
	"github.com/orpine-run/orpine/tool/clock"
	"github.com/orpine-run/orpine/tool/command"
	"github.com/orpine-run/orpine/tool/files"
	"github.com/orpine-run/orpine/tool/guard"
	"github.com/orpine-run/orpine/tool/http"
	"github.com/orpine-run/orpine/tool/mcp"
	"github.com/orpine-run/orpine/tool/memory"
	"github.com/orpine-run/orpine/tool/script"
	"github.com/orpine-run/orpine/tool/secret"
	"github.com/orpine-run/orpine/tool/sql"
	"github.com/orpine-run/orpine/tool/todo"
	"github.com/orpine-run/orpine/tool/wasm"
	"github.com/orpine-run/orpine/trigger"
)

// Config is what an outfit needs of the process that it is in.
type Config struct {
	Data    string                           // data directory, where secrets are kept
	Env     func(name string) (string, bool) // os.LookupEnv in a program; nil = nothing is set
	Version string                           // of the program, as servers are told it
	Log     *slog.Logger                     // nil = no log

	// Runtime is asked for the runtime when something has to be kept; nil = it is not open yet.
	Runtime func() *orpine.Runtime
	// Allow opens addresses to HTTP tools that are not of the public internet; see guard.Config.
	Allow []string
	// Unheld lets definitions have commands started that nothing holds (tier none).
	Unheld bool
}

// Outfit makes tools. It is safe for concurrent use; close it behind the runtime.
type Outfit struct {
	cfg    Config
	broker *secret.Broker
	guard  *guard.Guard
	http   *http.Tools
	mcp    *mcp.Client
	wasm   *wasm.Tools
	script *script.Tools
	vault  *vault
}

// wholeRequest bounds a request to a remote MCP server: a call may take long, and its own time
// bounds it before.
const wholeRequest = 10 * time.Minute

// New makes an outfit. It connects to nothing and starts nothing. Error: invalid for an entry of
// Allow that cannot be read.
func New(cfg Config) (*Outfit, error) {
	if cfg.Env == nil {
		cfg.Env = func(string) (string, bool) { return "", false }
	}
	if cfg.Runtime == nil {
		cfg.Runtime = func() *orpine.Runtime { return nil }
	}
	o := &Outfit{cfg: cfg, wasm: wasm.New(), script: script.New()}
	o.vault = &vault{data: cfg.Data, env: cfg.Env}
	o.broker = secret.New(o.sources()...)
	var err error
	if o.guard, err = guard.New(guard.Config{Allow: cfg.Allow}); err != nil {
		return nil, err
	}
	if o.http, err = http.New(http.Config{Guard: o.guard, Expand: o.broker.Expand, Redact: o.Redact, Agent: "orpine/" + cfg.Version}); err != nil {
		return nil, err
	}
	o.mcp = mcp.New(mcp.Config{
		Spawn: o.spawn, HTTP: o.guard.Client(wholeRequest), Env: o.variable, Expand: o.broker.Expand, Pins: keeper{o}, Logins: keeper{o}, Log: hushed(cfg.Log, o.Redact), Version: cfg.Version,
	})
	return o, nil
}

// Equip gives a runtime that is to be opened the tools, the makers and the sources.
func (o *Outfit) Equip(cfg *orpine.Config) {
	cfg.Tools = append(cfg.Tools, clock.New())
	if cfg.Makers == nil {
		cfg.Makers = map[string]tool.Maker{}
	}
	maps.Copy(cfg.Makers, o.makers())
	cfg.Sources = map[string]tool.Source{mcp.Kind: o.mcp.Source, documentKind: o.operations}
	cfg.Redact = o.Redact
	cfg.Triggers.Poll, cfg.Triggers.Folder = o.Poll, trigger.OpenFolder
}

// makers make the tools that definitions declare, by kind.
func (o *Outfit) makers() map[string]tool.Maker {
	return map[string]tool.Maker{
		sql.Kind: sql.Maker(), files.Kind: files.Maker(o.hidden()...), http.Kind: o.http.Make, mcp.Kind: o.mcp.Make, wasm.Kind: o.module,
		script.Kind: o.script.Make,
		memory.Kind: memory.Maker(o.shelf), builtinKind: o.builtin,
		command.Kind: command.Maker(command.Config{Sandbox: o.sandbox, Secrets: o.broker.Value, Filter: func() command.Filter { return o.broker.Redactor().NewStream() }}),
	}
}

// Redact takes the values of secrets that were used out of a text.
func (o *Outfit) Redact(text string) string { return o.broker.Redactor().Text(text) }

// MCP is the client of MCP servers.
func (o *Outfit) MCP() *mcp.Client { return o.mcp }

// Loose is a client of MCP servers that pins nothing, for a person who calls by hand. The caller
// closes it.
func (o *Outfit) Loose() *mcp.Client {
	return mcp.New(mcp.Config{
		Spawn: o.spawn, HTTP: o.guard.Client(wholeRequest), Env: o.variable, Expand: o.broker.Expand, Logins: keeper{o}, Log: hushed(o.cfg.Log, o.Redact), Version: o.cfg.Version,
	})
}

// Inspect makes the tools of a definition, for who looks at them. Found are those of its sources;
// see Find.
func (o *Outfit) Inspect(d agent.Definition, found ...tool.Declaration) (*agent.Inspection, error) {
	var cfg orpine.Config
	o.Equip(&cfg)
	return agent.Inspect(agent.Config{Tools: cfg.Tools, Makers: cfg.Makers, Sources: cfg.Sources}, d, found)
}

// Find asks the sources of a definition for their tools, as a run does when it begins, but pins
// nothing. Errors: those of the sources.
func (o *Outfit) Find(ctx context.Context, d agent.Definition) (found []tool.Declaration, err error) {
	loose := o.Loose()
	defer func() { err = errors.Join(err, loose.Close()) }()
	for _, declared := range d.Declared {
		var there []tool.Declaration
		switch declared.Kind {
		case mcp.Kind:
			there, err = loose.Source(ctx, declared)
		case documentKind:
			there, err = o.operations(ctx, declared)
		}
		if err != nil {
			return nil, err
		}
		found = append(found, there...)
	}
	return found, nil
}

// Close ends the servers and lets go of connections.
func (o *Outfit) Close(ctx context.Context) error {
	err := errors.Join(o.mcp.Close(), o.wasm.Close(ctx), o.script.Close(ctx))
	o.http.Close()
	return err
}

// shelf is where facts are kept.
func (o *Outfit) shelf() memory.Shelf {
	if rt := o.cfg.Runtime(); rt != nil {
		return rt
	}
	return nil
}

// sandbox makes what commands of a tier are started in.
func (o *Outfit) sandbox(tier sandbox.Tier) (*sandbox.Sandbox, error) {
	if tier == sandbox.TierNone && !o.cfg.Unheld {
		return nil, durable.Errorf(durable.CodeDenied, "a sandbox of tier none holds nothing, and is not allowed here: start with ORPINE_UNHELD=1 to allow it")
	}
	return sandbox.New(sandbox.Config{Tier: tier, Dial: o.guard.Dial, Hide: o.hidden()})
}

// hidden are the directories that no tool may look into, whatever folder it was given: there are the
// runs of all tenants, the key of the secrets, and the door through which anybody may do anything.
func (o *Outfit) hidden() []string {
	var list []string
	secrets, _ := o.cfg.Env(SecretsDirVar)
	for _, dir := range []string{o.cfg.Data, secrets} {
		if dir != "" {
			list = append(list, dir)
		}
	}
	return list
}

// module makes a tool of a WASM module, which may not see what is hidden either. It could name it
// only as a whole, so a folder that holds it is refused.
func (o *Outfit) module(d tool.Declaration) (tool.Tool, error) {
	var c wasm.Declared
	if err := json.Unmarshal(d.Config, &c); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "tool %s: %w", d.Name, err)
	}
	for _, m := range c.Mounts {
		for _, dir := range o.hidden() {
			if within(m.Dir, dir) || within(dir, m.Dir) {
				return nil, durable.Errorf(durable.CodeInvalid, "tool %s: the mount %s shows %s, which no tool may see: mount a folder beside it", d.Name, m.At, dir)
			}
		}
	}
	return o.wasm.Make(d)
}

// within reports whether a path leads to a directory, or into it.
func within(path, dir string) bool {
	target := func(path string) string {
		if found, err := filepath.EvalSymlinks(path); err == nil {
			path = found
		}
		whole, err := filepath.Abs(path)
		if err != nil {
			return path
		}
		return whole
	}
	below, err := filepath.Rel(target(dir), target(path))
	return err == nil && filepath.IsLocal(below)
}

// The kinds of declarations that are made here.
const (
	builtinKind  = "builtin" // a tool of this name
	documentKind = "openapi" // an OpenAPI document; its operations are of the kind http
)

// builtin makes a tool that is built in.
func (o *Outfit) builtin(d tool.Declaration) (tool.Tool, error) {
	switch d.Name {
	case ask.Name:
		return ask.New(), nil
	case todo.Name:
		return todo.New(), nil
	case http.FetchName:
		return tool.Ordered(o.http.Fetch(), tool.Orders{Subject: &tool.Subject{Arg: "url", Kind: tool.URLSubject}})
	}
	return nil, durable.Errorf(durable.CodeInvalid, "this build has no tool %s", d.Name)
}

// operations finds the operations of an OpenAPI document.
func (o *Outfit) operations(ctx context.Context, d tool.Declaration) ([]tool.Declaration, error) {
	d.Kind = http.Kind
	return o.http.Find(ctx, d)
}
