package agent_test

import (
	"context"
	"fmt"
	"os"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/store/sqlite"
)

// The agent program is registered with an engine once; definitions are data. This
// one wants an answer that matches a JSON Schema: the first does not, and is sent
// back.
func Example() {
	played, err := script.Parse("count.yaml", []byte(`
rules:
  - when: { turn: 1 }
    reply: { text: "three, I think" }
  - when: { contains: does not match the required JSON Schema }
    reply: { json: { count: 3 } }
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	programs, err := agent.New(agent.Config{
		Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return played.Model(), nil }},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := agent.Start(agent.Definition{
		Name: "counter", Model: "script/count",
		Output: []byte(`{"type":"object","properties":{"count":{"type":"integer"}},"required":["count"]}`),
	}, "How many r are in strawberry?")
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err := runOnce(context.Background(), programs[0], request)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := agent.AnswerOf(run)
	fmt.Println(string(answer.Value), answer.Stop, answer.Turns, err)
	// Output: {"count":3} done 2 <nil>
}

// runOnce runs a program in a data directory of its own.
func runOnce(ctx context.Context, program durable.Program, request durable.StartRequest) (run durable.Run, err error) {
	return runAll(ctx, []durable.Program{program}, request)
}

// runAll is runOnce where there are more programs than the one of the run.
func runAll(ctx context.Context, programs []durable.Program, request durable.StartRequest) (run durable.Run, err error) {
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		return run, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return run, err
	}
	defer func() { _ = s.Close() }()
	engine, err := embedded.New(ctx, embedded.Config{Store: s, Programs: programs})
	if err != nil {
		return run, err
	}
	defer func() { _ = engine.Close(ctx) }()
	id, err := engine.Start(ctx, request)
	if err != nil {
		return run, err
	}
	return engine.Wait(ctx, id)
}
