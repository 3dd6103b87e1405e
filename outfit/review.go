package outfit

import (
	"cmp"
	"fmt"
	"slices"

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
		i, err := o.Inspect(d)
		if err != nil {
			return nil, err
		}
		specs := slices.DeleteFunc(i.Specs(), func(s tool.Spec) bool { return !names(d, s.Name) && !slices.Contains(d.Tools, s.Name) })
		all, open = append(all, specs...), append(open, i.Open()...)
		at := "agents." + name
		problems, err := review(f, d.Permissions, specs, i.Open(), at+".permissions", at+".tools")
		if err != nil {
			return nil, err
		}
		found = append(found, problems...)
	}
	slices.SortFunc(all, func(a, b tool.Spec) int { return cmp.Compare(a.Name, b.Name) })
	all = slices.CompactFunc(all, func(a, b tool.Spec) bool { return a.Name == b.Name })
	above := map[string]tool.Policy{"permissions": f.Permissions}
	for name, t := range f.Tenants {
		above["tenants."+name+".permissions"] = t.Permissions
	}
	for at, p := range above {
		problems, err := review(f, p, all, open, at, at)
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

// review looks through one policy, which stands at a place of the file.
func review(f *config.File, p tool.Policy, specs []tool.Spec, open []string, at, tools string) ([]config.Problem, error) {
	findings, err := p.Review(specs, open)
	if err != nil {
		return nil, err
	}
	var found []config.Problem
	for _, x := range findings {
		place := tools
		if x.Level != "" {
			place = fmt.Sprintf("%s.%s[%d]", at, x.Level, x.Index)
		}
		found = append(found, f.Problem(place, x.Text, ""))
	}
	return found, nil
}
