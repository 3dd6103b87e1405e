package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/tool/mcp"
)

// The tools of a server are listed once, and each is then a tool like any other.
func Example() {
	server := sdk.NewServer(&sdk.Implementation{Name: "weather", Version: "1"}, nil)
	sdk.AddTool(server, &sdk.Tool{Name: "today", Description: "The weather in a city."},
		func(_ context.Context, _ *sdk.CallToolRequest, in struct {
			City string `json:"city"`
		},
		) (*sdk.CallToolResult, any, error) {
			return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "dry in " + in.City}}}, nil, nil
		})
	web := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil))
	defer web.Close()

	ctx := context.Background()
	client := mcp.New(mcp.Config{HTTP: web.Client()})
	defer client.Close() //nolint:errcheck // it never fails
	servers, err := mcp.ReadFile([]byte(`{"mcpServers": {"weather": {"url": "` + web.URL + `", "effects": {"*": "read"}}}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	tools, err := client.Source(ctx, servers[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	today, err := client.Make(tools[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := today.Call(ctx, json.RawMessage(`{"city":"Paris"}`))
	fmt.Println(today.Spec().Name, today.Spec().Options.Effect, today.Spec().Flow)
	fmt.Println(result.Content, err)
	// Output:
	// weather/today read {true false true}
	// dry in Paris <nil>
}
