package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/workflow"
)

const question = `{"text":"Where does the winner come from?"}`

// library is the world of the planner: a page takes a minute to read, and one is missing.
func library(t *testing.T, f *config.File) *world {
	return newWorld(t, f, map[string]hand{"read_page": takes(time.Minute, func(_ context.Context, _ int, args map[string]any) (any, error) {
		switch args["name"] {
		case "results":
			return "Rosa won in 3:41.", nil
		case "runners":
			return "Rosa comes from Porto, Ben from Graz.", nil
		}
		return nil, durable.Errorf(durable.CodeInternal, "there is no page %v", args["name"])
	})})
}

// TestPlan: a plan is made and its steps run at once; one fails, so there is another plan, and from
// what that comes to the answer.
func TestPlan(t *testing.T) {
	t.Parallel()
	f := load(t, "planner/planner.yaml")
	var w *world
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		w = library(t, f)
		return orpinetest.Config{Tools: w.tools, Script: "planner/replies.yaml", AnyOrder: true}
	}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, planned(t, f, "chief"), question)
		same(t, "output", output(t, e.Wait(id)), `"Rosa won, and comes from Porto."`)
		plans := step(t, e, id, "plan").Plans
		if len(plans) != 2 || plans[0].Status != workflow.PlanDone || plans[1].Status != workflow.PlanDone {
			t.Fatalf("plans %+v", plans)
		}
		for i, want := range []string{"failed", "succeeded"} {
			var results map[string]struct{ Status, Output string }
			if err := json.Unmarshal(plans[i].Results, &results); err != nil {
				t.Fatal(err)
			}
			same(t, fmt.Sprintf("plan %d", i+1), []string{results["results"].Status, results["towns"].Status, results["both"].Status}, []string{"succeeded", want, "succeeded"})
		}
		// The agent is told what both pages say.
		if !strings.Contains(string(plans[1].Results), "Who won and where are they from") || !strings.Contains(string(plans[1].Results), "3:41") {
			t.Errorf("results %s", plans[1].Results)
		}
	})
}

// TestPlanAtOnce: two plans of two pages at once take two minutes.
func TestPlanAtOnce(t *testing.T) {
	t.Parallel()
	f := load(t, "planner/planner.yaml")
	orpinetest.Run(t, orpinetest.Config{Tools: library(t, f).tools, Script: "planner/replies.yaml"}, func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		output(t, e.Wait(begin(t, e, planned(t, f, "chief"), question)))
		same(t, "time", time.Since(began), 2*time.Minute)
	})
}

// TestPlanEdited: the plan is shown to a person, who mends it, over a kill, so that it is the only one.
func TestPlanEdited(t *testing.T) {
	t.Parallel()
	f := load(t, "planner/planner.yaml")
	w := library(t, f)
	orpinetest.Run(t, orpinetest.Config{Tools: w.tools, Script: "planner/replies.yaml"}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, planned(t, f, "careful"), question)
		i := asked(t, e, id)
		same(t, "kind", i.Kind, workflow.PlanKind)
		same(t, "plan", step(t, e, id, "plan").Plans[0].Status, workflow.PlanAsked)
		same(t, "read before the answer", len(w.did("read_page")), 0)
		var draft workflow.Draft
		if err := json.Unmarshal(i.Value, &draft); err != nil || len(draft.Steps) != 3 {
			t.Fatalf("the plan is %s, %v", i.Value, err)
		}
		at := slices.IndexFunc(draft.Steps, func(s workflow.DraftStep) bool { return s.ID == "towns" })
		draft.Steps[at].With = json.RawMessage(`{"name":"runners"}`)
		edited, err := json.Marshal(draft)
		if err != nil {
			t.Fatal(err)
		}
		e.Crash()
		if err := e.Answer(id, "", workflow.Review{Action: "edit", Value: edited}); err != nil {
			t.Fatal(err)
		}
		same(t, "output", output(t, e.Wait(id)), `"Rosa won, and comes from Porto."`)
		same(t, "plans", len(step(t, e, id, "plan").Plans), 1)
		same(t, "pages", len(w.did("read_page")), 2)
	})
}

// TestPlanRejected: a plan that a person rejects is not run, and there are no more than so many.
func TestPlanRejected(t *testing.T) {
	t.Parallel()
	f := load(t, "planner/planner.yaml")
	w := library(t, f)
	orpinetest.Run(t, orpinetest.Config{Tools: w.tools, Script: "planner/replies.yaml"}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, planned(t, f, "careful"), question)
		for range 3 {
			asked(t, e, id)
			if err := e.Answer(id, "", "reject"); err != nil {
				t.Fatal(err)
			}
		}
		if r := e.Wait(id); r.Status != durable.Failed || r.Error.Reason != workflow.ReasonRounds {
			t.Errorf("the run is %s: %+v", r.Status, r.Error)
		}
		same(t, "pages", len(w.did("read_page")), 0)
	})
}

// TestReflect: an answer that the judge does not accept is given again, with what was said about it.
func TestReflect(t *testing.T) {
	t.Parallel()
	f := load(t, "planner/planner.yaml")
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		return orpinetest.Config{Script: "planner/replies.yaml"}
	}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, planned(t, f, "poet"), `{"text":"Two lines about rain"}`)
		same(t, "output", output(t, e.Wait(id)), `"It rains on the plain,\nand then it rains again."`)
		same(t, "answers and judgements", agents(e, id), map[string]int{"answer": 2, "judge": 2})
		if e.Lives() == 1 {
			same(t, "model calls", e.Calls(agent.ModelFunc), 4)
		}
	})
}
