package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/server/mcp"
)

// A server has every agent at /mcp; the same can be offered elsewhere, such as over stdio.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is a temporary directory
	ctx := context.Background()
	polite, err := script.Parse("polite.yaml", []byte(`rules: [{reply: {text: "Good day."}}]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	rt, err := orpine.Open(ctx, orpine.Config{Data: dir, Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return polite.Model(), nil }}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close() //nolint:errcheck // the example is over
	api, err := server.New(ctx, server.Config{Runtime: rt})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer api.Close() //nolint:errcheck // the example is over
	if err := api.Load(ctx, server.File{Agents: map[string]agent.Definition{"greeter": {Model: "script/polite", Description: "Says hello."}}}); err != nil {
		fmt.Println(err)
		return
	}

	door := mcp.New(mcp.Config{Client: mcp.Inside(api)})
	defer door.Close()
	web := httptest.NewServer(door)
	defer web.Close()
	link, err := sdk.NewClient(&sdk.Implementation{Name: "someone"}, nil).Connect(ctx, &sdk.StreamableClientTransport{Endpoint: web.URL, HTTPClient: &http.Client{}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer link.Close() //nolint:errcheck // the example is over
	r, err := link.CallTool(ctx, &sdk.CallToolParams{Name: "greeter", Arguments: map[string]any{"text": "hello"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	said, _ := r.Content[0].MarshalJSON()
	fmt.Println(string(said), r.Meta[mcp.StatusMeta])
	// Output:
	// {"type":"text","text":"Good day."} succeeded
}
