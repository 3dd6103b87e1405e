package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/suggest"
)

// Schema turns a type of the short type language into a JSON Schema:
//
//	string number integer boolean    the JSON types
//	object                           any mapping
//	any                              any value
//	[T]                              a list of T
//	{ name: T, other: T }            a mapping of exactly these fields
//	T?                               a field that may be missing
//	T = value                        a field that may be missing and then is value
//
// A field without ? and = is required. Fields keep their order in the schema,
// since models answer in that order. A type that cannot be read is an invalid error.
func Schema(short string) (json.RawMessage, error) {
	t, err := parseType(short)
	if err == nil && t.optional {
		err = errNotField
	}
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "type %q: %w", short, err)
	}
	return t.encode()
}

var errNotField = errors.New("only a field of a mapping can have ? or a default")

// typ is a type of the short language and its JSON Schema.
type typ struct {
	Type       string          `json:"type,omitempty"`
	Items      *typ            `json:"items,omitempty"`
	Properties *properties     `json:"properties,omitempty"`
	Required   []string        `json:"required,omitempty"`
	Additional *bool           `json:"additionalProperties,omitempty"`
	Default    json.RawMessage `json:"default,omitempty"`

	optional bool
}

// properties marshals in the order of the file.
type properties []property

type property struct {
	name string
	typ  *typ
}

// MarshalJSON implements json.Marshaler.
func (p properties) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, f := range p {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(f.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.typ)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}

func (t *typ) encode() (json.RawMessage, error) {
	data, err := json.Marshal(t)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInternal, "encode type: %w", err)
	}
	return data, nil
}

func newObject(fields properties) *typ {
	closed := false
	t := &typ{Type: "object", Properties: &fields, Additional: &closed}
	for _, f := range fields {
		if !f.typ.optional {
			t.Required = append(t.Required, f.name)
		}
	}
	return t
}

func newList(item *typ) (*typ, error) {
	if item.optional {
		return nil, errNotField
	}
	return &typ{Type: "array", Items: item}, nil
}

// typeParser reads a type left to right.
type typeParser struct {
	rest  string // never starts with a blank
	depth int
}

func parseType(short string) (*typ, error) {
	p := &typeParser{rest: strings.TrimSpace(short)}
	t, err := p.typ()
	if err == nil && p.rest != "" {
		err = fmt.Errorf("unexpected %q", p.rest)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// take consumes the token, where it stands next, and the blanks after it.
func (p *typeParser) take(token string) bool {
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = strings.TrimLeft(rest, " \t\n")
	}
	return ok
}

func (p *typeParser) expect(token string) error {
	if !p.take(token) {
		if p.rest == "" {
			return fmt.Errorf("missing %q at the end", token)
		}
		return fmt.Errorf("missing %q before %q", token, p.rest)
	}
	return nil
}

// word consumes up to one of the marks that end it.
func (p *typeParser) word(marks string) string {
	i := strings.IndexAny(p.rest, marks)
	if i < 0 {
		i = len(p.rest)
	}
	w := strings.TrimSpace(p.rest[:i])
	p.rest = strings.TrimLeft(p.rest[i:], " \t\n")
	return w
}

func (p *typeParser) typ() (*typ, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	t, err := p.bare()
	if err != nil {
		return nil, err
	}
	if p.take("?") {
		t.optional = true
	}
	if p.take("=") {
		t.optional = true
		if t.Default, err = t.parseDefault(p.value()); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// bare reads a type without ? and default.
func (p *typeParser) bare() (*typ, error) {
	switch {
	case p.take("["):
		item, err := p.typ()
		if err != nil {
			return nil, err
		}
		if err := p.expect("]"); err != nil {
			return nil, err
		}
		return newList(item)
	case p.take("{"):
		return p.fields()
	}
	return basicType(p.word("[]{},:?= \t\n"))
}

func (p *typeParser) fields() (*typ, error) {
	var out properties
	for !p.take("}") {
		if len(out) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		name := p.word("[]{},:?=")
		if name == "" {
			return nil, fmt.Errorf("missing a field name before %q", p.rest)
		}
		if slices.ContainsFunc(out, func(f property) bool { return f.name == name }) {
			return nil, fmt.Errorf("duplicate field %q", name)
		}
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		t, err := p.typ()
		if err != nil {
			return nil, err
		}
		out = append(out, property{name, t})
	}
	if len(out) == 0 {
		return nil, errors.New("a mapping needs fields; write object for any mapping")
	}
	return newObject(out), nil
}

// value consumes a default: up to the mark that closes or follows its field,
// brackets and quotes of its own left whole.
func (p *typeParser) value() string {
	depth, quoted := 0, false
	i := 0
scan:
	for ; i < len(p.rest); i++ {
		switch ch := p.rest[i]; {
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case quoted:
		case ch == '[', ch == '{':
			depth++
		case (ch == ']' || ch == '}' || ch == ',') && depth == 0:
			break scan
		case ch == ']', ch == '}':
			depth--
		}
	}
	i = min(i, len(p.rest))
	v := strings.TrimSpace(p.rest[:i])
	p.rest = p.rest[i:]
	return v
}

func basicType(name string) (*typ, error) {
	known := []string{"string", "number", "integer", "boolean", "object", "any"}
	switch {
	case name == "":
		return nil, errors.New("missing a type")
	case name == "any":
		return &typ{}, nil
	case slices.Contains(known, name):
		return &typ{Type: name}, nil
	}
	// The names other languages use for the same.
	other := map[string]string{"str": "string", "text": "string", "int": "integer", "float": "number", "bool": "boolean", "map": "object", "dict": "object"}
	hint := suggest.Name(name, known, "known types")
	if o, ok := other[name]; ok {
		hint = fmt.Sprintf("did you mean %q?", o)
	}
	return nil, fmt.Errorf("unknown type %q; %s", name, hint)
}

// parseDefault reads a default value of type t: JSON, or bare text for a string.
func (t *typ) parseDefault(text string) (json.RawMessage, error) {
	raw := json.RawMessage(text)
	fits := json.Valid(raw)
	switch t.Type {
	case "string":
		if !fits || raw[0] != '"' {
			raw, fits = json.RawMessage(strconv.Quote(text)), text != ""
		}
	case "number":
		fits = isNumber(text)
	case "integer":
		_, err := strconv.ParseInt(text, 10, 64)
		fits = err == nil && isNumber(text)
	case "boolean":
		fits = text == "true" || text == "false"
	case "array":
		fits = fits && raw[0] == '['
	case "object":
		fits = fits && raw[0] == '{'
	}
	if !fits {
		if t.Type == "" {
			return nil, fmt.Errorf("the default %q is not JSON", text)
		}
		return nil, fmt.Errorf("the default %q is not of type %s", text, t.Type)
	}
	return raw, nil
}
