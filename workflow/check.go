package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/expr"
)

// Check finds what is wrong with a definition before it is run, as far as that can be known: beyond
// what no run could be started with, steps that are never reached, steps that do not run before the one that
// speaks of them, fields that there are not and values of the wrong kind.
func Check(d *Definition) []Problem {
	_, problems := checked(d)
	return problems
}

// checked is Check, and what is known of the output.
func checked(d *Definition) (*expr.Shape, []Problem) {
	g, problems := compile(d)
	c := &checking{graph: g, outputs: map[string]*expr.Shape{}, checkers: map[string]*expr.Checker{}}
	if len(problems) > 0 {
		return nil, problems // what follows would only repeat them
	}
	c.input = expr.ShapeOf(d.Input)
	for key, k := range sorted(d.State) {
		if c.state == nil {
			c.state = map[string]*expr.Shape{}
		}
		c.state[key] = k.shape()
	}
	c.body(g.body)
	out := c.output()
	c.reach(g.body)
	c.writers()
	return out, c.problems
}

// checking is the work on one definition.
type checking struct {
	graph    *graph
	problems []Problem
	input    *expr.Shape
	state    map[string]*expr.Shape
	outputs  map[string]*expr.Shape // of nodes that were looked at
	checkers map[string]*expr.Checker
}

func (c *checking) add(path, message, hint string) {
	c.problems = append(c.problems, Problem{Path: path, Message: message, Hint: hint})
}

// shape is what is known of a key of the state: what it begins with may be replaced by anything.
func (k Key) shape() *expr.Shape {
	switch k.Merge {
	case Append, Union:
		return &expr.Shape{Kind: "array"}
	case Sum, Max, Min:
		return &expr.Shape{Kind: "number"}
	case "", Reject, Replace:
	}
	return nil
}

// body checks nodes in an order in which what they speak of comes first.
func (c *checking) body(b *body) {
	for _, n := range b.sequence() {
		c.node(n)
		c.outputs[n.ID] = c.outputOf(n)
	}
}

// sequence is the nodes of a body, each behind what it needs.
func (b *body) sequence() []*node {
	if b.ordered {
		return b.nodes
	}
	list := make([]*node, 0, len(b.nodes))
	left := make([]int, len(b.nodes))
	for i, n := range b.nodes {
		if left[i] = len(n.needs); left[i] == 0 {
			list = append(list, n)
		}
	}
	for i := 0; i < len(list); i++ {
		for _, j := range list[i].feeds {
			if left[j]--; left[j] == 0 {
				list = append(list, b.nodes[j])
			}
		}
	}
	return list
}

// node checks the expressions of a node.
func (c *checking) node(n *node) {
	c.want(n, n.If, ".if", "boolean")
	if n.ForEach != "" {
		c.want(n, n.ForEach, ".for_each", "array")
	}
	c.verb(n)
	c.values(n, n.Save, ".save")
	if n.Cache != nil {
		c.text(n, n.Cache.Key, ".cache.key")
	}
	if a := n.Asset; a != nil {
		c.text(n, a.Partition, ".asset.partition")
		c.template(n, a.Metadata, ".asset.metadata")
		for i, check := range a.Checks {
			c.want(n, check.That, fmt.Sprintf(".asset.checks[%d].that", i), "boolean")
		}
	}
	if n.undo != nil {
		c.want(n.undo, n.undo.If, ".if", "boolean")
		c.verb(n.undo)
	}
}

