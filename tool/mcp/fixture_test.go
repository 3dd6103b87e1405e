package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp"
)

// asServer is the variable that makes the test binary a server of that name.
const asServer = "ORPINE_TEST_MCP"

func TestMain(m *testing.M) {
	if name := os.Getenv(asServer); name != "" {
		serve(name)
		return
	}
	os.Exit(m.Run())
}

// serve is a server over stdio, well behaved or not.
func serve(name string) {
	switch name {
	case "good":
		_ = fixture().Run(context.Background(), &sdk.StdioTransport{})
	case "exits":
		fmt.Fprintln(os.Stderr, "fixture: no such database")
		os.Exit(3)
	case "silent":
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "deaf": // to the end of its input
		fmt.Println("hello, I am a program")
		_ = fixture().Run(context.Background(), &sdk.StdioTransport{})
		select {}
	case "noise":
		for {
			if _, err := fmt.Println(strings.Repeat("this is no message ", 100)); err != nil {
				return
			}
		}
	case "long":
		for {
			if _, err := fmt.Print(strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	case "binary":
		for {
			if _, err := os.Stdout.Write([]byte("{\xff\xfe\x00\x01\n\x80\x81}\n")); err != nil {
				return
			}
		}
	case "greets":
		fmt.Println("welcome to the fixture")
		fmt.Println(`{"level":"info","message":"ready"}`)
		_ = fixture().Run(context.Background(), &sdk.StdioTransport{})
	case "raw":
		raw()
	case "conformance": // no server, but the client that the suite tests
		if err := conformance(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "mute-discover": // it never answers what it does not know
		older()
	}
}

// args are those of most tools of the fixture.
type args struct {
	Text string `json:"text,omitempty"`
	File string `json:"file,omitempty"`
}

// note appends a line to a file: what a server has done is seen from outside.
func note(file, line string) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, _ = f.WriteString(line + "\n")
		_ = f.Close()
	}
}

// fixture is a server with a tool for everything that can become of a call.
func fixture() *sdk.Server {
	s := sdk.NewServer(&sdk.Implementation{Name: "fixture", Version: "1.2.3"}, nil)
	text := func(format string, a ...any) *sdk.CallToolResult {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: fmt.Sprintf(format, a...)}}}
	}
	plain := func(name string, call func(context.Context, *sdk.CallToolRequest, args) (*sdk.CallToolResult, error)) {
		sdk.AddTool(s, &sdk.Tool{Name: name, Description: "It does " + name + "."}, func(ctx context.Context, r *sdk.CallToolRequest, in args) (*sdk.CallToolResult, any, error) {
			out, err := call(ctx, r, in)
			return out, nil, err
		})
	}
	sdk.AddTool(s, &sdk.Tool{Name: "add", Description: "Adds two numbers.", Annotations: &sdk.ToolAnnotations{ReadOnlyHint: true, IdempotentHint: true}},
		func(_ context.Context, _ *sdk.CallToolRequest, in struct {
			A, B int
		},
		) (*sdk.CallToolResult, struct{ Sum int }, error) {
			return nil, struct{ Sum int }{in.A + in.B}, nil
		})
	plain("echo", func(_ context.Context, r *sdk.CallToolRequest, in args) (*sdk.CallToolResult, error) {
		key, _ := r.Params.Meta[mcp.KeyMeta].(string)
		return text("%s key=%s", in.Text, key), nil
	})
	plain("fails", func(context.Context, *sdk.CallToolRequest, args) (*sdk.CallToolResult, error) {
		return nil, errors.New("the disk is full")
	})
	plain("picture", func(context.Context, *sdk.CallToolRequest, args) (*sdk.CallToolResult, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{
			&sdk.TextContent{Text: "here"}, &sdk.ImageContent{MIMEType: "image/png", Data: []byte{1, 2, 3}}, &sdk.AudioContent{MIMEType: "audio/wav", Data: []byte{4}},
			&sdk.ResourceLink{URI: "file:///a", Name: "a", MIMEType: "text/plain"},
			&sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: "mem://b", Text: "inside"}},
			&sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: "mem://c", MIMEType: "application/zip", Blob: []byte{5, 6}}},
		}}, nil
	})
	plain("huge", func(context.Context, *sdk.CallToolRequest, args) (*sdk.CallToolResult, error) {
		return text("%s", strings.Repeat("0123456789", 300_000)), nil
	})
	plain("die", func(_ context.Context, _ *sdk.CallToolRequest, in args) (*sdk.CallToolResult, error) {
		data, _ := os.ReadFile(in.File)
		note(in.File, "called")
		if in.Text == "once" && len(data) > 0 {
			return text("alive"), nil
		}
		fmt.Fprintln(os.Stderr, "fixture: out of memory")
		os.Exit(137)
		return nil, nil
	})
	plain("slow", func(ctx context.Context, r *sdk.CallToolRequest, in args) (*sdk.CallToolResult, error) {
		note(in.File, "began")
		for i := range 3 {
			_ = r.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: float64(i), Total: 3, Message: "step"})
		}
		<-ctx.Done()
		note(in.File, "canceled")
		return nil, ctx.Err()
	})
	plain("wait.a", func(ctx context.Context, r *sdk.CallToolRequest, in args) (*sdk.CallToolResult, error) {
		return text("dotted"), nil
	})
	plain("wait_a", func(ctx context.Context, r *sdk.CallToolRequest, in args) (*sdk.CallToolResult, error) {
		return text("plain"), nil
	})
	plain("flood", func(ctx context.Context, r *sdk.CallToolRequest, in args) (*sdk.CallToolResult, error) {
		for i := range 40_000 {
			_ = r.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: float64(i), Message: strings.Repeat("flood ", 20)})
		}
		return text("flooded"), nil
	})
	plain("order", order)
	s.AddResource(&sdk.Resource{Name: "motd", URI: "mem://motd", MIMEType: "text/plain"}, func(context.Context, *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{URI: "mem://motd", Text: "be kind"}}}, nil
	})
	s.AddPrompt(&sdk.Prompt{Name: "greet", Description: "A greeting.", Arguments: []*sdk.PromptArgument{{Name: "who", Required: true}}}, func(_ context.Context, r *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
		return &sdk.GetPromptResult{Messages: []*sdk.PromptMessage{{Role: "user", Content: &sdk.TextContent{Text: "Hello " + r.Params.Arguments["who"]}}}}, nil
	})
	return s
}

