package mcp_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/tool/mcp"
)

// BenchmarkCall is a call over stdio as an agent makes it, beside one with the bare SDK.
func BenchmarkCall(b *testing.B) {
	b.Run("orpine", func(b *testing.B) {
		client := open(b, mcp.Config{})
		echo := client.tools(fixtureServer("good", nil))["echo"]
		ctx, _ := attempt(b.Context(), "run/0/1", nil)
		args := json.RawMessage(`{"text":"hello"}`)
		for b.Loop() {
			if r, err := echo.Call(ctx, args); err != nil || r.Error {
				b.Fatal(r, err)
			}
		}
	})
	b.Run("sdk", func(b *testing.B) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asServer+"=good")
		bare, err := sdk.NewClient(&sdk.Implementation{Name: "bare"}, nil).Connect(b.Context(), &sdk.CommandTransport{Command: cmd}, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer bare.Close() //nolint:errcheck // it ends with the benchmark
		for b.Loop() {
			r, err := bare.CallTool(b.Context(), &sdk.CallToolParams{Name: "echo", Arguments: json.RawMessage(`{"text":"hello"}`)})
			if err != nil || r.IsError {
				b.Fatal(r, err)
			}
		}
	})
}
