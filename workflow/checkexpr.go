package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/expr"
)

// want checks an expression whose value is to be of a kind; "" = any.
func (c *checking) want(n *node, text, at, kind string) {
	c.check(n, at, text, n.path+at, kind)
}

// wantAt is want for an expression that stands at another place.
func (c *checking) wantAt(n *node, text, path, kind string) { c.check(n, "", text, path, kind) }

func (c *checking) check(n *node, at, text, path, kind string) *expr.Shape {
	if text == "" {
		return nil
	}
	s, err := c.checker(n, at).Check(bare(text))
	switch {
	case err != nil:
		c.refuse(n, path, bare(text), err)
	case kind != "" && s != nil && s.Kind != "" && s.Kind != kind:
		c.add(path, fmt.Sprintf("%s is %s, where %s is wanted", bare(text), s, &expr.Shape{Kind: kind}), "")
	}
	return s
}

// field finds what a checker says there is not.
var undefined = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`undefined field '([^']*)'`) })

// refuse adds what is wrong with an expression, with what was meant where that can be guessed.
func (c *checking) refuse(n *node, path, text string, err error) {
	m := undefined().FindStringSubmatch(err.Error())
	if m == nil {
		c.add(path, err.Error(), "")
		return
	}
	name := m[1]
	if !strings.Contains(text, "steps."+name) {
		c.add(path, fmt.Sprintf("%s: there is no field %q", text, name), hint(name, c.fieldsIn(n)))
		return
	}
	if o, ok := c.graph.nodes[name]; ok && n != nil {
		switch {
		case o.body != n.body:
			c.add(path, fmt.Sprintf("step %s is within %s, and is not seen from here", name, o.body.in.ID), "speak of steps."+o.body.in.ID)
		case n.body.ordered:
			c.add(path, fmt.Sprintf("step %s runs after %s", name, n.ID), "move it before it")
		default:
			c.add(path, fmt.Sprintf("step %s may not have run yet: %s does not need it", name, n.ID), "add "+name+" to its needs")
		}
		return
	}
	c.add(path, fmt.Sprintf("unknown step %q", name), hint(name, slices.Sorted(maps.Keys(c.visible(n).Fields))))
}

// fieldsIn are the fields that an expression of a node may have meant.
func (c *checking) fieldsIn(n *node) []string {
	known := map[string]bool{}
	var add func(s *expr.Shape, depth int)
	add = func(s *expr.Shape, depth int) {
		if s == nil || depth > 4 {
			return
		}
		for name, f := range s.Fields {
			known[name] = known[name] || depth > 0
			add(f, depth+1)
		}
		add(s.Item, depth)
	}
	add(c.visible(n), 0)
	add(c.input, 1)
	add(&expr.Shape{Fields: c.state}, 1)
	return slices.Sorted(maps.Keys(maps.Collect(func(yield func(string, bool) bool) {
		for name, deep := range known {
			if deep && !yield(name, true) {
				return
			}
		}
	})))
}

func (c *checking) values(n *node, values Values, at string) {
	for key, v := range sorted(values) {
		c.template(n, v, at+"."+key)
	}
}

func (c *checking) text(n *node, text, at string) {
	if strings.Contains(text, "${{") {
		data, _ := json.Marshal(text) // a text marshals
		c.template(n, data, at)
	}
}

func (c *checking) template(n *node, value json.RawMessage, at string) {
	c.templateAt(n, value, at)
}

// templateAt checks the expressions within a value, and says what is known of it.
func (c *checking) templateAt(n *node, value json.RawMessage, at string) *expr.Shape {
	v, err := expr.Decode(value)
	if err != nil {
		return nil
	}
	path, field := at, at
	if n != nil {
		path = n.path + at
		if first, _, ok := strings.Cut(strings.TrimPrefix(at, "."), "."); ok {
			field = "." + first
		}
	}
	return c.within(n, field, path, v)
}

func (c *checking) within(n *node, field, path string, v any) *expr.Shape {
	switch v := v.(type) {
	case string:
		var whole *expr.Shape
		parts := 0
		_ = expr.Split(v, func(string) { parts++ }, func(source string, _ int) error { // compile has refused what cannot be split
			parts++
			whole = c.check(n, field, source, path, "")
			return nil
		})
		if parts == 1 && strings.HasPrefix(strings.TrimSpace(v), "${{") {
			return whole
		}
		return &expr.Shape{Kind: "string"}
	case map[string]any:
		s := &expr.Shape{Kind: "object", Fields: map[string]*expr.Shape{}}
		for name, one := range sorted(v) {
			s.Fields[name] = c.within(n, field, path+"."+name, one)
		}
		return s
	case []any:
		s := &expr.Shape{Kind: "array"}
		for i, one := range v {
			s.Item = c.within(n, field, fmt.Sprintf("%s[%d]", path, i), one)
		}
		if len(v) != 1 {
			s.Item = nil
		}
		return s
	case bool:
		return &expr.Shape{Kind: "boolean"}
	case nil:
		return nil
	}
	return &expr.Shape{Kind: "number"}
}
