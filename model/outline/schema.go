package outline

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	deepest  = 24     // levels of a schema; recursion ends here
	mostList = 10_000 // elements of a list
	mostWork = 1 << 20
)

// filler fills one schema from one block of data.
type filler struct {
	root  *object   // the schema, for $ref
	items []*object // of the block
	steps int       // taken, so that a schema that multiplies itself ends
}

// place says where in the answer a value goes.
type place struct {
	name  string
	from  *object // same-named fields are copied from here
	item  *object // set inside an element made from an item
	index int     // of that element
	top   bool    // a property of the answer itself
	depth int
}

// fill returns the JSON answer that satisfies the schema.
func fill(schema json.RawMessage, data any) (string, error) {
	decoded, err := decode(schema)
	if err != nil {
		return "", fmt.Errorf("the schema is not JSON: %w", err)
	}
	root, ok := decoded.(*object)
	if !ok {
		return "", errors.New("the schema is not an object")
	}
	f := &filler{root: root, items: itemsOf(data)}
	from, _ := data.(*object)
	if from == nil && data != nil {
		from = newObject() // a bare list: there is data, but no field to copy
	}
	v, err := f.value(root, place{from: from, top: true})
	if err != nil {
		return "", err
	}
	if why := f.misfit(root, v, 0); why != "" {
		return "", errors.New(why)
	}
	return encode(v), nil
}

// itemsOf finds the items of the block: the block itself, its field "items", or
// its first field that is a list of objects.
func itemsOf(data any) []*object {
	if items := objects(data); items != nil {
		return items
	}
	root, ok := data.(*object)
	if !ok {
		return nil
	}
	if items := objects(root.fields["items"]); items != nil {
		return items
	}
	for _, key := range root.keys {
		if items := objects(root.fields[key]); items != nil {
			return items
		}
	}
	return nil
}

func objects(v any) []*object {
	list, _ := v.([]any)
	var out []*object
	for _, e := range list {
		o, ok := e.(*object)
		if !ok {
			return nil
		}
		out = append(out, o)
	}
	return out
}

// resolve follows $ref, merges allOf and takes the first of anyOf and oneOf.
func (f *filler) resolve(s *object, depth int) (*object, error) {
	if f.steps++; f.steps > mostWork {
		return nil, errors.New("the schema is too large")
	}
	if depth > deepest {
		return nil, fmt.Errorf("the schema is nested more than %d levels deep", deepest)
	}
	out := newObject()
	for _, key := range s.keys {
		var from any
		switch key {
		case "$ref":
			target, err := f.ref(s.text("$ref"))
			if err != nil {
				return nil, err
			}
			from = []any{target}
		case "allOf":
			from = s.fields[key]
		case "anyOf", "oneOf":
			if list, _ := s.fields[key].([]any); len(list) > 0 {
				from = list[:1]
			}
		default:
			out.set(key, s.fields[key])
			continue
		}
		list, _ := from.([]any)
		for _, e := range list {
			part, ok := e.(*object)
			if !ok {
				continue
			}
			part, err := f.resolve(part, depth+1)
			if err != nil {
				return nil, err
			}
			merge(out, part)
		}
	}
	return out, nil
}

// merge adds the keywords of part to out; properties and required are joined.
func merge(out, part *object) {
	for _, key := range part.keys {
		have, ok := out.get(key)
		switch {
		case !ok:
			out.set(key, part.fields[key])
		case key == "properties":
			joined := newObject()
			for _, o := range []any{have, part.fields[key]} {
				if o, ok := o.(*object); ok {
					for _, k := range o.keys {
						joined.set(k, o.fields[k])
					}
				}
			}
			out.set(key, joined)
		case key == "required":
			a, _ := have.([]any)
			b, _ := part.fields[key].([]any)
			out.set(key, append(append([]any{}, a...), b...))
		}
	}
}

func (f *filler) ref(pointer string) (*object, error) {
	rest, ok := strings.CutPrefix(pointer, "#")
	if !ok {
		return nil, fmt.Errorf("$ref %q is not within the schema", pointer)
	}
	at := f.root
	for name := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		if name == "" {
			continue
		}
		name = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
		if at = at.object(name); at == nil {
			return nil, fmt.Errorf("$ref %q leads nowhere", pointer)
		}
	}
	return at, nil
}

// value makes the value of one place.
func (f *filler) value(s *object, p place) (any, error) {
	s, err := f.resolve(s, p.depth)
	if err != nil {
		return nil, err
	}
	if v, ok := s.get("const"); ok {
		return v, nil
	}
	if v, ok := p.from.get(p.name); ok && p.name != "" && !f.worded(s, p) && f.misfit(s, v, p.depth) == "" {
		return v, nil
	}
	if list, ok := s.fields["enum"].([]any); ok && len(list) > 0 {
		return list[0], nil
	}
	switch typeOf(s) {
	case "object":
		return f.object(s, p)
	case "array":
		return f.array(s, p)
	case "string":
		return f.string(s, p)
	case "number", "integer":
		return smallest(s), nil
	case "boolean":
		return false, nil
	}
	return nil, nil //nolint:nilnil // JSON null, which satisfies what is left
}

// worded reports whether s is a list that gets one element per item.
func (f *filler) worded(s *object, p place) bool {
	if typeOf(s) != "array" || p.item != nil || p.depth > 2 || len(f.items) == 0 {
		return false
	}
	element, err := f.resolve(orEmpty(s.object("items")), p.depth)
	return err == nil && element.object("properties").has("id")
}

