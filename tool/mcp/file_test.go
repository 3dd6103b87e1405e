package mcp_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/tool/mcp"
)

// TestReadFile: files as other programs have them.
func TestReadFile(t *testing.T) {
	for _, c := range []struct {
		name, file, want string
	}{
		{
			"claude", `{"mcpServers":{
			"fs":{"command":"npx","args":["-y","@modelcontextprotocol/server-filesystem","${HOME:-/tmp}"],"env":{"A":"${B}"}},
			"api":{"type":"http","url":"https://${HOST:-example.com}/mcp","headers":{"Authorization":"Bearer ${TOKEN}"},"timeout":30000,"alwaysAllow":["x"]}}}`,
			`api {"type":"http","url":"https://${HOST:-example.com}/mcp","headers":{"Authorization":"Bearer ${TOKEN}"},"timeout":"30s"}|` +
				`fs {"command":"npx","args":["-y","@modelcontextprotocol/server-filesystem","${HOME:-/tmp}"],"env":{"A":"${B}"}}`,
		},
		{"off", `{"mcpServers":{"a":{"command":"a","disabled":true},"b":{"command":"b","disabled":false}}}`, `b {"command":"b"}`},
		{"ours", `{"mcpServers":{"a":{"command":"a","effects":{"get_*":"read"},"tools":["get_*"],"calls":2}}}`, `a {"command":"a","effects":{"get_*":"read"},"tools":["get_*"],"calls":2}`},
		{"none", `{"mcpServers":{}}`, ``},
		{"other word", `{"servers":{"a":{"command":"a"}}}`, `! the form of another program`},
		{"nothing", `{}`, `! no "mcpServers"`},
		{"no JSON", `mcpServers:`, `! is not JSON`},
		{"no command", `{"mcpServers":{"a":{"args":["x"]}}}`, `! it needs a command, or a url`},
		{"both", `{"mcpServers":{"a":{"command":"a","url":"http://x"}}}`, `! not both`},
		{"type", `{"mcpServers":{"a":{"type":"ws","url":"ws://x"}}}`, `! there are stdio, http and sse`},
		{"url", `{"mcpServers":{"a":{"url":"ftp://x"}}}`, `! begins with https://`},
		{"name", `{"mcpServers":{"a/b":{"command":"a"}}}`, `! is no name of an MCP server`},
		{"null", `{"mcpServers":{"a":null}}`, `! must be an object`},
		{"helper", `{"mcpServers":{"a":{"url":"http://x","headersHelper":"get-token"}}}`, `! headersHelper is not known here`},
		{"effect", `{"mcpServers":{"a":{"command":"a","effects":{"*":"safe"}}}}`, `! the effect of * is read, idempotent or irreversible`},
		{"pattern", `{"mcpServers":{"a":{"command":"a","tools":["["]}}}`, `! is no name of a tool`},
		{"secret", `{"mcpServers":{"a":{"command":"a","args":["--key=${secret:K}"]}}}`, `! args holds a secret`},
		{"time", `{"mcpServers":{"a":{"command":"a","timeout":"soon"}}}`, `! write one as "30s"`},
	} {
		list, err := mcp.ReadFile([]byte(c.file))
		var got []string
		for _, d := range list {
			var config struct{ Server json.RawMessage }
			if err := json.Unmarshal(d.Config, &config); err != nil || d.Kind != mcp.Kind {
				t.Errorf("%s: %+v", c.name, d)
			}
			got = append(got, d.Name+" "+string(config.Server))
		}
		if want, refused := strings.CutPrefix(c.want, "! "); refused {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", c.name, want, err)
			}
		} else if err != nil || strings.Join(got, "|") != c.want {
			t.Errorf("%s: got %s, error %v", c.name, strings.Join(got, "|"), err)
		}
	}
}

// TestVariables: what a variable holds is taken as it is, where the server is started.
func TestVariables(t *testing.T) {
	set := map[string]string{"MODE": "good", "ODD": "${MODE} ${secret:X}", "EMPTY": ""}
	b := open(t, mcp.Config{Env: func(name string) (string, bool) { v, ok := set[name]; return v, ok }})
	b.tools(mcp.Server{Command: os.Args[0], Args: []string{"-x=${ODD}", "${NONE:-a:-b}", "${EMPTY:-e}", "$HOME ${not closed", "${}", "a${MODE}b"}, Env: map[string]string{asServer: "${MODE}"}})
	want := []string{"-x=${MODE} ${secret:X}", "a:-b", "e", "$HOME ${not closed", "${}", "agoodb"}
	if got := b.asked[0]; strings.Join(got.Args, "|") != strings.Join(want, "|") || got.Env[asServer] != "good" || got.Server != "fix" {
		t.Errorf("it was started with %+v", got)
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add([]byte(`{"mcpServers":{"fs":{"command":"npx","args":["-y","${HOME:-/tmp}"],"env":{"A":"${B}"}},"api":{"type":"http","url":"https://x/mcp","headers":{"A":"${secret:T}"},"timeout":1000}}}`))
	f.Add([]byte(`{"mcpServers":{"a":{"command":"a","effects":{"*":"read"},"flow":{"untrusted":false},"oauth":{"client_id":"x"}}}}`))
	f.Add([]byte(`{"servers":{}}`))
	f.Add([]byte(`{"mcpServers":{"a":{"url":"${","timeout":-1e300}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := mcp.ReadFile(data)
		if err != nil {
			return
		}
		c := mcp.New(mcp.Config{})
		for _, d := range list { // what is read can be used, and is refused for want of a way to reach it
			if _, err := c.Source(t.Context(), d); err == nil {
				t.Errorf("%s was reached", d.Name)
			}
			if _, err := c.Make(d); err == nil {
				t.Errorf("%s is a tool", d.Name)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
