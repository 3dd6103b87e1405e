package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/orpine-run/orpine/suggest"
)

// schemaTypes are the types of JSON Schema.
var schemaTypes = [...]string{"array", "boolean", "integer", "null", "number", "object", "string"}

// The keywords of a JSON Schema that hold others: one, several by name, several in a list.
var (
	oneSchema = [...]string{
		"additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then",
		"unevaluatedItems", "unevaluatedProperties",
	}
	namedSchemas  = [...]string{"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
	listedSchemas = [...]string{"allOf", "anyOf", "items", "oneOf", "prefixItems"}
)

// wrongType says which type of a schema, or of one within it, is none; "" = all are. A value of
// such a type there is not, so nothing would ever match.
func wrongType(v any) string {
	schema, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	types, ok := schema["type"].([]any)
	if !ok && schema["type"] != nil {
		types = []any{schema["type"]}
	}
	for _, t := range types {
		if name, ok := t.(string); ok && !slices.Contains(schemaTypes[:], name) {
			return fmt.Sprintf("type %q is none; %s", name, suggest.Name(name, schemaTypes[:], "there are"))
		}
	}
	var within []any
	for _, key := range oneSchema {
		within = append(within, schema[key])
	}
	for _, key := range namedSchemas {
		named, _ := schema[key].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			within = append(within, named[name])
		}
	}
	for _, key := range listedSchemas {
		listed, _ := schema[key].([]any)
		within = append(within, listed...)
	}
	for _, s := range within {
		if problem := wrongType(s); problem != "" {
			return problem
		}
	}
	return ""
}
