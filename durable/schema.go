package durable

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
)

// SchemaOf is the JSON Schema (draft 2020-12) of what a T looks like in JSON: texts, numbers,
// truth values, times, lists, maps by text and structs of these. Fields are required unless they are
// pointers, omitempty or omitzero, and there are no others. It is nil for what may be anything, such as
// json.RawMessage. Error: invalid for a type that says itself what its JSON is, or that holds
// itself.
func SchemaOf[T any]() (json.RawMessage, error) {
	t := reflect.TypeFor[T]()
	if anything(t) {
		return nil, nil
	}
	s, err := schemaOf(t, nil)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// schema is the part of JSON Schema that is needed here.
type schema struct {
	Type       string             `json:"type,omitempty"`
	Format     string             `json:"format,omitempty"`
	Items      *schema            `json:"items,omitempty"`
	Properties map[string]*schema `json:"properties,omitempty"`
	Required   []string           `json:"required,omitempty"`
	Additional any                `json:"additionalProperties,omitempty"` // false, or a schema
}

func anything(t reflect.Type) bool {
	return t == reflect.TypeFor[json.RawMessage]() || t.Kind() == reflect.Interface
}

// schemaOf makes the schema of a type; within are those it is a part of.
func schemaOf(t reflect.Type, within []reflect.Type) (*schema, error) {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return &schema{Type: "string", Format: "date-time"}, nil
	case anything(t):
		return &schema{}, nil
	case speaks(t):
		return nil, Errorf(CodeInvalid, "type %s writes its own JSON, so its schema must be given", t)
	}
	if slices.Contains(within, t) {
		return nil, Errorf(CodeInvalid, "type %s holds itself, so its schema must be given", t)
	}
	within = append(within, t)
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), within)
	case reflect.String:
		return &schema{Type: "string"}, nil
	case reflect.Bool:
		return &schema{Type: "boolean"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &schema{Type: "integer"}, nil
	case reflect.Float32, reflect.Float64:
		return &schema{Type: "number"}, nil
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && t.Kind() == reflect.Slice {
			return &schema{Type: "string"}, nil // base64
		}
		items, err := schemaOf(t.Elem(), within)
		return &schema{Type: "array", Items: items}, err
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return nil, Errorf(CodeInvalid, "type %s has keys that are no texts", t)
		}
		values, err := schemaOf(t.Elem(), within)
		return &schema{Type: "object", Additional: values}, err
	case reflect.Struct:
		return objectOf(t, within)
	default:
		return nil, Errorf(CodeInvalid, "type %s has no JSON", t)
	}
}

// speaks reports whether a type writes its own JSON.
func speaks(t reflect.Type) bool {
	for _, own := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler]()} {
		if t.Implements(own) || reflect.PointerTo(t).Implements(own) {
			return true
		}
	}
	return false
}

// objectOf makes the schema of a struct.
func objectOf(t reflect.Type, within []reflect.Type) (*schema, error) {
	s := &schema{Type: "object", Properties: map[string]*schema{}, Additional: false}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || name == "-":
			continue
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			continue // its fields are visible as this one's
		case len(f.Index) > 1 && hidden(t, f.Index):
			continue
		case strings.Contains(options, "string"):
			return nil, Errorf(CodeInvalid, "field %s of type %s is a text in JSON, so its schema must be given", f.Name, t)
		}
		name = cmp.Or(name, f.Name)
		field, err := schemaOf(f.Type, within)
		if err != nil {
			return nil, err
		}
		s.Properties[name] = field
		if f.Type.Kind() != reflect.Pointer && !strings.Contains(options, "omit") {
			s.Required = append(s.Required, name)
		}
	}
	return s, nil
}

// hidden reports whether a promoted field is in a struct that has a name of its own in JSON.
func hidden(t reflect.Type, index []int) bool {
	for n := 1; n < len(index); n++ {
		outer := t.FieldByIndex(index[:n])
		if name, _, _ := strings.Cut(outer.Tag.Get("json"), ","); name != "" {
			return true
		}
	}
	return false
}
