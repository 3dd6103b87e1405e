package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/suggest"
	"github.com/orpine-run/orpine/workflow"
)

// workflow checks a workflow: what it names, and all that package workflow finds.
func (r *refs) workflow(e entry) {
	w, ok := r.file.Workflows[e.name]
	at := "workflows." + e.name
	if !ok || len(w.Steps.List) == 0 {
		return // what is wrong with it was told
	}
	if _, twice := r.file.Agents[e.name]; twice {
		r.add(e.position, at, "an agent has this name, too", "choose another: FILE#NAME runs one or the other")
	}
	r.policy(w.Permissions, at+".permissions")
	if r.comesBack(e.name) {
		r.add(e.position, at, fmt.Sprintf("workflow %s runs itself, or comes back to itself: a circle would never end", e.name), "take one of the steps out, or use loop")
		if r.file.circles == nil {
			r.file.circles = map[string]bool{}
		}
		r.file.circles[e.name] = true
		return
	}
	fine := true
	r.eachStep(w.Steps, at+".steps", func(s Step, path string) {
		fine = r.stepNames(s, path) && fine
	})
	if !fine || slices.ContainsFunc(r.problems, func(p Problem) bool { return strings.HasPrefix(p.Path, at+".") }) {
		return // the rest would repeat it
	}
	for _, p := range workflow.Check(r.file.definition(e.name, w)) {
		path := at + "." + p.Path
		where, there := r.place(path)
		if !there {
			where = e.position
		}
		r.add(where, path, p.Message, p.Hint)
	}
}

// place finds where what stands at a path, or what it stands in, is in the file.
func (r *refs) place(path string) (position, bool) {
	path = strings.NewReplacer(".asset.partition", ".partition", ".asset.metadata", ".metadata", ".asset.checks", ".checks").Replace(path)
	for {
		if at, ok := r.at[path]; ok {
			return at, true
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return position{}, false
		}
		path = path[:cut]
	}
}

// eachStep calls fn for steps, those within loops and those that compensate.
func (r *refs) eachStep(s Steps, path string, fn func(s Step, path string)) {
	for i, one := range s.List {
		here := join(path, one.ID)
		if s.Ordered {
			here = fmt.Sprintf("%s[%d]", path, i)
		}
		fn(one, here)
		if one.Compensate != nil {
			fn(*one.Compensate, here+".compensate")
		}
		if one.Loop != nil {
			r.eachStep(one.Loop.Steps, here+".loop.steps", fn)
		}
	}
}

// stepNames checks the agents, tools and workflows that a step names; false when there is one that
// there is not.
func (r *refs) stepNames(s Step, path string) bool {
	before := len(r.problems)
	who := func(name, at string) {
		if _, ok := r.file.Agents[name]; name != "" && !ok {
			r.add(r.at[at], at, fmt.Sprintf("unknown agent %q", name), suggest.Name(name, r.file.agentNames, "known agents"))
		}
	}
	who(s.Agent, path+".agent")
	if s.Tool != "" {
		r.toolName(s.Tool, path+".tool")
	}
	if _, ok := r.file.Workflows[s.Workflow]; s.Workflow != "" && !ok {
		r.add(r.at[path+".workflow"], path+".workflow", fmt.Sprintf("unknown workflow %q", s.Workflow), suggest.Name(s.Workflow, r.file.workflowNames, "known workflows"))
	}
	if p := s.Plan; p != nil {
		who(p.Planner, path+".plan.planner")
		for i, name := range p.Agents {
			who(name, fmt.Sprintf("%s.plan.agents[%d]", path, i))
		}
		for i, name := range p.Tools {
			r.toolName(name, fmt.Sprintf("%s.plan.tools[%d]", path, i))
		}
	}
	r.goesWith(s, path)
	return len(r.problems) == before
}

// goesWith refuses fields that say something about a verb that a step does not have.
func (r *refs) goesWith(s Step, path string) {
	for _, f := range []struct {
		name    string
		is, has bool
		verb    string
	}{
		{"prompt", s.Prompt != "", s.Agent != "", "agent"},
		{"with", len(s.With) > 0, s.Tool != "" || s.Workflow != "", "tool or workflow"},
		{"stdin", s.Stdin != "", len(s.Run) > 0, "run"},
		{"env", len(s.Env) > 0, len(s.Run) > 0, "run"},
		{"secrets", len(s.Secrets) > 0, len(s.Run) > 0, "run"},
		{"sandbox", s.Sandbox != nil, len(s.Run) > 0, "run"},
		{"effect", s.Effect != "", len(s.Run) > 0, "run"},
		{"partition", s.Partition != "", s.Asset != "", "asset"},
		{"metadata", len(s.Metadata) > 0, s.Asset != "", "asset"},
		{"checks", len(s.Checks) > 0, s.Asset != "", "asset"},
		{"concurrency", s.Concurrency > 0, len(s.ForEach) > 0, "for_each"},
		{"join", s.Join != "", len(s.Needs) > 0, "needs"},
	} {
		if f.is && !f.has {
			r.add(r.at[path+"."+f.name], path+"."+f.name, "goes with "+f.verb+" only", "remove it, or add "+f.verb)
		}
	}
	if len(s.Run) > 0 && s.Tool != "" {
		r.add(r.at[path], path, "a step has one verb, not tool and run", "make two steps of it")
	}
}

// comesBack reports whether a workflow runs itself, be it by way of others.
func (r *refs) comesBack(name string) bool {
	seen := map[string]bool{}
	look := []string{name}
	for len(look) > 0 {
		at := look[len(look)-1]
		look = look[:len(look)-1]
		found := false
		r.eachStep(r.file.Workflows[at].Steps, "", func(s Step, _ string) {
			if s.Workflow == name {
				found = true
			}
			if s.Workflow != "" && !seen[s.Workflow] && !slices.Contains(look, s.Workflow) {
				seen[s.Workflow] = true
				look = append(look, s.Workflow)
			}
		})
		if found {
			return true
		}
	}
	return false
}
