package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// form is a question whose answer is an object, to be filled in field by field.
type form struct{ fields []field }

// field is one value of a form, as JSON Schema describes it.
type field struct {
	name        string
	required    bool
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Enum        []json.RawMessage `json:"enum"`
	Default     json.RawMessage   `json:"default"`
}

// formOf reads a form from the JSON Schema of an answer, its fields in the order in which they
// stand there. False for a schema that is not of an object whose fields it names.
func formOf(schema json.RawMessage) (form, bool) {
	var s struct {
		Type       string          `json:"type"`
		Properties json.RawMessage `json:"properties"`
		Required   []string        `json:"required"`
	}
	if json.Unmarshal(schema, &s) != nil || s.Type != "object" {
		return form{}, false
	}
	dec := json.NewDecoder(bytes.NewReader(s.Properties))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return form{}, false
	}
	var f form
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return form{}, false
		}
		text, ok := name.(string)
		one := field{name: text, required: slices.Contains(s.Required, text)}
		if !ok || dec.Decode(&one) != nil {
			return form{}, false
		}
		f.fields = append(f.fields, one)
	}
	return f, len(f.fields) > 0
}

// assigns reports whether what was typed is NAME=VALUE for each field. Where that is not sure, the first
// name must be one of the form.
func (f form) assigns(args []string, sure bool) bool {
	for i, arg := range args {
		name, _, ok := strings.Cut(arg, "=")
		if !ok || strings.ContainsAny(name, " {[\"") || i == 0 && !sure && f.find(name) == nil {
			return false
		}
	}
	return len(args) > 0
}

func (f form) find(name string) *field {
	for i := range f.fields {
		if f.fields[i].name == name {
			return &f.fields[i]
		}
	}
	return nil
}

// assign fills the form in with NAME=VALUE for each field, and the defaults of the others. Error:
// invalid.
func (f form) assign(args []string) (json.RawMessage, error) {
	typed := map[string]string{}
	for _, arg := range args {
		name, text, _ := strings.Cut(arg, "=")
		if f.find(name) == nil {
			var names []string
			for _, one := range f.fields {
				names = append(names, one.name)
			}
			return nil, durable.Errorf(durable.CodeInvalid, "the form has no field %q; it has %s", name, strings.Join(names, ", "))
		}
		if _, twice := typed[name]; twice {
			return nil, durable.Errorf(durable.CodeInvalid, "%s is given twice", name)
		}
		typed[name] = text
	}
	values := map[string]json.RawMessage{}
	for _, one := range f.fields {
		text, given := typed[one.name]
		value, err := one.value(text)
		switch {
		case given && text == "" && (one.Type == "string" || one.Type == "") && len(one.Enum) == 0:
			value = json.RawMessage(`""`)
		case err != nil && given && text != "":
			return nil, durable.Errorf(durable.CodeInvalid, "%s: %w", one.name, err)
		case err != nil:
			return nil, durable.Errorf(durable.CodeInvalid, "%w: %s=…", err, one.name)
		}
		if value != nil {
			values[one.name] = value
		}
	}
	return json.Marshal(values)
}

// fill asks for every field, and again for what cannot be. Nil means that the first line was
// empty where something is needed: the person does not want to answer now.
func (a *app) fill(ctx context.Context, f form) (json.RawMessage, error) {
	values := map[string]json.RawMessage{}
	for i, one := range f.fields {
		fmt.Fprintln(a.stderr, one.help())
		for {
			text, err := a.line(ctx, one.name)
			if err != nil {
				return nil, err
			}
			value, err := one.value(text)
			if err == nil {
				if value != nil {
					values[one.name] = value
				}
				break
			}
			if text == "" {
				if i > 0 {
					fmt.Fprintln(a.stderr, "the question is left open")
				}
				return nil, nil
			}
			fmt.Fprintln(a.stderr, err)
		}
	}
	data, err := json.Marshal(values)
	return data, err
}

// help says what may be typed for a field.
func (f field) help() string {
	parts := []string{f.name}
	if f.Description != "" {
		parts[0] += ": " + oneLine(f.Description, 200)
	}
	switch {
	case len(f.Enum) > 0:
		var list []string
		for _, v := range f.Enum {
			list = append(list, plain(v))
		}
		parts = append(parts, strings.Join(list, ", "))
	case f.Type != "" && f.Type != "string":
		parts = append(parts, f.Type)
	}
	switch {
	case f.Default != nil:
		parts = append(parts, "default "+plain(f.Default))
	case !f.required:
		parts = append(parts, "may be left out")
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return parts[0] + " (" + strings.Join(parts[1:], "; ") + ")"
}

// plain is a value as a person types it.
func plain(v json.RawMessage) string {
	var text string
	if json.Unmarshal(v, &text) == nil {
		return text
	}
	return string(v)
}

// value is what was typed as a value of the field; nil where it is left out. Whether it fits
// in all is the engine's to say.
func (f field) value(text string) (json.RawMessage, error) {
	if text == "" {
		if f.Default == nil && f.required {
			return nil, fmt.Errorf("%s is needed", f.name)
		}
		return f.Default, nil
	}
	if len(f.Enum) > 0 {
		for _, v := range f.Enum {
			if plain(v) == text {
				return v, nil
			}
		}
		return nil, fmt.Errorf("%q is none of them", text)
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	var v any
	is := json.Unmarshal([]byte(text), &v)
	number, isNumber := v.(float64)
	fits := is == nil
	switch f.Type {
	case "string", "":
		return quoted, nil
	case "boolean":
		if word, ok := map[string]string{"y": "true", "yes": "true", "n": "false", "no": "false"}[strings.ToLower(text)]; ok {
			return json.RawMessage(word), nil
		}
		_, fits = v.(bool)
	case "integer":
		fits = fits && isNumber && number == float64(int64(number))
	case "number":
		fits = fits && isNumber
	case "array":
		_, fits = v.([]any)
	case "object":
		_, fits = v.(map[string]any)
	}
	if !fits {
		return nil, fmt.Errorf("%q is no %s", text, f.Type)
	}
	return json.RawMessage(text), nil
}