// order asks a person for a size, as each protocol has it, and notes what it does.
func order(ctx context.Context, r *sdk.CallToolRequest, in args) (*sdk.CallToolResult, error) {
	question := &sdk.ElicitParams{Mode: "form", Message: "Which size of " + in.Text + "?", RequestedSchema: map[string]any{
		"type": "object", "properties": map[string]any{"size": map[string]any{"type": "string"}, "gift": map[string]any{"type": "boolean", "default": true}}, "required": []string{"size"},
	}}
	note(in.File, "called "+in.Text)
	var said *sdk.ElicitResult
	if r.Session.InitializeParams() != nil && r.Session.InitializeParams().ProtocolVersion < "2026-07-28" {
		var err error
		if said, err = r.Session.Elicit(ctx, question); err != nil {
			return nil, err
		}
	} else if said, _ = r.Params.InputResponses["size"].(*sdk.ElicitResult); said == nil {
		return &sdk.CallToolResult{InputRequests: sdk.InputRequestMap{"size": question}, RequestState: "state of " + in.Text}, nil
	} else if r.Params.RequestState != "state of "+in.Text {
		return nil, fmt.Errorf("the state is %q", r.Params.RequestState)
	}
	note(in.File, said.Action)
	if said.Action != "accept" {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "no order: " + said.Action}}}, nil
	}
	key, _ := r.Params.Meta[mcp.KeyMeta].(string)
	return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: fmt.Sprintf("ordered %s in %v, gift %v, key %s", in.Text, said.Content["size"], said.Content["gift"], key)}}}, nil
}

