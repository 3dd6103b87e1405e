package orpine_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/tool"
)

// An agent with one tool answers a question. The model is a script here; put the
// provider of a real one in its place.
func Example() {
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := ask(context.Background(), dir); err != nil {
		fmt.Println(err)
	}
	// Output: In Paris it is dry and 21 degrees. (2 turns)
}

func ask(ctx context.Context, dir string) (err error) {
	type query struct {
		City string `json:"city"`
	}
	weather := tool.Func("weather", "The weather in a city.", func(_ context.Context, q query) (string, error) {
		return "dry and 21 degrees", nil
	}, tool.Read)
	played, err := script.Parse("weather.yaml", []byte(`
rules:
  - when: { turn: 1 }
    reply: { calls: [{ name: weather, args: { city: Paris } }] }
  - when: { last_tool: weather }
    reply: { text: "In Paris it is ${result}." }
`))
	if err != nil {
		return err
	}
	r, err := orpine.Open(ctx, orpine.Config{
		Data:      dir,
		Tools:     []tool.Tool{weather},
		Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return played.Model(), nil }},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	answer, err := r.RunAgent(ctx, agent.Definition{Name: "forecaster", Model: "script/weather", Tools: []string{"weather"}}, "What is the weather in Paris?")
	if err != nil {
		return err
	}
	fmt.Printf("%s (%d turns)\n", answer.Text, answer.Turns)
	return nil
}

// A Go program asks a person and waits for as long as that takes; what happens to the
// run is watched as it happens.
func ExampleRuntime_Watch() {
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	greet := durable.NewProgram("greet", func(ctx durable.Context, _ struct{}) (string, error) {
		var name string
		err := ctx.Ask(durable.Interrupt{ID: "name", Prompt: "Who is there?"}).Get(ctx, &name)
		return "hello " + name, err
	})
	r, err := orpine.Open(ctx, orpine.Config{Data: dir, Programs: []durable.Program{greet}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()
	id, err := r.Start(ctx, durable.StartRequest{Program: "greet"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for item, err := range r.Watch(ctx, id, event.After(-1)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if item.Event == nil {
			continue // a delta
		}
		fmt.Printf("%d %s %q\n", item.Event.Seq, item.Event.Kind, item.Event.Output)
		if item.Event.Kind == durable.EntryAsked {
			if err := r.Answer(ctx, id, "name", []byte(`"world"`)); err != nil {
				fmt.Println(err)
				return
			}
		}
	}
	// Output:
	// 0 started ""
	// 1 asked ""
	// 2 answered "\"world\""
	// 3 ended "\"hello world\""
}
