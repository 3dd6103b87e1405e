package outline

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"unicode/utf8"
)

// misfit says why v does not satisfy the schema, in the keywords this package
// knows; empty when it does.
func (f *filler) misfit(s *object, v any, depth int) string {
	s, err := f.resolve(s, depth)
	if err != nil {
		return err.Error()
	}
	if c, ok := s.get("const"); ok && !same(c, v) {
		return fmt.Sprintf("%s is not the constant %s", encode(v), encode(c))
	}
	if list, ok := s.fields["enum"].([]any); ok && !among(list, v) {
		return fmt.Sprintf("%s is not in the enum", encode(v))
	}
	if t := s.fields["type"]; t != nil && !typed(t, v) {
		return fmt.Sprintf("%s is not of type %s", shorten(encode(v), 80), encode(t))
	}
	switch v := v.(type) {
	case string:
		return misfitString(s, v)
	case json.Number:
		return misfitNumber(s, v)
	case []any:
		return f.misfitList(s, v, depth)
	case *object:
		return f.misfitObject(s, v, depth)
	}
	return ""
}

func among(list []any, v any) bool {
	for _, e := range list {
		if same(e, v) {
			return true
		}
	}
	return false
}

// typed reports whether v is of the type, or of one of the types.
func typed(t, v any) bool {
	if list, ok := t.([]any); ok {
		for _, e := range list {
			if typed(e, v) {
				return true
			}
		}
		return false
	}
	switch v := v.(type) {
	case nil:
		return t == "null"
	case bool:
		return t == "boolean"
	case string:
		return t == "string"
	case []any:
		return t == "array"
	case *object:
		return t == "object"
	case json.Number:
		n, err := v.Float64()
		return t == "number" || t == "integer" && err == nil && n == math.Trunc(n)
	}
	return false
}

func misfitString(s *object, v string) string {
	n := float64(utf8.RuneCountInString(v))
	switch {
	case n < bound(s, "minLength", 0):
		return fmt.Sprintf("%q is too short", shorten(v, 80))
	case n > bound(s, "maxLength", math.Inf(1)):
		return fmt.Sprintf("%q is too long", shorten(v, 80))
	}
	if pattern := s.text("pattern"); pattern != "" {
		re, err := regexp.Compile(pattern)
		if err != nil || !re.MatchString(v) {
			return fmt.Sprintf("%q does not match the pattern %s", shorten(v, 80), pattern)
		}
	}
	return ""
}

func misfitNumber(s *object, v json.Number) string {
	n, err := v.Float64()
	step := bound(s, "multipleOf", 0)
	switch {
	case err != nil:
		return fmt.Sprintf("%s is not a number", v)
	case n < bound(s, "minimum", math.Inf(-1)), n <= bound(s, "exclusiveMinimum", math.Inf(-1)):
		return fmt.Sprintf("%s is too small", v)
	case n > bound(s, "maximum", math.Inf(1)), n >= bound(s, "exclusiveMaximum", math.Inf(1)):
		return fmt.Sprintf("%s is too large", v)
	case step > 0 && math.Abs(n/step-math.Round(n/step)) > 1e-9:
		return fmt.Sprintf("%s is not a multiple of %v", v, step)
	}
	return ""
}

func (f *filler) misfitList(s *object, v []any, depth int) string {
	n := float64(len(v))
	if n < bound(s, "minItems", 0) || n > bound(s, "maxItems", math.Inf(1)) {
		return fmt.Sprintf("a list of %d is too short or too long", len(v))
	}
	element := s.object("items")
	if element == nil {
		return ""
	}
	for i, e := range v {
		if why := f.misfit(element, e, depth+1); why != "" {
			return fmt.Sprintf("[%d]: %s", i, why)
		}
	}
	return ""
}

func (f *filler) misfitObject(s, v *object, depth int) string {
	required, _ := s.fields["required"].([]any)
	for _, e := range required {
		if !v.has(plain(e)) {
			return fmt.Sprintf("%s is missing", plain(e))
		}
	}
	properties := s.object("properties")
	for _, key := range v.keys {
		sub := properties.object(key)
		if sub == nil {
			if s.fields["additionalProperties"] == false && !properties.has(key) {
				return fmt.Sprintf("%s is not allowed", key)
			}
			continue
		}
		if why := f.misfit(sub, v.fields[key], depth+1); why != "" {
			return fmt.Sprintf("%s: %s", key, why)
		}
	}
	return ""
}
