package main_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// canary is a secret that no two encodings write alike.
const canary = `hunter/2+"quo\te"&<k>=99%~canary`

// forms are the ways in which the canary may show up, by name.
func forms() map[string]string {
	strict, _ := json.Marshal(canary) // a text marshals
	var loose bytes.Buffer
	enc := json.NewEncoder(&loose)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(canary)
	inner := func(s string) string { return strings.Trim(strings.TrimSpace(s), `"`) }
	twice, _ := json.Marshal(inner(string(strict)))
	all := map[string]string{
		"plain": canary, "json": inner(string(strict)), "json without HTML": inner(loose.String()), "json in json": inner(string(twice)),
		"query": url.QueryEscape(canary), "path": url.PathEscape(canary),
		"hex": hex.EncodeToString([]byte(canary)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(canary))),
	}
	for shift := range 3 { // in base64 of a longer text, wherever it begins there
		pad := strings.Repeat("x", shift)
		whole := base64.StdEncoding.EncodeToString([]byte(pad + canary))
		core := whole[4 : len(whole)-4]
		all[fmt.Sprintf("base64 %d", shift)] = core
		all[fmt.Sprintf("base64 for URLs %d", shift)] = strings.NewReplacer("+", "-", "/", "_").Replace(core)
	}
	return all
}

// said is the canary in every encoding, as something that echoes it writes it.
func said(secret string) string {
	quoted, _ := json.Marshal(secret)
	return fmt.Sprintf("plain %s\nbase64 %s %s\nurl %s %s\njson %s\nhex %s\n", secret,
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte("k="+secret+"\n")),
		url.QueryEscape(secret), url.PathEscape(secret), quoted, hex.EncodeToString([]byte(secret)))
}

// spiller is a server that gives away what it was sent, and counts how often that was the canary.
type spiller struct {
	*httptest.Server
	got atomic.Int64
}

func newSpiller(t *testing.T) *spiller {
	t.Helper()
	s := &spiller{}
	check := func(secret string) string {
		if secret == canary {
			s.got.Add(1)
		}
		return said(secret)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/bearer", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, check(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
	})
	mux.HandleFunc("/json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"you": check(r.Header.Get("X-Key"))}) // the client sees what is cut off
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "wrong key: "+check(r.URL.Query().Get("key")), http.StatusInternalServerError)
	})
	mux.HandleFunc("/cut", func(_ http.ResponseWriter, r *http.Request) {
		check(r.URL.Query().Get("key"))
		panic(http.ErrAbortHandler) // the client tells of the URL
	})
	server := func(r *http.Request) *sdk.Server {
		key := r.Header.Get("X-Key")
		m := sdk.NewServer(&sdk.Implementation{Name: "spiller", Version: "1"}, nil)
		sdk.AddTool(m, &sdk.Tool{Name: "spill", Description: "Says what it knows."}, func(context.Context, *sdk.CallToolRequest, struct{}) (*sdk.CallToolResult, any, error) {
			return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: check(key)}}}, nil, nil
		})
		sdk.AddTool(m, &sdk.Tool{Name: "fail", Description: "Fails."}, func(context.Context, *sdk.CallToolRequest, struct{}) (*sdk.CallToolResult, any, error) {
			return nil, nil, fmt.Errorf("the key %s is wrong", check(key))
		})
		return m
	}
	mux.Handle("/mcp", sdk.NewStreamableHTTPHandler(server, &sdk.StreamableHTTPOptions{Stateless: true}))
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// listener is a proxy before the model that keeps what the model is sent.
type listener struct {
	mu   sync.Mutex
	sent bytes.Buffer
}

