package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds that keep a hostile file cheap. The parser is quadratic in the keys of a
// mapping and in the depth of brackets, so tokens are counted before it starts.
const (
	maxTokens = 30_000 // comments not counted
	maxNodes  = 50_000 // after aliases and merge keys are expanded
	maxDepth  = 100
)

type nodeKind int

const (
	scalar nodeKind = iota
	list
	mapping
	broken // its problem is reported already
)

// node is a value of the file with its place. Aliases and merge keys are resolved;
// the text of a scalar is as written, its variables not yet filled in.
type node struct {
	position
	kind    nodeKind
	text    string // scalar
	plain   bool   // scalar without quotes: null, true and numbers are told by the text
	filled  bool   // scalar that held a variable: it may be text or a number
	entries []entry
	items   []*node
}

// entry is a key of a mapping and its value.
type entry struct {
	position
	name  string
	value *node
}

// find returns the value of a key, an empty node where there is none.
func (n *node) find(name string) *node {
	for _, e := range n.entries {
		if e.name == name {
			return e.value
		}
	}
	return &node{kind: broken}
}

func (n *node) has(name string) bool {
	return slices.ContainsFunc(n.entries, func(e entry) bool { return e.name == name })
}

// isNull says whether a scalar stands for nothing.
func (n *node) isNull() bool {
	return n.kind == scalar && n.plain && slices.Contains([]string{"", "~", "null", "Null", "NULL"}, n.text)
}

// isText says whether a scalar is a string to YAML: in quotes, or nothing else.
func (n *node) isText() bool {
	return n.kind == scalar && (!n.plain || !n.isNull() && n.text != "true" && n.text != "false" && !isNumber(n.text))
}

// isNumber says whether text is a decimal number. The other spellings of YAML
// (0x1f, 012, 1_000) are not taken for numbers: they are read differently by
// different readers.
func isNumber(text string) bool {
	return text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && json.Valid([]byte(text))
}

// String describes the value to a person who expected something else.
func (n *node) String() string {
	switch {
	case n.kind == list:
		return "a list"
	case n.kind == mapping && len(n.entries) == 0:
		return "an empty one"
	case n.kind == mapping:
		return "a mapping"
	case n.isNull():
		return "nothing"
	}
	const shown = 40
	if runes := []rune(n.text); len(runes) > shown {
		return strconv.Quote(string(runes[:shown]) + "…")
	}
	return strconv.Quote(n.text)
}

// readTree reads the YAML. It returns nil where nothing can be checked; the
// reasons are in the report.
func readTree(rep *report, data []byte) *node {
	start := position{1, 1}
	if len(data) > maxBytes {
		rep.add(start, "", "the file is larger than 1 MB", "split it")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	rep.lines = strings.Split(strings.ToValidUTF8(string(data), "\uFFFD"), "\n")
	if !readable(rep, data) {
		return nil
	}
	body := parseYAML(rep, string(data))
	if body == nil {
		return nil
	}
	b := &builder{report: rep, anchors: map[string]ast.Node{}}
	root := b.build(body, start, 0)
	switch {
	case b.full:
		return nil
	case root.kind == mapping:
		root.position = start
		return root
	case root.isNull():
		rep.add(start, "", "the file is empty", "start with an agents section")
	case root.kind != broken:
		rep.add(root.position, "", "the file must be a mapping of sections, not "+root.String(), "start with an agents section")
	}
	return nil
}

// readable refuses what is not UTF-8 text.
func readable(rep *report, data []byte) bool {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			rep.add(position{line, column}, "", fmt.Sprintf("byte 0x%02x is not UTF-8 text", data[i]), "save the file as UTF-8")
			return false
		case r < ' ' && r != '\n' && r != '\t', r == 0x7f:
			rep.add(position{line, column}, "", fmt.Sprintf("control character U+%04X", r), "is this a text file?")
			return false
		case r == '\n':
			line, column = line+1, 0
		}
		column++
		i += size
	}
	return true
}

// parseYAML returns the one document of the file, nil where there is a problem.
func parseYAML(rep *report, text string) (body ast.Node) {
	defer func() {
		if p := recover(); p != nil { // the parser's fault must not take the process with it
			rep.add(position{1, 1}, "", "not valid YAML", "the reader gave up without saying where")
			body = nil
		}
	}()
	tokens := lexer.Tokenize(text)
	if at, limit := tooMuch(tokens); limit != "" {
		rep.add(at, "", limit, "")
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		syntaxProblem(rep, err)
		return nil
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case doc.Body.Type() == ast.DirectiveType:
			rep.add(place(doc.Body), "", "a YAML directive is not supported", "remove the line")
			return nil
		case body != nil:
			at := place(doc.Body)
			if doc.Start != nil {
				at = position{doc.Start.Position.Line, doc.Start.Position.Column}
			}
			rep.add(at, "", "a second document starts here", "keep one document per file")
			return nil
		default:
			body = doc.Body
		}
	}
	if body == nil {
		rep.add(position{1, 1}, "", "the file is empty", "start with an agents section")
	}
	return body
}

// tooMuch returns the first bound the tokens break, and where.
func tooMuch(tokens token.Tokens) (at position, limit string) {
	count, depth := 0, 0
	for _, t := range tokens {
		switch t.Type { //nolint:exhaustive // only these bear on the bounds
		case token.CommentType:
			continue
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		}
		count++
		at = position{t.Position.Line, t.Position.Column}
		if count > maxTokens {
			return at, fmt.Sprintf("the file has more than %d words and marks", maxTokens)
		}
		if depth > maxDepth {
			return at, fmt.Sprintf("nested deeper than %d levels", maxDepth)
		}
	}
	return at, ""
}

