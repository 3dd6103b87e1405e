package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/suggest"
	"github.com/orpine-run/orpine/tool"
)

// families are the names that tools of the file have in front of a slash: those of several tools,
// and whether all of them are known; nil = only once somebody asks.
func (r *refs) families() map[string][]string {
	out := map[string][]string{}
	for _, e := range r.root.find("mcp").entries {
		out[e.name] = nil
	}
	for name, t := range r.file.Tools {
		switch {
		case t.Files != "":
			out[name] = []string{"read", "list", "search"}
			if t.Write {
				out[name] = append(out[name], "write", "edit")
			}
		case t.Memory != "":
			out[name] = []string{"save", "find", "forget"}
		case t.HTTP != nil && t.HTTP.OpenAPI != "":
			out[name] = nil
		}
	}
	return out
}

// toolName checks that a name or pattern of an agent finds a tool.
func (r *refs) toolName(name, at string) {
	families := r.families()
	known := Builtins()
	open := r.file.MCPFile != "" // it may bring any servers
	for _, e := range r.root.find("tools").entries {
		if _, family := families[e.name]; !family && !slices.Contains(known, e.name) {
			known = append(known, e.name)
		}
	}
	for family, members := range families {
		for _, m := range members {
			known = append(known, family+"/"+m)
		}
		if members == nil && meets(name, family+"/") {
			return
		}
	}
	slices.Sort(known[len(Builtins()):])
	family, _, slash := strings.Cut(name, "/")
	_, several := families[name]
	switch {
	case slices.Contains(known, name):
	case several:
		r.add(r.at[at], at, fmt.Sprintf("%q is the name of several tools", name), fmt.Sprintf("write %s/* for all of them", name))
	case strings.Contains(name, "*"):
		if !open && !slices.ContainsFunc(known, func(t string) bool { return tool.Matches(name, t) }) {
			r.add(r.at[at], at, fmt.Sprintf("no tool matches %q", name), "known tools: "+strings.Join(known, ", "))
		}
	case slash && open:
	case slash && families[family] == nil:
		var servers []string
		for f := range families {
			servers = append(servers, f)
		}
		slices.Sort(servers)
		hint := suggest.Name(family, servers, "")
		if hint == "" {
			hint = fmt.Sprintf("declare %s under mcp, or under tools as files, memory or http", family)
		}
		r.add(r.at[at], at, fmt.Sprintf("nothing has tools called %s/…", family), hint)
	default:
		r.add(r.at[at], at, fmt.Sprintf("unknown tool %q", name), suggest.Name(name, known, "known tools"))
	}
}

// meets reports whether a pattern of names may name something that begins so.
func meets(pattern, prefix string) bool {
	before, _, wide := strings.Cut(pattern, "*")
	return strings.HasPrefix(before, prefix) || wide && strings.HasPrefix(prefix, before)
}

// The fields that say what kind of tool one is, and those that go with each.
var kinds = [...]struct {
	name string
	with []string
}{
	{"csv", []string{"sql", "input"}},
	{"http", []string{"input"}},
	{"run", []string{"input", "stdin", "env", "secrets", "max_output", "sandbox"}},
	{"wasm", []string{"input"}},
	{"files", []string{"write"}},
	{"memory", nil},
}

// common are the fields that go with every kind.
var common = [...]string{"description", "timeout", "retry", "effect", "cache", "breaker", "flow", "subject"}

// shellName is the name of a tool that is built in, and can be declared to say what it may touch.
const shellName = "shell"

// tool checks that a tool is of one kind, complete, and has only what goes with that.
func (r *refs) tool(t Tool, e entry) Tool {
	at := "tools." + t.Name
	if t.Name != shellName && slices.Contains(Builtins(), t.Name) {
		r.add(e.position, at, "the name of a built-in tool", "choose another name")
	}
	if _, server := r.file.MCP[t.Name]; server {
		r.add(e.position, at, "the name of an mcp server, too", "choose another name for one of them")
	}
	if e.value.kind != mapping {
		return t
	}
	r.kind(t, e, at)
	if full, ok := e.value.find("input").fullSchema(); ok && full.find("type").text != "object" {
		r.add(full.position, at+".input.schema", "arguments must be of type object", "")
	}
	switch {
	case e.value.has("csv"):
		if t.Effect == "" {
			t.Effect = durable.Read
		}
		if t.Input != nil && !e.value.has("sql") {
			r.add(r.at[at+".input"], at+".input", "there is no query that takes it", "add sql, or remove input and let the model write the query")
		}
		r.params(t, e.value, at+".sql")
	case t.HTTP != nil:
		r.http(t, at+".http")
	case t.Run != nil:
		names := inputNames(e.value.find("input"))
		for i := range t.Run {
			t.Run[i] = placed(t.Run[i], names)
		}
		t.Stdin = placed(t.Stdin, names)
	}
	if t.Cache.For > 0 && t.Effect != durable.Read {
		r.add(r.at[at+".cache"], at+".cache", "only what reads can be kept for later calls", "add effect: read, if that is what it does")
	}
	return t
}

