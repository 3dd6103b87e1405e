package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/workflow"
)

// planner is a script: it makes a plan that cannot be, then one of three steps, then answers.
const planner = `
rules:
  - when: { contains: "It came to" }
    reply: {text: '{"answer": "Melbourne, by Ann"}'}
  - when: { contains: "it is invalid" }
    reply: {text: '{"steps": [{"id": "who", "agent": "worker", "do": "find the winner"}, {"id": "where", "agent": "worker", "do": "find the town"}, {"id": "both", "agent": "worker", "do": "join", "needs": ["who", "where"]}]}'}
  - when: { contains: "Make a plan" }
    reply: {text: '{"steps": [{"id": "a", "agent": "nobody", "do": "x", "needs": ["a"]}]}'}
  - when: { contains: "find the winner" }
    reply: {text: Ann}
  - when: { contains: "find the town" }
    reply: {text: Melbourne}
  - when: { contains: "What came before" }
    reply: {text: Ann of Melbourne}
`

func planning(approve bool) *workflow.Definition {
	worker := agent.Definition{Name: "worker", Model: "script/x", Description: "does things"}
	d := workflow.PlanExecute(agent.Definition{Name: "chief", Model: "script/x"}, workflow.Plan{Agents: []string{"worker"}, Approve: approve}, map[string]agent.Definition{"worker": worker})
	return d
}

func startPlanned(t *testing.T, e *orpinetest.Env, d *workflow.Definition, text string) durable.RunID {
	t.Helper()
	in, _ := json.Marshal(map[string]string{"text": text})
	req, err := workflow.Start(d, workflow.Input{Input: in})
	if err != nil {
		t.Fatal(err)
	}
	return e.StartAs(req)
}

func TestPlanExecute(t *testing.T) {
	orpinetest.Run(t, orpinetest.Config{Script: planner, AnyOrder: true}, func(t *testing.T, e *orpinetest.Env) {
		if got := output(t, e.Wait(startPlanned(t, e, planning(false), "Where was it, and who won?"))); got != `"Melbourne, by Ann"` {
			t.Errorf("got %s", got)
		}
	})
}

func TestPlanIsEdited(t *testing.T) {
	orpinetest.Run(t, orpinetest.Config{Script: planner, AnyOrder: true}, func(t *testing.T, e *orpinetest.Env) {
		id := startPlanned(t, e, planning(true), "Where was it?")
		run := asked(t, e, id)
		if len(run.Waits) != 1 || run.Waits[0].Interrupt == nil || run.Waits[0].Interrupt.Kind != workflow.PlanKind {
			t.Fatalf("waits for %+v, %v", run.Waits, run.Error)
		}
		var draft workflow.Draft
		if err := json.Unmarshal(run.Waits[0].Interrupt.Value, &draft); err != nil || len(draft.Steps) != 3 {
			t.Fatalf("%v %s", err, run.Waits[0].Interrupt.Value)
		}
		draft.Steps[0].Agent = "nobody"
		if err := e.Answer(id, "", workflow.Review{Action: "edit", Value: raw(t, draft)}); err != nil {
			t.Fatal(err)
		}
		if run = asked(t, e, id); len(run.Waits) != 1 || !strings.Contains(run.Waits[0].Interrupt.Prompt, `no agent "nobody"`) {
			t.Fatalf("waits for %+v", run.Waits)
		}
		e.Crash()
		draft.Steps = draft.Steps[1:2]
		draft.Steps[0].Agent = "worker"
		if err := e.Answer(id, "", workflow.Review{Action: "edit", Value: raw(t, draft)}); err != nil {
			t.Fatal(err)
		}
		if got := output(t, e.Wait(id)); got != `"Melbourne, by Ann"` {
			t.Errorf("got %s", got)
		}
	})
}

// asked waits until a run waits for a person.
func asked(t *testing.T, e *orpinetest.Env, id durable.RunID) durable.Run {
	t.Helper()
	for range 100 {
		if run := e.Get(id); run.NeedsPerson() || run.Status.Final() {
			return run
		}
		time.Sleep(time.Second) // of the bubble
	}
	t.Fatal("it never asked")
	return durable.Run{}
}

func raw(t *testing.T, v any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPlansEnd(t *testing.T) {
	const never = `
rules:
  - reply: {text: '{"steps": [{"id": "a", "agent": "worker", "do": "x"}]}'}
`
	orpinetest.Run(t, orpinetest.Config{Script: never, AnyOrder: true}, func(t *testing.T, e *orpinetest.Env) {
		r := e.Wait(startPlanned(t, e, planning(false), "x"))
		if r.Status != durable.Failed || r.Error.Reason != workflow.ReasonRounds {
			t.Errorf("got %s %+v", r.Status, r.Error)
		}
	})
}

func TestReflect(t *testing.T) {
	const script = `
rules:
  - when: { last_user: "(?s)Judge this answer.*The answer:.second" }
    reply: {text: '{"accept": true, "feedback": "fine"}'}
  - when: { contains: "Judge this answer" }
    reply: {text: '{"accept": false, "feedback": "say it again"}'}
  - when: { contains: "say it again" }
    reply: {text: second}
  - reply: {text: first}
`
	d := workflow.Reflect(agent.Definition{Name: "writer", Model: "script/x"}, agent.Definition{Name: "critic", Model: "script/x"}, 3)
	if problems := workflow.Check(d); len(problems) > 0 {
		t.Fatal(problems)
	}
	orpinetest.Run(t, orpinetest.Config{Script: script, AnyOrder: true}, func(t *testing.T, e *orpinetest.Env) {
		if got := output(t, e.Wait(startPlanned(t, e, d, "Say something."))); got != `"second"` {
			t.Errorf("got %s", got)
		}
	})
}
