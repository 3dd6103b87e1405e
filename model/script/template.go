package script

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// piece is literal text or, with ref set, the name of a value.
type piece struct {
	text string
	ref  string
	json bool // the value is said as JSON
}

// template is a text with references to the values of a match.
type template []piece

// scope says which references a rule allows.
type scope struct {
	groups int             // of last_user
	names  map[string]bool // named groups of all expressions
}

func (s scope) knows(ref string) bool {
	switch ref {
	case "user", "result", "turn":
		return true
	}
	if n, err := strconv.Atoi(ref); err == nil {
		return n >= 0 && n <= s.groups
	}
	return s.names[ref]
}

// template reads the references in the text of n.
func (r *reader) template(n ast.Node, what string, sc scope) (template, error) {
	text, err := r.text(n, what)
	if err != nil {
		return nil, err
	}
	var t template
	literal := func(s string) {
		if s == "" {
			return
		}
		if last := len(t) - 1; last >= 0 && t[last].ref == "" {
			t[last].text += s
			return
		}
		t = append(t, piece{text: s})
	}
	for text != "" {
		before, rest, found := strings.Cut(text, "$")
		literal(before)
		if !found {
			break
		}
		ref, after, braced := reference(rest)
		switch {
		case strings.HasPrefix(rest, "$"):
			literal("$")
			text = rest[1:]
			continue
		case ref == "", !braced && sc.groups == 0:
			literal("$")
			text = rest
			continue
		}
		name, asJSON := strings.CutSuffix(ref, ":json")
		if !sc.knows(name) {
			return nil, r.errorf(n, "%s refers to $%s, which this rule does not have; write $$ for a dollar sign", what, ref)
		}
		if asJSON && (after != "" || len(t) > 0) {
			return nil, r.errorf(n, "${%s} stands alone: it is a JSON value and not part of a text", ref)
		}
		t = append(t, piece{ref: name, json: asJSON})
		text = after
	}
	return t, nil
}

// reference splits "1 rest" or "{name} rest" behind a dollar sign; ref is empty
// when neither stands there.
func reference(s string) (ref, after string, braced bool) {
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		ref, after, ok := strings.Cut(inner, "}")
		if !ok {
			return "", s, false
		}
		return ref, after, true
	}
	n := 0
	for n < len(s) && n < 3 && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return s[:n], s[n:], false
}

func (t template) expand(values map[string]string) string {
	var b strings.Builder
	for _, p := range t {
		if p.ref != "" {
			b.WriteString(values[p.ref])
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// value is a YAML value with templates for its texts; it is said as JSON and
// keeps the order of its keys.
type value struct {
	raw    json.RawMessage // numbers, true, false, null
	text   template
	list   []value
	keys   []string
	shape  byte // 'r' raw, 't' text, 'l' list, 'o' object
	fields []value
}

const deepest = 100 // levels of a value; no tool has arguments like that

func (r *reader) value(n ast.Node, what string, sc scope, depth int) (value, error) {
	if depth > deepest {
		return value{}, r.errorf(n, "%s is nested more than %d levels deep", what, deepest)
	}
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return value{shape: 'r', raw: json.RawMessage("null")}, nil
	case *ast.BoolNode:
		return value{shape: 'r', raw: strconv.AppendBool(nil, n.Value)}, nil
	case *ast.IntegerNode:
		raw, err := json.Marshal(n.Value)
		if err != nil {
			return value{}, r.errorf(n, "%s: %v", what, err)
		}
		return value{shape: 'r', raw: raw}, nil
	case *ast.FloatNode:
		if math.IsInf(n.Value, 0) || math.IsNaN(n.Value) {
			return value{}, r.errorf(n, "%s: JSON has no number like this", what)
		}
		raw, err := json.Marshal(n.Value)
		if err != nil {
			return value{}, r.errorf(n, "%s: %v", what, err)
		}
		return value{shape: 'r', raw: raw}, nil
	case *ast.StringNode, *ast.LiteralNode:
		t, err := r.template(n, what, sc)
		return value{shape: 't', text: t}, err
	case *ast.SequenceNode:
		v := value{shape: 'l'}
		for _, item := range n.Values {
			element, err := r.value(item, what, sc, depth+1)
			if err != nil {
				return value{}, err
			}
			v.list = append(v.list, element)
		}
		return v, nil
	}
	return r.object(n, what, sc, depth)
}

func (r *reader) object(n ast.Node, what string, sc scope, depth int) (value, error) {
	values, err := r.mapping(n, what)
	if err != nil {
		return value{}, r.errorf(n, "%s cannot be said as JSON: it holds %s", what, kind(n))
	}
	v := value{shape: 'o'}
	for _, kv := range values {
		key, err := r.key(kv)
		if err != nil {
			return value{}, err
		}
		element, err := r.value(kv.Value, what, sc, depth+1)
		if err != nil {
			return value{}, err
		}
		v.keys = append(v.keys, key)
		v.fields = append(v.fields, element)
	}
	return v, nil
}

// render says the value as JSON.
func (v value) render(values map[string]string) json.RawMessage {
	var b bytes.Buffer
	v.write(&b, values)
	return b.Bytes()
}

func (v value) write(b *bytes.Buffer, values map[string]string) {
	switch v.shape {
	case 'r':
		b.Write(v.raw)
	case 't':
		text := v.text.expand(values)
		if len(v.text) == 1 && v.text[0].json && json.Valid([]byte(text)) {
			b.WriteString(text)
			return
		}
		writeString(b, text)
	case 'l':
		b.WriteByte('[')
		for i, e := range v.list {
			if i > 0 {
				b.WriteByte(',')
			}
			e.write(b, values)
		}
		b.WriteByte(']')
	case 'o':
		b.WriteByte('{')
		for i, e := range v.fields {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, v.keys[i])
			b.WriteByte(':')
			e.write(b, values)
		}
		b.WriteByte('}')
	}
}

// writeString writes s as JSON without the escapes that only HTML needs.
func writeString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // a string always encodes
		panic(err)
	}
	b.Truncate(b.Len() - 1) // the line feed of Encode
}
