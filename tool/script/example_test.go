package script_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/script"
)

// An agent computes with a script; what it needs comes as input.
func Example() {
	tools := script.New()
	defer func() { _ = tools.Close(context.Background()) }()
	js, err := tools.Make(tool.Declaration{Name: "javascript", Kind: script.Kind, Config: json.RawMessage(`{"language": "javascript"}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := js.Call(context.Background(), json.RawMessage(`{"code": "input.map(n => n * n)", "input": [1, 2, 3]}`))
	fmt.Println(result.Content, err)
	// Output: [1,4,9] <nil>
}
