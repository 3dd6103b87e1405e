package tool

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// Policy says what becomes of a call before it is made. Of the rules that fit a call, one that
// denies beats one that asks, and that one beats one that allows.
//
// A rule is NAME, NAME(PATTERN) or either with " if CONDITION" behind it. NAME is that of a tool,
// or has * for any part of one. PATTERN is held against what the call is about, such as the path
// or the command (see Subject), with * for any part of it. CONDITION is an expression in CEL over
// args, tool, agent and tenant; one that fails counts as true where the rule denies or asks, and
// as false where it allows.
//
// A line for a shell is taken apart at ; & | and line breaks. It is denied or asked about when one
// of its commands is, and allowed when all of them are and there is nothing else in it, such as a
// substitution or a redirection. Quotes, and what only says how a command is run, such as sudo, hide
// nothing from who denies or asks. To deny commands keeps a model from what it should not do; it
// does not hold who wants to get around it: for that allow what is needed, and use a sandbox.
type Policy struct {
	Deny  []string `json:"deny,omitempty"`
	Ask   []string `json:"ask,omitempty"`
	Allow []string `json:"allow,omitempty"`
	// Only narrows single tools: a call of a tool that one of these rules names is denied unless they
	// allow it. They allow nothing by themselves.
	Only    []string `json:"only,omitempty"`
	Default Verdict  `json:"default,omitempty"` // for calls that no rule fits: Ask, or Allow where there are no rules at all

	Tenant string `json:"tenant,omitempty"` // it counts for the runs of this tenant only; "" = for all
}

// Verdict is what a policy says of a call.
type Verdict string

// The verdicts.
const (
	Allow Verdict = "allow" // it is made
	Ask   Verdict = "ask"   // a person decides
	Deny  Verdict = "deny"  // it is refused, and the model is told
)

// Subject is what the calls of a tool are about, for the patterns of rules.
type Subject struct {
	Arg  string      `json:"arg"` // the argument, a text
	Kind SubjectKind `json:"kind,omitempty"`
}

// SubjectKind says how a text is read before a pattern is held against it.
type SubjectKind string

// The kinds of subjects.
const (
	TextSubject SubjectKind = ""     // as it is
	PathSubject SubjectKind = "path" // cleaned, so that a/../b is b; who denies a/* denies a too
	// URLSubject is cleaned too: with a host in lower case, without a user and a usual port. A * in the
	// host of a pattern that has a scheme stays within the host.
	URLSubject  SubjectKind = "url"
	LineSubject SubjectKind = "line" // taken apart like a line for a shell
)

// Case is a call that a Judge rules on.
type Case struct {
	Agent, Tenant string
	Tool          Spec
	Args          json.RawMessage // that match its schema
}

// Ruling is what becomes of a call, and why.
type Ruling struct {
	Verdict Verdict `json:"verdict"`
	Rule    string  `json:"rule"`   // the level and the rule, such as "deny files/*", or what else decided
	Policy  int     `json:"policy"` // which of the judge's policies says so, from 0
}

// Judge says what becomes of calls by several policies at once: the strictest counts, so that one
// of them can only narrow what the others allow. It is safe for concurrent use.
type Judge struct{ policies []ruled }

// ruled is a policy whose rules were read.
type ruled struct {
	Policy
	deny, ask, allow, only []rule
}

// NewJudge reads policies. Error: invalid for a rule that cannot be meant.
func NewJudge(policies ...Policy) (*Judge, error) {
	j := &Judge{}
	for _, p := range policies {
		switch p.Default {
		case "", Allow, Ask, Deny:
		default:
			return nil, durable.Errorf(durable.CodeInvalid, "the default of a policy is allow, ask or deny, not %q", p.Default)
		}
		r := ruled{Policy: p}
		for _, level := range []struct {
			texts []string
			rules *[]rule
		}{{p.Deny, &r.deny}, {p.Ask, &r.ask}, {p.Allow, &r.allow}, {p.Only, &r.only}} {
			for _, text := range level.texts {
				one, err := parseRule(text)
				if err != nil {
					return nil, &durable.Error{Code: durable.CodeInvalid, Op: "permissions", Err: err}
				}
				*level.rules = append(*level.rules, one)
			}
		}
		j.policies = append(j.policies, r)
	}
	return j, nil
}

// Check refuses a policy that cannot be meant. Error: invalid.
func (p Policy) Check() error {
	_, err := NewJudge(p)
	return err
}

