package http

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// asText is an argument where a text is wanted: a string as it is, all else as JSON.
func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	}
	data, err := json.Marshal(v)
	if err != nil { // it came out of JSON
		return fmt.Sprint(v)
	}
	return string(data)
}

// segment encodes a text as a part of a path. It refuses what would lead to another path
// whoever undoes the encoding: nothing at all, and dots between slashes.
func segment(text string) (string, error) {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == "." || part == ".." {
			return "", durable.Errorf(durable.CodeInvalid, "%q cannot be a part of a path", tool.Clip(text, 60))
		}
	}
	if text == "" {
		return "", durable.Errorf(durable.CodeInvalid, "a part of the path is empty")
	}
	return url.PathEscape(text), nil
}

// members are the names and values of an object or, where it is none, nothing.
func members(v any) []pair {
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	var list []pair
	for _, name := range slices.Sorted(maps.Keys(object)) {
		list = append(list, pair{name, asText(object[name])})
	}
	return list
}

// items are the values of a list, or the value alone.
func items(v any) []string {
	list, ok := v.([]any)
	if !ok {
		return []string{asText(v)}
	}
	texts := make([]string, len(list))
	for i, e := range list {
		texts[i] = asText(e)
	}
	return texts
}

// inPath is the value of a parameter by the styles simple, label and matrix of OpenAPI.
func (p Parameter) inPath(v any) (string, error) {
	separator, before := ",", ""
	switch p.Style {
	case "label":
		separator, before = ".", "."
	case "matrix":
		separator, before = ";", ";"
	}
	if !p.Explode && p.Style != "label" {
		separator = ","
	}
	parts, err := p.segments(v)
	if err != nil {
		return "", err
	}
	if len(parts) == 0 {
		return "", durable.Errorf(durable.CodeInvalid, "%s: a part of the path is empty", p.Name)
	}
	joined := strings.Join(parts, separator)
	if p.Style == "matrix" && !p.Explode {
		joined = url.PathEscape(p.Name) + "=" + joined
	}
	return before + joined, nil
}

// segments are the pieces of a value in a path, each encoded.
func (p Parameter) segments(v any) ([]string, error) {
	var texts [][2]string // with the name before it, or without
	switch object := members(v); {
	case p.JSON:
		texts = append(texts, [2]string{"", asJSON(v)})
	case object != nil && p.Explode:
		for _, m := range object {
			texts = append(texts, [2]string{m.name, m.value})
		}
	case object != nil:
		for _, m := range object {
			texts = append(texts, [2]string{"", m.name}, [2]string{"", m.value})
		}
	default:
		for _, text := range items(v) {
			name := ""
			if p.Style == "matrix" && p.Explode {
				name = p.Name
			}
			texts = append(texts, [2]string{name, text})
		}
	}
	parts := make([]string, len(texts))
	for i, t := range texts {
		value, err := segment(t[1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		if t[0] != "" {
			value = url.PathEscape(t[0]) + "=" + value
		}
		parts[i] = value
	}
	return parts, nil
}

// inQuery are the pairs of a parameter by the styles form, spaceDelimited, pipeDelimited and
// deepObject.
func (p Parameter) inQuery(v any) []pair {
	if p.JSON {
		return []pair{{p.Name, asJSON(v)}}
	}
	if object := members(v); object != nil {
		switch {
		case p.Style == "deepObject":
			for i := range object {
				object[i].name = p.Name + "[" + object[i].name + "]"
			}
			return object
		case p.Explode:
			return object
		}
		var flat []string
		for _, m := range object {
			flat = append(flat, m.name, m.value)
		}
		return []pair{{p.Name, strings.Join(flat, ",")}}
	}
	texts := items(v)
	if p.Explode {
		list := make([]pair, len(texts))
		for i, text := range texts {
			list[i] = pair{p.Name, text}
		}
		return list
	}
	separator := map[string]string{"spaceDelimited": " ", "pipeDelimited": "|"}[p.Style]
	if separator == "" {
		separator = ","
	}
	return []pair{{p.Name, strings.Join(texts, separator)}}
}

// inHeader is the value of a parameter by the style simple.
func (p Parameter) inHeader(v any) string {
	if p.JSON {
		return asJSON(v)
	}
	if object := members(v); object != nil {
		var parts []string
		for _, m := range object {
			if p.Explode {
				parts = append(parts, m.name+"="+m.value)
			} else {
				parts = append(parts, m.name, m.value)
			}
		}
		return strings.Join(parts, ",")
	}
	return strings.Join(items(v), ",")
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil { // it came out of JSON
		return ""
	}
	return string(data)
}
