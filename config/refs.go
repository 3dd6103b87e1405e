package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/suggest"
	"github.com/orpine-run/orpine/tool"
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
			r.file.Tools[e.name] = r.tool(t, e)
		}
	}
	for _, e := range r.root.find("mcp").entries {
		if s, ok := r.file.MCP[e.name]; ok {
			r.file.MCP[e.name] = r.server(s, e)
		}
	}
	for _, name := range r.file.agentNames {
		r.agent(name)
	}
	if len(r.file.agentNames)+len(r.file.workflowNames) == 0 {
		r.add(r.root.position, "agents", "there is nothing to run", "add agents: { NAME: { model: … } }, or workflows")
	}
	for _, e := range r.root.find("workflows").entries {
		r.workflow(e)
	}
	for _, e := range r.root.find("schedules").entries {
		if t, ok := r.file.Schedules[e.name]; ok {
			r.trigger(e, "schedules", t)
		}
	}
	for _, e := range r.root.find("triggers").entries {
		if t, ok := r.file.Triggers[e.name]; ok {
			r.trigger(e, "triggers", t)
		}
	}
	r.policy(r.file.Permissions, "permissions")
	for name, t := range r.file.Tenants {
		r.policy(t.Permissions, "tenants."+name+".permissions")
	}
}

// agent checks an agent, and completes it.
func (r *refs) agent(name string) {
	a := r.file.Agents[name]
	a.Name = name
	at := "agents." + name
	r.model(&a, at)
	for i, t := range a.Tools {
		if base, _, narrowed := strings.Cut(t, "("); narrowed {
			a.Permissions.Only, a.Tools[i] = append(a.Permissions.Only, t), base
			r.rule(t, fmt.Sprintf("%s.tools[%d]", at, i))
		}
		r.toolName(a.Tools[i], fmt.Sprintf("%s.tools[%d]", at, i))
	}
	for i, other := range r.file.below[name] {
		r.agentName(name, other, fmt.Sprintf("%s.agents[%d]", at, i))
	}
	r.planner(name, at+".planner")
	r.policy(a.Permissions, at+".permissions")
	if a.Flow == "on" {
		a.Flow = ""
	}
	r.file.Agents[name] = a
}

// planner checks what the planner of an agent names.
func (r *refs) planner(name, at string) {
	p := r.file.Planner(name)
	who := func(other, at string) {
		if _, ok := r.file.Agents[other]; !ok {
			r.add(r.at[at], at, fmt.Sprintf("unknown agent %q", other), suggest.Name(other, r.file.agentNames, "known agents"))
		}
	}
	for i, other := range p.Agents {
		who(other, fmt.Sprintf("%s.agents[%d]", at, i))
	}
	for i, t := range p.Tools {
		r.toolName(t, fmt.Sprintf("%s.tools[%d]", at, i))
	}
	if p.Judge != "" {
		who(p.Judge, at+".judge")
	}
}

// policy checks each rule by itself, so that a fault is told where it is.
func (r *refs) policy(p tool.Policy, at string) {
	for _, level := range []struct {
		name  string
		rules []string
	}{{"deny", p.Deny}, {"ask", p.Ask}, {"allow", p.Allow}} {
		for i, rule := range level.rules {
			r.rule(rule, fmt.Sprintf("%s.%s[%d]", at, level.name, i))
		}
	}
}

func (r *refs) rule(rule, at string) {
	err := (tool.Policy{Deny: []string{rule}}).Check()
	if err == nil {
		return
	}
	text := err.Error()
	if e, ok := errors.AsType[*durable.Error](err); ok && e.Err != nil {
		text = e.Err.Error()
	}
	r.add(r.at[at], at, text, "")
}

// agentName checks that an agent may put something to another: there is one, and no circle.
func (r *refs) agentName(name, other, at string) {
	if _, ok := r.file.Agents[other]; !ok {
		r.add(r.at[at], at, fmt.Sprintf("unknown agent %q", other), suggest.Name(other, r.file.agentNames, "known agents"))
		return
	}
	var reaches func(from string, depth int) bool
	reaches = func(from string, depth int) bool {
		if from == name {
			return true
		}
		if depth > len(r.file.agentNames) {
			return false
		}
		return slices.ContainsFunc(r.file.below[from], func(next string) bool { return reaches(next, depth+1) })
	}
	if reaches(other, 0) {
		r.add(r.at[at], at, fmt.Sprintf("%s comes back to %s: a circle of agents would never end", other, name), "take one of them out")
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
		r.add(r.at[at], at, fmt.Sprintf("unknown provider %q", provider), suggest.Name(provider, now, "known providers"))
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
		hint := suggest.Name(a.Model, known, "known models")
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

// params checks that every :name of a query is a field of the tool's input.
func (r *refs) params(t Tool, n *node, at string) {
	input := n.find("input")
	if full, ok := input.fullSchema(); ok {
		input = full.find("properties")
	}
	var fields []string
	for _, f := range input.entries {
		fields = append(fields, f.name)
	}
	for _, param := range params(t.SQL) {
		if !slices.Contains(fields, param) {
			hint := suggest.Name(param, fields, "")
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
