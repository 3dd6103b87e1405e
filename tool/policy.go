package tool

import (
	"path"

	"github.com/orpine-run/orpine/durable"
)

// Policy says what becomes of a call before it is made. Of the rules that name a tool, one
// that denies beats one that asks, and that one beats one that allows. A rule is the name of
// a tool, or has * for any part of one.
type Policy struct {
	Deny    []string `json:"deny,omitempty"`
	Ask     []string `json:"ask,omitempty"`
	Allow   []string `json:"allow,omitempty"`
	Default Verdict  `json:"default,omitempty"` // for tools without a rule: Ask, or Allow where there are no rules at all
}

// Verdict is what a policy says of a call.
type Verdict string

// The verdicts.
const (
	Allow Verdict = "allow" // it is made
	Ask   Verdict = "ask"   // a person decides
	Deny  Verdict = "deny"  // it is refused, and the model is told
)

// Verdict returns what becomes of a call of a tool, and the rule that says so.
func (p Policy) Verdict(name string) (Verdict, string) {
	for _, level := range []struct {
		verdict Verdict
		rules   []string
	}{{Deny, p.Deny}, {Ask, p.Ask}, {Allow, p.Allow}} {
		for _, rule := range level.rules {
			if Matches(rule, name) {
				return level.verdict, string(level.verdict) + " " + rule
			}
		}
	}
	switch {
	case p.Default != "":
		return p.Default, "default " + string(p.Default)
	case len(p.Deny)+len(p.Ask)+len(p.Allow) > 0:
		return Ask, "no rule names it"
	}
	return Allow, "there are no rules"
}

// Check refuses a policy that cannot be meant. Error: invalid.
func (p Policy) Check() error {
	switch p.Default {
	case "", Allow, Ask, Deny:
	default:
		return durable.Errorf(durable.CodeInvalid, "the default of a policy is allow, ask or deny, not %q", p.Default)
	}
	for _, rules := range [][]string{p.Deny, p.Ask, p.Allow} {
		for _, rule := range rules {
			if _, err := path.Match(rule, ""); err != nil || rule == "" {
				return durable.Errorf(durable.CodeInvalid, "rule %q is no name of a tool, nor a pattern of one", rule)
			}
		}
	}
	return nil
}
