package outfit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/outfit"
	"github.com/orpine-run/orpine/sandbox"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp"
	"github.com/orpine-run/orpine/tool/wasm"
)

// dress makes the tools of an agent of a file in a folder, whose data directory lies in the folder.
func dress(t *testing.T, dir, file string) *tool.Registry {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := config.Parse(filepath.Join(dir, "a.yaml"), []byte(file), nil)
	must(err)
	t.Chdir(dir)
	o, err := outfit.New(outfit.Config{Data: ".orpine"}) // as it is said by default
	must(err)
	t.Cleanup(func() { must(o.Close(context.Background())) })
	d, err := o.Definition(f, "worker")
	must(err)
	var cfg orpine.Config
	o.Equip(&cfg)
	var tools []tool.Tool
	for _, declared := range d.Declared {
		one, err := cfg.Makers[declared.Kind](declared)
		must(err)
		if declared.Orders != nil {
			one, err = tool.Ordered(one, *declared.Orders)
			must(err)
		}
		tools = append(tools, one)
	}
	r, err := tool.NewRegistry(tools...)
	must(err)
	return r
}

// TestDataIsHidden: no tool sees the data directory in the folder that it was given.
func TestDataIsHidden(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, ".orpine")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "secret.key"), []byte("canary"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := dress(t, dir, `
agents:
  worker:
    model: script/x.yaml
    tools: [files/*, shell]
tools:
  files: { files: ., write: true }
`)
	for _, c := range []struct{ tool, args string }{
		{"files/read", `{"path":".orpine/secret.key"}`},
		{"files/search", `{"text":"canary"}`},
		{"shell", `{"command":"find . -type f; cat .orpine/secret.key"}`},
	} {
		if c.tool == "shell" {
			if _, err := sandbox.New(sandbox.Config{}); runtime.GOOS != "linux" || err != nil {
				t.Skipf("no jail: %v", err)
			}
		}
		got, err := r.Dispatch(t.Context(), tool.Call{Name: c.tool, Args: json.RawMessage(c.args)})
		if err != nil || strings.Contains(got.Content, "canary") {
			t.Errorf("%s %s: %+v, %v", c.tool, c.args, got, err)
		}
	}
}

// TestMounts: nor does a module.
func TestMounts(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".orpine/deep", "beside"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "m.wasm"), []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := outfit.New(outfit.Config{Data: filepath.Join(dir, ".orpine")})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close(context.Background()) //nolint:errcheck // nothing is open
	var cfg orpine.Config
	o.Equip(&cfg)
	for name, want := range map[string]bool{".": false, ".orpine": false, ".orpine/deep": false, "beside": true} {
		d, err := wasm.Declare("m", wasm.Declared{Module: filepath.Join(dir, "m.wasm"), Mounts: []wasm.Mount{{Dir: filepath.Join(dir, name), At: "/"}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cfg.Makers[wasm.Kind](d); (err == nil) != want {
			t.Errorf("the mount of %s: %v", name, err)
		}
	}
}

// TestNoTierByItself: what nothing holds is started only where that is said.
func TestNoTierByItself(t *testing.T) {
	r := dress(t, t.TempDir(), `
agents:
  worker: { model: script/x.yaml, tools: [hello] }
tools:
  hello: { run: [echo, hello], sandbox: { tier: none } }
`)
	got, err := r.Dispatch(t.Context(), tool.Call{Name: "hello"})
	if err != nil || !got.Error || !strings.Contains(got.Content, "ORPINE_UNHELD=1") {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestVariables: what a declaration of a server names as a token is taken out of what comes back, and
// the key of the secrets is none of its business.
func TestVariables(t *testing.T) {
	values := map[string]string{"GITHUB_TOKEN": "canary-token", "REGION": "canary-region", outfit.SecretKeyVar: "canary-key-of-the-secrets"}
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct{ ID json.RawMessage }
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":%q}}`, call.ID, "refused "+r.Header.Get("X"))
	}))
	defer away.Close()
	var log bytes.Buffer
	o, err := outfit.New(outfit.Config{Data: t.TempDir(), Allow: []string{"127.0.0.1"}, Log: slog.New(slog.NewTextHandler(&log, nil)), Env: func(name string) (string, bool) { v, ok := values[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close(context.Background()) //nolint:errcheck // nothing is open
	source := func(header string) error {
		d, err := mcp.Declare("away", mcp.Server{URL: away.URL, Headers: map[string]string{"X": header}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.MCP().Source(t.Context(), d)
		return err
	}
	if err := source("${GITHUB_TOKEN} ${REGION}"); err == nil {
		t.Error("there is a server where none is")
	}
	if text := log.String(); !strings.Contains(text, "refused [secret:GITHUB_TOKEN]") || strings.Contains(text, "canary-token") {
		t.Errorf("the log: %s", text)
	}
	if got := o.Redact("canary-token canary-region"); got != "[secret:GITHUB_TOKEN] canary-region" {
		t.Errorf("it shows %q", got)
	}
	if err := source("${" + outfit.SecretKeyVar + "}"); err == nil || !strings.Contains(err.Error(), "is not set") {
		t.Errorf("the key of the secrets: %v", err)
	}
}

func Example() {
	f, err := config.Parse("clerk.yaml", []byte(`
agents:
  clerk: { model: openai/gpt-5-mini, tools: [starlark, notes/*] }
tools:
  notes: { memory: clerk }
`), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	o, err := outfit.New(outfit.Config{Data: ".orpine", Env: os.LookupEnv})
	if err != nil {
		fmt.Println(err)
		return
	}
	var d agent.Definition
	if d, err = o.Definition(f, "clerk"); err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range d.Declared {
		fmt.Println(t.Kind, t.Name)
	}
	// Output:
	// memory notes/find
	// memory notes/forget
	// memory notes/save
	// script starlark
}
