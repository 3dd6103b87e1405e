package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// entry is one field of a JSON object whose order matters.
type entry struct {
	key   string
	value json.RawMessage
}

// closeObjects adds "additionalProperties": false to the object schemas that do
// not say it, and keeps the order of all fields.
func closeObjects(schema json.RawMessage) (json.RawMessage, error) {
	if !json.Valid(schema) {
		var v any
		return nil, json.Unmarshal(schema, &v)
	}
	if !starts(schema, '{') {
		return schema, nil
	}
	fields, err := entries(schema)
	if err != nil {
		return nil, err
	}
	object, stated := false, false
	for i, f := range fields {
		switch f.key {
		case "type":
			object = object || string(bytes.TrimSpace(f.value)) == `"object"`
		case "additionalProperties":
			stated = true
		case "items":
			fields[i].value, err = closeObjects(f.value)
		case "properties", "$defs", "definitions":
			object = object || f.key == "properties"
			fields[i].value, err = closeFields(f.value)
		case "anyOf", "allOf", "oneOf":
			fields[i].value, err = closeList(f.value)
		}
		if err != nil {
			return nil, err
		}
	}
	if object && !stated {
		fields = append(fields, entry{"additionalProperties", json.RawMessage("false")})
	}
	return join(fields)
}

func closeFields(raw json.RawMessage) (json.RawMessage, error) {
	if !starts(raw, '{') {
		return raw, nil
	}
	fields, err := entries(raw)
	for i := 0; err == nil && i < len(fields); i++ {
		fields[i].value, err = closeObjects(fields[i].value)
	}
	if err != nil {
		return nil, err
	}
	return join(fields)
}

func closeList(raw json.RawMessage) (json.RawMessage, error) {
	if !starts(raw, '[') {
		return raw, nil
	}
	var list []json.RawMessage
	err := json.Unmarshal(raw, &list)
	for i := 0; err == nil && i < len(list); i++ {
		list[i], err = closeObjects(list[i])
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

func starts(raw json.RawMessage, c byte) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] == c
}

// entries reads an object in the order in which it is written.
func entries(raw json.RawMessage) ([]entry, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	var out []entry
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		var e entry
		e.key, _ = t.(string) // keys of an object are strings
		if err := dec.Decode(&e.value); err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		out = append(out, e)
	}
	return out, nil
}

func join(fields []entry) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(f.key)
		if err != nil {
			return nil, fmt.Errorf("write schema: %w", err)
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(f.value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
