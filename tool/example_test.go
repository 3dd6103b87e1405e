package tool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/orpine-run/orpine/tool"
)

// A Go function becomes a tool; its argument type says what the model may pass.
func Example() {
	type query struct {
		City string `json:"city" jsonschema:"the name of the city"`
	}
	weather := tool.Func("weather", "The weather in a city.", func(_ context.Context, q query) (string, error) {
		if q.City != "Paris" {
			return "", errors.New("only Paris is known")
		}
		return "dry and 21 degrees", nil
	}, tool.Read)

	tools, err := tool.NewRegistry(weather)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, args := range []string{`{"city":"Paris"}`, `{"city":"Atlantis"}`} {
		result, err := tools.Dispatch(context.Background(), tool.Call{Name: "weather", Args: json.RawMessage(args)})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(result.Content, result.Error)
	}
	// Output:
	// dry and 21 degrees false
	// weather: only Paris is known true
}
