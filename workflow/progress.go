package workflow

import (
	"slices"

	"github.com/orpine-run/orpine/durable"
)

// Progress is how far a run has come. See [Walks.Observed].
type Progress struct{ walker *walker }

// NodeView is a node of a run, as it is shown.
type NodeView struct {
	ID          string   `json:"id"`
	Verb        string   `json:"verb"`
	About       string   `json:"about,omitempty"` // what the verb is about: the name of an agent, tool or workflow
	Description string   `json:"description,omitempty"`
	Needs       []string `json:"needs,omitempty"` // also the one before it, in an ordered body
	Gotos       []string `json:"gotos,omitempty"` // the nodes that a switch, or on_error, may go on with
	In          string   `json:"in,omitempty"`    // the loop it stands in
	Asset       string   `json:"asset,omitempty"`
	Mark
}

// View is a workflow with where its nodes are.
type View struct {
	Workflow string     `json:"workflow"`
	Nodes    []NodeView `json:"nodes"`
	Spent    Spent      `json:"spent,omitzero"`
	State    any        `json:"state,omitempty"`
}

// View is what is shown of it.
func (p *Progress) View() View {
	w := p.walker
	v := viewOf(w.graph, func(n *node) Mark { return *w.marks[n.ID] })
	v.Spent = w.spent
	if len(w.state.values) > 0 {
		v.State = w.state.values
	}
	return v
}

// Draw is the view of a definition that has not run. Error: invalid.
func Draw(d *Definition) (View, error) {
	g, problems := compile(d)
	if err := problemsError(d.Name, problems); err != nil {
		return View{}, err
	}
	return viewOf(g, func(*node) Mark { return Mark{Status: Pending} }), nil
}

func viewOf(g *graph, markOf func(*node) Mark) View {
	v := View{Workflow: g.def.Name, Nodes: []NodeView{}}
	for _, n := range g.order {
		one := NodeView{ID: n.ID, Verb: n.verb, About: n.about(), Description: n.Description, Mark: markOf(n)}
		for _, o := range n.before() {
			one.Needs = append(one.Needs, o.ID)
		}
		for _, to := range n.gotos() {
			if to != GotoEnd && !slices.Contains(one.Gotos, to) {
				one.Gotos = append(one.Gotos, to)
			}
		}
		if n.body.in != nil {
			one.In = n.body.in.ID
		}
		if n.Asset != nil {
			one.Asset = n.Asset.Name
		}
		v.Nodes = append(v.Nodes, one)
	}
	return v
}

// about is the name of what a node runs.
func (n *node) about() string {
	switch n.verb {
	case VerbAgent:
		return n.Agent
	case VerbTool:
		return n.Tool
	case VerbWorkflow:
		return n.Workflow
	case VerbPlan:
		return n.Plan.Planner
	case VerbWait:
		return n.Wait.For + n.Wait.Until + n.Wait.Event
	}
	return ""
}

// Done counts the nodes that have ended, of how many.
func (v View) Done() (done, all int) {
	for _, n := range v.Nodes {
		if n.Status.Ended() {
			done++
		}
	}
	return done, len(v.Nodes)
}

// Again is what a run starts with that tries this one again: the results that are good are kept,
// but for those of the node from (an ID; "" = none) and of all that needs it. Errors: not_found for a node
// that there is not.
func (p *Progress) Again(of durable.RunID, from string) (Input, error) {
	w := p.walker
	drop := map[string]bool{}
	if from != "" {
		n := w.graph.find(from)
		if n == nil {
			return Input{}, durable.Errorf(durable.CodeNotFound, "workflow %s has no step %q; %s", w.graph.def.Name, from, hint(from, w.graph.selectable()))
		}
		n.downstream(drop)
	}
	in := Input{Input: w.in.Input, Select: w.in.Select, Again: of, Seen: w.seen}
	in.Results = map[string]*Mark{}
	for _, n := range w.graph.order {
		m := *w.marks[n.ID]
		if drop[n.ID] || n.inLoop(w) {
			continue
		}
		switch {
		case m.Status.good():
			m.Kept = true
			in.Results[n.ID] = &m
		case len(m.Items) > 0: // those that are good are kept
			in.Results[n.ID] = &Mark{Status: Pending, Items: m.Items}
		}
	}
	for _, u := range w.undo {
		if m := in.Results[u.ID]; m != nil && m.Status.good() {
			in.Undo = append(in.Undo, u)
		}
	}
	var err error
	if in.State, err = w.state.snapshot(); err != nil {
		return Input{}, err
	}
	return in, nil
}

// Unfinished are the names of the children that ran workflows for this run and did not come to
// something, as far as Again runs them again.
func (p *Progress) Unfinished(again Input) []string {
	var list []string
	for _, n := range p.walker.graph.order {
		m := p.walker.marks[n.ID]
		switch kept := again.Results[n.ID]; {
		case n.verb != VerbWorkflow, kept != nil && kept.Status.good(), n.body.in != nil:
		case n.each == nil:
			list = append(list, n.ID)
		default:
			for i, item := range m.Items {
				if !item.Status.good() {
					list = append(list, label(n, scope{item: i}))
				}
			}
		}
	}
	return list
}

// inLoop reports whether a node stands in a loop that has not ended: it begins anew.
func (n *node) inLoop(w *walker) bool {
	for in := n.body.in; in != nil; in = in.body.in {
		if !w.marks[in.ID].Status.good() {
			return true
		}
	}
	return false
}

// downstream adds a node with all that waits for it.
func (n *node) downstream(to map[string]bool) {
	if to[n.ID] {
		return
	}
	to[n.ID] = true
	for _, o := range n.after() {
		o.downstream(to)
	}
	if n.inner != nil {
		for _, o := range n.inner.nodes {
			o.downstream(to)
		}
	}
	if n.body.in != nil {
		n.body.in.downstream(to)
	}
}
