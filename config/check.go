package config

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/orpine-run/orpine/expr"
	"github.com/orpine-run/orpine/suggest"
)

// keyPattern is what may name an agent, a tool, a model or a table: what every
// provider takes for a tool's name.
const keyPattern = `^[A-Za-z][A-Za-z0-9_-]{0,63}$`

var keyName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(keyPattern) })

// widePattern is what may name a limit.
const widePattern = `^\S{1,200}$`

var wideName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(widePattern) })

// keys is what the names of a table may be, and how to mend one that is not.
func (f field) keys() (*regexp.Regexp, string) {
	if f.wide {
		return wideName(), "use up to 200 characters without blanks, such as model:openai/*"
	}
	return keyName(), "use up to 64 letters, digits, _ and -, and start with a letter"
}

// checker walks the tree along the table of fields. Its methods return the value
// in the form the Go types decode from, and false where there was a problem.
type checker struct {
	*report

	env  func(string) (string, bool)
	base string              // folder relative paths are joined to
	at   map[string]position // path -> place of the value, for the checks that follow
}

// object checks a mapping against the fields of f.
func (c *checker) object(n *node, f field, path string) map[string]any {
	out := map[string]any{}
	for _, e := range n.entries {
		sub, known := fieldNamed(f.fields, e.name)
		here := join(path, e.name)
		switch {
		case !known:
			c.unknown(e, f, path)
		case sub.notYet != "":
			c.add(e.position, here, "not supported yet in this version", sub.notYet)
		default:
			if v, ok := c.value(e.value, sub, here); ok {
				out[e.name] = v
			}
		}
	}
	for _, sub := range f.fields {
		if sub.required && !n.has(sub.name) {
			c.note(n.position, join(path, sub.name), fmt.Sprintf("missing %q", sub.name), fmt.Sprintf("missing field %q%s", sub.name, in(path)), "add "+sub.name+": "+sub.doc)
		}
	}
	return out
}

func (c *checker) unknown(e entry, f field, path string) {
	var known []string
	for _, sub := range f.fields {
		if sub.notYet == "" {
			known = append(known, sub.name)
		}
	}
	said := fmt.Sprintf("unknown field %q", e.name)
	c.note(e.position, join(path, e.name), said, said+in(path), suggest.Name(e.name, known, "known fields"))
}

func fieldNamed(fields []field, name string) (field, bool) {
	for _, f := range fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func in(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// wrong reports a value that is not what its field takes.
func (c *checker) wrong(n *node, path, want string) (any, bool) {
	c.add(n.position, path, fmt.Sprintf("must be %s, not %s", want, n), "")
	return nil, false
}

// value checks one value against its field.
func (c *checker) value(n *node, f field, path string) (any, bool) {
	c.at[path] = n.position
	if n.kind == broken {
		return nil, false
	}
	switch f.is {
	case object:
		return c.one(n, f, path)
	case table, files:
		return c.named(n, f, path)
	case texts:
		return c.texts(n, f, path)
	case rows:
		return c.rows(n, f, path)
	case pairs:
		return c.pairs(n, f, path)
	case anything:
		return c.anything(n, f.raw, path)
	case durations:
		return c.durations(n, path)
	case values:
		return c.values(n, path)
	case steps:
		return c.steps(n, path)
	case verb:
		return c.value(n, field{is: object, fields: verbFields()}, path)
	case shape:
		return c.shape(n, f.loose, path)
	case text, count, amount, number, duration, flag:
	}
	ok := true
	if !f.raw {
		n, ok = c.expand(n, path)
	}
	switch {
	case !ok:
		return nil, false
	case f.is == text && f.place:
		v, ok := c.text(n, f, path)
		if name, text := v.(string); ok && text {
			return c.resolve(name), true
		}
		return v, ok
	case f.is == text:
		return c.text(n, f, path)
	case f.is == duration:
		return c.duration(n, path)
	case f.is == flag:
		return c.flag(n, path)
	}
	return c.number(n, f, path)
}

// one checks an object, or the scalar that is short for it.
func (c *checker) one(n *node, f field, path string) (any, bool) {
	switch {
	case n.kind == mapping:
		return c.object(n, f, path), true
	case f.shortList != "" && n.kind == list:
		sub, _ := fieldNamed(f.fields, f.shortList)
		v, ok := c.value(n, sub, path)
		return map[string]any{f.shortList: v}, ok
	case f.short != "" && n.kind == scalar && !n.isNull():
		sub, _ := fieldNamed(f.fields, f.short)
		v, ok := c.value(n, sub, path)
		return map[string]any{f.short: v}, ok
	}
	return c.wrong(n, path, "a mapping of fields")
}

// named checks a mapping of names: to objects, or to paths. An entry with a
// problem is kept as far as it is right, so that what names it finds it.
func (c *checker) named(n *node, f field, path string) (any, bool) {
	if n.kind != mapping || len(n.entries) == 0 {
		return c.wrong(n, path, "a mapping of names")
	}
	out := map[string]any{}
	for _, e := range n.entries {
		here := join(path, e.name)
		if rule, hint := f.keys(); !rule.MatchString(e.name) {
			c.add(e.position, path, fmt.Sprintf("%q cannot be a name", e.name), hint)
			continue
		}
		if f.is == files {
			v, _ := c.value(e.value, field{is: text}, here)
			if file, ok := v.(string); ok {
				out[e.name] = c.resolve(file)
			}
			continue
		}
		v, ok := c.value(e.value, field{is: object, fields: f.fields, short: f.short}, here)
		if !ok {
			v = map[string]any{}
		}
		out[e.name] = v
	}
	return out, true
}

// resolve joins a relative path to the folder of the file.
func (c *checker) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.base, path)
}

