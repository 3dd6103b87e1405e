package orpine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

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

// An agent may only book once a person has said so. The decision is bound to what was
// asked, and the first one counts.
func ExampleRuntime_Approve() {
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := approve(context.Background(), dir); err != nil {
		fmt.Println(err)
	}
	// Output:
	// May book be called? {"agent":"planner","tool":"book","args":{"city":"Paris"}}
	// It is booked.
}

func approve(ctx context.Context, dir string) (err error) {
	type trip struct {
		City string `json:"city"`
	}
	book := tool.Func("book", "Books a trip.", func(_ context.Context, t trip) (string, error) { return "booked " + t.City, nil })
	played, err := script.Parse("trip.yaml", []byte(`
rules:
  - when: { turn: 1 }
    reply: { calls: [{ name: book, args: { city: Paris } }] }
  - when: { last_tool: book }
    reply: { text: "It is booked." }
`))
	if err != nil {
		return err
	}
	r, err := orpine.Open(ctx, orpine.Config{
		Data:      dir,
		Tools:     []tool.Tool{book},
		Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return played.Model(), nil }},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	id, err := r.StartAgent(ctx, agent.Definition{
		Name: "planner", Model: "script/trip", Tools: []string{"book"}, Permissions: tool.Policy{Ask: []string{"book"}},
	}, "Book a trip to Paris.")
	if err != nil {
		return err
	}
	if _, err := r.Settle(ctx, id, time.Time{}); err != nil { // it waits for a person
		return err
	}
	open, err := r.Questions(ctx, durable.Filter{})
	if err != nil || len(open) == 0 {
		return err
	}
	fmt.Println(open[0].Prompt, string(open[0].Value))
	accept := orpine.Approval{Decision: durable.Decision{Action: durable.Accept}, Interrupt: open[0].ID, Digest: open[0].Digest, By: "ann"}
	if err := r.Approve(ctx, id, accept); err != nil {
		return err
	}
	run, err := r.Wait(ctx, id)
	if err != nil {
		return err
	}
	answer, err := agent.AnswerOf(run)
	fmt.Println(answer.Text)
	return err
}
