package server

import (
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// knownAt lists the fields that the object has in which a location such as body.a.b lies.
func knownAt(op *huma.Operation, location string) []string {
	if op == nil || op.RequestBody == nil {
		return nil
	}
	content := op.RequestBody.Content["application/json"]
	if content == nil {
		return nil
	}
	path := strings.Split(location, ".")
	schema := content.Schema
	for _, name := range path[1:max(1, len(path)-1)] {
		if schema == nil {
			return nil
		}
		if i := strings.IndexByte(name, '['); i >= 0 {
			name = name[:i]
		}
		if schema = resolve(op, schema).Properties[name]; schema != nil && schema.Items != nil {
			schema = schema.Items
		}
	}
	if schema == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(resolve(op, schema).Properties))
}

func resolve(op *huma.Operation, s *huma.Schema) *huma.Schema {
	if s.Ref == "" {
		return s
	}
	if registry, ok := op.Metadata[registryKey].(huma.Registry); ok {
		if found := registry.SchemaFromRef(s.Ref); found != nil {
			return found
		}
	}
	return s
}