// older is a server that was written by hand, for protocols before discovery. What it does not
// know it passes over.
func older() {
	answer := func(id, result json.RawMessage) {
		fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", id, result)
	}
	for dec := json.NewDecoder(os.Stdin); ; {
		var m struct {
			ID     json.RawMessage
			Method string
		}
		if dec.Decode(&m) != nil {
			return
		}
		switch m.Method {
		case "initialize":
			answer(m.ID, json.RawMessage(`{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"0"}}`))
		case "tools/list":
			answer(m.ID, json.RawMessage(`{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}`))
		case "tools/call":
			answer(m.ID, json.RawMessage(`{"content":[{"type":"text","text":"old but alive"}]}`))
		}
	}
}

// raw is a server that was written by hand and gets much wrong.
func raw() {
	answer := func(id json.RawMessage, result string) {
		fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", id, result)
	}
	for dec := json.NewDecoder(os.Stdin); ; {
		var m struct {
			ID     json.RawMessage
			Method string
			Params struct{ Name string }
		}
		if dec.Decode(&m) != nil {
			return
		}
		switch m.Method + " " + m.Params.Name {
		case "server/discover ":
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"what?"}}`+"\n", m.ID)
		case "initialize ":
			answer(m.ID, `{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"raw","version":"0"}}`)
		case "tools/list ":
			answer(m.ID, `{"tools":[null,{"name":""},{"name":"badschema","inputSchema":{"type":"object","properties":{"a":{"type":"nonsense","pattern":"("}}}},`+
				`{"name":"notobject","inputSchema":"x"},{"name":"remote","inputSchema":{"type":"object","$ref":"http://127.0.0.1:1/x"}},`+
				`{"name":"untyped","inputSchema":{"properties":{"a":{"type":"string"}}}},`+
				`{"name":"typed","inputSchema":{"type":"object"},"outputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}},`+
				`{"name":"none","inputSchema":{"type":"object"},"outputSchema":{"type":"object"}},`+
				`{"name":"odd","inputSchema":{"type":"object"}},{"name":"utf8","inputSchema":{"type":"object"}},{"name":"rpc","inputSchema":{"type":"object"}},`+
				`{"name":"closing","inputSchema":{"type":"object"}},{"name":"garbage","inputSchema":{"type":"object"}},{"name":"rude","inputSchema":{"type":"object"}},{"name":"nocontent","inputSchema":{"type":"object"}}]}`)
		case "tools/call typed":
			answer(m.ID, `{"content":[],"structuredContent":{"n":"seven"}}`)
		case "tools/call none":
			answer(m.ID, `{"content":[{"type":"text","text":"just text"}]}`)
		case "tools/call odd":
			answer(m.ID, `{"content":[{"type":"hologram"}]}`)
		case "tools/call utf8":
			answer(m.ID, "{\"content\":[{\"type\":\"text\",\"text\":\"caf\xe9 \\ud800 \\u0000\"}]}")
		case "tools/call rpc":
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"a is missing"}}`+"\n", m.ID)
		case "tools/call closing": // the code with which the SDK itself says that a connection is closed
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32004,"message":"out of stock"}}`+"\n", m.ID)
		case "tools/call garbage":
			fmt.Println("panic: nil map")
			answer(m.ID, `{"content":[{"type":"text","text":"after all"}]}`)
		case "tools/call rude": // requests without what they must have
			for _, method := range []string{"elicitation/create", "sampling/createMessage", "roots/list", "ping", "nonsense"} {
				fmt.Printf(`{"jsonrpc":"2.0","id":"%s","method":"%s"}`+"\n", method, method)
			}
			for _, method := range []string{"progress", "cancelled", "elicitation/complete", "message", "resources/updated", "tools/list_changed", "nonsense"} {
				fmt.Printf(`{"jsonrpc":"2.0","method":"notifications/%s"}`+"\n", method)
			}
			answer(m.ID, `{"content":[{"type":"text","text":"sorry"}]}`)
		case "tools/call nocontent":
			answer(m.ID, `{}`)
		}
	}
}

// process is a Process of the operating system.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.Reader
	stderr io.Reader
	once   sync.Once
	ended  chan struct{}
}

func (p *process) Stdin() io.WriteCloser { return p.stdin }
func (p *process) Stdout() io.Reader     { return p.stdout }
func (p *process) Stderr() io.Reader     { return p.stderr }
func (p *process) Kill()                 { _ = p.cmd.Process.Kill() }
func (p *process) Wait() error {
	p.once.Do(func() {
		state, err := p.cmd.Process.Wait()
		if err == nil && !state.Success() {
			err = errors.New(state.String())
		}
		p.cmd.Err = err
		close(p.ended)
	})
	<-p.ended
	return p.cmd.Err
}

