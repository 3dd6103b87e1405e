package script

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/orpine-run/orpine/model"
)

// Bounds of a script, far above what a person writes.
const (
	maxBytes = 4 << 20
	maxDelay = 24 * time.Hour
)

// Script is a parsed script. It does not change and is safe for concurrent use.
type Script struct {
	name  string
	model string // what replies are signed with; the asked name when empty
	rules []rule
}

type rule struct {
	line  int
	name  string
	when  conditions
	times int // 0 = always
	fail  *failure
	reply *reply
}

type conditions struct {
	turn, round *span
	lastUser    *regexp.Regexp
	lastTool    string
	lastResult  *regexp.Regexp
	contains    string
	system      *regexp.Regexp
	model       string
	offers      string
	output      *bool
}

// span is a range of turns; high 0 means no end.
type span struct{ low, high int }

func (s span) holds(n int) bool { return n >= s.low && (s.high == 0 || n <= s.high) }

func (s span) String() string {
	switch {
	case s.low == s.high:
		return fmt.Sprint(s.low)
	case s.high == 0:
		return fmt.Sprintf("%d..", s.low)
	}
	return fmt.Sprintf("%d..%d", s.low, s.high)
}

type failure struct {
	status     int
	code       string
	retryAfter time.Duration
	message    string
	times      int // 0 = always
}

type reply struct {
	reasoning template
	text      template
	json      *value
	calls     []call
	usage     *model.Usage
	stop      model.Stop
	delay     time.Duration
	chunk     int
	cut       int // -1 = not
	garbage   bool
	hang      bool
}

type call struct {
	name      string
	args      *value
	malformed template
	broken    bool // malformed was given
}

// Load reads and parses the script file at path.
func Load(path string) (*Script, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the caller names the file on purpose
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a script; name is what errors call it. What is wrong with it comes
// back as a *[SyntaxError].
func Parse(name string, data []byte) (*Script, error) {
	r := &reader{file: name}
	if len(data) > maxBytes {
		return nil, &SyntaxError{File: name, Message: fmt.Sprintf("the script has %d bytes, more than %d", len(data), maxBytes)}
	}
	for line := range strings.Lines(string(data)) {
		r.lines = append(r.lines, strings.TrimRight(line, "\r\n"))
	}
	root, err := r.parse(data)
	if err != nil {
		return nil, err
	}
	s := &Script{name: name}
	err = r.fields(root, "the script",
		field{"model", func(n ast.Node) (err error) { s.model, err = r.text(n, "model"); return err }},
		field{"rules", func(n ast.Node) error { return r.rules(n, s) }},
	)
	if err != nil {
		return nil, err
	}
	if len(s.rules) == 0 {
		return nil, r.errorf(root, "the script has no rules")
	}
	return s, nil
}

// Name is the name the script was parsed under.
func (s *Script) Name() string { return s.name }

// ModelName is what the script calls its model: its `model:`, or the base name of
// its file without the extension.
func (s *Script) ModelName() string {
	if s.model != "" {
		return s.model
	}
	base := filepath.Base(s.name)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

func (r *reader) rules(n ast.Node, s *Script) error {
	items, err := r.sequence(n, "rules")
	if err != nil {
		return err
	}
	for _, item := range items {
		ru, err := r.rule(item)
		if err != nil {
			return err
		}
		s.rules = append(s.rules, ru)
	}
	return nil
}

// rule reads the conditions first, whatever the order of the fields, since they
// decide which groups the reply may use.
func (r *reader) rule(n ast.Node) (rule, error) {
	ru := rule{line: n.GetToken().Position.Line}
	var when, answer, fail ast.Node
	keep := func(to *ast.Node) func(ast.Node) error {
		return func(n ast.Node) error { *to = n; return nil }
	}
	err := r.fields(n, "a rule",
		field{"name", func(n ast.Node) (err error) { ru.name, err = r.text(n, "name"); return err }},
		field{"when", keep(&when)},
		field{"times", func(n ast.Node) (err error) { ru.times, err = r.int(n, "times", 1, 1<<30); return err }},
		field{"reply", keep(&answer)},
		field{"error", keep(&fail)},
	)
	if err != nil {
		return rule{}, err
	}
	if when != nil {
		if ru.when, err = r.conditions(when); err != nil {
			return rule{}, err
		}
	}
	if fail != nil {
		if ru.fail, err = r.failure(fail); err != nil {
			return rule{}, err
		}
	}
	if answer != nil {
		if ru.reply, err = r.reply(answer, ru.when.scope()); err != nil {
			return rule{}, err
		}
	}
	switch {
	case answer == nil && fail == nil:
		return rule{}, r.errorf(n, "a rule needs reply: or error:")
	case answer != nil && fail != nil && ru.fail.times == 0:
		return rule{}, r.errorf(answer, "this reply is never reached: give the error times: how often it happens first")
	}
	return ru, nil
}

func (r *reader) conditions(n ast.Node) (conditions, error) {
	var c conditions
	pattern := func(what string, to **regexp.Regexp) field {
		return field{what, func(n ast.Node) (err error) { *to, err = r.pattern(n, what); return err }}
	}
	text := func(what string, to *string) field {
		return field{what, func(n ast.Node) (err error) {
			if *to, err = r.text(n, what); err == nil && *to == "" {
				err = r.errorf(n, "%s is empty", what)
			}
			return err
		}}
	}
	turns := func(what string, to **span) field {
		return field{what, func(n ast.Node) (err error) { *to, err = r.span(n, what); return err }}
	}
	err := r.fields(n, "when",
		turns("turn", &c.turn), turns("round", &c.round),
		pattern("last_user", &c.lastUser), text("last_tool", &c.lastTool), pattern("last_result", &c.lastResult),
		text("contains", &c.contains), pattern("system", &c.system), text("model", &c.model), text("offers", &c.offers),
		field{"output", func(n ast.Node) error {
			b, err := r.bool(n, "output")
			c.output = &b
			return err
		}},
	)
	return c, err
}

// scope lists what a reply of this rule may refer to.
func (c conditions) scope() scope {
	sc := scope{names: map[string]bool{}}
	if c.lastUser != nil {
		sc.groups = c.lastUser.NumSubexp()
	}
	for _, re := range []*regexp.Regexp{c.lastUser, c.lastResult, c.system} {
		if re == nil {
			continue
		}
		for _, name := range re.SubexpNames() {
			if name != "" {
				sc.names[name] = true
			}
		}
	}
	return sc
}

func (r *reader) span(n ast.Node, what string) (*span, error) {
	if _, ok := n.(*ast.IntegerNode); ok {
		v, err := r.int(n, what, 1, 1<<30)
		return &span{v, v}, err
	}
	text, err := r.text(n, what)
	if err != nil {
		return nil, err
	}
	low, high, ranged := strings.Cut(text, "..")
	s := &span{low: 1}
	parse := func(text string, to *int) bool {
		if text == "" {
			return true
		}
		_, err := fmt.Sscanf(text, "%d", to)
		return err == nil && *to > 0 && fmt.Sprint(*to) == text
	}
	if !ranged || text == ".." || !parse(low, &s.low) || !parse(high, &s.high) || s.high != 0 && s.high < s.low {
		return nil, r.errorf(n, `%s is a number from 1, or a range such as "2..", "..4" or "2..4", not %q`, what, text)
	}
	return s, nil
}
