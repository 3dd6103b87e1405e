package tool

import (
	"encoding/json"
	"net/url"
	"path"
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
// substitution or a redirection. To deny commands keeps a model from what it should not do; it
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
	PathSubject SubjectKind = "path" // cleaned, so that a/../b is b
	URLSubject  SubjectKind = "url"  // with a host in lower case and without a user
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
	about  []string // what the call is about: a text, or the commands of a line
	plain  bool     // there is nothing else in the line
	read   bool
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

// subject is what the call is about; none when the tool has no subject, or the call does not name it.
func (a *argument) subject() (texts []string, plain bool) {
	if a.read {
		return a.about, a.plain
	}
	a.read, a.plain = true, true
	text, ok := a.args()[a.Tool.Subject.Arg].(string)
	switch {
	case !ok || a.Tool.Subject.Arg == "":
	case a.line():
		a.about, a.plain = commandsOf(text)
	case a.Tool.Subject.Kind == PathSubject:
		a.about = []string{path.Clean(text)}
	case a.Tool.Subject.Kind == URLSubject:
		a.about = []string{cleanURL(text)}
	default:
		a.about = []string{text}
	}
	return a.about, a.plain
}

func (a *argument) line() bool { return a.Tool.Subject.Kind == LineSubject }

// cleanURL is a URL without what can be written in several ways.
func cleanURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	u.User, u.Host, u.Fragment = nil, strings.ToLower(u.Host), ""
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String()
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
			texts, plain := a.subject()
			if slices.ContainsFunc(texts, func(t string) bool { return like(r.pattern, t) || a.line() && like(r.pattern, bare(t)) }) {
				return level.verdict, string(level.verdict) + " " + r.text
			}
			if !plain {
				unsure = "the line cannot be taken apart, so that " + string(level.verdict) + " " + r.text + " may be meant"
			}
		}
	}
	if unsure != "" {
		return Ask, unsure
	}
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
		texts, plain := a.subject()
		if !plain || len(texts) == 0 {
			continue
		}
		if open < 0 {
			open, covered = len(texts), make([]bool, len(texts))
		}
		for k, t := range texts {
			if !covered[k] && like(r.pattern, t) {
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
