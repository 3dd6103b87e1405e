package outfit

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/workflow"
)

// Workflow is a workflow of a file, with the agents, tools and workflows that it names and the
// policies of the file. It reads the files that these are made of, and starts nothing. Errors: not_found for
// a workflow that there is not; invalid.
func (o *Outfit) Workflow(f *config.File, name string) (*workflow.Definition, error) {
	d, err := f.Workflow(name)
	if err != nil {
		return nil, err
	}
	return d, o.complete(f, d)
}

// complete gives a workflow, and those it runs, what their agents and tools need.
func (o *Outfit) complete(f *config.File, d *workflow.Definition) error {
	for _, name := range slices.Sorted(maps.Keys(d.Agents)) {
		who, err := o.Definition(f, name)
		if err != nil {
			return err
		}
		d.Agents[name] = who
	}
	d.Hands.Above = above(f)
	if len(d.Hands.Tools) > 0 {
		declared, err := o.hands(f, d.Name, d.Hands)
		if err != nil {
			return err
		}
		d.Hands.Declared = declared
	}
	for _, name := range slices.Sorted(maps.Keys(d.Workflows)) {
		if err := o.complete(f, d.Workflows[name]); err != nil {
			return err
		}
	}
	return nil
}

// hands are the tools of a workflow: those of the file that its steps call, and their commands.
func (o *Outfit) hands(f *config.File, flow string, d agent.Definition) ([]tool.Declaration, error) {
	runs := f.Runs(flow)
	named := d
	named.Tools = slices.DeleteFunc(slices.Clone(d.Tools), func(name string) bool { return strings.HasPrefix(name, config.RunPrefix) })
	all, err := o.declared(f, named)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		list, err := o.toolOf(f, runs[name])
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b tool.Declaration) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}
