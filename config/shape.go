package config

import (
	"encoding/json"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
)

// shape checks an output or input: a mapping of fields to types, or a JSON Schema
// under the one key schema; loose also a type alone.
func (c *checker) shape(n *node, loose bool, path string) (any, bool) {
	if loose && n.kind != mapping {
		return c.encoded(n, path)
	}
	if n.kind != mapping || len(n.entries) == 0 {
		return c.wrong(n, path, "a mapping of fields to types")
	}
	if full, ok := n.fullSchema(); ok {
		return c.fullSchema(full, path+".schema")
	}
	return c.encoded(n, path)
}

// encoded is a type as JSON Schema.
func (c *checker) encoded(n *node, path string) (any, bool) {
	t, ok := c.typeOf(n, path)
	if !ok {
		return nil, false
	}
	raw, err := t.encode()
	if err != nil {
		c.add(n.position, path, err.Error(), "")
		return nil, false
	}
	return raw, true
}

// fullSchema returns the JSON Schema of a shape that is written as one.
func (n *node) fullSchema() (*node, bool) {
	full := n.find("schema")
	return full, full.kind == mapping && len(n.entries) == 1
}

// typeOf reads the type a node stands for.
func (c *checker) typeOf(n *node, path string) (*typ, bool) {
	var (
		t   *typ
		err error
	)
	switch n.kind {
	case mapping:
		fields, fine := properties{}, true
		for _, e := range n.entries {
			f, ok := c.typeOf(e.value, join(path, e.name))
			if fine = fine && ok; ok {
				fields = append(fields, property{e.name, f})
			}
		}
		if len(n.entries) == 0 {
			c.add(n.position, path, "a mapping needs fields", "write object for any mapping")
			return nil, false
		}
		return newObject(fields), fine
	case list:
		if len(n.items) != 1 {
			c.add(n.position, path, "a list type has one item type", "write [string] for a list of text")
			return nil, false
		}
		item, ok := c.typeOf(n.items[0], path+"[0]")
		if !ok {
			return nil, false
		}
		t, err = newList(item)
	case scalar:
		var ok bool
		if n, ok = c.expand(n, path); !ok {
			return nil, false
		}
		if !n.isText() {
			_, ok := c.wrong(n, path, "a type such as string or [number]")
			return nil, ok
		}
		t, err = parseType(n.text)
	case broken:
		return nil, false
	}
	if err != nil {
		c.add(n.position, path, err.Error(), "")
		return nil, false
	}
	return t, true
}

// fullSchema takes a JSON Schema as it is and refuses one no answer could be
// checked against.
func (c *checker) fullSchema(n *node, path string) (any, bool) {
	v, ok := c.plainValue(n, path)
	if !ok {
		return nil, false
	}
	raw, err := json.Marshal(v)
	var schema jsonschema.Schema
	if err == nil {
		err = json.Unmarshal(raw, &schema)
	}
	if err == nil {
		_, err = schema.Resolve(nil)
	}
	if err != nil {
		c.add(n.position, path, "not a JSON Schema: "+err.Error(), "")
		return nil, false
	}
	if problem := wrongType(v); problem != "" {
		c.add(n.position, path, "not a JSON Schema: "+problem, "")
		return nil, false
	}
	return json.RawMessage(raw), true
}

// plainValue returns a node as JSON would hold it.
func (c *checker) plainValue(n *node, path string) (any, bool) {
	fine := true
	switch n.kind {
	case mapping:
		out := map[string]any{}
		for _, e := range n.entries {
			v, ok := c.plainValue(e.value, join(path, e.name))
			out[e.name], fine = v, fine && ok
		}
		return out, fine
	case list:
		out := []any{}
		for i, item := range n.items {
			v, ok := c.plainValue(item, fmt.Sprintf("%s[%d]", path, i))
			out, fine = append(out, v), fine && ok
		}
		return out, fine
	case broken:
		return nil, false
	case scalar:
	}
	n, ok := c.expand(n, path)
	plain := n.plain || n.filled
	switch {
	case !ok:
		return nil, false
	case n.isNull():
		return nil, true
	case plain && (n.text == "true" || n.text == "false"):
		return n.text == "true", true
	case plain && isNumber(n.text):
		return json.Number(n.text), true
	}
	return n.text, true
}