// spawner starts processes, and knows which are alive.
type spawner struct {
	mu      sync.Mutex
	started []*process
	asked   []mcp.Stdio
}

func (s *spawner) spawn(_ context.Context, how mcp.Stdio) (mcp.Process, error) {
	cmd := exec.Command(how.Command, how.Args...)
	cmd.Dir = how.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
	for name, value := range how.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	said, err3 := cmd.StderrPipe()
	p.stdin, p.stdout, p.stderr = in, out, said
	if err := errors.Join(err1, err2, err3, cmd.Start()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started, s.asked = append(s.started, p), append(s.asked, how)
	return p, nil
}

func (s *spawner) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.started)
}

// last is the process that was started last.
func (s *spawner) last() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started[len(s.started)-1]
}

// bench is a client with a spawner; all of its processes must be gone in the end.
type bench struct {
	*mcp.Client
	*spawner
	t testing.TB
}

func open(t testing.TB, cfg mcp.Config) *bench {
	t.Helper()
	b := &bench{spawner: &spawner{}, t: t}
	cfg.Spawn = b.spawn
	b.Client = mcp.New(cfg)
	t.Cleanup(func() {
		_ = b.Close()
		for _, p := range b.started {
			select {
			case <-p.ended:
			case <-time.After(10 * time.Second):
				t.Errorf("process %d is still there", p.cmd.Process.Pid)
				p.Kill()
			}
		}
	})
	return b
}

// fixtureServer is the declaration of a server that is the test binary.
func fixtureServer(name string, change func(*mcp.Server)) mcp.Server {
	s := mcp.Server{Command: os.Args[0], Env: map[string]string{asServer: name}}
	if change != nil {
		change(&s)
	}
	return s
}

// tools lists and makes the tools of a server, by name.
func (b *bench) tools(s mcp.Server) map[string]tool.Tool {
	b.t.Helper()
	all := map[string]tool.Tool{}
	for _, d := range b.list(s) {
		t, err := b.Make(d)
		if err != nil {
			b.t.Fatal(err)
		}
		all[strings.TrimPrefix(d.Name, "fix/")] = t
	}
	return all
}

func (b *bench) list(s mcp.Server) []tool.Declaration {
	b.t.Helper()
	list, err := b.Source(b.t.Context(), b.declare(s))
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bench) declare(s mcp.Server) tool.Declaration {
	b.t.Helper()
	d, err := mcp.Declare("fix", s)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

// call calls a tool; an error fails the test.
func (b *bench) call(t tool.Tool, args any) tool.Result {
	b.t.Helper()
	r, err := t.Call(b.t.Context(), encode(b.t, args))
	if err != nil {
		b.t.Fatalf("%s: %v", t.Spec().Name, err)
	}
	return r
}

func encode(t testing.TB, v any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// attempt is a context as a step has it.
func attempt(ctx context.Context, key string, emit func(string, json.RawMessage)) (context.Context, *blobs) {
	if emit == nil {
		emit = func(string, json.RawMessage) {}
	}
	kept := &blobs{kept: map[string][]byte{}}
	return durable.WithAttempt(ctx, &durable.Attempt{Key: key, Emit: emit, Beat: func() {}, Blobs: kept}), kept
}

type blobs struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (b *blobs) Put(_ context.Context, data []byte) (durable.Ref, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ref := durable.RefOf(data)
	b.kept[ref.Hash] = data
	return ref, nil
}

func (b *blobs) Get(_ context.Context, ref durable.Ref) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept[ref.Hash], nil
}

// until polls for something that happens elsewhere.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("it did not come to this: %s", what)
		case <-tick.C:
		}
	}
}

// lines are those of a file.
func lines(file string) []string {
	data, _ := os.ReadFile(file)
	return strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(data)), " ", "_"))
}

func ledger(t testing.TB) string { return filepath.Join(t.TempDir(), "ledger") }
