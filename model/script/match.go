package script

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/orpine-run/orpine/model"
)

// talk is what the conditions look at, drawn once from a request.
type talk struct {
	turn, round int
	number      int // of the next call ids
	system      string
	user        string
	results     []model.ToolResult // the conversation ends with them
	request     model.Request
	model       string
}

func newTalk(name string, req model.Request) talk {
	t := talk{turn: 1, round: 1, request: req, model: name}
	var system []string
	for _, m := range req.Messages {
		switch m.Role {
		case model.System:
			system = append(system, m.Text())
		case model.User:
			t.user, t.round, t.results = m.Text(), 1, nil
		case model.Assistant:
			t.turn++
			t.round++
			t.results = nil
			for _, c := range m.Calls() {
				t.number = max(t.number, numberOf(c.ID))
			}
		case model.ToolRole:
			for _, p := range m.Parts {
				if p.Result != nil {
					t.results = append(t.results, *p.Result)
				}
			}
		}
	}
	t.system = strings.Join(system, "\n")
	// Ids stay unique when old messages were trimmed from the window.
	t.number = max(t.turn, t.number+1)
	return t
}

// numberOf is the turn in a call id that this package made.
func numberOf(id string) int {
	rest, ok := strings.CutPrefix(id, "call_")
	if !ok {
		return 0
	}
	turn, _, _ := strings.Cut(rest, "_")
	n, err := strconv.Atoi(turn)
	if err != nil || n > 1<<30 {
		return 0
	}
	return n
}

// match returns the values for the templates, or why the conditions do not hold.
func (c conditions) match(t talk) (values map[string]string, why string) {
	values = map[string]string{"user": t.user, "turn": strconv.Itoa(t.turn), "result": ""}
	if n := len(t.results); n > 0 {
		values["result"] = t.results[n-1].Content
	}
	switch {
	case c.turn != nil && !c.turn.holds(t.turn):
		return nil, fmt.Sprintf("turn is %d, not %s", t.turn, c.turn)
	case c.round != nil && !c.round.holds(t.round):
		return nil, fmt.Sprintf("round is %d, not %s", t.round, c.round)
	case c.model != "" && c.model != t.model:
		return nil, fmt.Sprintf("model is %q, not %q", t.model, c.model)
	case c.contains != "" && !t.contains(c.contains):
		return nil, fmt.Sprintf("no message contains %q", c.contains)
	case c.offers != "" && !t.offers(c.offers):
		return nil, fmt.Sprintf("no tool %q is offered", c.offers)
	case c.output != nil && *c.output != (len(t.request.Output) > 0):
		return nil, fmt.Sprintf("output is %t", !*c.output)
	case c.lastTool != "" && !t.ended(c.lastTool):
		return nil, fmt.Sprintf("the conversation does not end with a result of %q", c.lastTool)
	case !capture(c.system, t.system, values):
		return nil, fmt.Sprintf("the system messages do not match /%s/", c.system)
	case !t.captureResult(c.lastResult, values):
		return nil, fmt.Sprintf("no result at the end matches /%s/", c.lastResult)
	case !capture(c.lastUser, t.user, values):
		return nil, fmt.Sprintf("the last user message does not match /%s/", c.lastUser)
	}
	if c.lastUser != nil {
		for i, group := range c.lastUser.FindStringSubmatch(t.user) {
			values[strconv.Itoa(i)] = group
		}
	}
	return values, ""
}

// capture matches text and keeps the named groups; no expression always matches.
func capture(re *regexp.Regexp, text string, values map[string]string) bool {
	if re == nil {
		return true
	}
	groups := re.FindStringSubmatch(text)
	for i, name := range re.SubexpNames() {
		if name != "" && groups != nil {
			values[name] = groups[i]
		}
	}
	return groups != nil
}

func (t talk) captureResult(re *regexp.Regexp, values map[string]string) bool {
	if re == nil {
		return true
	}
	for _, r := range t.results {
		if capture(re, r.Content, values) {
			return true
		}
	}
	return false
}

func (t talk) contains(text string) bool {
	for _, m := range t.request.Messages {
		if m.Role != model.System && strings.Contains(words(m), text) {
			return true
		}
	}
	return false
}

func (t talk) offers(name string) bool {
	for _, tool := range t.request.Tools {
		if tool.Name == name {
			return true
		}
	}
	return false
}

func (t talk) ended(name string) bool {
	for _, r := range t.results {
		if r.Name == name {
			return true
		}
	}
	return false
}

// words is all that a message says, thoughts excepted.
func words(m model.Message) string {
	var b strings.Builder
	for _, p := range m.Parts {
		b.WriteString(p.Text)
		switch {
		case p.Call != nil && p.Call.Malformed != "":
			fmt.Fprintf(&b, " %s %s ", p.Call.Name, p.Call.Malformed)
		case p.Call != nil:
			fmt.Fprintf(&b, " %s %s ", p.Call.Name, p.Call.Args)
		case p.Result != nil:
			b.WriteString(" " + p.Result.Content + " ")
		}
	}
	return b.String()
}

// tail quotes the last messages of a conversation, one short line each.
func tail(messages []model.Message, n int) string {
	var b strings.Builder
	if len(messages) == 0 {
		return "\n  (no messages)"
	}
	for _, m := range messages[max(0, len(messages)-n):] {
		fmt.Fprintf(&b, "\n  %s: %s", m.Role, short(words(m)))
	}
	return b.String()
}

func short(s string) string {
	const longest = 120
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}
