package outfit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/tool"
)

// Review looks through the policies of a file for rules that change nothing and tools that may
// never be called, in the order of the file. Nothing is started and no server is asked.
func (o *Outfit) Review(f *config.File) ([]config.Problem, error) {
	var all []tool.Spec
	var open []string
	var found []config.Problem
	for _, name := range f.AgentNames() {
		d, err := o.Definition(f, name)
		if err != nil {
			return nil, err
		}
		specs, unknown, err := o.reach(d)
		if err != nil {
			return nil, err
		}
		all, open = append(all, specs...), append(open, unknown...)
		at := "agents." + name
		problems, err := review(f, d.Permissions, specs, unknown, at+".permissions", func(one string) (string, bool) { return at + ".tools", names(d, one) })
		if err != nil {
			return nil, err
		}
		found = append(found, problems...)
	}
	all = distinct(all)
	above := map[string]tool.Policy{"permissions": f.Permissions}
	for name, t := range f.Tenants {
		above["tenants."+name+".permissions"] = t.Permissions
	}
	for at, p := range above {
		problems, err := review(f, p, all, open, at, func(string) (string, bool) { return at, true })
		if err != nil {
			return nil, err
		}
		found = append(found, problems...)
	}
	slices.SortStableFunc(found, func(a, b config.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return found, nil
}

// reach are the tools that an agent and those beneath it have, whose calls its policy counts for,
// and patterns of those that are found when a run begins.
func (o *Outfit) reach(d agent.Definition) (specs []tool.Spec, unknown []string, err error) {
	i, err := o.Inspect(d)
	if err != nil {
		return nil, nil, err
	}
	specs, unknown = i.Specs(), i.Open()
	for _, sub := range d.Agents {
		below, more, err := o.reach(sub)
		if err != nil {
			return nil, nil, err
		}
		specs, unknown = append(specs, below...), append(unknown, more...)
	}
	return distinct(specs), unknown, nil
}

// distinct are tools by name, each once.
func distinct(specs []tool.Spec) []tool.Spec {
	slices.SortFunc(specs, func(a, b tool.Spec) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(specs, func(a, b tool.Spec) bool { return a.Name == b.Name })
}

// review looks through one policy, which stands at a place of the file; lists says where a tool is
// listed, and false for one that need not be told of.
func review(f *config.File, p tool.Policy, specs []tool.Spec, open []string, at string, lists func(name string) (string, bool)) ([]config.Problem, error) {
	findings, err := p.Review(specs, open)
	if err != nil {
		return nil, err
	}
	var found []config.Problem
	for _, x := range findings {
		place := fmt.Sprintf("%s.%s[%d]", at, x.Level, x.Index)
		if x.Level == "" {
			var told bool
			if place, told = lists(x.Tool); !told {
				continue
			}
		}
		found = append(found, f.Problem(place, x.Text, ""))
	}
	return found, nil
}
