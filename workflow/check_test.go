package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/workflow"
)

func node(id string, more func(*workflow.Node)) workflow.Node {
	n := says(id, id)
	if more != nil {
		more(&n)
	}
	return n
}

func TestCheck(t *testing.T) {
	graph := func(nodes ...workflow.Node) *workflow.Definition {
		return &workflow.Definition{
			Name: "t", Input: json.RawMessage(`{"type":"object","properties":{"month":{"type":"string"},"n":{"type":"number"}}}`),
			Agents: map[string]agent.Definition{"analyst": {Name: "analyst", Output: json.RawMessage(`{"type":"object","properties":{"findings":{"type":"array","items":{"type":"string"}},"savings_usd":{"type":"number"}}}`)}},
			Body:   workflow.Body{Nodes: nodes},
		}
	}
	list := func(nodes ...workflow.Node) *workflow.Definition {
		d := graph(nodes...)
		d.Body.Ordered = true
		return d
	}
	study := workflow.Node{ID: "study", Agent: "analyst", Prompt: "look at ${{ input.month }}"}
	for _, c := range []struct {
		name string
		def  *workflow.Definition
		path string // "" = nothing is wrong
		want string
	}{
		{"fine", graph(study, node("b", func(n *workflow.Node) {
			n.Needs, n.If, n.ForEach = []string{"study"}, "steps.study.output.savings_usd >= 100", "steps.study.output.findings"
			n.With = json.RawMessage(`{"say":"${{ item + ' ' + string(index) }}"}`)
		})), "", ""},
		{"no verb", graph(workflow.Node{ID: "a"}), "steps.a", "without a verb"},
		{"two verbs", graph(node("a", func(n *workflow.Node) { n.Wait = &workflow.Wait{For: "1m"} })), "steps.a", "not tool and wait"},
		{"unknown need", graph(node("fetch", nil), node("b", func(n *workflow.Node) { n.Needs = []string{"fetsch"} })), "steps.b.needs[0]", `did you mean "fetch"?`},
		{"circle", graph(node("a", func(n *workflow.Node) { n.Needs = []string{"c"} }), node("b", func(n *workflow.Node) { n.Needs = []string{"a"} }), node("c", func(n *workflow.Node) { n.Needs = []string{"b"} })), "steps.a", "a needs c needs b needs a"},
		{"twice", list(node("a", nil), node("a", nil)), "steps[1]", "another step a"},
		{"unknown agent", graph(workflow.Node{ID: "a", Agent: "analist", Prompt: "x"}), "steps.a.agent", `did you mean "analyst"?`},
		{"unknown step", list(study, node("b", func(n *workflow.Node) { n.If = "steps.stady.output.savings_usd > 1" })), "steps[1].if", `unknown step "stady"; did you mean "study"?`},
		{"missing field", list(study, node("b", func(n *workflow.Node) { n.If = "steps.study.output.saving_usd > 1" })), "steps[1].if", `did you mean "savings_usd"?`},
		{"not needed", graph(study, node("b", func(n *workflow.Node) { n.If = "steps.study.output.savings_usd > 1" })), "steps.b.if", "add study to its needs"},
		{"later", list(node("b", func(n *workflow.Node) { n.If = "steps.study.output.savings_usd > 1" }), study), "steps[0].if", "runs after"},
		{"input", list(node("a", func(n *workflow.Node) { n.With = json.RawMessage(`{"say":{"x":"${{ input.mont }}"}}`) })), "steps[0].with.say.x", `did you mean "month"?`},
		{"no condition", list(node("a", func(n *workflow.Node) { n.If = "input.month" })), "steps[0].if", "is text, where true or false is wanted"},
		{"no list", list(node("a", func(n *workflow.Node) { n.ForEach = "input.month" })), "steps[0].for_each", "is text, where a list is wanted"},
		{"clash", list(node("a", func(n *workflow.Node) { n.If = "input.month > 3" })), "steps[0].if", "no matching overload"},
		{"item outside", list(node("a", func(n *workflow.Node) { n.If = "item == 1" })), "steps[0].if", "undeclared reference to 'item'"},
		{"unreachable", list(workflow.Node{ID: "r", Switch: &workflow.Switch{Cases: []workflow.Case{{Goto: "c"}}}}, node("b", nil), node("c", nil)), "steps[1]", "never reached"},
		{"goto in a graph", graph(workflow.Node{ID: "r", Switch: &workflow.Switch{Cases: []workflow.Case{{Goto: "c"}}}}, node("c", nil)), "steps.r.switch[0].goto", "does not need r"},
		{"loop without max", list(workflow.Node{ID: "l", Loop: &workflow.Loop{Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{node("a", nil)}}}}), "steps[0].loop", "has a max"},
		{"duration", list(workflow.Node{ID: "w", Wait: &workflow.Wait{For: "soon"}}), "steps[0].wait", "no duration"},
		{"no state", list(workflow.Node{ID: "s", Set: workflow.Values{"k": json.RawMessage("1")}}), "steps[0].set.k", "declare it"},
		{"syntax", list(node("a", func(n *workflow.Node) { n.With = json.RawMessage(`{"say":"${{ 1 + }}"}`) })), "steps[0].with", "Syntax error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := workflow.Check(c.def)
			if c.path == "" {
				if len(problems) > 0 {
					t.Errorf("got %+v", problems)
				}
				return
			}
			if len(problems) == 0 {
				t.Fatal("nothing was found")
			}
			p := problems[0]
			if p.Path != c.path || !strings.Contains(p.Message+"; "+p.Hint, c.want) {
				t.Errorf("got %s: %s; %s\nwant %s … %s", p.Path, p.Message, p.Hint, c.path, c.want)
			}
		})
	}
}
