package orpinetest_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/workflow"
)

// made is a workflow whose step is kept, makes an asset, and is followed by one that fails at first.
func made(t *testing.T) durable.StartRequest {
	t.Helper()
	req, err := workflow.Start(&workflow.Definition{
		Name: "made", Hands: agent.Definition{Name: "made", Tools: []string{"*"}},
		Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
			{ID: "table", Tool: "make", Cache: &workflow.Cache{}, Asset: &workflow.Asset{Name: "table", Metadata: json.RawMessage(`{"rows":"${{ output.rows }}"}`)}},
			{ID: "wait", Wait: &workflow.Wait{For: "1h"}},
			{ID: "send", Tool: "send"},
		}},
	}, workflow.Input{})
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestWorkflow: what a workflow keeps is there in the next run, and what it has made is told; its
// progress is seen, and what failed is tried again.
func TestWorkflow(t *testing.T) {
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		sent := map[string]bool{}
		return orpinetest.Config{Tools: []tool.Tool{
			tool.Func("make", "makes a table", func(context.Context, struct{}) (map[string]int, error) { return map[string]int{"rows": 3}, nil }, tool.Read),
			tool.Func("send", "sends it, but the first time", func(ctx context.Context, _ struct{}) (string, error) {
				if sent[durable.AttemptOf(ctx).Key] = true; len(sent) == 1 {
					return "", durable.Errorf(durable.CodeDenied, "not now")
				}
				return "sent", nil
			}, tool.Read),
		}}
	}, func(t *testing.T, e *orpinetest.Env) {
		status := func(id durable.RunID, i int) workflow.Status { return e.Progress(id).Nodes[i].Status }
		first := e.StartAs(made(t))
		e.Settle(first)
		time.Sleep(time.Minute)
		if a, b := status(first, 0), status(first, 1); a != workflow.Succeeded || b != workflow.Waiting {
			t.Errorf("while it waits its steps are %s and %s", a, b)
		}
		if r := e.Wait(first); r.Status != durable.Failed || status(first, 2) != workflow.Failed {
			t.Errorf("the run is %s: %+v", r.Status, r.Error)
		}
		again := e.Retry(first, "")
		if r := e.Wait(again); r.Status != durable.Succeeded || !e.Progress(again).Nodes[0].Kept {
			t.Errorf("the retry is %s: %+v", r.Status, r.Error)
		}
		other := e.StartAs(made(t))
		if r := e.Wait(other); r.Status != durable.Succeeded || status(other, 0) != workflow.Cached {
			t.Errorf("the next run is %s, and its step %s", r.Status, status(other, 0))
		}
		if list := e.Assets(); len(list) != 1 || list[0].Asset != "table" || string(list[0].Metadata) != `{"rows":3}` || list[0].Run != first {
			t.Errorf("assets %+v", list)
		}
	})
}
