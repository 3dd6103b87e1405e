package tool

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/expr"
)

// rule is one line of a policy: NAME, NAME(PATTERN) or either with " if CONDITION" behind it.
type rule struct {
	text    string
	name    string // a pattern of names
	pattern string // of what the call is about, where has is set
	has     bool
	when    *expr.Expression // nil = always
}

// conditions are what the conditions of rules may speak of.
var conditions = sync.OnceValue(func() *expr.Space { return expr.NewSpace("args", "tool", "agent", "tenant") })

// parseRule reads a rule. The error says what is wrong with it.
func parseRule(text string) (rule, error) {
	r := rule{text: text}
	rest := strings.TrimSpace(text)
	if rest == "" {
		return r, errors.New("a rule is empty")
	}
	end := strings.IndexAny(rest, "( ")
	if end < 0 {
		end = len(rest)
	}
	r.name, rest = rest[:end], rest[end:]
	if _, err := path.Match(r.name, ""); err != nil || r.name == "" {
		return r, fmt.Errorf("rule %q: %q is no name of a tool, nor a pattern of one", text, r.name)
	}
	if strings.HasPrefix(rest, "(") {
		pattern, behind, conditional := strings.Cut(rest[1:], ") if ")
		if conditional {
			rest = " if " + behind
		} else if before, closed := strings.CutSuffix(pattern, ")"); closed {
			pattern, rest = before, ""
		} else {
			return r, fmt.Errorf("rule %q: a ) is missing at its end", text)
		}
		if pattern == "" {
			return r, fmt.Errorf("rule %q: there is nothing between the brackets; leave them out to mean every call", text)
		}
		r.pattern, r.has = pattern, true
	}
	if rest == "" {
		return r, nil
	}
	condition, ok := strings.CutPrefix(strings.TrimSpace(rest), "if ")
	if !ok {
		return r, fmt.Errorf("rule %q: behind the name may stand (PATTERN), and behind that if CONDITION", text)
	}
	var err error
	if r.when, err = conditions().Condition(strings.TrimSpace(condition)); err != nil {
		return r, fmt.Errorf("rule %q: its condition: %w", text, err)
	}
	return r, nil
}

// holds evaluates the condition of a rule; one that cannot be evaluated gives the other.
func (r *rule) holds(variables func() map[string]any, other bool) bool {
	if r.when == nil {
		return true
	}
	yes, err := r.when.True(variables())
	if err != nil {
		return other
	}
	return yes
}

// like reports whether a text is as a pattern says, in which * stands for any part of a text and
// everything else for itself.
func like(pattern, text string) bool {
	first, pattern, wide := strings.Cut(pattern, "*")
	rest, ok := strings.CutPrefix(text, first)
	if !ok || !wide {
		return ok && rest == ""
	}
	for {
		part, behind, more := strings.Cut(pattern, "*")
		if !more {
			return strings.HasSuffix(rest, part)
		}
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest, pattern = rest[i+len(part):], behind
	}
}
