package workflow

import (
	"fmt"
	"slices"
)

// reach finds the nodes that no way leads to.
func (c *checking) reach(b *body) {
	if b.ordered {
		reached := b.reached()
		for i, n := range b.nodes {
			if !reached[i] {
				c.add(n.path, fmt.Sprintf("step %s is never reached", n.ID), "no goto leads to it, and the switch before it always goes elsewhere")
			}
		}
	}
	for _, n := range b.nodes {
		if n.If == "false" {
			c.add(n.path+".if", fmt.Sprintf("step %s is never reached: its if is false", n.ID), "remove the step, or its if")
		}
		if n.inner != nil {
			c.reach(n.inner)
		}
	}
}

// reached finds the nodes of an ordered body that some way leads to from the first.
func (b *body) reached() []bool {
	reached := make([]bool, len(b.nodes))
	for look := []int{0}; len(look) > 0; {
		i := look[len(look)-1]
		look = look[:len(look)-1]
		if i >= len(b.nodes) || reached[i] {
			continue
		}
		reached[i] = true
		n := b.nodes[i]
		for _, to := range n.gotos() {
			if j := slices.IndexFunc(b.nodes, func(o *node) bool { return o.ID == to }); j >= 0 {
				look = append(look, j)
			}
		}
		if !n.goesElsewhere() {
			look = append(look, i+1)
		}
	}
	return reached
}

// goesElsewhere reports whether a node never goes on with the one behind it.
func (n *node) goesElsewhere() bool {
	return n.Switch != nil && n.If == "" && n.Switch.Cases[len(n.Switch.Cases)-1].If == ""
}

// writers finds nodes that surely write a key at the same time.
func (c *checking) writers() {
	wrote := map[string][]*node{}
	for _, n := range c.graph.order {
		keys := map[string]bool{}
		for _, values := range []Values{n.Save, n.Set} {
			for key := range sorted(values) {
				keys[key] = true
			}
		}
		for key := range sorted(keys) {
			if m := c.graph.def.State[key].Merge; m != "" && m != Reject {
				continue
			}
			for _, o := range wrote[key] {
				if n.If == "" && o.If == "" && !n.called && !o.called && (writer{node: n, item: -1}).beside(writer{node: o, item: -1}) {
					c.add(n.path, fmt.Sprintf("steps %s and %s write state %q at the same time", o.ID, n.ID, key), "let one need the other, or say state: { "+key+": { merge: append } } or another merge")
				}
			}
			wrote[key] = append(wrote[key], n)
		}
	}
}
