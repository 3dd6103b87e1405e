package picture

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/orpine-run/orpine/workflow"
)

// body is some nodes that are drawn together: those of a workflow, of a loop or of a plan.
type body struct {
	items []*item
	edges []edge // forward: the first node stands above the second
	back  []edge // the others
	order []int  // every node behind what it needs
	layer []int  // of each node, from 0: the longest way to it
	depth int    // layers
}

// item is what is drawn as one box.
type item struct {
	node  workflow.NodeView
	lines []string // what a summary says, in place of what the node does
	inner *body    // of a loop or a plan; nil = there is none
}

// edge leads from a node to one that comes behind it, by their indexes in the body.
type edge struct {
	from, to int
	dashed   bool // it was not taken, or is taken on an error only
}

// graphOf arranges the nodes of a view.
func graphOf(v workflow.View) *body {
	nodes := withPlans(v.Nodes)
	at := map[string]int{}
	children := map[string][]*item{}
	for i, n := range nodes {
		at[n.ID] = i
	}
	for i, n := range nodes {
		in := n.In
		if j, ok := at[in]; !ok || j >= i { // a loop stands before what is in it
			in = ""
		}
		children[in] = append(children[in], &item{node: n})
	}
	return gather(children, "")
}

func gather(children map[string][]*item, in string) *body {
	b := &body{items: children[in]}
	for _, it := range b.items {
		if it.node.ID != "" && len(children[it.node.ID]) > 0 {
			it.inner = gather(children, it.node.ID)
		}
	}
	b.link()
	return b
}

// link finds the edges of a body.
func (b *body) link() {
	at := map[string]int{}
	for i, it := range b.items {
		at[it.node.ID] = i
	}
	var all []edge
	for i, it := range b.items {
		seen := map[int]bool{}
		for _, need := range it.node.Needs {
			if j, ok := at[need]; ok && j != i && !seen[j] {
				seen[j] = true
				all = append(all, edge{j, i, !took(b.items[j].node, it.node, true)})
			}
		}
	}
	needs := len(all)
	for i, it := range b.items {
		for _, to := range it.node.Gotos {
			j, ok := at[to]
			if ok && j != i && !slices.ContainsFunc(all[:needs], func(e edge) bool { return e.from == i && e.to == j }) {
				all = append(all, edge{i, j, !took(it.node, b.items[j].node, false)})
			}
		}
	}
	b.sort(all[:needs])
	for _, e := range all {
		if b.before(e) {
			b.edges = append(b.edges, e)
		} else {
			b.back = append(b.back, e)
		}
	}
	b.rank()
}

// took reports whether the way from a node to another is one that the run takes: needed says that the
// other one needs it, else it is a goto.
func took(from, to workflow.NodeView, needed bool) bool {
	named := slices.Contains(from.Gotos, to.ID)
	router := from.Verb == workflow.VerbSwitch
	switch {
	case from.Next == to.ID:
		return true
	case !from.Status.Ended():
		return needed || router
	case named:
		return needed && !router && to.Status != workflow.Skipped
	}
	return from.Next == "" || to.Status != workflow.Skipped
}

// sort puts the nodes into an order in which each stands behind what it needs. Where nodes need each
// other, which no workflow does that was compiled, the first one goes first.
func (b *body) sort(needs []edge) {
	left, feeds := make([]int, len(b.items)), make([][]int, len(b.items))
	for _, e := range needs {
		left[e.to]++
		feeds[e.from] = append(feeds[e.from], e.to)
	}
	done := make([]bool, len(b.items))
	var ready []int
	put := func(i int) { done[i], ready = true, append(ready, i) }
	for i := range b.items {
		if left[i] == 0 {
			put(i)
		}
	}
	for next, force := 0, 0; ; next++ {
		for next == len(ready) && force < len(b.items) {
			if !done[force] {
				put(force)
			}
			force++
		}
		if next == len(ready) {
			break
		}
		for _, i := range feeds[ready[next]] {
			if left[i]--; left[i] == 0 && !done[i] {
				put(i)
			}
		}
	}
	b.order = ready
	b.layer = make([]int, len(b.items)) // until rank: the place in the order
	for at, i := range ready {
		b.layer[i] = at
	}
}

func (b *body) before(e edge) bool { return b.layer[e.from] < b.layer[e.to] }

// rank gives every node the layer behind the last one of those before it.
func (b *body) rank() {
	out := make([][]int, len(b.items))
	for _, e := range b.edges {
		out[e.from] = append(out[e.from], e.to)
	}
	b.layer = make([]int, len(b.items))
	for _, i := range b.order {
		b.depth = max(b.depth, b.layer[i]+1)
		for _, j := range out[i] {
			b.layer[j] = max(b.layer[j], b.layer[i]+1)
		}
	}
}

// layers are the nodes of each layer, in the order of the definition.
func (b *body) layers() [][]int {
	list := make([][]int, b.depth)
	for i := range b.items {
		list[b.layer[i]] = append(list[b.layer[i]], i)
	}
	return list
}

// count is how many nodes there are, with those in loops.
func (b *body) count() int {
	n := len(b.items)
	for _, it := range b.items {
		if it.inner != nil {
			n += it.inner.count()
		}
	}
	return n
}

// withPlans adds the steps of the newest plan of each node that plans, unless the view has them.
func withPlans(nodes []workflow.NodeView) []workflow.NodeView {
	held := map[string]bool{}
	for _, n := range nodes {
		held[n.In] = true
	}
	var list []workflow.NodeView
	for _, n := range nodes {
		list = append(list, n)
		if len(n.Plans) > 0 && !held[n.ID] {
			list = append(list, PlanSteps(n, n.Plans[len(n.Plans)-1])...)
		}
	}
	return list
}

// PlanSteps are the steps of a plan as nodes that stand in the node that made it; what they came to is
// what is known once the plan has ended. The id of each is that of the node, a dot and its own.
func PlanSteps(n workflow.NodeView, p *workflow.Planned) []workflow.NodeView {
	var results map[string]struct {
		Status workflow.Status `json:"status"`
	}
	_ = json.Unmarshal(p.Results, &results) // of a plan that came to an error they are something else
	list := make([]workflow.NodeView, len(p.Steps))
	for i, s := range p.Steps {
		one := &list[i]
		one.ID, one.In, one.Description = n.ID+"."+s.ID, n.ID, s.Do
		for _, need := range s.Needs {
			one.Needs = append(one.Needs, n.ID+"."+need)
		}
		one.Verb, one.About = workflow.VerbAgent, s.Agent
		if s.Agent == "" {
			one.Verb, one.About = workflow.VerbTool, s.Tool
		}
		one.Status = cmp.Or(results[s.ID].Status, workflow.Pending)
	}
	return list
}

// OfDraft is a plan that has not run as a view.
func OfDraft(name string, d workflow.Draft) workflow.View {
	v := workflow.View{Workflow: name}
	for _, n := range PlanSteps(workflow.NodeView{}, &workflow.Planned{Draft: d}) {
		n.ID = n.ID[1:] // there is no node that it stands in
		for i := range n.Needs {
			n.Needs[i] = n.Needs[i][1:]
		}
		v.Nodes = append(v.Nodes, n)
	}
	return v
}
