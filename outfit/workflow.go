package outfit

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/trigger"
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

// Planned is the workflow of an agent that does not simply call tools until it has an answer; nil for
// one that does. Errors: those of Definition.
func (o *Outfit) Planned(f *config.File, name string) (*workflow.Definition, error) {
	p := f.Planner(name)
	if p.Kind == config.React {
		return nil, nil //nolint:nilnil // it needs no workflow
	}
	d, err := o.Definition(f, name)
	if err != nil {
		return nil, err
	}
	if p.Kind == config.Reflects {
		judge := d
		if p.Judge != "" {
			if judge, err = o.Definition(f, p.Judge); err != nil {
				return nil, err
			}
		}
		return workflow.Reflect(d, judge, p.Max), nil
	}
	workers := map[string]agent.Definition{}
	for _, other := range p.Agents {
		if workers[other], err = o.Definition(f, other); err != nil {
			return nil, err
		}
	}
	plan := workflow.Plan{Agents: p.Agents, Tools: p.Tools, Approve: p.Approve, To: p.To, Max: p.Max, Nodes: p.Steps}
	if len(p.Agents)+len(p.Tools) == 0 {
		worker := d
		worker.Name += "-worker"
		workers[worker.Name], plan.Agents = worker, []string{worker.Name}
	}
	hands := d
	hands.Tools = p.Tools
	if hands.Declared, err = o.declared(f, hands); err != nil {
		return nil, err
	}
	d.Declared = hands.Declared
	return workflow.PlanExecute(d, plan, workers), nil
}

// Trigger is a schedule or trigger of a file, with what it starts. Errors: not_found for one that there
// is not; invalid.
func (o *Outfit) Trigger(f *config.File, name string) (trigger.Definition, error) {
	d, target, err := f.Trigger(name)
	if err != nil {
		return d, err
	}
	if d.On.Poll != nil {
		if d.On.Poll.Config, err = o.pollOf(f, d.On.Poll.Config); err != nil {
			return d, err
		}
	}
	flow, err := o.startable(f, target)
	if err != nil {
		return d, err
	}
	var started any = flow
	with := d.Start.Input
	if flow == nil { // an agent, which is told a text
		if started, err = o.Definition(f, target); err != nil {
			return d, err
		}
		d.Start.Program = agent.Program
	} else {
		d.Start.Program = workflow.Program
		if with, err = json.Marshal(workflow.Input{Input: with}); err != nil {
			return d, err
		}
	}
	d.Start.Name, d.Start.Input = target, with
	if d.Start.Definition, err = json.Marshal(started); err != nil {
		return d, err
	}
	return d, d.Check()
}

// startable is a workflow of a file, or that of an agent that plans; nil for an agent that does not.
func (o *Outfit) startable(f *config.File, name string) (*workflow.Definition, error) {
	if slices.Contains(f.WorkflowNames(), name) {
		return o.Workflow(f, name)
	}
	return o.Planned(f, name)
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
