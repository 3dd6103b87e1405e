package config

import (
	"bytes"
	"encoding/json"
	"math"

	"github.com/orpine-run/orpine/expr"
)

// JSONSchema returns the JSON Schema (draft 2020-12) of an orpine file, for
// editors. It is read off the table the checker walks, so the two cannot differ;
// what only the checker knows is whether names and variables resolve.
func JSONSchema() []byte {
	root := objectSchema(field{fields: fileFields()})
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Orpine file"
	types := map[string]any{"type": "object", "minProperties": 1, "additionalProperties": ref("type")}
	root["$defs"] = map[string]any{
		"types": types,
		"steps": anyOf(
			map[string]any{"type": "array", "minItems": 1, "items": objectSchema(field{fields: append([]field{stepID()}, stepFields()...)})},
			map[string]any{"type": "object", "minProperties": 1, "additionalProperties": objectSchema(field{fields: stepFields()})},
		),
		"type": anyOf(
			map[string]any{"type": "string", "minLength": 1},
			map[string]any{"type": "array", "items": ref("type"), "minItems": 1, "maxItems": 1},
			ref("types"),
		),
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		panic(err) // maps, strings and numbers always encode
	}
	return out.Bytes()
}

func ref(def string) map[string]any { return map[string]any{"$ref": "#/$defs/" + def} }

func anyOf(schemas ...any) map[string]any { return map[string]any{"anyOf": schemas} }

func objectSchema(f field) map[string]any {
	props := map[string]any{}
	required := []string{}
	for _, sub := range f.fields {
		props[sub.name] = fieldSchema(sub)
		if sub.required {
			required = append(required, sub.name)
		}
	}
	return map[string]any{"type": "object", "properties": props, "required": required, "additionalProperties": false}
}

func fieldSchema(f field) map[string]any {
	if f.notYet != "" {
		said := "Not supported yet in this version; " + f.notYet
		return map[string]any{"not": map[string]any{}, "deprecated": true, "description": said, "errorMessage": said}
	}
	s := kindSchema(f)
	if f.doc != "" {
		s["description"] = f.doc
	}
	return s
}

func someText() map[string]any { return map[string]any{"type": "string", "pattern": `\S`} }

// variable is what may stand in place of a number or a choice: text that holds one.
func variable() map[string]any { return map[string]any{"type": "string", "pattern": `\$\{`} }

func kindSchema(f field) map[string]any {
	switch f.is {
	case object:
		return formsSchema(f)
	case table:
		rule := keyPattern
		if f.wide {
			rule = widePattern
		}
		return namesSchema(rule, kindSchema(field{is: object, fields: f.fields, short: f.short}))
	case files:
		return namesSchema(keyPattern, someText())
	case text:
		if f.loose {
			return map[string]any{"type": []string{"string", "boolean", "number"}}
		}
		if len(f.choices) > 0 {
			return anyOf(map[string]any{"enum": f.choices}, variable())
		}
		return someText()
	case texts:
		return textsSchema(f)
	case rows:
		return map[string]any{"type": "array", "minItems": 1, "items": kindSchema(field{is: object, fields: f.fields, short: f.short})}
	case pairs:
		return map[string]any{"type": "object", "minProperties": 1, "additionalProperties": someText()}
	case anything:
		return map[string]any{}
	case values:
		return map[string]any{"type": "object", "minProperties": 1}
	case durations:
		return map[string]any{"type": "array", "minItems": 1, "items": kindSchema(field{is: duration})}
	case steps:
		return ref("steps")
	case verb:
		return objectSchema(field{fields: verbFields()})
	case flag:
		return anyOf(map[string]any{"type": "boolean"}, variable())
	case count:
		return anyOf(atMost(f, map[string]any{"type": "integer", "minimum": 1, "maximum": math.MaxInt32}), variable())
	case amount:
		return anyOf(atMost(f, map[string]any{"type": "number", "exclusiveMinimum": 0}), variable())
	case number:
		return anyOf(atMost(f, map[string]any{"type": "number", "minimum": 0}), variable())
	case duration:
		return anyOf(map[string]any{"type": "string", "pattern": expr.DurationPattern, "minLength": 1}, variable())
	case shape:
		full := map[string]any{
			"type": "object", "required": []string{"schema"}, "additionalProperties": false,
			"properties": map[string]any{"schema": map[string]any{"type": "object", "description": "A JSON Schema"}},
		}
		if f.loose {
			return anyOf(ref("type"), full)
		}
		return anyOf(ref("types"), full)
	}
	return map[string]any{}
}

// formsSchema is an object, or what is short for it.
func formsSchema(f field) map[string]any {
	forms := []any{objectSchema(f)}
	for _, name := range []string{f.short, f.shortList} {
		if sub, ok := fieldNamed(f.fields, name); ok {
			forms = append(forms, kindSchema(sub))
		}
	}
	if len(forms) == 1 {
		return objectSchema(f)
	}
	return anyOf(forms...)
}

func textsSchema(f field) map[string]any {
	one := someText()
	if len(f.choices) > 0 {
		one = anyOf(map[string]any{"enum": f.choices}, variable())
	}
	list := map[string]any{"type": "array", "items": one}
	switch {
	case f.words, f.single:
		return anyOf(one, list)
	case f.none:
		return anyOf(map[string]any{"const": false}, list)
	}
	return list
}

func namesSchema(rule string, value map[string]any) map[string]any {
	return map[string]any{
		"type": "object", "minProperties": 1,
		"propertyNames": map[string]any{"pattern": rule}, "additionalProperties": value,
	}
}

func atMost(f field, s map[string]any) map[string]any {
	if f.most > 0 {
		s["maximum"] = f.most
	}
	return s
}