func (b *listener) serve(t *testing.T, root string) string {
	t.Helper()
	to, err := url.Parse(root)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		b.sent.Write(body)
		b.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const spillingAgent = `
mcp:
  far: { url: %[1]s/mcp, headers: { X-Key: "${secret:KEY}" }, effects: { "*": read } }
agents:
  keeper: { model: openai/demo-1, tools: [far/*, bearer, asjson, broken, cut, cmd, cmdfails], flow: off }
tools:
  bearer: { http: { url: %[1]s/bearer, method: GET, auth: { bearer: "${secret:KEY}" } } }
  asjson: { http: { url: %[1]s/json, method: GET, auth: { header: { X-Key: "${secret:KEY}" } } } }
  broken: { http: { url: %[1]s/broken, method: GET, auth: { query: { key: "${secret:KEY}" } } } }
  cut: { retry: 2, http: { url: %[1]s/cut, method: GET, auth: { query: { key: "${secret:KEY}" } } } }
  cmd:
    run: [sh, -c, 'cat $KEY_FILE; echo; base64 -w0 < $KEY_FILE; echo; od -An -v -tx1 < $KEY_FILE | tr -d " \n"; echo; cp $KEY_FILE got; tr -d "\n" < $KEY_FILE | wc -c']
    secrets: { KEY_FILE: "${secret:KEY}" }
    effect: read
  cmdfails:
    run: [sh, -c, 'echo "cannot log in with $(cat $KEY_FILE)" >&2; cat; exit 7']
    stdin: "key=${secret:KEY}"
    secrets: { KEY_FILE: "${secret:KEY}" }
    effect: read
`

const spillingScript = `
model: demo-1
rules:
  - when: {turn: 1}
    reply: {calls: [{name: far__spill}, {name: far__fail}, {name: bearer}, {name: asjson}, {name: broken}, {name: cut}, {name: cmd}, {name: cmdfails}]}
  - when: {turn: 2}
    reply: {text: "they say ${result}"}
`

// TestSecretsStaySecret: a secret reaches whom it is for, and can be found nowhere else, however it
// comes back: not in the data directory, what is printed, the events, an export, or the model.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	needsJail(t)
	s := newSpiller(t)
	scripts := t.TempDir()
	if err := os.WriteFile(filepath.Join(scripts, "script.yaml"), []byte(spillingScript), 0o600); err != nil {
		t.Fatal(err)
	}
	f := serveFake(t, filepath.Join(scripts, "script.yaml"))
	b := &listener{}
	p := newPlace(t, "OPENAI_BASE_URL="+b.serve(t, f.root)+"/v1", "OPENAI_API_KEY=none", "ORPINE_ALLOW="+strings.TrimPrefix(s.URL, "http://"))
	p.write("agent.yaml", fmt.Sprintf(spillingAgent, s.URL))
	set := exec.Command(p.binary, "secret", "set", "KEY")
	set.Dir, set.Env, set.Stdin = p.dir, p.env, strings.NewReader(canary+"\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	places := map[string]string{}
	o := p.run("run", "agent.yaml", "go", "-o", "jsonl")
	places["the events"], places["standard error"] = o.out, o.err
	if o.code != 0 {
		t.Fatalf("orpine run: exit code %d\n%s", o.code, o.err)
	}
	for _, verb := range []string{"logs", "steps", "show"} {
		places["orpine "+verb] = p.ok(verb, "@last", "-o", "json")
	}
	o = p.run("run", "agent.yaml", "again")
	places["the answer"], places["what a person sees"] = o.out, o.err
	places["the export"] = unpacked(t, p)
	b.mu.Lock()
	places["what the model was sent"] = b.sent.String()
	b.mu.Unlock()
	if err := filepath.WalkDir(p.path(".orpine"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		places[path] = string(data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for place, text := range places {
		for form, secret := range forms() {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s holds the secret as %s: …%.200q", place, form, text[max(0, i-60):])
			}
		}
	}
	checkSpilled(t, p, s, places["what the model was sent"])
}

// checkSpilled sees to it that the test has shown something: the secret was there.
func checkSpilled(t *testing.T, p *place, s *spiller, told string) {
	t.Helper()
	got, err := os.ReadFile(p.path("got"))
	if err != nil || string(got) != canary {
		t.Errorf("the command got %q, %v", got, err)
	}
	if n := s.got.Load(); n < 2*6 {
		t.Errorf("the server was sent the secret %d times, want 12", n)
	}
	const least = 20
	if n := strings.Count(told, "[secret:KEY]"); n < least {
		t.Errorf("the model was told of the secret by its name %d times, want %d", n, least)
	}
	var seen []string
	for form, secret := range forms() {
		if strings.Contains(said(canary), secret) {
			seen = append(seen, form)
		}
	}
	const kinds = 7 // plain, two of base64, two of URLs, JSON, hexadecimal
	if len(seen) < kinds {
		t.Errorf("of what the server says only the forms %s are recognised, want %d", seen, kinds)
	}
}

// unpacked is the export of the last run, as text.
func unpacked(t *testing.T, p *place) string {
	t.Helper()
	p.ok("export", "@last", "--out", "run.orpine")
	data, err := os.ReadFile(p.path("run.orpine"))
	if err != nil {
		t.Fatal(err)
	}
	_, packed, _ := bytes.Cut(data, []byte("\n"))
	packed = packed[:len(packed)-len("\nsha256 \n")-2*32]
	r, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil || len(text) == 0 {
		t.Fatalf("the export: %d bytes, %v", len(text), err)
	}
	return string(text)
}