// inputNames are the names of the arguments of a tool.
func inputNames(input *node) []string {
	if full, ok := input.fullSchema(); ok {
		input = full.find("properties")
	}
	var names []string
	for _, f := range input.entries {
		names = append(names, f.name)
	}
	return names
}

// placed is a text of a command, with ${args.NAME} for each {NAME} that is an argument.
func placed(text string, names []string) string {
	for _, n := range names {
		text = strings.ReplaceAll(text, "{"+n+"}", "${args."+n+"}")
	}
	return text
}

// kind checks that one field says what kind of tool it is, and that the others go with it.
func (r *refs) kind(t Tool, e entry, at string) {
	var is []string
	fits := common[:]
	for _, k := range kinds {
		if e.value.has(k.name) {
			is = append(is, k.name)
			fits = append(slices.Clone(fits), append(k.with, k.name)...)
		}
	}
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	switch {
	case len(is) == 0 && t.Name == shellName:
		fits = append(slices.Clone(fits), kinds[2].with...)
	case len(is) == 0 && e.value.has("sql"):
		r.add(e.position, at, `missing field "csv"`, "name the files to query, such as csv: { costs: costs.csv }")
		return
	case len(is) == 0:
		r.add(e.position, at, "nothing says what the tool does", "add one of "+strings.Join(names, ", "))
		return
	case len(is) > 1:
		r.add(e.position, at, fmt.Sprintf("it has %s: a tool does one thing", strings.Join(is, " and ")), "make a tool of each")
		return
	}
	what := append(is, t.Name)[0]
	for _, sub := range e.value.entries {
		if _, known := fieldNamed(toolFields(), sub.name); known && !slices.Contains(fits, sub.name) {
			r.add(sub.position, at+"."+sub.name, "does not go with "+what, "remove it")
		}
	}
}

// http checks the requests of a tool, and finds its document.
func (r *refs) http(t Tool, at string) {
	h := t.HTTP
	if method, url, ok := strings.Cut(h.OpenAPI, " "); ok && h.URL == "" && method == strings.ToUpper(method) {
		h.Method, h.URL, h.OpenAPI = method, url, ""
	}
	switch {
	case h.OpenAPI == "" && h.URL == "":
		r.add(r.at[at], at, "there is nothing to ask", "add openapi, with a document, or url, with the address of one request")
	case h.OpenAPI != "" && h.URL != "":
		r.add(r.at[at], at, "it has openapi and url: a tool does one thing", "make a tool of each")
	case h.OpenAPI != "" && t.Input != nil:
		r.add(r.at["tools."+t.Name+".input"], "tools."+t.Name+".input", "the document says what the arguments are", "remove it")
	}
	if h.OpenAPI != "" && !strings.Contains(h.OpenAPI, "://") {
		h.OpenAPI = r.resolve(h.OpenAPI)
	}
	r.effects(h.Effects, at+".effects")
}

// effects checks that what is said of calls is one of the effects.
func (r *refs) effects(effects map[string]durable.Effect, at string) {
	known := []string{string(durable.Read), string(durable.Idempotent), string(durable.Irreversible)}
	for name, effect := range effects {
		if !slices.Contains(known, string(effect)) {
			here := join(at, name)
			r.add(r.at[here], here, fmt.Sprintf("must be one of %s, not %q", strings.Join(known, ", "), effect), suggest.Name(string(effect), known, ""))
		}
	}
}

// server checks that an MCP server can be reached in one way.
func (r *refs) server(s Server, e entry) Server {
	at := "mcp." + e.name
	switch {
	case s.Command == "" && s.URL == "" && r.file.MCPFile != "":
		return s // it adds to what that file says
	case s.Command == "" && s.URL == "":
		r.add(e.position, at, "nothing says how it is reached", "add command, or url of a remote one")
	case s.Command != "" && s.URL != "":
		r.add(e.position, at, "it has command and url", "a server is reached in one way: remove the other")
	case s.URL != "" && (len(s.Args) > 0 || len(s.Env) > 0 || s.Dir != "" || s.Sandbox != nil):
		r.add(e.position, at, "args, env, cwd and sandbox do not go with url", "remove them")
	case s.Command != "" && len(s.Headers) > 0:
		r.add(e.position, at, "headers do not go with command", "remove them")
	}
	if s.Command != "" && s.Dir == "" {
		s.Dir = filepath.Clean(r.base)
	}
	r.effects(s.Effects, at+".effects")
	return s
}