func (c *checking) verb(n *node) {
	switch n.verb {
	case VerbAgent:
		c.text(n, n.Prompt, ".prompt")
	case VerbTool:
		c.template(n, n.With, ".with")
	case VerbWorkflow:
		c.template(n, n.With, ".with")
		c.with(n)
	case VerbHuman:
		c.text(n, n.Human.Ask, ".human.ask")
		c.template(n, n.Human.Show, ".human.show")
	case VerbWait:
		c.text(n, n.Wait.For, ".wait")
		c.text(n, n.Wait.Until, ".wait.until")
		if n.Wait.For != "" && !strings.Contains(n.Wait.For, "${{") {
			if _, ok := expr.ParseDuration(n.Wait.For); !ok {
				c.add(n.path+".wait", fmt.Sprintf("%q is no duration", n.Wait.For), "write one such as 30s, 15m, 1h30m or 3d")
			}
		}
		c.want(n, n.Wait.If, ".wait.if", "boolean")
	case VerbSet:
		c.values(n, n.Set, ".set")
	case VerbLoop:
		c.body(n.inner)
		inner := n.inner.nodes[len(n.inner.nodes)-1]
		c.wantAt(inner, n.Loop.Until, n.path+".loop.until", "boolean")
		if n.Loop.Output != "" {
			c.wantAt(inner, n.Loop.Output, n.path+".loop.output", "")
		}
	case VerbSwitch:
		for i, one := range n.Switch.Cases {
			c.want(n, one.If, fmt.Sprintf(".switch[%d].if", i), "boolean")
		}
	case VerbPlan:
		c.text(n, n.Plan.Goal, ".plan.goal")
	}
}

