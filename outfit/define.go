package outfit

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/sandbox"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/command"
	"github.com/orpine-run/orpine/tool/files"
	"github.com/orpine-run/orpine/tool/http"
	"github.com/orpine-run/orpine/tool/mcp"
	"github.com/orpine-run/orpine/tool/memory"
	"github.com/orpine-run/orpine/tool/script"
	"github.com/orpine-run/orpine/tool/sql"
	"github.com/orpine-run/orpine/tool/wasm"
)

// Definition is an agent of a file, with the tools that it names and the policies of the file. It
// reads the files that these are made of, and starts nothing. Errors: not_found for an agent that
// there is not; invalid.
func (o *Outfit) Definition(f *config.File, name string) (agent.Definition, error) {
	d, ok := f.Agents[name]
	if !ok {
		return d, durable.Errorf(durable.CodeNotFound, "%s has no agent %q; it has %s", f.Name, name, strings.Join(f.AgentNames(), ", "))
	}
	d.Above = above(f)
	all, err := o.declared(f, d)
	if err != nil {
		return d, err
	}
	d.Declared = all
	for _, below := range f.Below(name) {
		sub, err := o.Definition(f, below)
		if err != nil {
			return d, err
		}
		sub.Above = nil // it gets those of the agent that puts something to it
		d.Agents = append(d.Agents, sub)
	}
	return d, nil
}

// above are the policies of the file, and those of tenants.
func above(f *config.File) []tool.Policy {
	var list []tool.Policy
	if p := f.Permissions; len(p.Deny)+len(p.Ask)+len(p.Allow) > 0 || p.Default != "" {
		list = append(list, narrowing(p))
	}
	for _, tenant := range slices.Sorted(maps.Keys(f.Tenants)) {
		p := narrowing(f.Tenants[tenant].Permissions)
		p.Tenant = tenant
		list = append(list, p)
	}
	return list
}

// narrowing is a policy that says nothing of what it does not name, unless it lists what is allowed.
func narrowing(p tool.Policy) tool.Policy {
	if p.Default == "" && len(p.Allow) == 0 {
		p.Default = tool.Allow
	}
	return p
}

