// Command first-agent runs an agent with a Go tool, and keeps its run in ./.orpine.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/outline"
	"github.com/orpine-run/orpine/tool"
)

type place struct {
	City string `json:"city"`
}

func run(ctx context.Context) error {
	weather := tool.Func("weather", "The weather in a city", func(_ context.Context, in place) (string, error) {
		return "sunny in " + in.City, nil
	}, tool.Read)
	rt, err := orpine.Open(ctx, orpine.Config{
		Data: ".orpine", Tools: []tool.Tool{weather},
		Providers: map[string]model.Provider{"builtin": outline.Provider()}, // or openai.Provider(openai.Config{Key: …})
	})
	if err != nil {
		return err
	}
	defer rt.Close() //nolint:errcheck // what was acknowledged is on the disk
	guide := agent.Definition{Name: "guide", Model: "builtin/outline", Tools: []string{"weather"}}
	answer, err := rt.RunAgent(ctx, guide, "Plan a day in Rome. Keep it short.")
	fmt.Println(answer.Text)
	return err
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "first-agent:", err)
		os.Exit(1)
	}
}
