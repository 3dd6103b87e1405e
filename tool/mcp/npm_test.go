package mcp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp"
)

// servers are the reference servers of the protocol, as npm has them.
const servers = "testdata/servers/node_modules/@modelcontextprotocol"

// entry is the program of a reference server; the test is skipped where there is none.
func entry(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(servers, name, "dist/index.js"))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Skip("the reference servers are not installed: make test does that")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("there is no node to run the reference servers with")
	}
	return path
}

func node(args ...string) mcp.Server {
	return mcp.Server{Command: "node", Args: args, Effects: map[string]durable.Effect{"*": durable.Read}}
}

// says calls a tool and wants a text in its result.
func (b *bench) says(tools map[string]tool.Tool, name, args, want string) {
	b.t.Helper()
	made := tools[name]
	if made == nil {
		b.t.Errorf("there is no tool %s", name)
		return
	}
	ctx, _ := attempt(b.t.Context(), "run/0/1", nil)
	r, err := made.Call(ctx, []byte(args))
	if err != nil || r.Error || !strings.Contains(r.Content, want) {
		b.t.Errorf("%s %s: got %+v, error %v", name, args, r, err)
	}
}

// TestServerFilesystem: the reference server of files.
func TestServerFilesystem(t *testing.T) {
	script, dir := entry(t, "server-filesystem"), t.TempDir()
	b := open(t, mcp.Config{})
	tools := b.tools(node(script, dir))
	file := filepath.Join(dir, "a.txt")
	b.says(tools, "write_file", `{"path":`+string(encode(t, file))+`,"content":"grüße"}`, "wrote")
	if data, err := os.ReadFile(file); err != nil || string(data) != "grüße" {
		t.Errorf("the file has %q, error %v", data, err)
	}
	b.says(tools, "read_text_file", `{"path":`+string(encode(t, file))+`}`, "grüße")
	b.says(tools, "list_directory", `{"path":`+string(encode(t, dir))+`}`, "a.txt")
	r := b.call(tools["read_text_file"], map[string]string{"path": "/etc/passwd"})
	if !r.Error || !strings.Contains(r.Content, "Access denied") {
		t.Errorf("outside: %+v", r)
	}
}

// TestServerMemory: the reference server that keeps facts; they outlive the process.
func TestServerMemory(t *testing.T) {
	script, file := entry(t, "server-memory"), filepath.Join(t.TempDir(), "memory.jsonl")
	server := node(script)
	server.Env = map[string]string{"MEMORY_FILE_PATH": file}
	for i := range 2 {
		b := open(t, mcp.Config{})
		tools := b.tools(server)
		if i == 0 {
			b.says(tools, "create_entities", `{"entities":[{"name":"Ada","entityType":"person","observations":["wrote the first program"]}]}`, "Ada")
		}
		b.says(tools, "search_nodes", `{"query":"Ada"}`, "wrote the first program")
	}
}

// TestServerEverything: the reference server with all that the protocol has, over stdio and HTTP.
func TestServerEverything(t *testing.T) {
	script := entry(t, "server-everything")
	for _, transport := range []string{"stdio", "streamableHttp", "sse"} {
		t.Run(transport, func(t *testing.T) {
			b := open(t, mcp.Config{HTTP: &http.Client{}})
			server := node(script, transport)
			if transport != "stdio" {
				server = mcp.Server{URL: everything(t, script, transport), Effects: server.Effects}
				if transport == "sse" {
					server.Type, server.URL = "sse", strings.Replace(server.URL, "/mcp", "/sse", 1)
				}
			}
			tools := b.tools(server)
			b.says(tools, "echo", `{"message":"hello"}`, "hello")
			b.says(tools, "get-sum", `{"a":2,"b":3}`, "5")
			b.says(tools, "get-tiny-image", `{}`, "[image image/png, ")
			b.says(tools, "get-structured-content", `{"location":"New York"}`, `"temperature":`)
			b.says(tools, "get-resource-links", `{"count":2}`, "[resource ")
			b.says(tools, "list_resources", `{}`, "demo://")
			b.says(tools, "list_prompts", `{}`, "simple-prompt")
			b.says(tools, "get_prompt", `{"name":"args-prompt","arguments":{"city":"Paris"}}`, "Paris")
			progress(t, tools["trigger-long-running-operation"])
			b.asks(tools["trigger-elicitation-request"])
		})
	}
}

// progress calls a tool that takes a while and says how far it is.
func progress(t *testing.T, slow tool.Tool) {
	t.Helper()
	var mu sync.Mutex
	var said []string
	ctx, _ := attempt(t.Context(), "run/0/1", func(kind string, data json.RawMessage) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, kind+string(data))
	})
	r, err := slow.Call(ctx, []byte(`{"duration":0.3,"steps":3}`))
	mu.Lock()
	defer mu.Unlock()
	if err != nil || r.Error || !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, `"total":3`) }) {
		t.Errorf("got %+v, error %v; it said %v", r, err, said)
	}
}

// asks calls a tool that asks a person.
func (b *bench) asks(made tool.Tool) {
	b.t.Helper()
	if made == nil {
		b.t.Error("there is no tool that asks")
		return
	}
	r := b.call(made, struct{}{})
	if len(r.Asks) != 1 {
		b.t.Errorf("it asks %+v", r)
		return
	}
	r, err := made.Call(tool.WithAnswers(b.t.Context(), tool.Answers{State: r.State, Declined: []string{r.Asks[0].Name}}), []byte(`{}`))
	if err != nil || !strings.Contains(r.Content, "declined") {
		b.t.Errorf("it was declined: %+v, error %v", r, err)
	}
}

// everything runs the reference server on a port of its own.
func everything(t *testing.T, script, transport string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	_ = ln.Close() // the program takes a number only
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", script, transport)
	cmd.Env = append(os.Environ(), "PORT="+port)
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was killed
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), port) {
			break
		}
	}
	return "http://127.0.0.1:" + port + "/mcp"
}
