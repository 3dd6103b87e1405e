package examples_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/workflow"
)

// table is the world of the cleanup; its table is locked as long as it is said to be.
func table(t *testing.T, f *config.File, locked *bool) *world {
	return newWorld(t, f, map[string]hand{
		"preview":        says(`{"columns":["id","state","ended"],"rows":[["1","completed","2025-11-02"],["2","failed","2025-12-24"]],"truncated":false}`),
		"count_by_state": says(`{"columns":["state","n"],"rows":[["completed",1],["failed",1]],"truncated":false}`),
		"delete": func(context.Context, int, map[string]any) (any, error) {
			if *locked {
				return nil, durable.Errorf(durable.CodeInternal, "the table is locked")
			}
			return "2", nil
		},
	})
}

// TestCleanupByPerson: nothing is deleted unless a person says so in the form, within the hour.
func TestCleanupByPerson(t *testing.T) {
	t.Parallel()
	f := load(t, "db-cleanup/cleanup.yaml")
	for _, one := range []struct {
		name    string
		answer  string // "" = none
		want    string
		deleted int
		took    time.Duration
	}{
		{"approved", `{"approve":true,"notes":"go on"}`, `{"approved":true,"deleted":"2","why":"go on"}`, 1, 20 * time.Minute},
		{"rejected", `{"approve":false}`, `{"approved":false,"deleted":null,"why":""}`, 0, 20 * time.Minute},
		{"nobody", "", `{"approved":false,"deleted":null,"why":"nobody answered"}`, 0, time.Hour},
	} {
		t.Run(one.name, func(t *testing.T) {
			var w *world
			orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
				w = table(t, f, new(bool))
				return orpinetest.Config{Tools: w.tools}
			}, func(t *testing.T, e *orpinetest.Env) {
				began := time.Now()
				id := begin(t, e, flow(t, f, "cleanup"), `{}`)
				i := asked(t, e, id)
				same(t, "kind", i.Kind, workflow.FormKind)
				same(t, "question", i.Prompt, "Delete 2 runs that ended before 2026-01-01?")
				same(t, "preview", string(i.Value), `[["1","completed","2025-11-02"],["2","failed","2025-12-24"]]`)
				same(t, "form", fields(t, i.Schema), map[string]string{"approve": "boolean", "notes": "string"})
				same(t, "status", step(t, e, id, "person").Status, workflow.Waiting)
				if one.answer != "" {
					time.Sleep(20 * time.Minute)
					if err := e.Answer(id, "", json.RawMessage(`{"approve":"yes"}`)); !errors.Is(err, durable.ErrInvalid) {
						t.Errorf("an answer that does not fit the form: %v", err)
					}
					same(t, "deleted before the answer", len(w.did("delete")), 0)
					if err := e.Answer(id, "", json.RawMessage(one.answer)); err != nil {
						t.Fatal(err)
					}
				}
				same(t, "output", output(t, e.Wait(id)), one.want)
				same(t, "time", time.Since(began), one.took)
				same(t, "deleted", len(w.did("delete")), one.deleted)
			})
		})
	}
}

// fields are the types of the fields of a form.
func fields(t *testing.T, schema json.RawMessage) map[string]string {
	t.Helper()
	var s struct {
		Properties map[string]struct {
			Type string `json:"type"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, p := range s.Properties {
		out[name] = p.Type
	}
	return out
}

// TestCleanupByAgent: an agent that can only look decides, and nobody is asked; if it is not sure,
// nothing is deleted.
func TestCleanupByAgent(t *testing.T) {
	t.Parallel()
	f := load(t, "db-cleanup/cleanup.yaml")
	for _, name := range f.Agents["reviewer"].Tools {
		same(t, "effect of "+name, f.Tools[name].Effect, durable.Read)
	}
	for input, want := range map[string]string{
		`{"approval":"ai"}`:                       `{"approved":true,"deleted":"2","why":"all of them are of last year"}`,
		`{"approval":"ai","before":"2026-03-01"}`: `{"approved":false,"deleted":null,"why":"some of them are of this year"}`,
	} {
		var w *world
		orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
			w = table(t, f, new(bool))
			return orpinetest.Config{Tools: w.tools, Script: "db-cleanup/replies.yaml"}
		}, func(t *testing.T, e *orpinetest.Env) {
			id := begin(t, e, flow(t, f, "cleanup"), input)
			same(t, "output", output(t, e.Wait(id)), want)
			var said struct {
				Approved   bool
				Confidence float64
				Reasoning  string
			}
			if err := json.Unmarshal(step(t, e, id, "ai").Output, &said); err != nil || !said.Approved || said.Confidence == 0 || said.Reasoning == "" {
				t.Errorf("the agent said %+v, %v", said, err)
			}
			if len(w.did("count_by_state")) == 0 { // it only reads, so a crash may have it called again
				t.Error("the agent has not looked")
			}
			same(t, "person", step(t, e, id, "person").Status, workflow.Skipped)
		})
	}
}

// TestCleanupRetry: to try a whole run again does again only what failed, so nobody is asked twice.
func TestCleanupRetry(t *testing.T) {
	t.Parallel()
	f := load(t, "db-cleanup/cleanup.yaml")
	var w *world
	var locked bool
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		locked = true
		w = table(t, f, &locked)
		return orpinetest.Config{Tools: w.tools}
	}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, flow(t, f, "cleanup"), `{}`)
		if err := e.Answer(id, "", json.RawMessage(`{"approve":true}`)); err != nil {
			t.Fatal(err)
		}
		if r := e.Wait(id); r.Status != durable.Failed || r.Error.Message != "step delete: the table is locked" {
			t.Fatalf("the run is %s: %+v", r.Status, r.Error)
		}
		locked = false
		again := e.Retry(id, "")
		same(t, "output", output(t, e.Wait(again)), `{"approved":true,"deleted":"2","why":""}`)
		same(t, "statuses", statuses(e, again), "preview:succeeded person:succeeded ai:skipped delete:succeeded")
		same(t, "kept", []bool{step(t, e, again, "preview").Kept, step(t, e, again, "person").Kept, step(t, e, again, "delete").Kept}, []bool{true, true, false})
		same(t, "previews", len(w.did("preview")), 1)
		same(t, "deletions", len(w.did("delete")), 1)
	})
}
