package script_test

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
)

// A script plays a model that calls a tool and then words its result.
func Example() {
	s, err := script.Parse("weather.yaml", []byte(`
model: weather-1
rules:
  - name: ask the tool
    when: { turn: 1, last_user: '(?i)weather in (?P<city>\w+)' }
    reply:
      text: Let me look.
      calls:
        - { name: weather, args: { city: $1, days: 3 } }
  - name: say what it found
    when: { last_tool: weather, last_user: '(?i)weather in (?P<city>\w+)' }
    reply:
      text: "In ${city}: ${result}"
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	m := s.Model()
	req := model.Request{Messages: []model.Message{model.Text(model.User, "What is the weather in Paris?")}}

	first, err := m.Generate(context.Background(), req, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	call := first.Message.Calls()[0]
	fmt.Println(first.Stop, call.ID, call.Name, string(call.Args))

	req.Messages = append(req.Messages, first.Message, model.Message{Role: model.ToolRole, Parts: []model.Part{
		{Result: &model.ToolResult{CallID: call.ID, Name: call.Name, Content: "dry and 21 degrees"}},
	}})
	second, err := m.Generate(context.Background(), req, func(d model.Delta) { fmt.Printf("%q\n", d.Text) })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(second.Stop, second.Usage.Output, "words from", second.Model)

	// Output:
	// calls call_1_0 weather {"city":"Paris","days":3}
	// "In Paris: dry an"
	// "d 21 degrees"
	// end 6 words from weather-1
}
