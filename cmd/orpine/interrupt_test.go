package main

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
)

// person is a command at whose terminal somebody types the lines.
func person(lines ...string) (*app, *strings.Builder) {
	var stderr strings.Builder
	a := newApp(&cli{}, strings.NewReader(strings.Join(lines, "\n")+"\n"), io.Discard, &stderr, func(string) (string, bool) { return "", false })
	return a, &stderr
}

func approval() durable.Interrupt {
	return durable.Interrupt{ID: "0.2", Kind: agent.ApprovalKind, Prompt: "May pay be called?", Value: json.RawMessage(`{"tool":"pay","args":{"amount":5}}`)}
}

// TestAnswerTo: words decide on a call; to a question they are text, or JSON.
func TestAnswerTo(t *testing.T) {
	t.Parallel()
	question := durable.Interrupt{Kind: "question"}
	form := durable.Interrupt{Kind: "question", Schema: json.RawMessage(`{"type":"object","properties":{"size":{"type":"string"},"decline":{"type":"boolean"}}}`)}
	count := durable.Interrupt{Kind: "question", Schema: json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer"}}}`)}
	two := durable.Interrupt{Kind: "question", Schema: json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}}`)}
	for _, c := range []struct {
		name string
		to   durable.Interrupt
		text string
		want string
	}{
		{"a text", question, "accept", `"accept"`},
		{"JSON", question, `{"a":1}`, `{"a":1}`},
		{"the field of a form", form, "L", `{"size":"L"}`},
		{"a number in a field for texts", form, "42", `{"size":"42"}`},
		{"a form that is left unanswered", form, "decline", `{"decline":true}`},
		{"a whole form", form, `{"size":"L"}`, `{"size":"L"}`},
		{"a number", count, "3", `{"n":3}`},
		{"which field is not known", two, "x", `"x"`},
		{"accept", approval(), "Accept", `{"action":"accept"}`},
		{"reject", approval(), "reject", `{"action":"reject"}`},
		{"own words", approval(), "ask me later", `{"action":"respond","text":"ask me later"}`},
		{"a decision", approval(), `{"action":"edit","args":{}}`, `{"action":"edit","args":{}}`},
		{"JSON that is none", approval(), `{"amount":5}`, `{"action":"respond","text":"{\"amount\":5}"}`},
	} {
		if got, err := answerTo(c.to, c.text); err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

// TestAskApproval: the person sees the call, and says what is to become of it.
func TestAskApproval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"accept", []string{"accept"}, `{"action":"accept"}`},
		{"its beginning", []string{"a"}, `{"action":"accept"}`},
		{"reject", []string{"rej", "too much"}, `{"action":"reject","reason":"too much"}`},
		{"respond", []string{"respond", "paid already"}, `{"action":"respond","text":"paid already"}`},
		{"edit", []string{"edit", `{"amount":1}`}, `{"action":"edit","args":{"amount":1}}`},
		{"again after what is none", []string{"maybe", "re", "accept"}, `{"action":"accept"}`},
		{"again after bad arguments", []string{"edit", "5", "accept"}, `{"action":"accept"}`},
		{"left open", []string{""}, ``},
		{"nothing to respond", []string{"respond", ""}, ``},
	} {
		a, shown := person(c.lines...)
		got, err := a.ask(t.Context(), approval())
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
		if !strings.Contains(shown.String(), `call pay {"amount":5}`) {
			t.Errorf("%s: the call was not shown: %s", c.name, shown)
		}
	}
}

// TestForm: a question for an object is asked field by field, in the order of its schema.
func TestForm(t *testing.T) {
	t.Parallel()
	schema := json.RawMessage(`{"type":"object","required":["who","count"],"properties":{
		"who":{"type":"string","description":"Who gets it"},
		"count":{"type":"integer"},
		"size":{"enum":["small","large"],"default":"small"},
		"gift":{"type":"boolean"},
		"tags":{"type":"array"}}}`)
	for _, c := range []struct {
		name  string
		lines []string
		want  string
		shown string
	}{
		{"all", []string{"Anna", "3", "large", "yes", `["a"]`}, `{"count":3,"gift":true,"size":"large","tags":["a"],"who":"Anna"}`, "who: Who gets it"},
		{"defaults", []string{"Anna", "3", "", "", ""}, `{"count":3,"size":"small","who":"Anna"}`, "size (small, large; default small)"},
		{"text that looks like a number", []string{"7", "3", "", "", ""}, `{"count":3,"size":"small","who":"7"}`, "count (integer)"},
		{"again after what does not fit", []string{"Anna", "3.5", "three", "3", "huge", "", "perhaps", "no", "{}", "[]"}, `{"count":3,"gift":false,"size":"small","tags":[],"who":"Anna"}`, `"huge" is none of them`},
		{"left open", []string{""}, ``, "who"},
		{"left open in the middle", []string{"Anna", ""}, ``, "the question is left open"},
	} {
		a, shown := person(c.lines...)
		got, err := a.ask(t.Context(), durable.Interrupt{Kind: "question", Schema: schema})
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
		if !strings.Contains(shown.String(), c.shown) {
			t.Errorf("%s: %q was not shown: %s", c.name, c.shown, shown)
		}
	}
	for _, other := range []string{``, `{"type":"string"}`, `{"type":"object"}`, `{"type":"object","properties":{}}`, `{"type":"object","properties":[]}`} {
		if _, ok := formOf(json.RawMessage(other)); ok {
			t.Errorf("%s was taken for a form", other)
		}
	}
}

// FuzzForm: whatever a schema is, and whatever is typed, what comes of it is JSON or nothing.
func FuzzForm(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"type":"integer"}}}`, "5")
	f.Add(`{"type":"object","properties":{"a":{"enum":[1,"x"],"default":null}}}`, "")
	f.Fuzz(func(t *testing.T, schema, typed string) {
		form, ok := formOf(json.RawMessage(schema))
		if !ok {
			return
		}
		for _, one := range form.fields {
			if v, err := one.value(typed); err == nil && v != nil && !json.Valid(v) {
				t.Errorf("%q typed for %q is %q, which is no JSON", typed, schema, v)
			}
		}
	})
}

// TestPick: the person names one of several by its number or ID.
func TestPick(t *testing.T) {
	t.Parallel()
	one, two := approval(), approval()
	two.ID = "0.3"
	list := []orpine.Question{{Run: "r", Interrupt: one}, {Run: "r", Interrupt: two}}
	for typed, want := range map[string]string{"2": "0.3", "0.2": "0.2", "3": "", "": ""} {
		a, shown := person(typed)
		q, err := a.pick(t.Context(), list)
		if q.ID != want || (want == "") != errors.Is(err, durable.ErrConflict) {
			t.Errorf("%q: got %q, %v, want %q", typed, q.ID, err, want)
		}
		if !strings.Contains(shown.String(), `2  0.3  pay {"amount":5}`) {
			t.Errorf("the questions were not shown: %s", shown)
		}
	}
}
