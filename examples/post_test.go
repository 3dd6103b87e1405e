package examples_test

import (
	"encoding/json"
	"testing"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/workflow"
)

// agents counts the agents that a run has run, by the step they ran for.
func agents(e *orpinetest.Env, id durable.RunID) map[string]int {
	n := map[string]int{}
	for _, s := range e.Steps(id) {
		if s.Kind == durable.CommandChild {
			n[s.Name]++
		}
	}
	return n
}

func posting(t *testing.T, f *config.File) *world {
	return newWorld(t, f, map[string]hand{"write_post": says("")})
}

// TestPost: what is never accepted is written five times and reviewed four times; what is accepted the
// second time is written to the file once. How often it was and what was said survive every crash.
func TestPost(t *testing.T) {
	t.Parallel()
	f := load(t, "self-evaluation/post.yaml")
	for _, one := range []struct {
		topic, want string
		wrote       int
		reviewed    int
		files       []string
		last        string // the step that ended it
	}{
		{
			"flying cars", `{"accepted":false,"feedback":"given up: there are none","post":"A short post about flying cars.","retries":4}`,
			5, 4, nil, "max_retry_exceeded",
		},
		{
			"slow trains", `{"accepted":true,"feedback":"fine","post":"A short post about slow trains.","retries":1}`,
			2, 2,
			[]string{`write_post {"text":"A short post about slow trains."}`},
			"complete",
		},
	} {
		t.Run(one.topic, func(t *testing.T) {
			var w *world
			orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
				w = posting(t, f)
				return orpinetest.Config{Tools: w.tools, Script: "self-evaluation/replies.yaml"}
			}, func(t *testing.T, e *orpinetest.Env) {
				id := begin(t, e, flow(t, f, "post"), `{"topic":"`+one.topic+`"}`)
				same(t, "output", output(t, e.Wait(id)), one.want)
				same(t, "written and reviewed", agents(e, id), map[string]int{"generate": one.wrote, "review": one.reviewed})
				same(t, "files", w.did("write_post"), one.files)
				same(t, "end", step(t, e, id, one.last).Status, workflow.Succeeded)
			})
		})
	}
}

// TestLaunch: a person is asked once both have looked at the post, and what happens then is what
// the person says.
func TestLaunch(t *testing.T) {
	t.Parallel()
	f := load(t, "self-evaluation/post.yaml")
	for answer, want := range map[string]string{
		`"approved"`: `{"dropped":false,"revised":null,"route":"send"}`,
		`"rejected"`: `{"dropped":true,"revised":null,"route":"drop"}`,
		`{"action":"needs_revision","comment":"shorter"}`: `{"dropped":false,"revised":"A short post about slow trains.","route":"revise"}`,
	} {
		var w *world
		orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
			w = posting(t, f)
			return orpinetest.Config{Tools: w.tools, Script: "self-evaluation/replies.yaml", AnyOrder: true}
		}, func(t *testing.T, e *orpinetest.Env) {
			id := begin(t, e, flow(t, f, "launch"), `{"topic":"slow trains"}`)
			i := asked(t, e, id)
			same(t, "options", i.Options, []string{"approved", "rejected", "needs_revision"})
			same(t, "shown", string(i.Value), `{"facts":"the facts are right","post":"A long post about slow trains, with everything there is to say.","style":"it is long"}`)
			if err := e.Answer(id, "", json.RawMessage(`"perhaps"`)); err == nil {
				t.Error("an action that is none was taken")
			}
			if err := e.Answer(id, "", json.RawMessage(answer)); err != nil {
				t.Fatal(err)
			}
			same(t, "output", output(t, e.Wait(id)), want)
			sent := 0
			if answer == `"approved"` {
				sent = 1
			}
			same(t, "sent", len(w.did("write_post")), sent)
		})
	}
}
