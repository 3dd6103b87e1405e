package http

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// maxNodes bounds the schema of one operation: a model reads all of it.
const maxNodes = 20_000

// schemas turns the schemas of a document into JSON Schema that refers to its own $defs. A
// schema that refers to itself stays one that does, so circles end.
type schemas struct {
	doc   *document
	keys  map[string]string // reference -> name in $defs
	taken map[string]bool
	defs  map[string]any
	nodes int
}

func newSchemas(d *document) *schemas {
	return &schemas{doc: d, keys: map[string]string{}, taken: map[string]bool{}, defs: map[string]any{}}
}

// The keywords that are taken over, by what their values are.
func isLiteral(keyword string) bool {
	return slices.Contains([]string{
		"type", "enum", "const", "title", "default", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
		"minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "required", "format",
		"dependentRequired", "minContains", "maxContains",
	}, keyword)
}

func isSchema(keyword string) bool {
	return slices.Contains([]string{
		"items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else", "unevaluatedItems", "unevaluatedProperties",
	}, keyword)
}

func isList(keyword string) bool {
	return slices.Contains([]string{"allOf", "anyOf", "oneOf", "prefixItems"}, keyword)
}

func isMap(keyword string) bool {
	return slices.Contains([]string{"properties", "patternProperties", "dependentSchemas"}, keyword)
}

// convert returns a schema without what JSON Schema does not know.
func (s *schemas) convert(v any, depth int) (any, error) {
	if s.nodes++; s.nodes > maxNodes || depth > maxNesting {
		return nil, durable.Errorf(durable.CodeInvalid, "its schema is too large for a model: leave the operation out")
	}
	in, ok := v.(map[string]any)
	if !ok {
		if b, isBool := v.(bool); isBool && !b {
			return map[string]any{"not": map[string]any{}}, nil
		}
		return map[string]any{}, nil
	}
	if ref, ok := in["$ref"].(string); ok {
		return s.refer(ref)
	}
	out := map[string]any{}
	for _, keyword := range slices.Sorted(maps.Keys(in)) { // in order, so that $defs are named alike each time
		if err := s.keyword(out, keyword, in[keyword], depth); err != nil {
			return nil, err
		}
	}
	s.hideReadOnly(in, out)
	if s.doc.old {
		modernize(in, out)
	}
	return out, nil
}

func (s *schemas) keyword(out map[string]any, keyword string, value any, depth int) error {
	var err error
	switch {
	case isLiteral(keyword):
		out[keyword] = value
	case keyword == "description":
		out[keyword] = tool.Clip(asText(value), 1000)
	case keyword == "pattern":
		// Patterns are ECMAScript; one that Go cannot read is left to the server.
		if _, err := regexp.Compile(asText(value)); err == nil {
			out[keyword] = asText(value)
		}
	case isSchema(keyword):
		if b, ok := value.(bool); ok && keyword == "additionalProperties" && b {
			return nil
		}
		out[keyword], err = s.convert(value, depth+1)
	case isList(keyword):
		list, _ := value.([]any)
		converted := make([]any, len(list))
		for i, e := range list {
			if converted[i], err = s.convert(e, depth+1); err != nil {
				return err
			}
		}
		if len(list) > 0 {
			out[keyword] = converted
		}
	case isMap(keyword):
		object, _ := value.(map[string]any)
		converted := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if _, err := regexp.Compile(name); err != nil && keyword == "patternProperties" {
				continue
			}
			if converted[name], err = s.convert(object[name], depth+1); err != nil {
				return err
			}
		}
		out[keyword] = converted
	}
	return err
}

// refer puts what a reference names into $defs, once.
func (s *schemas) refer(ref string) (any, error) {
	key, known := s.keys[ref]
	if !known {
		v, err := s.doc.at(ref)
		if err != nil {
			return nil, err
		}
		key = sanitize(ref[strings.LastIndexByte(ref, '/')+1:], 60)
		if key == "" {
			key = "schema"
		}
		key = unique(key, s.taken)
		s.keys[ref] = key
		if s.defs[key], err = s.convert(v, 0); err != nil {
			return nil, err
		}
	}
	return map[string]any{"$ref": "#/$defs/" + key}, nil
}

// hideReadOnly drops what only a server may write.
func (s *schemas) hideReadOnly(in, out map[string]any) {
	properties, _ := in["properties"].(map[string]any)
	kept, _ := out["properties"].(map[string]any)
	required, _ := in["required"].([]any)
	for name, v := range properties {
		p, err := s.doc.object(v)
		if err != nil {
			continue
		}
		if only, _ := p["readOnly"].(bool); only {
			delete(kept, name)
			required = slices.DeleteFunc(slices.Clone(required), func(r any) bool { return r == name })
		}
	}
	if len(required) > 0 {
		out["required"] = required
	} else {
		delete(out, "required")
	}
}

// modernize turns what OpenAPI 3.0 says in its own way into JSON Schema.
func modernize(in, out map[string]any) {
	if nullable, _ := in["nullable"].(bool); nullable {
		if kind, ok := out["type"].(string); ok {
			out["type"] = []any{kind, "null"}
		}
		if list, ok := out["enum"].([]any); ok && !slices.Contains(list, nil) {
			out["enum"] = append(slices.Clone(list), nil)
		}
	}
	for _, side := range []string{"inimum", "aximum"} {
		exclusive := "exclusiveM" + side
		b, ok := out[exclusive].(bool)
		if !ok {
			continue
		}
		delete(out, exclusive)
		if b && out["m"+side] != nil {
			out[exclusive] = out["m"+side]
			delete(out, "m"+side)
		}
	}
}

// fields returns the fields of a schema that is that of an object with known fields and
// nothing else, and which of them are required; nil when it is another.
func (s *schemas) fields(schema any) (map[string]any, []string) {
	for range 32 {
		o, ok := schema.(map[string]any)
		if !ok {
			return nil, nil
		}
		if ref, ok := o["$ref"].(string); ok {
			schema = s.defs[strings.TrimPrefix(ref, "#/$defs/")]
			continue
		}
		properties, _ := o["properties"].(map[string]any)
		for keyword := range o {
			if !slices.Contains([]string{"type", "properties", "required", "title", "description", "additionalProperties", "default"}, keyword) {
				return nil, nil
			}
		}
		if more, ok := o["additionalProperties"].(map[string]any); len(properties) == 0 || ok && more["not"] == nil {
			return nil, nil
		}
		var required []string
		list, _ := o["required"].([]any)
		for _, r := range list {
			required = append(required, asText(r))
		}
		return properties, required
	}
	return nil, nil
}

// reached lists the $defs that a schema leads to.
func (s *schemas) reached(root any) map[string]any {
	found := map[string]any{}
	s.walk(root, found)
	return found
}

func (s *schemas) walk(v any, found map[string]any) {
	if list, ok := v.([]any); ok {
		for _, e := range list {
			s.walk(e, found)
		}
	}
	schema, _ := v.(map[string]any)
	if ref, ok := schema["$ref"].(string); ok {
		key := strings.TrimPrefix(ref, "#/$defs/")
		if _, seen := found[key]; !seen && s.defs[key] != nil {
			found[key] = s.defs[key]
			s.walk(s.defs[key], found)
		}
	}
	for keyword, e := range schema {
		switch named, _ := e.(map[string]any); {
		case isMap(keyword): // its keys are names, not keywords
			for _, p := range named {
				s.walk(p, found)
			}
		case isSchema(keyword), isList(keyword):
			s.walk(e, found)
		}
	}
}
