package config

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

var variableName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })

// expand fills in the variables of a scalar: ${NAME} and ${NAME:-default}; $$ is a
// dollar sign, ${{ … }} and ${secret:NAME} are left alone for who reads them. What was
// filled in counts as plain, so that a number may come from a variable.
func (c *checker) expand(n *node, path string) (*node, bool) {
	if !strings.Contains(n.text, "$") {
		return n, true
	}
	out := &node{position: n.position, plain: n.plain}
	var b strings.Builder
	filled, ok := false, true
	for rest := n.text; rest != ""; {
		before, after, found := strings.Cut(rest, "$")
		b.WriteString(before)
		if !found {
			break
		}
		switch {
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			rest = after[1:]
		case strings.HasPrefix(after, "{{"):
			expr, tail, closed := strings.Cut(after, "}}")
			b.WriteString("$" + expr)
			if closed {
				b.WriteString("}}")
			}
			rest = tail
		case strings.HasPrefix(after, secretRef):
			name, tail, _ := strings.Cut(after, "}") // the broker of secrets says what is wrong with it
			b.WriteString("$" + name + "}")
			rest = tail
		case strings.HasPrefix(after, "{"):
			inside, tail, closed := strings.Cut(after[1:], "}")
			value, fine := c.variable(n, path, inside, closed)
			b.WriteString(value)
			rest, filled, ok = tail, true, ok && fine
		default:
			b.WriteByte('$')
			rest = after
		}
	}
	out.text = b.String()
	out.filled = filled
	return out, ok
}

// secretRef begins the name of a secret, behind the dollar sign. It is filled in at the last
// moment, so that it is in no definition.
const secretRef = "{secret:"

// variable returns the value of what stands between the braces.
func (c *checker) variable(n *node, path, inside string, closed bool) (string, bool) {
	name, fallback, hasFallback := strings.Cut(inside, ":-")
	switch {
	case !closed:
		c.add(c.locate(n, "${"+inside), path, "${ without a closing }", "write $$ for a dollar sign")
		return "", false
	case !variableName().MatchString(name):
		c.add(c.locate(n, "${"+inside), path, fmt.Sprintf("${%s} is not a variable", inside), "write ${NAME}, ${NAME:-default}, or $$ for a dollar sign")
		return "", false
	}
	value, set := c.env(name)
	switch {
	case set && (value != "" || !hasFallback):
		return value, true
	case hasFallback:
		return fallback, true
	}
	c.add(c.locate(n, "${"+inside), path, fmt.Sprintf("the variable %s is not set", name),
		fmt.Sprintf("set it, or give a default: ${%s:-default}", name))
	return "", false
}

// locate finds text at or after the start of n, so that a problem inside a long
// scalar points at its own line.
func (c *checker) locate(n *node, text string) position {
	text, _, _ = strings.Cut(text, "\n")
	from := n.column - 1
	for line := n.line; line <= len(c.lines) && line <= n.line+1+strings.Count(n.text, "\n"); line++ {
		runes := []rune(c.lines[line-1])
		from = min(from, len(runes))
		if i := strings.Index(string(runes[from:]), text); i >= 0 {
			return position{line, from + len([]rune(string(runes[from:])[:i])) + 1}
		}
		from = 0
	}
	return n.position
}
