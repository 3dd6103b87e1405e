package examples_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
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

const bestJoke = "Why do penguins take the stairs? The lift is full of penguins."

// told holds the output of the jokes against what it must be: three jokes, each once, and the best.
func told(t *testing.T, r durable.Run) {
	t.Helper()
	var out struct {
		Jokes []string
		Best  string
	}
	if err := json.Unmarshal([]byte(output(t, r)), &out); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out.Jokes)
	if len(out.Jokes) != 3 || len(slices.Compact(out.Jokes)) != 3 || !slices.Contains(out.Jokes, bestJoke) || out.Best != bestJoke {
		t.Errorf("got %+v", out)
	}
}

// TestJokes: three jokes are told at once, and come together in the state.
func TestJokes(t *testing.T) {
	t.Parallel()
	f := load(t, "jokes/jokes.yaml")
	orpinetest.Run(t, orpinetest.Config{Script: "jokes/replies.yaml"}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, flow(t, f, "jokes"), `{"topic":"animals"}`)
		told(t, e.Wait(id))
		same(t, "statuses", statuses(e, id), "subjects:succeeded generate_joke:succeeded best_joke:succeeded")
		same(t, "model calls", e.Calls(agent.ModelFunc), 5)
	})
}

// TestJokesCrashes: wherever the process dies, each joke is told once. The order of those in the state is
// that in which they came, so only the others must be the same.
func TestJokesCrashes(t *testing.T) {
	t.Parallel()
	f := load(t, "jokes/jokes.yaml")
	d := flow(t, f, "jokes")
	d.Output = json.RawMessage(`{"jokes":"${{ steps.generate_joke.output }}","best":"${{ steps.generate_joke.output[steps.best_joke.output.best] }}","n":"${{ size(state.jokes) }}"}`)
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		return orpinetest.Config{Script: "jokes/replies.yaml", AnyOrder: true}
	}, func(t *testing.T, e *orpinetest.Env) {
		r := e.Wait(begin(t, e, d, `{"topic":"animals"}`))
		told(t, r)
		if !strings.Contains(output(t, r), `"n":3`) {
			t.Errorf("got %s", r.Output)
		}
	})
}

// TestJokesKilled: a kill when two of three jokes are told, and only the third is told again.
func TestJokesKilled(t *testing.T) {
	t.Parallel()
	f := load(t, "jokes/jokes.yaml")
	replies, err := os.ReadFile(filepath.FromSlash("jokes/replies.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// The first time the model falls silent over penguins.
	script := strings.Replace(string(replies), "rules:\n", "rules:\n  - when: { last_user: joke about penguins }\n    times: 1\n    reply: { text: Why, hang: true }\n", 1)
	orpinetest.Run(t, orpinetest.Config{Script: script}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, flow(t, f, "jokes"), `{"topic":"animals"}`)
		time.Sleep(time.Second)
		items := step(t, e, id, "generate_joke").Items
		same(t, "jokes before the kill", []workflow.Status{items[0].Status, items[1].Status, items[2].Status}, []workflow.Status{workflow.Succeeded, workflow.Succeeded, workflow.Running})
		same(t, "model calls before the kill", e.Calls(agent.ModelFunc), 4)
		e.Crash()
		told(t, e.Wait(id))
		same(t, "processes", e.Lives(), 2)
		same(t, "model calls", e.Calls(agent.ModelFunc), 6)
	})
}

// TestConflict: two steps that write one key at the same time are refused when the file is read, and
// where only the run can tell, that fails; both are named each time.
func TestConflict(t *testing.T) {
	t.Parallel()
	_, err := config.Load(filepath.FromSlash("jokes/conflict.yaml"), func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), `steps lions and penguins write state "joke" at the same time`) || !strings.Contains(err.Error(), "conflict.yaml:12:") {
		t.Errorf("got %v", err)
	}
	d := flow(t, load(t, "jokes/conflict-if.yaml"), "conflict")
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config { return orpinetest.Config{} }, func(t *testing.T, e *orpinetest.Env) {
		same(t, "one writer", output(t, e.Wait(begin(t, e, d, `{"lions":true}`))), `"Why do lions take the stairs?"`)
		r := e.Wait(begin(t, e, d, `{"lions":true,"penguins":true}`))
		if r.Status != durable.Failed || !errors.Is(r.Error, durable.ErrConflict) || r.Error.Reason != workflow.ReasonConflict ||
			!strings.Contains(r.Error.Message, `step lions and step penguins write "joke" at the same time`) {
			t.Errorf("the run is %s: %+v", r.Status, r.Error)
		}
	})
}
