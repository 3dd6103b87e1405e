package config

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
)

// refs checks what one part of the file says about another, and completes the
// definitions with what they name. It works on what the walker accepted, so parts
// that are missing have their problem already.
type refs struct {
	*checker

	file *File
	root *node
}

func (r *refs) check() {
	for _, e := range r.root.find("models").entries {
		m, ok := r.file.Models[e.name]
		if !ok || m.Use == "" {
			continue
		}
		at := "models." + e.name
		if e.value.kind == mapping {
			at += ".use"
		}
		m.Use = r.provider(m.Use, at)
		r.file.Models[e.name] = m
	}
	for _, e := range r.root.find("tools").entries {
		if t, ok := r.file.Tools[e.name]; ok {
			t.Name = e.name
			if t.Effect == "" {
				t.Effect = durable.Read
			}
			r.file.Tools[e.name] = t
			r.tool(t, e)
		}
	}
	for _, name := range r.file.agentNames {
		a := r.file.Agents[name]
		a.Name = name
		r.model(&a, "agents."+name)
		for i, t := range a.Tools {
			r.toolName(t, fmt.Sprintf("agents.%s.tools[%d]", name, i))
		}
		r.file.Agents[name] = a
	}
}

// providers returns those a model may be of, and those it may be of later.
func providers() (now, later []string) {
	return []string{"openai", "anthropic", "script", "builtin"}, []string{"gemini"}
}

// provider checks provider/name and resolves the path of a script.
func (r *refs) provider(model, at string) string {
	now, later := providers()
	provider, name, slash := strings.Cut(model, "/")
	switch {
	case slash && slices.Contains(later, provider):
		r.add(r.at[at], at, fmt.Sprintf("the provider %s is not supported yet in this version", provider), "use one of "+strings.Join(now, ", "))
	case !slash || name == "" || provider == "":
		r.add(r.at[at], at, fmt.Sprintf("%q is not a model", model), "write provider/name, such as openai/gpt-5-mini")
	case !slices.Contains(now, provider):
		r.add(r.at[at], at, fmt.Sprintf("unknown provider %q", provider), DidYouMean(provider, now, "known providers"))
	case provider == "script":
		return "script/" + r.resolve(name)
	}
	return model
}

// model resolves the agent's model and takes over what the models section says of it.
func (r *refs) model(a *agent.Definition, at string) {
	if a.Model == "" {
		return
	}
	m, named := r.file.Models[a.Model]
	switch {
	case named:
		a.Model, a.Price = m.Use, m.Price
		if a.MaxTokens == 0 {
			a.MaxTokens = m.MaxTokens
		}
		if a.Temperature == nil {
			a.Temperature = m.Temperature
		}
	case strings.Contains(a.Model, "/"):
		a.Model = r.provider(a.Model, at+".model")
	default:
		var known []string
		for _, e := range r.root.find("models").entries {
			known = append(known, e.name)
		}
		hint := DidYouMean(a.Model, known, "known models")
		if hint == "" {
			hint = "write provider/name, such as openai/gpt-5-mini, or declare it under models"
		}
		r.add(r.at[at+".model"], at+".model", fmt.Sprintf("unknown model %q", a.Model), hint)
		return
	}
	r.price(a, at)
}

// price makes sure that a budget of money can be counted: it fails closed, so
// without a price no call could be made.
func (r *refs) price(a *agent.Definition, at string) {
	if a.Budget.Cost == 0 || a.Price != nil || a.Model == "" {
		return
	}
	if strings.HasPrefix(a.Model, "script/") || strings.HasPrefix(a.Model, "builtin/") {
		a.Price = &agent.Price{} // they run here and cost nothing
		return
	}
	at += ".budget.cost"
	r.add(r.at[at], at, fmt.Sprintf("needs the price of %s", a.Model),
		fmt.Sprintf("declare models: { NAME: { use: %s, price: { input: …, output: … } } } and name it in the agent's model", a.Model))
}

// toolName checks that a name or pattern of an agent finds a tool.
func (r *refs) toolName(name, at string) {
	declared := Builtins()
	for _, e := range r.root.find("tools").entries {
		if !slices.Contains(declared, e.name) {
			declared = append(declared, e.name)
		}
	}
	server, _, slash := strings.Cut(name, "/")
	base, _, _ := strings.Cut(name, "(")
	switch {
	case slash && r.root.find("mcp").has(server):
		return // the mcp section is refused as a whole
	case base == "shell" && !slices.Contains(declared, name):
		r.add(r.at[at], at, "the tool shell is not supported yet in this version", "remove it from the list")
	case slash:
		r.add(r.at[at], at, fmt.Sprintf("no tool matches %q", name), "names with a slash are tools of mcp servers, which are not supported yet in this version")
	case strings.Contains(name, "*"):
		if !slices.ContainsFunc(declared, func(t string) bool { return matches(name, t) }) {
			r.add(r.at[at], at, fmt.Sprintf("no tool matches %q", name), "known tools: "+strings.Join(declared, ", "))
		}
	case !slices.Contains(declared, name):
		r.add(r.at[at], at, fmt.Sprintf("unknown tool %q", name), DidYouMean(name, declared, "known tools"))
	}
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// tool checks that a tool is complete and that its query and its input agree.
func (r *refs) tool(t Tool, e entry) {
	at := "tools." + t.Name
	later := false // a kind that is refused needs no csv
	for _, f := range toolFields() {
		later = later || f.notYet != "" && e.value.has(f.name)
	}
	switch {
	case slices.Contains(append(Builtins(), "shell"), t.Name):
		r.add(e.position, at, "the name of a built-in tool", "choose another name")
	case e.value.kind == mapping && !later && !e.value.has("csv"):
		r.add(e.position, at, `missing field "csv"`, "name the files to query, such as csv: { costs: costs.csv }")
	case t.Input != nil && !e.value.has("sql") && !later:
		r.add(r.at[at+".input"], at+".input", "there is no query that takes it", "add sql, or remove input and let the model write the query")
	}
	r.params(t, e.value, at+".sql")
}

// params checks that every :name of a query is a field of the tool's input.
func (r *refs) params(t Tool, n *node, at string) {
	input := n.find("input")
	if full, ok := input.fullSchema(); ok {
		input = full.find("properties")
		if full.find("type").text != "object" {
			r.add(full.position, "tools."+t.Name+".input.schema", "arguments must be of type object", "")
		}
	}
	var fields []string
	for _, f := range input.entries {
		fields = append(fields, f.name)
	}
	for _, param := range params(t.SQL) {
		if !slices.Contains(fields, param) {
			hint := DidYouMean(param, fields, "")
			if hint == "" {
				hint = fmt.Sprintf("add input: { %s: string }", param)
			}
			r.add(r.locate(n.find("sql"), ":"+param), at, fmt.Sprintf("input has no field for :%s", param), hint)
		}
	}
}

// sqlWord finds what may hold a colon that is no parameter, and parameters.
var sqlWord = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|(?s:/\*.*?\*/)|::|:([A-Za-z_][A-Za-z0-9_]*)`)
})

// params returns the :names of a query, each once.
func params(sql string) []string {
	var out []string
	for _, m := range sqlWord().FindAllStringSubmatch(sql, -1) {
		if m[1] != "" && !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}
