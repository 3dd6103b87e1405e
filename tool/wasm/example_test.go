package wasm_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/orpine-run/orpine/tool/wasm"
)

// A module reads JSON from its standard input and writes its result to standard output.
func Example() {
	path, err := guest() // GOOS=wasip1 GOARCH=wasm go build
	if err != nil {
		fmt.Println(err)
		return
	}
	tools := wasm.New()
	defer func() { _ = tools.Close(context.Background()) }()
	declaration, err := wasm.Declare("echo", wasm.Declared{Module: path, Args: []string{"echo"}, MemoryMB: 32, Timeout: "10s"})
	if err != nil {
		fmt.Println(err)
		return
	}
	echo, err := tools.Make(declaration)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := echo.Call(context.Background(), json.RawMessage(`{"words":"orpine"}`))
	fmt.Println(result.Content, err)
	// Output: {"words":"orpine"} <nil>
}
