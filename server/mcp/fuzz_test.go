package mcp_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/server"
)

// FuzzRequest: whatever a client sends, the server answers and goes on.
func FuzzRequest(f *testing.F) {
	meta := `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}`
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"chatty","arguments":{"text":"x"},` + meta + `}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"teller","arguments":{},"requestState":"{\"run\":\"x\"}","inputResponses":{"a":{"action":"accept"}},` + meta + `}}`,
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, `{"jsonrpc":"2.0","id":1,"method":"prompts/get"}`, `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel"}`,
		`{"jsonrpc":"2.0","id":1,"method":"initialize"}`, `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, `{"jsonrpc":"2.0","id":1,"method":"server/discover"}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe"}`, `{"jsonrpc":"2.0","id":1,"method":"completion/complete"}`, `[]`, `null`, `{`,
	} {
		f.Add("2026-07-28", body)
		f.Add("2025-11-25", body)
	}
	s := open(f, server.Config{})
	f.Fuzz(func(t *testing.T, protocol, body string) {
		if strings.Contains(body, "hold") || strings.Contains(body, "subscriptions") || strings.ContainsAny(protocol, "\r\n\x00") {
			return // it waits, as it is meant to
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.web.URL+"/mcp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {protocol}}
		resp, err := s.web.Client().Do(req)
		if err != nil {
			return // a header that cannot be sent
		}
		defer resp.Body.Close() //nolint:errcheck // it was only read
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("%d: %v", resp.StatusCode, err)
		}
	})
}
