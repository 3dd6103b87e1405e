package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

func review(options ...string) durable.Interrupt {
	return durable.Interrupt{ID: "0.1", Kind: workflow.ReviewKind, Prompt: "Fine?", Value: json.RawMessage(`{"text":"all of it"}`), Options: options}
}

func planned() durable.Interrupt {
	i := review("accept", "edit", "reject")
	i.Kind, i.Value = workflow.PlanKind, json.RawMessage(`{"steps":[{"id":"who","agent":"worker","do":"find"},{"id":"both","tool":"join","needs":["who"]}]}`)
	return i
}

// TestReviewOf: an action is enough, with a comment behind it; what is none is refused here, for a
// workflow would fail of it.
func TestReviewOf(t *testing.T) {
	t.Parallel()
	three := review("accept", "reject", "respond")
	for _, c := range []struct {
		name string
		to   durable.Interrupt
		text string
		want string // "" = refused
	}{
		{"an action", review("accept", "reject"), "accept", `{"action":"accept"}`},
		{"with a comment", review("accept", "reject"), "Reject  too long", `{"action":"reject","comment":"too long"}`},
		{"in quotes", review("accept", "reject"), `"accept"`, `{"action":"accept"}`},
		{"JSON", review("accept", "edit"), `{"action":"edit","value":1}`, `{"action":"edit","value":1}`},
		{"an action of its own", review("ship", "hold"), "ship", `{"action":"ship"}`},
		{"own words", three, "make it shorter", `{"action":"respond","comment":"make it shorter"}`},
		{"none", review("accept", "reject"), "perhaps", ""},
		{"JSON that is none", review("accept", "reject"), `{"action":"edit"}`, ""},
		{"an action it has not", review("accept", "reject"), "edit", ""},
		{"an edit without a value", planned(), "edit", ""},
		{"nothing", review("accept", "reject"), "", ""},
	} {
		got, err := answerTo(c.to, c.text)
		if string(got) != c.want || (c.want == "") != errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

// TestAskReview: the person sees what it is about, and says what is to become of it.
func TestAskReview(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		to    durable.Interrupt
		lines []string
		want  string
		shown string
	}{
		{"accept", review("accept", "reject"), []string{"a"}, `{"action":"accept"}`, `"text": "all of it"`},
		{"reject, and why", review("accept", "reject"), []string{"rej", "too long"}, `{"action":"reject","comment":"too long"}`, "(accept, reject; an empty line leaves it open)"},
		{"reject in one line", review("accept", "reject"), []string{"reject too long"}, `{"action":"reject","comment":"too long"}`, "all of it"},
		{"again after what is none", review("reject", "respond"), []string{"perhaps", "re", "respond", "why not"}, `{"action":"respond","comment":"why not"}`, `"re" is none of them`},
		{"edit", review("accept", "edit"), []string{"edit", `{"text":"half"}`}, `{"action":"edit","value":{"text":"half"}}`, "as JSON"},
		{"again after what is no JSON", review("accept", "edit"), []string{"edit", `half`, "accept"}, `{"action":"accept"}`, "half is not JSON"},
		{"a plan", planned(), []string{"accept"}, `{"action":"accept"}`, "│ ○ who"},
		{"a plan without steps", planned(), []string{"edit", `{"steps":[]}`, "accept"}, `{"action":"accept"}`, `a plan is {"steps"`},
		{"another plan", planned(), []string{"edit", `{"steps":[{"id":"a","tool":"b"}]}`}, `{"action":"edit","value":{"steps":[{"id":"a","tool":"b"}]}}`, "who: find"},
		{"left open", planned(), []string{""}, ``, "▼"},
	} {
		a, shown := person(c.lines...)
		got, err := a.ask(t.Context(), c.to)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
		if !strings.Contains(shown.String(), c.shown) {
			t.Errorf("%s: %q was not shown:\n%s", c.name, c.shown, shown)
		}
	}
}

// TestAnswerWith: a person is told a command that works.
func TestAnswerWith(t *testing.T) {
	t.Parallel()
	form := durable.Interrupt{Kind: workflow.FormKind, Schema: json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer"},"any":{}}}`)}
	for _, c := range []struct {
		to   durable.Interrupt
		want string
	}{
		{approval(), "Decide with: orpine approve r, or reject, edit, respond"},
		{review("accept", "reject"), "Decide with: orpine approve r, or reject"},
		{review("reject", "ship"), "Decide with: orpine reject r, or orpine answer r ship"},
		{review("ship", "hold"), "Answer with: orpine answer r ship|hold"},
		{planned(), "Decide with: orpine approve r, or edit, reject"},
		{form, "Answer with: orpine answer r n=INTEGER any=VALUE"},
		{durable.Interrupt{Kind: "question"}, "Answer with: orpine answer r TEXT"},
	} {
		a, _ := person()
		a.flags.Data = defaultData
		if how, command := a.answerWith("r", c.to); how+": "+command != c.want {
			t.Errorf("%s %v: got %s: %s, want %s", c.to.Kind, c.to.Options, how, command, c.want)
		}
	}
}

// TestDecidable: what approve, reject, edit and respond can decide.
func TestDecidable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		to     durable.Interrupt
		action durable.Action
		want   bool
	}{
		{approval(), durable.Respond, true},
		{review("accept", "reject"), durable.Accept, true},
		{review("accept", "reject"), durable.Edit, false},
		{planned(), durable.Edit, true},
		{durable.Interrupt{Kind: "question", Options: []string{"accept"}}, durable.Accept, false},
		{durable.Interrupt{Kind: workflow.FormKind}, durable.Accept, false},
	} {
		if got := decidable(c.to, c.action); got != c.want {
			t.Errorf("%s %v by %s: got %t", c.to.Kind, c.to.Options, c.action, got)
		}
	}
}

// TestLongValue: what is asked about does not push the question out of sight.
func TestLongValue(t *testing.T) {
	t.Parallel()
	i := review("accept", "reject")
	i.Value, _ = json.Marshal(strings.Repeat("line\n", 500))
	a, _ := person()
	text := a.valueLines(i)
	if n := strings.Count(text, "\n"); n != maxValueLines+1 || !strings.Contains(text, "… and 460 lines more") {
		t.Errorf("%d lines, and the last is %q", n, text[len(text)-80:])
	}
}

// FuzzAssign: what is typed for a form comes to an object with fields of the form alone, or is refused.
func FuzzAssign(f *testing.F) {
	const schema = `{"type":"object","required":["n"],"properties":{"n":{"type":"integer"},"s":{"type":"string"},"b":{"type":"boolean","default":true},"e":{"enum":[1,"x"]},"l":{"type":"array"},"o":{}}}`
	f.Add(schema, "n=5", "s=a b=c")
	f.Add(schema, "n=5", "e=x")
	f.Add(schema, "n=1e3", "l=[1]")
	f.Add(schema, "n=", "n=2")
	f.Add(schema, "=", "==")
	f.Fuzz(func(t *testing.T, schema, one, other string) {
		form, ok := formOf(json.RawMessage(schema))
		if !ok || !form.assigns([]string{one, other}, true) {
			return
		}
		data, err := form.assign([]string{one, other})
		if err != nil {
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatalf("%q and %q come to %s: %v", one, other, data, err)
		}
		for name := range fields {
			if form.find(name) == nil {
				t.Errorf("%q and %q come to %s, and the form has no %q", one, other, data, name)
			}
		}
	})
}