func (c *checker) text(n *node, f field, path string) (any, bool) {
	switch {
	case f.loose && n.kind == scalar && !n.isNull():
		return n.text, true
	case n.kind == scalar && n.plain && !n.filled && !n.isNull() && !n.isText():
		c.add(n.position, path, fmt.Sprintf("must be text, not %s", n.text), fmt.Sprintf("put it in quotes: %q", n.text))
		return nil, false
	case n.kind != scalar, n.isNull() && !n.filled:
		return c.wrong(n, path, "text")
	case strings.TrimSpace(n.text) == "":
		c.add(n.position, path, "must not be empty", "write something, or remove it")
		return nil, false
	case len(f.choices) == 0, slices.Contains(f.choices, n.text):
		return n.text, true
	}
	c.add(n.position, path, fmt.Sprintf("must be one of %s, not %s", strings.Join(f.choices, ", "), n), suggest.Name(n.text, f.choices, ""))
	return nil, false
}

func (c *checker) texts(n *node, f field, path string) (any, bool) {
	if f.words && n.kind == scalar && !n.isNull() {
		return c.words(n, path)
	}
	if f.single && n.kind == scalar && !n.isNull() {
		v, ok := c.value(n, field{is: text, choices: f.choices, raw: f.raw, place: f.place}, path)
		return []any{v}, ok
	}
	if f.none && n.kind == scalar && n.plain && n.text == "false" {
		return []any{}, true
	}
	if n.kind != list {
		return c.wrong(n, path, "a list such as [one, two]")
	}
	out := []any{}
	for i, item := range n.items {
		if v, ok := c.value(item, field{is: text, choices: f.choices, raw: f.raw, place: f.place}, fmt.Sprintf("%s[%d]", path, i)); ok {
			out = append(out, v)
		}
	}
	return out, len(out) == len(n.items)
}

// words takes a text apart at its blanks, but for those in quotes.
func (c *checker) words(n *node, path string) (any, bool) {
	if _, ok := c.text(n, field{is: text}, path); !ok {
		return nil, false
	}
	out := []any{}
	var word strings.Builder
	quote, inside := rune(0), false
	for i, ch := range n.text {
		switch {
		case within(n.text, i): // an expression
			word.WriteRune(ch)
		case quote != 0 && ch == quote:
			quote = 0
		case quote == 0 && (ch == '"' || ch == '\''):
			quote, inside = ch, true
		case quote == 0 && unicode.IsSpace(ch):
			if inside || word.Len() > 0 {
				out = append(out, word.String())
			}
			word.Reset()
			inside = false
		default:
			word.WriteRune(ch)
		}
	}
	if quote != 0 {
		c.add(n.position, path, fmt.Sprintf("a %c is missing at the end", quote), "or write a list, one element for each argument")
		return nil, false
	}
	if inside || word.Len() > 0 {
		out = append(out, word.String())
	}
	if len(out) == 0 {
		return c.wrong(n, path, "a command")
	}
	return out, true
}