func orEmpty(o *object) *object {
	if o == nil {
		return newObject()
	}
	return o
}

// typeOf is the type a value of the schema gets.
func typeOf(s *object) string {
	switch t := s.fields["type"].(type) {
	case string:
		return t
	case []any:
		if len(t) > 0 {
			return plain(t[0])
		}
	}
	switch {
	case s.object("properties") != nil || s.fields["required"] != nil:
		return "object"
	case s.fields["items"] != nil:
		return "array"
	case s.fields["minLength"] != nil || s.fields["pattern"] != nil || s.fields["format"] != nil:
		return "string"
	case s.fields["minimum"] != nil || s.fields["maximum"] != nil:
		return "number"
	}
	return "null"
}

func (f *filler) object(s *object, p place) (any, error) {
	out := newObject()
	required := map[string]bool{}
	list, _ := s.fields["required"].([]any)
	for _, e := range list {
		required[plain(e)] = true
	}
	properties := s.object("properties")
	inner := place{from: p.from, item: p.item, index: p.index, top: p.top, depth: p.depth + 1}
	if p.name != "" { // a nested object is filled from the object of its name
		inner = place{from: p.from.object(p.name), depth: p.depth + 1}
	}
	if properties != nil {
		for _, key := range properties.keys {
			sub, ok := properties.fields[key].(*object)
			if !ok {
				sub = newObject()
			}
			if !required[key] && inner.from == nil {
				continue
			}
			inner.name = key
			v, err := f.value(sub, inner)
			if err != nil && !required[key] {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			out.set(key, v)
		}
	}
	for _, e := range list {
		if _, ok := out.get(plain(e)); !ok {
			out.set(plain(e), nil)
		}
	}
	return out, nil
}

func (f *filler) array(s *object, p place) (any, error) {
	low, high := bound(s, "minItems", 0), bound(s, "maxItems", mostList)
	if low > mostList {
		return nil, fmt.Errorf("minItems %v is more than %d", low, mostList)
	}
	element := orEmpty(s.object("items"))
	out := []any{}
	if f.worded(s, p) {
		for i, item := range f.items {
			if float64(len(out)) >= high {
				break
			}
			v, err := f.value(element, place{from: item, item: item, index: i, depth: p.depth + 1})
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
	}
	for float64(len(out)) < low {
		v, err := f.value(element, place{depth: p.depth + 1})
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (o *object) has(key string) bool {
	_, ok := o.get(key)
	return ok
}

func (f *filler) string(s *object, p place) (any, error) {
	var text string
	number := strconv.Itoa(p.index + 1)
	switch {
	case p.item != nil && p.name == "id":
		if text = p.item.text("id"); text == "" {
			text = number
		}
	case p.item != nil && p.name == "title":
		text = title(p.item, "Item "+number)
	case p.item != nil:
		text = describe(p.item)
	case p.top && p.depth == 1:
		text = summary(f.items)
	}
	switch s.text("format") {
	case "date-time":
		text = "1970-01-01T00:00:00Z"
	case "date":
		text = "1970-01-01"
	case "time":
		text = "00:00:00Z"
	case "uuid":
		text = "00000000-0000-0000-0000-000000000000"
	case "email":
		text = "nobody@example.invalid"
	case "uri", "url", "uri-reference":
		text = "about:blank"
	}
	text = shorten(text, int(max(1, min(bound(s, "maxLength", 1<<20), 1<<20))))
	if high := bound(s, "maxLength", 1); high < 1 {
		text = ""
	}
	if short := bound(s, "minLength", 0) - float64(utf8.RuneCountInString(text)); short > 0 && short <= 1<<20 {
		text += strings.Repeat("-", int(math.Ceil(short)))
	}
	if why := f.misfit(s, text, p.depth); why != "" && f.misfit(s, "", p.depth) != "" {
		return nil, errors.New(why)
	} else if why != "" {
		text = ""
	}
	return text, nil
}

func bound(s *object, key string, fallback float64) float64 {
	n, ok := s.fields[key].(json.Number)
	if !ok {
		return fallback
	}
	v, err := n.Float64()
	if err != nil {
		return fallback
	}
	return v
}

// smallest is the legal number nearest to zero, from above first.
func smallest(s *object) json.Number {
	step := bound(s, "multipleOf", 0)
	if typeOf(s) == "integer" && step != math.Trunc(step) || typeOf(s) == "integer" && step == 0 {
		step = 1
	}
	low, high := bound(s, "minimum", math.Inf(-1)), bound(s, "maximum", math.Inf(1))
	above, below := bound(s, "exclusiveMinimum", math.Inf(-1)), bound(s, "exclusiveMaximum", math.Inf(1))
	v := 0.0
	switch {
	case step > 0 && max(low, above) >= 0:
		if v = math.Ceil(max(low, above)/step) * step; v <= above {
			v += step
		}
	case step > 0 && min(high, below) <= 0:
		if v = math.Floor(min(high, below)/step) * step; v >= below {
			v -= step
		}
	case low > 0 && low > above:
		v = low
	case above >= 0:
		v = above + min(1, (min(high, below)-above)/2)
	case high < 0 && high < below:
		v = high
	case below <= 0:
		v = below - min(1, (below-max(low, above))/2)
	}
	return json.Number(strconv.FormatFloat(v, 'f', -1, 64))
}
