package http_test

import (
	"context"
	"encoding/json"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"strings"

	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/guard"
	"github.com/orpine-run/orpine/tool/http"
)

// One request as a tool.
func Example() {
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		fmt.Fprint(w, "asked for ", r.RequestURI)
	}))
	defer server.Close()
	g, err := guard.New(guard.Config{Allow: []string{strings.TrimPrefix(server.URL, "http://")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	tools, err := http.New(http.Config{Guard: g})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tools.Close()
	weather, err := tools.Make(tool.Declaration{Name: "weather", Kind: http.Kind, Config: json.RawMessage(
		`{"url": "` + server.URL + `/weather/{city}", "query": {"unit": "{unit}"},
		  "args": {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}}, "required": ["city"]}}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := weather.Call(context.Background(), json.RawMessage(`{"city":"São Paulo"}`))
	fmt.Println(result.Content, err)
	// Output: asked for /weather/S%C3%A3o%20Paulo <nil>
}