// within reports whether a place of a text is in an expression.
func within(text string, i int) bool {
	begin := strings.LastIndex(text[:min(i+len("${{"), len(text))], "${{")
	if begin < 0 || begin > i {
		return false
	}
	end := strings.Index(text[begin:], "}}")
	return end >= 0 && i < begin+end+len("}}")
}

func (c *checker) rows(n *node, f field, path string) (any, bool) {
	if n.kind != list || len(n.items) == 0 {
		return c.wrong(n, path, "a list of mappings")
	}
	out := []any{}
	for i, item := range n.items {
		if v, ok := c.value(item, field{is: object, fields: f.fields, short: f.short}, fmt.Sprintf("%s[%d]", path, i)); ok {
			out = append(out, v)
		}
	}
	return out, len(out) == len(n.items)
}

func (c *checker) pairs(n *node, f field, path string) (any, bool) {
	if n.kind != mapping || len(n.entries) == 0 {
		return c.wrong(n, path, "a mapping of names to texts")
	}
	out := map[string]any{}
	for _, e := range n.entries {
		if v, ok := c.value(e.value, field{is: text, raw: f.raw, place: f.place}, join(path, e.name)); ok {
			out[e.name] = v
		}
	}
	return out, len(out) == len(n.entries)
}

// anything takes a value as JSON has it.
func (c *checker) anything(n *node, raw bool, path string) (any, bool) {
	c.at[path] = n.position
	switch n.kind {
	case broken:
		return nil, false
	case mapping:
		out := map[string]any{}
		for _, e := range n.entries {
			v, ok := c.anything(e.value, raw, join(path, e.name))
			if !ok {
				return nil, false
			}
			out[e.name] = v
		}
		return out, true
	case list:
		out := []any{}
		for i, item := range n.items {
			v, ok := c.anything(item, raw, fmt.Sprintf("%s[%d]", path, i))
			if !ok {
				return nil, false
			}
			out = append(out, v)
		}
		return out, true
	case scalar:
	}
	ok := true
	if !raw {
		n, ok = c.expand(n, path)
	}
	switch {
	case !ok:
		return nil, false
	case n.isNull() && !n.filled:
		return nil, true
	case n.isText() || n.filled:
		return n.text, true
	}
	return json.RawMessage(n.text), true // true, false or a number
}

func (c *checker) flag(n *node, path string) (any, bool) {
	if n.kind != scalar || !n.plain && !n.filled || n.text != "true" && n.text != "false" {
		return c.wrong(n, path, "true or false, without quotes")
	}
	return n.text == "true", true
}

func (c *checker) number(n *node, f field, path string) (any, bool) {
	want := "a number of 0 or more"
	switch f.is { //nolint:exhaustive // the other kinds are no numbers
	case count:
		want = "a whole number above 0"
	case amount:
		want = "a number above 0"
	}
	if f.most > 0 {
		want += fmt.Sprintf(" and at most %g", f.most)
	}
	if n.kind != scalar || !n.plain && !n.filled {
		return c.wrong(n, path, want+", without quotes")
	}
	v, err := strconv.ParseFloat(n.text, 64)
	switch {
	case !isNumber(n.text) || err != nil, v < 0, v == 0 && f.is != number, f.most > 0 && v > f.most:
		return c.wrong(n, path, want)
	case f.is != count:
		return v, true
	case v != math.Trunc(v) || v > math.MaxInt32: // no turn, token or attempt is counted that far
		return c.wrong(n, path, want)
	}
	return int(v), true
}

func (c *checker) duration(n *node, path string) (any, bool) {
	d, ok := expr.ParseDuration(n.text)
	if n.kind != scalar || !ok {
		return c.wrong(n, path, "a duration such as 30s, 15m, 1h30m or 3d")
	}
	return d, true
}
