package temporal_test

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/client"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/temporal"
)

// A program runs on a Temporal cluster as it runs in a data directory. This example is
// compiled and not run, as it needs a server.
func ExampleNew() {
	greet := durable.NewFunc("greet", durable.StepOptions{Effect: durable.Read},
		func(_ context.Context, name string) (string, error) { return "hello " + name, nil })
	program := durable.NewProgram("greeter", func(ctx durable.Context, name string) (string, error) {
		return durable.Do(ctx, greet, name)
	}, greet.StepFunc)

	c, err := client.Dial(client.Options{HostPort: "localhost:7233"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	engine, err := temporal.New(temporal.Config{Client: c, Queue: "greetings", Programs: []durable.Program{program}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	ctx := context.Background()
	id, err := engine.Start(ctx, durable.StartRequest{Program: "greeter", Input: []byte(`"you"`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err := engine.Wait(ctx, id)
	fmt.Println(string(run.Output), err)
}
