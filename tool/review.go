package tool

import (
	"fmt"
	"slices"
	"strings"
)

// Finding is something odd about a policy: a rule that changes nothing, or a tool that nobody may
// call.
type Finding struct {
	Level string // deny, ask or allow, of a rule; "" for a tool
	Tool  string // that may never be called
	Index int    // of the rule in its level
	Text  string // what is odd, and how to mend it
}

// Review looks through a policy for rules that never fit a call, rules that others always beat, and
// tools that may never be called. The specs are those of all tools that it is meant for; open says
// that there may be more, as of an MCP server that was not asked yet, whose names match one of the
// patterns. Error: invalid for a policy that cannot be meant.
func (p Policy) Review(specs []Spec, open []string) ([]Finding, error) {
	j, err := NewJudge(p)
	if err != nil {
		return nil, err
	}
	v := review{ruled: &j.policies[0], specs: specs, open: open}
	v.level(string(Deny), v.deny, nil)
	v.level(string(Ask), v.ask, v.deny)
	v.level(string(Allow), v.allow, slices.Concat(v.deny, v.ask))
	for _, s := range specs {
		if rule := v.never(s.Name); rule != "" {
			v.found = append(v.found, Finding{Tool: s.Name, Text: fmt.Sprintf("the tool %s may never be called (%s): take it out of tools, or change the rule", s.Name, rule)})
		}
	}
	return v.found, nil
}

type review struct {
	*ruled
	specs []Spec
	open  []string
	found []Finding
}

// level looks through the rules of one level; those above beat them.
func (v *review) level(name string, rules, above []rule) {
	for i := range rules {
		r := &rules[i]
		add := func(format string, args ...any) {
			v.found = append(v.found, Finding{Level: name, Index: i, Text: fmt.Sprintf("%s %s ", name, r.text) + fmt.Sprintf(format, args...)})
		}
		names := v.named(r)
		maybe := slices.ContainsFunc(v.open, func(pattern string) bool { return meet(pattern, r.name) })
		subject := slices.ContainsFunc(names, func(s Spec) bool { return s.Subject.Arg != "" })
		switch {
		case len(names) == 0 && !maybe:
			add("names no tool that there is: %s", orNone(namesOf(v.specs)))
		case r.has && !subject && !maybe:
			add("never fits: no argument of %s is what its rules are about; write %s if args.… instead", orNone(namesOf(names)), r.name)
		default:
			if by := covers(above, r, names, maybe); by != "" {
				add("never counts: %s beats it", by)
			} else if by := covers(rules[:i], r, names, maybe); by != "" {
				add("changes nothing: %s says so already", by)
			}
		}
	}
}

// named are the tools that a rule names.
func (v *review) named(r *rule) []Spec {
	var list []Spec
	for _, s := range v.specs {
		if Matches(r.name, s.Name) {
			list = append(list, s)
		}
	}
	return list
}

func namesOf(specs []Spec) []string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	return names
}

// covers is the first of the rules that fits every call that another one fits; "" = none does. What
// may be more than the names that are known is covered by a pattern that is the same, or * alone.
func covers(rules []rule, r *rule, names []Spec, maybe bool) string {
	for i := range rules {
		o := &rules[i]
		if o.when != nil && (r.when == nil || tail(o.text) != tail(r.text)) {
			continue
		}
		if o.has && (!r.has || !like(o.pattern, r.pattern)) {
			continue
		}
		all := o.name == r.name || o.name == "*"
		if !all && maybe {
			continue
		}
		if all || !slices.ContainsFunc(names, func(s Spec) bool { return !Matches(o.name, s.Name) }) {
			return o.text
		}
	}
	return ""
}

// tail is the condition of a rule, as it is written.
func tail(rule string) string {
	_, condition, _ := strings.Cut(rule, " if ")
	return strings.TrimSpace(condition)
}

// meet reports whether two patterns of names may name the same tool, by what stands before their
// first *.
func meet(a, b string) bool {
	a, _, wideA := strings.Cut(a, "*")
	b, _, wideB := strings.Cut(b, "*")
	switch {
	case wideA && wideB:
		return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
	case wideA:
		return strings.HasPrefix(b, a)
	case wideB:
		return strings.HasPrefix(a, b)
	}
	return a == b
}

// never is the rule by which no call of a tool is ever made; "" = some may be.
func (v *review) never(name string) string {
	for i := range v.deny {
		if r := &v.deny[i]; r.when == nil && !r.has && Matches(r.name, name) {
			return "deny " + r.text
		}
	}
	if v.Default != Deny {
		return ""
	}
	for _, rules := range [][]rule{v.ask, v.allow} {
		if slices.ContainsFunc(rules, func(r rule) bool { return Matches(r.name, name) }) {
			return ""
		}
	}
	return "default deny"
}
