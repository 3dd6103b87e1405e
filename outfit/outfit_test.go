package outfit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/outfit"
	"github.com/orpine-run/orpine/tool"
)

// file is an orpine file with a tool of each kind.
const file = `
mcp_file: .mcp.json
mcp:
  remote: { url: "https://mcp.example.com", headers: { Authorization: "Bearer ${secret:TOKEN}" }, effects: { list_*: read } }
  both: { command: here, sandbox: { net: [example.com], fs: read } }
  more: { effects: { "*": read }, sandbox: { read_only: [/opt] } }
permissions: { deny: [shell(rm *)] }
tenants:
  acme: { permissions: { ask: [pay], default: allow } }
agents:
  boss:
    model: builtin/outline
    tools: [notes/*, spend, api/*, pay, scan, count, mem/find, remote/list_issues, both/*, shell(go test*), http_fetch, javascript, clock]
    agents: [clerk]
  clerk: { model: builtin/outline, tools: ["*"] }
tools:
  notes: { files: notes, write: true, breaker: { failures: 3 } }
  spend: { csv: { t: t.csv }, sql: "select * from t where m = :m", input: { m: string }, cache: 10m }
  api: { http: { openapi: api.yaml, auth: { bearer: "${secret:API}" } } }
  pay: { http: "POST https://pay.example.com/{who}", input: { who: string } }
  scan: { run: "./scan.sh {path}", input: { path: string }, effect: read, sandbox: { fs: read, net: false } }
  count: { wasm: count.wasm }
  mem: { memory: boss }
`

const api = `
openapi: 3.1.0
info: { title: t, version: "1" }
servers: [{ url: "https://api.example.com" }]
paths:
  /pets: { get: { operationId: listPets, responses: { "200": { description: ok } } } }
`

