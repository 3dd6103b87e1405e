package picture_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

// noon is when the runs of these tests began.
var noon = time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)

// tool is a node that needs others.
func tool(id string, needs ...string) workflow.Node {
	return workflow.Node{ID: id, Tool: "echo", Needs: needs}
}

// draw is a definition that has not run.
func draw(t testing.TB, ordered bool, nodes ...workflow.Node) workflow.View {
	t.Helper()
	v, err := workflow.Draw(&workflow.Definition{Name: "work", Body: workflow.Body{Ordered: ordered, Nodes: nodes}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mark sets where nodes are.
func mark(v workflow.View, marks map[string]workflow.Mark) workflow.View {
	for i := range v.Nodes {
		if m, ok := marks[v.Nodes[i].ID]; ok {
			v.Nodes[i].Mark = m
		}
	}
	return v
}

// ran is the mark of a node that has ended after some seconds.
func ran(s workflow.Status, seconds float64) workflow.Mark {
	return workflow.Mark{Status: s, Attempt: 1, Started: noon, Ended: noon.Add(time.Duration(seconds * float64(time.Second)))}
}

func broken(m workflow.Mark, code durable.Code, text string) workflow.Mark {
	m.Error = &durable.Failure{Code: code, Message: text}
	return m
}

// shapes are workflows as they are found.
func shapes(t testing.TB) map[string]workflow.View {
	t.Helper()
	fan := []workflow.Node{tool("start")}
	var all []string
	for i := range 7 {
		id := fmt.Sprintf("part-%d", i)
		fan, all = append(fan, tool(id, "start")), append(all, id)
	}
	fan = append(fan, tool("join", all...))

	loop := draw(t, true, tool("collect"),
		workflow.Node{ID: "draft", Loop: &workflow.Loop{Max: 4, Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{tool("write"), {ID: "feedback", Human: &workflow.Human{Ask: "Fine?"}}}}}},
		tool("send"))
	loop = mark(loop, map[string]workflow.Mark{
		"collect": ran(workflow.Succeeded, 0.25), "draft": {Status: workflow.Running, Round: 2, Started: noon},
		"write": ran(workflow.Succeeded, 3), "feedback": {Status: workflow.Waiting, Started: noon},
	})

	router := draw(t, false, tool("classify"),
		workflow.Node{ID: "route", Needs: []string{"classify"}, Switch: &workflow.Switch{Cases: []workflow.Case{{If: "true", Goto: "refund"}, {Goto: "reply"}}}},
		tool("refund", "route"), tool("reply", "route"), workflow.Node{ID: "close", Tool: "echo", Needs: []string{"refund", "reply"}, Join: workflow.Join{Rule: workflow.JoinAny}})
	routed := ran(workflow.Succeeded, 0)
	routed.Next = "refund"
	router = mark(router, map[string]workflow.Mark{
		"classify": ran(workflow.Succeeded, 1.5), "route": routed, "refund": {Status: workflow.Retrying, Attempt: 2, Started: noon, Until: noon.Add(5 * time.Second), Error: &durable.Failure{Code: durable.CodeUnavailable, Message: "503"}},
		"reply": {Status: workflow.Skipped, Reason: "no step went on with it"},
	})

	circle := draw(t, true, tool("ask"), workflow.Node{ID: "check", Switch: &workflow.Switch{Cases: []workflow.Case{{If: "false", Goto: "ask"}, {Goto: "file"}}}}, tool("never"), tool("file"))

	study := tool("study", "hotspots")
	study.ForEach = "[1, 2, 3]"
	failed := draw(t, false, tool("bill"), tool("logs"), tool("hotspots", "bill", "logs"), study, tool("apply", "study"))
	items := broken(ran(workflow.Failed, 61), durable.CodeInternal, "step study[1]: exit status 1")
	items.Items = []*workflow.Mark{{Status: workflow.Succeeded}, {Status: workflow.Failed, Error: &durable.Failure{Message: "exit status 1"}}, {Status: workflow.Succeeded}}
	cached := ran(workflow.Cached, 0)
	failed = mark(failed, map[string]workflow.Mark{
		"bill": cached, "logs": ran(workflow.Compensated, 2), "hotspots": ran(workflow.Succeeded, 0.038), "study": items, "apply": {Status: workflow.Skipped, Reason: "study is failed"},
	})

	plan := workflow.View{Workflow: "chief", Nodes: []workflow.NodeView{{ID: "plan", Verb: workflow.VerbPlan, About: "chief"}}}
	steps := []workflow.DraftStep{{ID: "who", Agent: "worker", Do: "find the winner"}, {ID: "where", Tool: "search"}, {ID: "both", Agent: "worker", Needs: []string{"who", "where"}}}
	plan.Nodes[0].Mark = workflow.Mark{Status: workflow.Running, Started: noon, Plans: []*workflow.Planned{
		{Draft: workflow.Draft{Steps: steps[:1]}, Status: workflow.PlanRejected, Why: "too little"},
		{Draft: workflow.Draft{Steps: steps}, Status: workflow.PlanDone, Results: json.RawMessage(`{"who":{"status":"succeeded"},"where":{"status":"failed"},"both":{"status":"skipped"}}`)},
	}}
	return map[string]workflow.View{
		"chain": draw(t, true, tool("a"), tool("b"), tool("c")), "diamond": draw(t, false, tool("a"), tool("b", "a"), tool("c", "a"), tool("d", "b", "c")),
		"fan": draw(t, false, fan...), "loop": loop, "switch": router, "circle": circle, "failed": failed, "plan": plan,
		"far": draw(t, false, tool("a"), tool("b", "a"), tool("c", "b"), tool("d", "a", "c"), tool("e", "a")),
	}
}