// declared are the tools of a file that an agent names, by name.
func (o *Outfit) declared(f *config.File, d agent.Definition) ([]tool.Declaration, error) {
	var all []tool.Declaration
	for _, name := range slices.Sorted(maps.Keys(f.Tools)) {
		if !names(d, name) && !names(d, name+"/") {
			continue
		}
		list, err := o.toolOf(f, f.Tools[name])
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	servers, err := o.Servers(f)
	if err != nil {
		return nil, err
	}
	for _, s := range servers {
		if names(d, s.Name+"/") {
			all = append(all, s)
		}
	}
	for _, name := range config.Builtins() {
		_, own := f.Tools[name]
		switch {
		case own || !slices.Contains(d.Tools, name): // a pattern does not mean what is built in
		case name == "clock": // every agent may have it
		case name == "shell":
			list, err := o.toolOf(f, config.Tool{Name: name})
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		case name == script.Starlark || name == script.JavaScript:
			list, err := one(declare(name, script.Kind, script.Declared{Language: name}))
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		default:
			all = append(all, tool.Declaration{Name: name, Kind: builtinKind})
		}
	}
	slices.SortFunc(all, func(a, b tool.Declaration) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// names reports whether an agent names a tool, or some of those that begin so when that ends with
// a slash.
func names(d agent.Definition, name string) bool {
	return slices.ContainsFunc(d.Tools, func(p string) bool {
		if !strings.HasSuffix(name, "/") {
			return tool.Matches(p, name)
		}
		before, _, wide := strings.Cut(p, "*")
		return strings.HasPrefix(before, name) || wide && strings.HasPrefix(name, before)
	})
}

// Servers are the MCP servers of a file and of the .mcp.json that it names.
func (o *Outfit) Servers(f *config.File) ([]tool.Declaration, error) {
	var list []tool.Declaration
	if f.MCPFile != "" {
		data, err := os.ReadFile(f.MCPFile)
		if err != nil {
			return nil, durable.Errorf(durable.CodeNotFound, "mcp_file: %w", err)
		}
		if list, err = mcp.ReadFile(data); err != nil {
			return nil, &durable.Error{Code: durable.CodeOf(err), Op: f.MCPFile, Err: err}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.MCP)) {
		server, err := serverOf(f.MCP[name])
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(list, func(o tool.Declaration) bool { return o.Name == name })
		if adds := server.Command == "" && server.URL == ""; adds && i < 0 {
			return nil, durable.Errorf(durable.CodeInvalid, "mcp.%s: %s has no such server, and nothing says how it is reached: add command, or url", name, f.MCPFile)
		} else if adds {
			if server, err = onTop(list[i], server); err != nil {
				return nil, err
			}
		}
		d, err := mcp.Declare(name, server)
		if err != nil {
			return nil, err
		}
		if i >= 0 {
			list[i] = d // what the file itself says counts
			continue
		}
		list = append(list, d)
	}
	return list, nil
}

// onTop is a server of a .mcp.json with what an orpine file adds.
func onTop(d tool.Declaration, more mcp.Server) (mcp.Server, error) {
	var was struct {
		Server mcp.Server `json:"server"`
	}
	if err := json.Unmarshal(d.Config, &was); err != nil {
		return more, err
	}
	data, err := json.Marshal(more)
	if err == nil {
		err = json.Unmarshal(data, &was.Server) // only what was said stands in it
	}
	return was.Server, err
}

func serverOf(s config.Server) (mcp.Server, error) {
	server := mcp.Server{
		Type: s.Type, Command: s.Command, Args: s.Args, Env: s.Env, Dir: s.Dir, URL: s.URL, Headers: s.Headers, Timeout: mcp.Duration(s.Timeout),
		Effects: s.Effects, Tools: s.Tools, Resources: s.Resources, Prompts: s.Prompts, Ask: s.Ask, Calls: s.Calls, MaxResult: s.MaxResult,
	}
	if s.Flow != nil {
		server.Flow = &mcp.Flow{Untrusted: s.Flow.Untrusted, Private: s.Flow.Private, Egress: s.Flow.Egress}
	}
	if s.Sandbox != nil {
		data, err := json.Marshal(s.Sandbox)
		if err != nil {
			return server, err
		}
		server.Sandbox = data
	}
	return server, nil
}

// toolOf makes the declarations of a tool of a file.
func (o *Outfit) toolOf(f *config.File, t config.Tool) ([]tool.Declaration, error) {
	var list []tool.Declaration
	var err error
	switch {
	case t.CSV != nil:
		list, err = one(sql.Declare(sql.Declared{Name: t.Name, Description: t.Description, Query: t.SQL, Tables: t.CSV, Schema: t.Input, Options: t.Options()}))
	case t.HTTP != nil:
		list, err = one(requests(t))
	case t.WASM != nil:
		list, err = one(module(t))
	case t.Files != "":
		list = files.Declare(t.Name, t.Files, t.Write)
	case t.Memory != "":
		list = memory.Declare(t.Name, t.Memory)
	default:
		list, err = one(commandOf(f, t))
	}
	if err != nil {
		return nil, err
	}
	orders := tool.Orders{Flow: t.Flow, Subject: t.Subject, Cache: t.Cache, Breaker: t.Breaker}
	if t.Files != "" || t.Memory != "" { // the others have these in their config
		orders.Timeout, orders.Retry = t.Timeout, t.Retry
	}
	if data, err := json.Marshal(orders); err == nil && string(data) != "{}" {
		for i := range list {
			list[i].Orders = &orders
		}
	}
	return list, nil
}

func one(d tool.Declaration, err error) ([]tool.Declaration, error) {
	return []tool.Declaration{d}, err
}

func declare(name, kind string, how any) (tool.Declaration, error) {
	data, err := json.Marshal(how)
	return tool.Declaration{Name: name, Kind: kind, Config: data}, err
}

// requests is a tool of an HTTP API. A document in a file goes into the declaration, which is
// pinned to the run.
func requests(t config.Tool) (tool.Declaration, error) {
	h := t.HTTP
	c := http.Declared{
		Description: t.Description, Headers: h.Headers, Options: t.Options(), Flow: t.Flow, MaxBytes: int64(h.MaxBytes),
		OpenAPI: h.OpenAPI, Include: h.Include, BaseURL: h.BaseURL, Effects: h.Effects,
		Method: h.Method, URL: h.URL, Query: h.Query, Body: h.Body, Form: h.Form, Args: t.Input,
	}
	if a := h.Auth; a != nil {
		c.Auth = &http.Auth{Bearer: a.Bearer, Header: a.Header, Query: a.Query}
		if a.Basic != nil {
			c.Auth.Basic = &http.Basic{User: a.Basic.User, Password: a.Basic.Password}
		}
	}
	kind := http.Kind
	if c.OpenAPI != "" {
		kind = documentKind
		if !strings.Contains(c.OpenAPI, "://") {
			data, err := os.ReadFile(c.OpenAPI)
			if err != nil {
				return tool.Declaration{}, durable.Errorf(durable.CodeNotFound, "tool %s: openapi: %w", t.Name, err)
			}
			c.OpenAPI = string(data)
		}
	}
	return declare(t.Name, kind, c)
}

func module(t config.Tool) (tool.Declaration, error) {
	w := t.WASM
	c := wasm.Declared{
		Module: w.Module, Description: t.Description, Schema: t.Input, Args: w.Args, MemoryMB: w.MemoryMB, MaxCalls: int64(w.MaxCalls), MaxBytes: w.MaxBytes, Options: t.Options(),
	}
	for _, at := range slices.Sorted(maps.Keys(w.Mounts)) {
		c.Mounts = append(c.Mounts, wasm.Mount{Dir: w.Mounts[at], At: at})
	}
	return wasm.Declare(t.Name, c)
}

// commandOf is a command, or the shell.
func commandOf(f *config.File, t config.Tool) (tool.Declaration, error) {
	how := config.Sandbox{}
	if t.Sandbox != nil {
		how = *t.Sandbox
	}
	spec := specOf(how, f.Folder())
	c := command.Declared{
		Name: t.Name, Description: t.Description, Command: t.Run, Shell: t.Run == nil, Stdin: t.Stdin, Env: t.Env, Secrets: t.Secrets,
		Workspace: spec.Workspace, Dir: spec.Dir, ReadOnly: spec.ReadOnly, MaxOutput: t.MaxOutput, Tier: sandbox.Tier(how.Tier), Schema: t.Input, Options: t.Options(),
		Network: command.Network{Allow: spec.Network.Allow, Host: spec.Network.Host},
		Limits:  command.Limits{Memory: spec.Limits.Memory, Disk: spec.Limits.Disk, Processes: spec.Limits.Processes},
	}
	if len(c.Command) > 0 && strings.HasPrefix(c.Command[0], "./") {
		c.Command = append([]string{path.Join(f.Folder(), c.Command[0])}, c.Command[1:]...) // wherever it is started
	}
	return declare(t.Name, command.Kind, c)
}
