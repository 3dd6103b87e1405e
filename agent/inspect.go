package agent

import (
	"encoding/json"
	"slices"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Inspection is what an agent has to work with, for who looks at it and runs nothing.
type Inspection struct {
	definition Definition
	kit        *kit
}

// Inspect makes the tools of a definition. Found are those that its sources have, as far as they
// were asked. Errors: invalid for what no run of it could have.
func Inspect(cfg Config, d Definition, found []tool.Declaration) (*Inspection, error) {
	box := &toolbox{tools: cfg.Tools, makers: cfg.Makers, sources: cfg.Sources, made: map[string]*kit{}}
	k, err := box.gather(d, &Finds{Tools: found}, false)
	if err != nil {
		return nil, err
	}
	return &Inspection{definition: d, kit: k}, nil
}

// Open are patterns of the names that tools may have of which a source was not asked.
func (i *Inspection) Open() []string { return i.kit.open }

// Specs lists the tools, sorted by name, without those that the agent has of itself.
func (i *Inspection) Specs() []tool.Spec {
	return slices.DeleteFunc(i.kit.Specs(), func(s tool.Spec) bool { return s.Name == readResult || s.Name == findTools })
}

// Rule says what would become of a call in a run of a tenant, as far as policies go. Errors:
// not_found for a tool that it has not, invalid for arguments that do not match its schema.
func (i *Inspection) Rule(tenant, name string, args json.RawMessage) (tool.Ruling, error) {
	spec, ok := i.kit.Spec(name)
	if !ok {
		return tool.Ruling{}, durable.Errorf(durable.CodeNotFound, "agent %s has no tool %s", i.definition.Name, name)
	}
	checked, refusal := i.kit.Check(tool.Call{Name: name, Args: args})
	if refusal != nil {
		return tool.Ruling{}, durable.Errorf(durable.CodeInvalid, "%s", refusal.Content)
	}
	return i.kit.judge.Rule(tool.Case{Agent: i.definition.Name, Tenant: tenant, Tool: spec, Args: checked.Args}), nil
}

// Policies are those of the agent, outermost first: a Ruling names one by its place.
func (i *Inspection) Policies() []tool.Policy { return i.definition.policies() }

// Leaks says why a person would be asked about a call all the same, once the agent has read words
// of strangers, and once it has read what is private as well; "" = would not be.
func (i *Inspection) Leaks(name string) (untrusted, both string) {
	spec, _ := i.kit.Spec(name)
	l := &loop{definition: i.definition}
	l.Seen = Seen{Untrusted: true}
	untrusted = l.leak(spec)
	l.Seen.Private = true
	return untrusted, l.leak(spec)
}