// load writes the file and what it names into a folder, and reads it.
func load(t *testing.T, text string) *config.File {
	t.Helper()
	dir := t.TempDir()
	module := []byte("\x00asm\x01\x00\x00\x00")
	for name, data := range map[string][]byte{
		"orpine.yaml": []byte(text), "t.csv": []byte("m,n\nmay,1\n"), "api.yaml": []byte(api), "count.wasm": module,
		".mcp.json": []byte(`{"mcpServers": {"both": {"command": "there"}, "more": {"command": "more"}}}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := config.Load(filepath.Join(dir, "orpine.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newOutfit(t *testing.T, cfg outfit.Config) *outfit.Outfit {
	t.Helper()
	o, err := outfit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return o
}

// TestDefinition: an agent gets the tools that it names, as data, and the policies above it.
func TestDefinition(t *testing.T) {
	f := load(t, strings.Replace(file, ", count,", ",", 1)) // a module that is none is refused, see below
	o := newOutfit(t, outfit.Config{})
	d, err := o.Definition(f, "boss")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range d.Declared {
		got = append(got, one.Name+" "+one.Kind)
		if strings.Contains(string(one.Config), "TOKEN}") && !strings.Contains(string(one.Config), "${secret:TOKEN}") {
			t.Errorf("a secret was looked up: %s", one.Config)
		}
	}
	want := []string{
		"api openapi", "both mcp", "http_fetch builtin", "javascript script", "mem/find memory", "mem/forget memory", "mem/save memory",
		"notes/edit files", "notes/list files", "notes/read files", "notes/search files", "notes/write files",
		"pay http", "remote mcp", "scan command", "shell command", "spend sql",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("declared (-want +got):\n%s", diff)
	}
	if p := d.Permissions.Only; len(p) != 1 || p[0] != "shell(go test*)" {
		t.Errorf("it is narrowed by %q", p)
	}
	wantAbove := []tool.Policy{{Deny: []string{"shell(rm *)"}, Default: tool.Allow}, {Ask: []string{"pay"}, Default: tool.Allow, Tenant: "acme"}}
	if diff := cmp.Diff(wantAbove, d.Above); diff != "" {
		t.Errorf("policies above (-want +got):\n%s", diff)
	}
	if len(d.Agents) != 1 || d.Agents[0].Name != "clerk" || d.Agents[0].Above != nil {
		t.Errorf("agents beneath: %+v", d.Agents)
	}
	for _, one := range d.Agents[0].Declared {
		if one.Name == "shell" || one.Name == "http_fetch" {
			t.Errorf("a pattern means %s, which is built in", one.Name)
		}
	}
	i, err := o.Inspect(d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"api/*", "both/*", "remote/*"}, i.Open()); diff != "" {
		t.Errorf("what is found when a run begins (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		tenant, tool, args string
		want               tool.Verdict
	}{
		{"", "pay", `{"who":"ann"}`, tool.Allow},
		{"acme", "pay", `{"who":"ann"}`, tool.Ask},
		{"", "shell", `{"command":"go test ./..."}`, tool.Allow},
		{"", "shell", `{"command":"rm -rf /"}`, tool.Deny},
		{"", "shell", `{"command":"make"}`, tool.Deny},
	} {
		if got, err := i.Rule(c.tenant, c.tool, []byte(c.args)); err != nil || got.Verdict != c.want {
			t.Errorf("%s %s of %q: %+v, %v; want %s", c.tool, c.args, c.tenant, got, err, c.want)
		}
	}
}

// TestServers: those of a .mcp.json, with what the file adds, or in place of them.
func TestServers(t *testing.T) {
	list, err := newOutfit(t, outfit.Config{}).Servers(load(t, file))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range list {
		got[d.Name] = string(d.Config)
	}
	for name, want := range map[string][]string{
		"both": {`"command":"here"`, `"net":["example.com"]`}, "more": {`"command":"more"`, `"*":"read"`, `"read_only":["/opt"]`}, "remote": {`${secret:TOKEN}`},
	} {
		for _, w := range want {
			if !strings.Contains(got[name], w) {
				t.Errorf("%s is %s, want %s in it", name, got[name], w)
			}
		}
	}
	bad := load(t, "mcp_file: .mcp.json\nmcp: { other: { calls: 3 } }\nagents: { a: { model: builtin/outline } }")
	if _, err := newOutfit(t, outfit.Config{}).Servers(bad); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("one that there is nowhere: %v", err)
	}
}

// TestBadFiles: what a file names is looked at when a definition is made.
func TestBadFiles(t *testing.T) {
	o := newOutfit(t, outfit.Config{})
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"no such document", "agents: { a: { model: builtin/outline, tools: [x/*] } }\ntools: { x: { http: nowhere.yaml } }", durable.ErrNotFound},
		{"no such .mcp.json", "mcp_file: nowhere.json\nagents: { a: { model: builtin/outline } }", durable.ErrNotFound},
		{"no such module", "agents: { a: { model: builtin/outline, tools: [x] } }\ntools: { x: { wasm: nowhere.wasm } }", durable.ErrNotFound},
		{"no module", "agents: { a: { model: builtin/outline, tools: [x] } }\ntools: { x: { wasm: t.csv } }", durable.ErrInvalid},
	} {
		if _, err := o.Definition(load(t, c.text), "a"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := o.Definition(load(t, "agents: { a: { model: builtin/outline } }"), "b"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("an agent that there is not: %v", err)
	}
	if _, err := outfit.New(outfit.Config{Allow: []string{"not an address at all"}}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("an entry that cannot be read: %v", err)
	}
}

// TestReview: what is odd about policies is named with its place.
func TestReview(t *testing.T) {
	f := load(t, `
permissions: { deny: [nothing] }
agents:
  a:
    model: builtin/outline
    tools: [clock, x/*]
    permissions: { allow: [clock, x/read], deny: [cl*] }
  lead:
    model: builtin/outline
    tools: []
    agents: [a]
    permissions: { deny: [x/list], ask: [agents/*], default: allow }
tools: { x: { files: . } }
`)
	found, err := newOutfit(t, outfit.Config{}).Review(f)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range found {
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Message))
	}
	want := []string{
		"2:23 deny nothing names no tool that there is: agents/a, clock, x/list, x/read, x/search",
		"6:12 the tool clock may never be called (deny cl*): take it out of tools, or change the rule",
		"7:28 allow clock never counts: cl* beats it",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("review (-want +got):\n%s", diff)
	}
}

// TestSecrets: a data directory keeps secrets under a key that it makes, or one that it is given.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	o := newOutfit(t, outfit.Config{Data: dir})
	if names, err := o.Secrets(); err != nil || names != nil {
		t.Errorf("before the first: %v, %v", names, err)
	}
	if err := o.DeleteSecret("KEY"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("one that there is not: %v", err)
	}
	if err := o.SetSecret("KEY", "hunter2-hunter2"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "secret.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its key: %v, %v", info, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "secrets"))
	if err != nil || strings.Contains(string(data), "hunter2") {
		t.Errorf("the value stands in the file: %v", err)
	}
	again := newOutfit(t, outfit.Config{Data: dir})
	if names, err := again.Secrets(); err != nil || len(names) != 1 || names[0] != "KEY" {
		t.Errorf("another process: %v, %v", names, err)
	}
	other := newOutfit(t, outfit.Config{Data: dir, Env: func(name string) (string, bool) {
		return "another key altogether", name == outfit.SecretKeyVar
	}})
	if _, err := other.Secrets(); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("with another key: %v", err)
	}
}

// ExampleOutfit runs an agent of a file with everything that it may name.
func ExampleOutfit() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // an example
	o, err := outfit.New(outfit.Config{Data: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer o.Close(ctx) //nolint:errcheck // an example
	cfg := orpine.Config{Data: dir}
	o.Equip(&cfg)
	f, err := config.Parse("orpine.yaml", []byte("agents: { a: { model: builtin/outline, tools: [clock, todo] } }"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := o.Definition(f, "a")
	fmt.Println(d.Name, len(d.Declared), err)
	// Output: a 1 <nil>
}