// syntaxProblem reports the parser's error in our words where we know better.
func syntaxProblem(rep *report, err error) {
	var syntax interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		rep.add(position{1, 1}, "", "not valid YAML: "+err.Error(), "")
		return
	}
	p := syntax.GetToken().Position
	source := rep.lines[max(0, min(p.Line, len(rep.lines))-1)]
	indent := source[:len(source)-len(strings.TrimLeft(source, " \t"))]
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		rep.add(position{p.Line, tab + 1}, "", "the line is indented with a tab", "indent with spaces")
		return
	}
	hint := ""
	if strings.Contains(source, "${") {
		hint = `inside { } and [ ] a ${VARIABLE} needs quotes: "${VARIABLE}"`
	}
	rep.add(position{p.Line, p.Column}, "", "not valid YAML: "+syntax.GetMessage(), hint)
}

func place(n ast.Node) position {
	p := n.GetToken().Position
	return position{p.Line, p.Column}
}

// builder turns the parser's tree into ours.
type builder struct {
	*report

	anchors map[string]ast.Node
	nodes   int
	full    bool // a bound is broken; nothing more is built
}

// build returns the value of n. A block of several lines is placed at owner, the
// key that holds it, everything else where it starts itself.
func (b *builder) build(n ast.Node, owner position, depth int) *node {
	if b.full {
		return &node{position: owner, kind: broken}
	}
	b.nodes++
	if b.nodes > maxNodes {
		b.full = true
		return b.broken(place(n), fmt.Sprintf("the file grows past %d values once its aliases are filled in", maxNodes), "")
	}
	if depth > maxDepth {
		b.full = true
		return b.broken(place(n), fmt.Sprintf("nested deeper than %d levels", maxDepth), "")
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		if n.IsFlowStyle {
			owner = place(n)
		}
		return b.mapping(n.Values, owner, depth)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{n}, owner, depth)
	case *ast.SequenceNode:
		if n.IsFlowStyle {
			owner = place(n)
		}
		out := &node{position: owner, kind: list}
		for _, v := range n.Values {
			out.items = append(out.items, b.build(v, place(v), depth+1))
		}
		return out
	case *ast.AnchorNode:
		out := b.build(n.Value, owner, depth+1)
		// Known from here on only: a value that holds itself would never end.
		b.anchors[n.Name.GetToken().Value] = n.Value
		return out
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, ok := b.anchors[name]
		if !ok {
			return b.broken(place(n), fmt.Sprintf("no anchor &%s stands before this alias", name), "")
		}
		out := b.build(target, place(n), depth+1)
		out.position = place(n)
		return out
	case *ast.LiteralNode:
		return &node{position: place(n), text: n.Value.Value}
	case *ast.TagNode:
		return b.broken(place(n), fmt.Sprintf("the tag %s is not supported", n.Start.Value), "remove it; put quotes around what is meant as text")
	case *ast.NullNode:
		return &node{position: owner, plain: true}
	case ast.ScalarNode:
		t := n.GetToken()
		quoted := t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType
		return &node{position: place(n), text: t.Value, plain: !quoted}
	}
	return b.broken(place(n), "not valid YAML here", "")
}

func (b *builder) broken(at position, text, hint string) *node {
	b.add(at, "", text, hint)
	return &node{position: at, kind: broken}
}

// mapping builds a mapping. Its own keys win over merged ones wherever they stand.
func (b *builder) mapping(values []*ast.MappingValueNode, at position, depth int) *node {
	out := &node{position: at, kind: mapping}
	first := map[string]int{} // key -> its line
	var merged []*node
	for _, v := range values {
		key := ast.Node(v.Key)
		if k, ok := key.(*ast.MappingKeyNode); ok {
			key = k.Value
		}
		if v.Key.IsMergeKey() {
			merged = append(merged, b.build(v.Value, place(key), depth+1))
			continue
		}
		s, ok := key.(ast.ScalarNode)
		if !ok || key.Type() == ast.TagType || key.Type() == ast.AnchorType || key.Type() == ast.AliasType {
			b.add(place(v.Key), "", "a key must be plain text", "")
			continue
		}
		name := s.GetToken().Value
		if line, ok := first[name]; ok {
			b.add(place(key), "", fmt.Sprintf("duplicate key %q", name), fmt.Sprintf("it stands on line %d already", line))
			continue
		}
		first[name] = place(key).line
		out.entries = append(out.entries, entry{place(key), name, b.build(v.Value, place(key), depth+1)})
	}
	for _, m := range merged {
		b.merge(out, m, first)
	}
	return out
}

// merge adds the keys of a << value that are not in the mapping yet.
func (b *builder) merge(into, from *node, have map[string]int) {
	switch from.kind {
	case mapping:
		for _, e := range from.entries {
			if _, ok := have[e.name]; !ok {
				have[e.name] = e.line
				into.entries = append(into.entries, e)
			}
		}
	case list:
		for _, item := range from.items {
			if item.kind == list {
				b.add(item.position, "", "<< takes a mapping or a list of mappings", "")
				continue
			}
			b.merge(into, item, have)
		}
	case scalar:
		b.add(from.position, "", "<< takes a mapping or a list of mappings, not "+from.String(), "")
	case broken:
	}
}
