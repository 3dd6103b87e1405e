package expr

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Shape is what is known of a value before there is one. The zero value, or nil, is any value.
type Shape struct {
	Kind   string            // string, boolean, number, object, array or "", anything; of numbers whole ones are not told apart
	Fields map[string]*Shape // of an object: all it has; nil = whatever
	Item   *Shape            // of an array
}

// String is the shape in a word.
func (s *Shape) String() string {
	if s == nil || s.Kind == "" {
		return "any value"
	}
	return map[string]string{"string": "text", "boolean": "true or false", "number": "a number", "object": "an object", "array": "a list"}[s.Kind]
}

// ShapeOf is what a JSON Schema says of the values that match it, as far as expressions want to
// know: an object that names its fields has no others.
func ShapeOf(schema json.RawMessage) *Shape {
	var s struct {
		Type       any                        `json:"type"`
		Properties map[string]json.RawMessage `json:"properties"`
		Items      json.RawMessage            `json:"items"`
	}
	if len(schema) == 0 || json.Unmarshal(schema, &s) != nil {
		return nil
	}
	switch s.Type {
	case "string", "boolean", "number":
		return &Shape{Kind: fmt.Sprint(s.Type)}
	case "integer":
		return &Shape{Kind: "number"}
	case "array":
		return &Shape{Kind: "array", Item: ShapeOf(s.Items)}
	case "object":
		o := &Shape{Kind: "object"}
		for name, one := range s.Properties {
			if o.Fields == nil {
				o.Fields = map[string]*Shape{}
			}
			o.Fields[name] = ShapeOf(one)
		}
		return o
	}
	return nil
}

// Checker compiles expressions over variables whose shapes are known, to find what can never work:
// a field that there is not, a text compared with a number. It computes nothing. It is not safe for
// concurrent use.
type Checker struct {
	vars   map[string]*Shape
	named  map[string]*Shape // objects with fields, by the name of their type
	names  map[*Shape]string
	env    *cel.Env
	failed error
}

// NewChecker makes a checker of variables.
func NewChecker(vars map[string]*Shape) *Checker {
	c := &Checker{vars: vars, named: map[string]*Shape{}, names: map[*Shape]string{}}
	registry, err := types.NewRegistry()
	if err != nil {
		c.failed = err
		return c
	}
	options := []cel.EnvOption{cel.CustomTypeProvider(&shapes{Registry: registry, c: c}), cel.CrossTypeNumericComparisons(true)}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		options = append(options, cel.Variable(name, c.typeOf(vars[name])))
	}
	c.env, c.failed = cel.NewEnv(options...)
	return c
}

// Check compiles an expression and says what shape its value has. The error says what is wrong, and
// at which column.
func (c *Checker) Check(text string) (*Shape, error) {
	switch {
	case c.failed != nil:
		return nil, c.failed
	case strings.TrimSpace(text) == "":
		return nil, fmt.Errorf("an expression is missing")
	case len(text) > maxLength:
		return nil, fmt.Errorf("an expression has at most %d bytes, this one has %d", maxLength, len(text))
	}
	ast, issues := c.env.Compile(text)
	if issues.Err() != nil {
		return nil, explain(issues, slices.Sorted(maps.Keys(c.vars)))
	}
	return c.shapeOf(ast.OutputType()), nil
}

// typeOf is the type of CEL that stands for a shape. Numbers are of any type: CEL would not let a
// whole one be added to another.
func (c *Checker) typeOf(s *Shape) *cel.Type {
	if s == nil {
		return cel.DynType
	}
	switch s.Kind {
	case "string":
		return cel.StringType
	case "boolean":
		return cel.BoolType
	case "array":
		return cel.ListType(c.typeOf(s.Item))
	case "object":
		if s.Fields == nil {
			return cel.MapType(cel.StringType, cel.DynType)
		}
		name, ok := c.names[s]
		if !ok {
			name = fmt.Sprintf("object.n%d", len(c.names))
			c.names[s], c.named[name] = name, s
		}
		return cel.ObjectType(name)
	}
	return cel.DynType
}

func (c *Checker) shapeOf(t *cel.Type) *Shape {
	switch t.Kind() { //nolint:exhaustive // the others may be anything
	case types.StringKind, types.BytesKind, types.TimestampKind, types.DurationKind:
		return &Shape{Kind: "string"}
	case types.BoolKind:
		return &Shape{Kind: "boolean"}
	case types.IntKind, types.UintKind, types.DoubleKind:
		return &Shape{Kind: "number"}
	case types.ListKind:
		return &Shape{Kind: "array", Item: c.shapeOf(t.Parameters()[0])}
	case types.MapKind:
		return &Shape{Kind: "object"}
	case types.StructKind:
		return c.named[t.TypeName()]
	}
	return nil
}

// shapes tells CEL of the fields of objects.
type shapes struct {
	*types.Registry

	c *Checker
}

// FindStructType implements types.Provider.
func (p *shapes) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.c.named[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *shapes) FindStructFieldNames(name string) ([]string, bool) {
	if s, ok := p.c.named[name]; ok {
		return slices.Sorted(maps.Keys(s.Fields)), true
	}
	return p.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p *shapes) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	s, ok := p.c.named[name]
	if !ok {
		return p.Registry.FindStructFieldType(name, field)
	}
	f, ok := s.Fields[field]
	if !ok {
		return nil, false
	}
	return &types.FieldType{Type: p.c.typeOf(f)}, true
}
