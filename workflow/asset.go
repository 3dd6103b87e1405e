package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// Materialization is the record that an asset, or a partition of it, was made.
type Materialization struct {
	Asset     string          `json:"asset"`
	Partition string          `json:"partition,omitempty"`
	Run       durable.RunID   `json:"run"`
	Workflow  string          `json:"workflow"`
	Node      string          `json:"node"`
	At        time.Time       `json:"at"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
	Checks    []Checked       `json:"checks,omitempty"`
	Needs     []string        `json:"needs,omitempty"` // the assets it was made of
}

// Good reports whether no check that counts has failed.
func (m Materialization) Good() bool {
	for _, c := range m.Checks {
		if !c.Passed && !c.Warns {
			return false
		}
	}
	return true
}

// materialize holds what a node has made against its checks, and records it.
func (w *walker) materialize(ctx durable.Context, n *node, s scope, m *Mark, out any) error {
	s = s.with("output", out)
	made := Materialization{
		Asset: n.Asset.Name, Run: ctx.Info().Run, Workflow: w.graph.def.Name, Node: n.ID, At: durable.Now(ctx), Needs: w.graph.assetsBehind(n),
	}
	var err error
	if made.Partition, err = n.partition.String(w.eval(s)); err != nil {
		return invalid("asset.partition", err)
	}
	if made.Metadata, err = n.metadata.Value(w.eval(s)); err != nil {
		return invalid("asset.metadata", err)
	}
	var missed []string
	for i, c := range n.Asset.Checks {
		passed, err := n.checks[i].True(w.eval(s))
		if err != nil {
			return invalid("check "+c.Name, err)
		}
		made.Checks = append(made.Checks, Checked{Name: c.Name, Passed: passed, Warns: c.Warns})
		if !passed && !c.Warns {
			missed = append(missed, c.Name)
		}
	}
	m.Checks = made.Checks
	if _, err := durable.StartAs(ctx, label(n, s)+" asset", w.record, made).Await(ctx); err != nil {
		return err
	}
	if len(missed) > 0 {
		return &durable.Error{Code: durable.CodeConflict, Reason: ReasonCheck, Err: fmt.Errorf("asset %s does not pass %s", n.Asset.Name, strings.Join(missed, ", ")), Final: true}
	}
	return nil
}

// assetsBehind are the assets that a node needs, directly or by way of nodes that make none.
func (g *graph) assetsBehind(n *node) []string {
	var list []string
	seen := map[string]bool{}
	var look func(*node)
	look = func(o *node) {
		for _, before := range o.before() {
			switch {
			case seen[before.ID]:
			case before.Asset != nil:
				list = append(list, before.Asset.Name)
			default:
				look(before)
			}
			seen[before.ID] = true
		}
	}
	look(n)
	return list
}

// before are the nodes that a node waits for in its body.
func (n *node) before() []*node {
	if n.body.ordered {
		if n.index == 0 {
			return nil
		}
		return n.body.nodes[n.index-1 : n.index]
	}
	var list []*node
	for _, i := range n.needs {
		list = append(list, n.body.nodes[i])
	}
	return list
}

// after are the nodes that wait for a node in its body.
func (n *node) after() []*node {
	if n.body.ordered {
		return n.body.nodes[n.index+1 : min(n.index+2, len(n.body.nodes))]
	}
	var list []*node
	for _, i := range n.feeds {
		list = append(list, n.body.nodes[i])
	}
	return list
}

// choose finds the nodes that are selected by ID or asset; nil means all. A + before a name takes in
// all it needs, one behind it all that needs it. Error: invalid for what there is not.
func choose(g *graph, list []string) (map[string]bool, error) {
	if len(list) == 0 {
		return nil, nil //nolint:nilnil // that means all
	}
	chosen := map[string]bool{}
	var walk func(n *node, next func(*node) []*node)
	walk = func(n *node, next func(*node) []*node) {
		chosen[n.ID] = true
		for _, o := range next(n) {
			if !chosen[o.ID] {
				walk(o, next)
			}
		}
	}
	for _, text := range list {
		name, back := strings.CutPrefix(text, "+")
		name, on := strings.CutSuffix(name, "+")
		n := g.find(name)
		if n == nil {
			return nil, durable.Errorf(durable.CodeInvalid, "select %s: workflow %s has no step or asset %q; %s", text, g.def.Name, name, hint(name, g.selectable()))
		}
		chosen[n.ID] = true
		if back {
			walk(n, (*node).before)
		}
		if on {
			walk(n, (*node).after)
		}
	}
	for _, n := range g.order { // what is within a loop runs with it, and a loop with what is in it
		if in := n.body.in; in != nil && chosen[in.ID] {
			chosen[n.ID] = true
		}
	}
	return chosen, nil
}

// find finds a node by ID or asset.
func (g *graph) find(name string) *node {
	if n, ok := g.nodes[name]; ok {
		return n
	}
	for _, n := range g.order {
		if n.Asset != nil && n.Asset.Name == name {
			return n
		}
	}
	return nil
}

func (g *graph) selectable() []string {
	var list []string
	for _, n := range g.order {
		list = append(list, n.ID)
		if n.Asset != nil && n.Asset.Name != n.ID {
			list = append(list, n.Asset.Name)
		}
	}
	return list
}

// Partitions reads a range or list of partitions: 2018-01..2018-06 are months, 2018-01-01..2018-01-31
// days, 2018..2020 years, and a, b, c are those. Error: invalid.
func Partitions(text string) ([]string, error) {
	first, last, isRange := strings.Cut(text, "..")
	if !isRange {
		list := strings.Split(text, ",")
		for i := range list {
			if list[i] = strings.TrimSpace(list[i]); list[i] == "" {
				return nil, durable.Errorf(durable.CodeInvalid, "partitions %q: one is empty", text)
			}
		}
		return list, nil
	}
	for _, form := range []struct {
		layout              string
		years, months, days int
	}{{"2006-01-02", 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		from, err1 := time.Parse(form.layout, first)
		to, err2 := time.Parse(form.layout, last)
		if err1 != nil || err2 != nil {
			continue
		}
		var list []string
		for at := from; !at.After(to); at = at.AddDate(form.years, form.months, form.days) {
			if list = append(list, at.Format(form.layout)); len(list) > maxItems {
				return nil, durable.Errorf(durable.CodeInvalid, "partitions %s are more than %d: take them in parts", text, maxItems)
			}
		}
		if len(list) == 0 {
			return nil, durable.Errorf(durable.CodeInvalid, "partitions %s: the first is behind the last", text)
		}
		return list, nil
	}
	return nil, durable.Errorf(durable.CodeInvalid, "partitions %q: write a range such as 2018-01..2018-06, or a list such as a,b,c", text)
}

// Backfill is a workflow that runs another one for each of the partitions in its input, each as the
// value of a field of that one's input, atOnce of them at once (0 = all). Other fields come from
// input. Its output lists theirs.
func Backfill(d *Definition, field string, atOnce int, input map[string]any) (*Definition, error) {
	if err := Compile(d); err != nil {
		return nil, err
	}
	if shape := expr.ShapeOf(d.Input); shape != nil && shape.Fields != nil && shape.Fields[field] == nil {
		return nil, durable.Errorf(durable.CodeInvalid, "the input of workflow %s has no field %q to put a partition into", d.Name, field)
	}
	with := map[string]any{}
	maps.Copy(with, input)
	with[field] = "${{ item }}"
	data, err := json.Marshal(with)
	if err != nil {
		return nil, invalid("input", err)
	}
	return &Definition{
		Name: d.Name + "-backfill", Workflows: map[string]*Definition{d.Name: d},
		Body: Body{Ordered: true, Nodes: []Node{{
			ID: "partitions", ForEach: "input.partitions", AtOnce: atOnce, Workflow: d.Name, With: data,
		}}},
	}, nil
}
