package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Marks of an expression within a text: ${{ and }}.
const (
	openMark  = "${{"
	closeMark = "}}"
)

// Template is a JSON value whose texts may hold expressions, as ${{ EXPRESSION }}. A text that is
// one expression and nothing else becomes its value; in other texts the value is put in as text, and
// as JSON where it is none. It is safe for concurrent use.
type Template struct {
	whole any // as JSON; texts with expressions are of type pieces
	fixed json.RawMessage
	texts []pieces
}

// pieces is a text in parts: what stands as it is, and expressions.
type pieces []piece

type piece struct {
	text string
	expr *Expression // nil = text
}

// Template reads a template. The error says which expression is wrong, and where in it.
func (s *Space) Template(value json.RawMessage) (*Template, error) {
	if len(bytes.TrimSpace(value)) == 0 {
		return nil, errors.New("a value is missing")
	}
	v, err := Decode(value)
	if err != nil {
		return nil, err
	}
	t := &Template{}
	if t.whole, err = s.compileIn(v, t); err != nil {
		return nil, err
	}
	if len(t.texts) == 0 {
		t.fixed = value
	}
	return t, nil
}

// Text reads a template of text.
func (s *Space) Text(text string) (*Template, error) {
	data, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	return s.Template(data)
}

func (s *Space) compileIn(v any, t *Template) (any, error) {
	var err error
	switch v := v.(type) {
	case string:
		if !strings.Contains(v, openMark) {
			return v, nil
		}
		p, err := s.pieces(v)
		t.texts = append(t.texts, p)
		return p, err
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if v[name], err = s.compileIn(v[name], t); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	case []any:
		for i := range v {
			if v[i], err = s.compileIn(v[i], t); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
	}
	return v, nil
}

func (s *Space) pieces(text string) (pieces, error) {
	var list pieces
	err := Split(text, func(plain string) { list = append(list, piece{text: plain}) }, func(source string, _ int) error {
		x, err := s.Compile(source)
		list = append(list, piece{expr: x})
		return err
	})
	return list, err
}

// Split takes a text apart at its expressions: plain is told what stands between them, and source
// each expression with the byte of the text where it begins.
func Split(text string, plain func(string), source func(expression string, at int) error) error {
	for at := 0; at < len(text); {
		begin := strings.Index(text[at:], openMark)
		if begin < 0 {
			plain(text[at:])
			return nil
		}
		if begin > 0 {
			plain(text[at : at+begin])
		}
		at += begin + len(openMark)
		end := closing(text[at:])
		if end < 0 {
			return errors.New("a ${{ has no }} behind it")
		}
		inner := text[at : at+end]
		lead := len(inner) - len(strings.TrimLeft(inner, " \t\r\n"))
		if err := source(strings.TrimSpace(inner), at+lead); err != nil {
			return err
		}
		at += end + len(closeMark)
	}
	return nil
}

// closing finds the }} that ends an expression: not one within a text, and not that of a mapping.
func closing(text string) int {
	depth, quote := 0, byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && strings.HasPrefix(text[i:], closeMark):
			return i
		}
	}
	return -1
}

// Fixed reports whether a template has no expression.
func (t *Template) Fixed() bool { return t == nil || len(t.texts) == 0 }

// Value computes the template over the variables.
func (t *Template) Value(variables map[string]any) (json.RawMessage, error) {
	if t == nil {
		return nil, nil
	}
	if len(t.texts) == 0 {
		return t.fixed, nil
	}
	v, err := t.Any(variables)
	if err != nil {
		return nil, err
	}
	return encode(v)
}

// Any is Value in the form in which expressions take values.
func (t *Template) Any(variables map[string]any) (any, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	return fill(t.whole, variables)
}

// String computes a template of text; a value that is no text is put in as JSON.
func (t *Template) String(variables map[string]any) (string, error) {
	v, err := t.Any(variables)
	if err != nil {
		return "", err
	}
	return asText(v)
}

func fill(v any, variables map[string]any) (any, error) {
	switch v := v.(type) {
	case pieces:
		return v.value(variables)
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, one := range v {
			filled, err := fill(one, variables)
			if err != nil {
				return nil, err
			}
			out[name] = filled
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			filled, err := fill(one, variables)
			if err != nil {
				return nil, err
			}
			out[i] = filled
		}
		return out, nil
	}
	return v, nil
}

// maxText is the longest text that expressions make, in bytes: 8 MB.
const maxText = 8 << 20

func (p pieces) value(variables map[string]any) (any, error) {
	if len(p) == 1 && p[0].expr != nil {
		return p[0].expr.JSON(variables)
	}
	var b strings.Builder
	for _, one := range p {
		text := one.text
		if one.expr != nil {
			v, err := one.expr.JSON(variables)
			if err != nil {
				return nil, err
			}
			if text, err = asText(v); err != nil {
				return nil, err
			}
		}
		if b.Len()+len(text) > maxText {
			return nil, fmt.Errorf("a text would be longer than %d bytes", maxText)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func asText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	data, err := encode(v)
	return string(data), err
}

func encode(v any) (json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("a value has no JSON: %w", err)
	}
	return data, nil
}