// Rule says what becomes of a call. Without policies all calls are made.
func (j *Judge) Rule(c Case) Ruling {
	ruling := Ruling{Verdict: Allow, Rule: "there are no rules"}
	a := &argument{Case: c}
	for i := range j.policies {
		p := &j.policies[i]
		if p.Tenant != "" && p.Tenant != c.Tenant {
			continue
		}
		verdict, rule := p.rule(a)
		if strictness(verdict) >= strictness(ruling.Verdict) { // the innermost one says it best
			ruling = Ruling{Verdict: verdict, Rule: rule, Policy: i}
		}
	}
	return ruling
}

func strictness(v Verdict) int { return slices.Index([]Verdict{Allow, Ask, Deny}, v) }

// argument is a case of which the parts are read once, when they are asked for.
type argument struct {
	Case
	values map[string]any
	about  *subject // what the call is about; nil = it was not read yet
}

func (a *argument) args() map[string]any {
	if a.values == nil {
		a.values = map[string]any{}
		_ = json.Unmarshal(a.Args, &a.values) // they have passed the schema
	}
	return a.values
}

func (a *argument) variables() map[string]any {
	return map[string]any{"args": a.args(), "tool": a.Tool.Name, "agent": a.Agent, "tenant": a.Tenant}
}

// subject is what the call is about; nothing when the tool has no subject, or the call does not
// name it.
func (a *argument) subject() *subject {
	if a.about != nil {
		return a.about
	}
	a.about = &subject{plain: true, sure: true}
	if text, ok := a.args()[a.Tool.Subject.Arg].(string); ok && a.Tool.Subject.Arg != "" {
		*a.about = subjectOf(a.Tool.Subject.Kind, text)
	}
	return a.about
}

// means reports whether a pattern that denies or asks may mean the call.
func (a *argument) means(pattern string) bool {
	return slices.ContainsFunc(a.subject().guises, func(guises []string) bool {
		return slices.ContainsFunc(guises, func(g string) bool { return a.Tool.Subject.Kind.fits(pattern, g) })
	})
}

// rule says what becomes of a call by one policy.
func (p *ruled) rule(a *argument) (Verdict, string) {
	if slices.ContainsFunc(p.only, func(r rule) bool { return Matches(r.name, a.Tool.Name) }) {
		if _, ok := allows(p.only, a); !ok {
			return Deny, "only " + strings.Join(p.Only, ", ")
		}
	}
	unsure := ""
	for _, level := range []struct {
		verdict Verdict
		rules   []rule
	}{{Deny, p.deny}, {Ask, p.ask}} {
		for i := range level.rules {
			r := &level.rules[i]
			if !Matches(r.name, a.Tool.Name) || !r.holds(a.variables, true) {
				continue
			}
			if !r.has {
				return level.verdict, string(level.verdict) + " " + r.text
			}
			if a.means(r.pattern) {
				return level.verdict, string(level.verdict) + " " + r.text
			}
			if !a.subject().sure {
				unsure = "it cannot be told what it does, so that " + string(level.verdict) + " " + r.text + " may be meant"
			}
		}
	}
	verdict, by := p.rest(a)
	if unsure != "" && verdict != Deny {
		return Ask, unsure
	}
	return verdict, by
}

// rest says what becomes of a call that no rule denies or asks about.
func (p *ruled) rest(a *argument) (Verdict, string) {
	if text, ok := allows(p.allow, a); ok {
		return Allow, "allow " + text
	}
	switch {
	case p.Default != "":
		return p.Default, "default " + string(p.Default)
	case len(p.deny)+len(p.ask)+len(p.allow) > 0:
		return Ask, "no rule fits it"
	}
	return Allow, "there are no rules"
}

// allows reports whether rules allow a call, and which: all the commands of a line must be.
func allows(rules []rule, a *argument) (string, bool) {
	var by []string
	open := -1 // what the call is about, as far as it is not allowed; -1 = not looked at yet
	var covered []bool
	for i := range rules {
		r := &rules[i]
		if !Matches(r.name, a.Tool.Name) || !r.holds(a.variables, false) {
			continue
		}
		if !r.has {
			return r.text, true
		}
		about := a.subject()
		if !about.plain || len(about.texts) == 0 {
			continue
		}
		if open < 0 {
			open, covered = len(about.texts), make([]bool, len(about.texts))
		}
		for k, t := range about.texts {
			if !covered[k] && a.Tool.Subject.Kind.fits(r.pattern, t) {
				covered[k] = true
				open--
				if !slices.Contains(by, r.text) {
					by = append(by, r.text)
				}
			}
		}
	}
	return strings.Join(by, " and "), open == 0
}
