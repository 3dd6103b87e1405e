package config_test

import (
	"fmt"

	"github.com/orpine-run/orpine/config"
)

func ExampleParse() {
	file := `
agents:
  keeper:
    model: ${MODEL:-openai/gpt-5-mini}
    tools: [clock]
    budget: { time: 15m }
`
	none := func(string) (string, bool) { return "", false }
	f, err := config.Parse("orpine.yaml", []byte(file), none)
	if err != nil {
		fmt.Println(err)
		return
	}
	keeper := f.Agents[f.AgentNames()[0]]
	fmt.Println(keeper.Name, keeper.Model, keeper.Tools, keeper.Budget.Time)
	// Output: keeper openai/gpt-5-mini [clock] 15m0s
}

func ExampleParse_problem() {
	_, err := config.Parse("orpine.yaml", []byte("agents:\n  keeper:\n    mdoel: openai/gpt-5-mini\n"), nil)
	fmt.Println(err)
	// Output:
	// orpine.yaml:2:3: missing field "model" in agents.keeper; add model: provider/name, or a name of the models section
	//       2 |   keeper:
	//         |   ^
	// orpine.yaml:3:5: unknown field "mdoel" in agents.keeper; did you mean "model"?
	//       3 |     mdoel: openai/gpt-5-mini
	//         |     ^
}

func ExampleSchema() {
	schema, err := config.Schema("{ findings: [string], saving: number? }")
	fmt.Println(string(schema), err)
	// Output: {"type":"object","properties":{"findings":{"type":"array","items":{"type":"string"}},"saving":{"type":"number"}},"required":["findings"],"additionalProperties":false} <nil>
}
