package script

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// reader turns nodes into values and knows where each stands, so that every
// refusal can show its line.
type reader struct {
	file  string
	lines []string
}

// parse reads the one document of a script. The YAML parser is guarded: a panic
// over broken input is an error of that input.
func (r *reader) parse(data []byte) (root ast.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, &SyntaxError{File: r.file, Message: fmt.Sprintf("not readable as YAML: %v", p)}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if err := r.shallow(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		if at, ok := errors.AsType[yaml.Error](err); ok {
			return nil, r.at(at.GetToken(), "%s", at.GetMessage())
		}
		return nil, &SyntaxError{File: r.file, Message: err.Error()}
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			return nil, r.errorf(doc.Body, "a script is one document, this is a second one")
		default:
			root = doc.Body
		}
	}
	if root == nil {
		return nil, &SyntaxError{File: r.file, Message: "the script is empty; it needs rules:"}
	}
	return root, nil
}

// shallow refuses nesting that no script has before the YAML parser, whose time
// grows with the square of it, sees it. Nesting by lines pays for itself in bytes.
func (r *reader) shallow(tokens token.Tokens) error {
	flow, dashes, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			dashes, line = 0, t.Position.Line
		}
		switch t.Type { //nolint:exhaustive // only what opens and closes
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType:
			dashes++
		}
		if flow > deepest || dashes > deepest {
			return r.at(t, "nested more than %d levels deep", deepest)
		}
	}
	return nil
}

func (r *reader) at(t *token.Token, format string, args ...any) *SyntaxError {
	e := &SyntaxError{File: r.file, Message: fmt.Sprintf(format, args...)}
	if t == nil || t.Position == nil {
		return e
	}
	e.Line, e.Column = t.Position.Line, t.Position.Column
	if e.Line >= 1 && e.Line <= len(r.lines) {
		e.Source = r.lines[e.Line-1]
	}
	return e
}

func (r *reader) errorf(n ast.Node, format string, args ...any) *SyntaxError {
	if n == nil {
		return &SyntaxError{File: r.file, Message: fmt.Sprintf(format, args...)}
	}
	return r.at(n.GetToken(), format, args...)
}

// field is one known key of a mapping and what reads its value.
type field struct {
	name string
	read func(ast.Node) error
}

// fields walks a mapping, hands each value to its field and refuses other keys.
func (r *reader) fields(n ast.Node, what string, known ...field) error {
	values, err := r.mapping(n, what)
	if err != nil {
		return err
	}
next:
	for _, kv := range values {
		key, err := r.key(kv)
		if err != nil {
			return err
		}
		names := make([]string, len(known))
		for i, f := range known {
			if f.name == key {
				if err := f.read(kv.Value); err != nil {
					return err
				}
				continue next
			}
			names[i] = f.name
		}
		return r.errorf(kv.Key, "%s", unknown("field of "+what, key, names))
	}
	return nil
}

func (r *reader) mapping(n ast.Node, what string) ([]*ast.MappingValueNode, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, r.errorf(n, "%s is a mapping of fields, not %s", what, kind(n))
}

func (r *reader) key(kv *ast.MappingValueNode) (string, error) {
	switch k := kv.Key.(type) {
	case *ast.StringNode:
		return k.Value, nil
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode, *ast.NullNode:
		return k.GetToken().Value, nil
	}
	return "", r.errorf(kv.Key, "a key is a plain name; anchors and merges are not read here")
}

func (r *reader) sequence(n ast.Node, what string) ([]ast.Node, error) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil, r.errorf(n, "%s is a list, not %s", what, kind(n))
	}
	return s.Values, nil
}

// text reads a scalar as it was written, so that `text: 42` says 42.
func (r *reader) text(n ast.Node, what string) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	}
	return "", r.errorf(n, "%s is a text, not %s", what, kind(n))
}

func (r *reader) int(n ast.Node, what string, low, high int64) (int, error) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, r.errorf(n, "%s is a whole number, not %s", what, kind(n))
	}
	var v int64
	switch x := i.Value.(type) {
	case int64:
		v = x
	case uint64:
		v = int64(min(x, 1<<62)) //nolint:gosec // bounded on the same line
	}
	if v < low || v > high {
		return 0, r.errorf(n, "%s is %s, which is not within %d and %d", what, i.Token.Value, low, high)
	}
	return int(v), nil
}

func (r *reader) bool(n ast.Node, what string) (bool, error) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		return false, r.errorf(n, "%s is true or false, not %s", what, kind(n))
	}
	return b.Value, nil
}

func (r *reader) duration(n ast.Node, what string) (time.Duration, error) {
	s, err := r.text(n, what)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxDelay {
		return 0, r.errorf(n, "%s is a time such as 20ms or 1s, at most 24h, not %q", what, s)
	}
	return d, nil
}

func (r *reader) pattern(n ast.Node, what string) (*regexp.Regexp, error) {
	s, err := r.text(n, what)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, r.errorf(n, "%s is not a regular expression: %s", what,
			strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}

func (r *reader) word(n ast.Node, what string, known ...string) (string, error) {
	s, err := r.text(n, what)
	if err != nil {
		return "", err
	}
	if slices.Contains(known, s) {
		return s, nil
	}
	return "", r.errorf(n, "%s", unknown(what, s, known))
}

// kind names a node as a person would.
func kind(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.AliasNode, *ast.AnchorNode:
		return "an anchor, which is not read here"
	case *ast.TagNode:
		return "a tag, which is not read here"
	}
	return "this"
}
