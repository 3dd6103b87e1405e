package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
	"github.com/orpine-run/orpine/workflow/picture"
)

// flow is a run of a workflow: where its nodes are, and the runs that they have started.
type flow struct {
	view     workflow.View
	children []durable.Run            // the oldest first
	newest   map[string]durable.RunID // of the children of a name
}

// shownNode is a node as the JSON and YAML formats print it.
type shownNode struct {
	workflow.NodeView
	Runs []durable.RunID `json:"runs,omitempty"` // that it has started, the oldest first
}

// flowOf replays a run of a workflow. The steps of a plan that is being run are among its nodes.
func (a *app) flowOf(ctx context.Context, s source, id durable.RunID) (flow, error) {
	f := flow{newest: map[string]durable.RunID{}}
	cfg, err := a.config()
	if err != nil {
		return f, err
	}
	if f.view, err = s.Progress(ctx, cfg, id); err != nil {
		return f, err
	}
	if f.children, err = s.List(ctx, durable.Filter{Parent: id, Oldest: true, Limit: maxNodes}); err != nil {
		return f, err
	}
	for _, run := range f.children {
		f.newest[run.Name] = run.ID
	}
	var nodes []workflow.NodeView
	for _, n := range f.view.Nodes {
		nodes = append(nodes, n)
		if len(n.Plans) == 0 {
			continue
		}
		steps := picture.PlanSteps(n, n.Plans[len(n.Plans)-1])
		if below, err := s.Progress(ctx, cfg, f.newest[planRun(n)]); err == nil { // else it has not begun
			for i := range steps {
				for _, o := range below.Nodes {
					if steps[i].ID == n.ID+"."+o.ID {
						steps[i].Mark = o.Mark
					}
				}
			}
		}
		nodes = append(nodes, steps...)
	}
	f.view.Nodes = nodes
	return f, nil
}

// planRun is what the run of the newest plan of a node is called.
func planRun(n workflow.NodeView) string { return fmt.Sprintf("%s plan %d", n.ID, len(n.Plans)) }

// nodes are those of the run, each with the runs it has started.
func (f flow) nodes() []shownNode {
	by := map[string][]durable.RunID{}
	for _, run := range f.children {
		// A child is called by its node, with an item or a part of it behind: study[2], chief plan 1.
		node, _, _ := strings.Cut(strings.ReplaceAll(run.Name, "[", " "), " ")
		by[node] = append(by[node], run.ID)
	}
	out := make([]shownNode, len(f.view.Nodes))
	for i, n := range f.view.Nodes {
		out[i] = shownNode{NodeView: n, Runs: by[n.ID]}
	}
	return out
}

// written gives nodes the verbs that they have in a file: a command is a tool of its own only here.
func written(v workflow.View) workflow.View {
	v.Nodes = slices.Clone(v.Nodes)
	for i := range v.Nodes {
		if n := &v.Nodes[i]; n.Verb == workflow.VerbTool && strings.HasPrefix(n.About, config.RunPrefix) {
			n.Verb, n.About = "run", ""
		}
	}
	return v
}

// maxItemRows is how many items of a node are listed.
const maxItemRows = 10

// listing is a table of the nodes; wide ones are not cut.
func (f flow) listing(wide bool) listing {
	l := listing{head: []string{"NODE", "VERB", "STATUS", "ATTEMPT", "TOOK", "RUN", "WHY"}}
	depth := map[string]int{}
	for _, n := range written(f.view).Nodes {
		if n.In != "" {
			depth[n.ID] = depth[n.In] + 1
		}
		indent := strings.Repeat("  ", depth[n.ID])
		run := f.newest[n.ID]
		if len(n.Plans) > 0 {
			run = f.newest[planRun(n)]
		}
		l.rows = append(l.rows, nodeRow(indent+n.ID, strings.TrimSpace(n.Verb+" "+n.About), n.Mark, run, nodeWhy(n), wide))
		listed := 0
		for i, m := range n.Items {
			if m == nil || m.Status == workflow.Pending || m.Status == workflow.Succeeded && !wide || listed == maxItemRows {
				continue
			}
			listed++
			name := fmt.Sprintf("%s[%d]", n.ID, i)
			why := picture.Why(workflow.NodeView{Mark: *m}, time.Local)
			l.rows = append(l.rows, nodeRow(indent+"  "+name, "", *m, f.newest[name], why, wide))
		}
	}
	return l
}

// whyWidth is how much a table shows of why a node is as it is.
const whyWidth = 80

func nodeRow(name, verb string, m workflow.Mark, run durable.RunID, why string, wide bool) []string {
	attempt, most := "-", whyWidth
	if m.Attempt > 0 {
		attempt = strconv.Itoa(m.Attempt)
	}
	if wide {
		most = len(why) + 1
	}
	return []string{name, orDash(verb), picture.Glyph(m.Status) + " " + string(m.Status), attempt, orDash(picture.Took(m)), orDash(string(run)), orDash(oneLine(why, most))}
}

// nodeWhy says what else there is to know of a node.
func nodeWhy(n workflow.NodeView) string {
	var parts []string
	add := func(ok bool, text string) {
		if ok {
			parts = append(parts, text)
		}
	}
	add(n.Kept, "kept from the run before")
	add(n.Round > 0, fmt.Sprintf("round %d", n.Round))
	add(len(n.Items) > 0, picture.Items(n.Mark))
	add(len(n.Plans) > 0, fmt.Sprintf("plan %d", len(n.Plans)))
	if len(n.Plans) > 0 {
		parts[len(parts)-1] += " is " + n.Plans[len(n.Plans)-1].Status
	}
	add(n.Asset != "", "asset "+n.Asset)
	met := 0
	for _, c := range n.Checks {
		if c.Passed {
			met++
		}
	}
	add(len(n.Checks) > 0, fmt.Sprintf("%d/%d checks", met, len(n.Checks)))
	why := picture.Why(n, time.Local)
	add(why != "", why)
	return strings.Join(parts, "; ")
}