// with holds what a workflow is called with against its input.
func (c *checking) with(n *node) {
	called := expr.ShapeOf(c.graph.def.Workflows[n.Workflow].Input)
	if called == nil || called.Fields == nil {
		return
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(n.With, &given); err != nil && len(n.With) > 0 {
		return // it is an expression
	}
	for name := range sorted(given) {
		if _, ok := called.Fields[name]; !ok {
			c.add(n.path+".with."+name, fmt.Sprintf("workflow %s has no input %q", n.Workflow, name), hint(name, slices.Sorted(maps.Keys(called.Fields))))
		}
	}
	var schema struct {
		Required []string `json:"required"`
	}
	_ = json.Unmarshal(c.graph.def.Workflows[n.Workflow].Input, &schema) // it was read before
	for _, name := range schema.Required {
		if _, ok := given[name]; !ok {
			c.add(n.path, fmt.Sprintf("workflow %s needs the input %q", n.Workflow, name), "add with: { "+name+": … }")
		}
	}
}

// outputOf is what is known of the output of a node.
func (c *checking) outputOf(n *node) *expr.Shape {
	one := c.single(n)
	if n.ForEach != "" {
		return &expr.Shape{Kind: "array", Item: one}
	}
	return one
}

func (c *checking) single(n *node) *expr.Shape {
	if len(n.Output) > 0 {
		return expr.ShapeOf(n.Output)
	}
	text := &expr.Shape{Kind: "string"}
	switch n.verb {
	case VerbAgent:
		if d := c.graph.def.Agents[n.Agent]; len(d.Output) > 0 {
			return expr.ShapeOf(d.Output)
		}
		return text
	case VerbWorkflow:
		out, _ := checked(c.graph.def.Workflows[n.Workflow]) // its own problems are told where it stands
		return out
	case VerbHuman:
		if len(n.Human.Form) > 0 {
			return expr.ShapeOf(n.Human.Form)
		}
		return &expr.Shape{Kind: "object", Fields: map[string]*expr.Shape{"action": text, "comment": text, "value": nil}}
	case VerbSet:
		fields := map[string]*expr.Shape{}
		for key := range sorted(n.Set) {
			fields[key] = nil
		}
		return &expr.Shape{Kind: "object", Fields: fields}
	case VerbLoop:
		if n.Loop.Output != "" {
			s, _ := c.checker(n.inner.nodes[len(n.inner.nodes)-1], "").Check(bare(n.Loop.Output))
			return s
		}
		if made := n.inner.maker(); made != nil {
			return c.outputs[made.ID]
		}
	case VerbSwitch:
		return text
	}
	return nil
}

// output checks the output of the workflow and says what is known of it.
func (c *checking) output() *expr.Shape {
	if len(c.graph.def.Output) == 0 {
		if n := c.graph.body.maker(); n != nil {
			return c.outputs[n.ID]
		}
		return nil
	}
	return c.templateAt(nil, c.graph.def.Output, "output")
}

// checker is what checks the expressions of a node (nil = those of the workflow) at a field.
func (c *checking) checker(n *node, at string) *expr.Checker {
	key := at
	vars := map[string]*expr.Shape{"input": c.input, "state": {Kind: "object", Fields: c.state}, "run": runShape(), "steps": c.visible(n)}
	if c.state == nil {
		delete(vars, "state")
	}
	if n != nil {
		key = n.path + at
		if n.ForEach != "" && at != ".for_each" && at != ".if" {
			vars["index"], vars["item"] = &expr.Shape{Kind: "number"}, c.itemOf(n)
		}
		if n.body.in != nil {
			vars["round"] = &expr.Shape{Kind: "number"}
		}
		switch {
		case strings.HasPrefix(at, ".save"), strings.HasPrefix(at, ".asset"):
			vars["output"] = c.single(n)
		case strings.HasSuffix(n.path, ".compensate"):
			vars["output"] = nil
		case at == ".wait.if":
			vars["event"] = nil
		}
	}
	if made, ok := c.checkers[key]; ok {
		return made
	}
	made := expr.NewChecker(vars)
	c.checkers[key] = made
	return made
}

func runShape() *expr.Shape {
	text := &expr.Shape{Kind: "string"}
	return &expr.Shape{Kind: "object", Fields: map[string]*expr.Shape{"id": text, "workflow": text, "tenant": text, "started": text}}
}

// itemOf is what is known of an item of a for_each.
func (c *checking) itemOf(n *node) *expr.Shape {
	s, err := c.checker(n, ".for_each").Check(bare(n.ForEach))
	if err != nil || s == nil {
		return nil
	}
	return s.Item
}

// visible is steps, as a node sees it: those of its body and of the loops around it that run before
// it, and in a loop those of the round before.
func (c *checking) visible(n *node) *expr.Shape {
	s := &expr.Shape{Kind: "object", Fields: map[string]*expr.Shape{}}
	text := &expr.Shape{Kind: "string"}
	failed := &expr.Shape{Kind: "object", Fields: map[string]*expr.Shape{"code": text, "reason": text, "message": text}}
	show := func(o *node) {
		view := &expr.Shape{Kind: "object", Fields: map[string]*expr.Shape{"output": c.outputs[o.ID], "status": text, "error": failed}}
		s.Fields[o.ID], s.Fields[strings.ReplaceAll(o.ID, "-", "_")] = view, view
	}
	if n == nil {
		for _, o := range c.graph.body.nodes {
			show(o)
		}
		return s
	}
	for at := n; at != nil; at = at.body.in {
		for _, o := range at.seen() {
			show(o)
		}
	}
	return s
}

// seen are the nodes of its body that a node may speak of.
func (n *node) seen() []*node {
	if n.body.in != nil || n.body.ordered && n.body.goesBack() {
		return n.body.nodes
	}
	if n.body.ordered {
		return n.body.nodes[:n.index+1]
	}
	list := []*node{n}
	met := map[int]bool{n.index: true}
	for look := slices.Clone(n.needs); len(look) > 0; {
		i := look[len(look)-1]
		look = look[:len(look)-1]
		if !met[i] {
			met[i] = true
			list = append(list, n.body.nodes[i])
			look = append(look, n.body.nodes[i].needs...)
		}
	}
	return list
}

// goesBack reports whether a goto of an ordered body leads back.
func (b *body) goesBack() bool {
	for _, n := range b.nodes {
		for _, to := range n.gotos() {
			if i := slices.IndexFunc(b.nodes, func(o *node) bool { return o.ID == to }); i >= 0 && i <= n.index {
				return true
			}
		}
	}
	return false
}

// gotos are the nodes that a node may go on with, by name.
func (n *node) gotos() []string {
	var list []string
	if n.OnError.Goto != "" {
		list = append(list, n.OnError.Goto)
	}
	if n.Switch != nil {
		for _, one := range n.Switch.Cases {
			list = append(list, one.Goto)
		}
	}
	return list
}
