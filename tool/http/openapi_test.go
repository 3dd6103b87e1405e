package http_test

import (
	"encoding/json"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/guard"
	"github.com/orpine-run/orpine/tool/http"
	"github.com/orpine-run/orpine/tool/secret"
)

func shop(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func config(t testing.TB, fields map[string]any) string {
	t.Helper()
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFind(t *testing.T) {
	a := newAPI(t, nil)
	found, err := a.tools.Find(t.Context(), declare(t, config(t, map[string]any{"openapi": shop(t)})))
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.tools.Find(t.Context(), declare(t, config(t, map[string]any{"openapi": shop(t)})))
	if err != nil || !reflect.DeepEqual(found, again) {
		t.Errorf("the same document makes other tools: %v", err)
	}
	effects := map[string]durable.Effect{}
	for _, d := range found {
		made, err := a.tools.Make(d)
		if err != nil {
			t.Fatal(err)
		}
		effects[strings.TrimPrefix(d.Name, "api/")] = made.Spec().Options.Effect
	}
	want := map[string]durable.Effect{
		"listItems": "read", "createItem": "irreversible", "getItem": "read", "replaceItem": "idempotent", "deleteItem": "irreversible",
		"patch_items_id": "irreversible", "styled": "read", "logIn": "irreversible", "note": "irreversible",
	}
	if !reflect.DeepEqual(effects, want) {
		t.Errorf("got %v, want %v", effects, want)
	}
	// A template is its own only tool.
	one, err := a.tools.Find(t.Context(), declare(t, `{"url":"https://example.org/"}`))
	if err != nil || len(one) != 1 || one[0].Name != "api" {
		t.Errorf("a template: %v, %v", one, err)
	}
}

// operations makes the tools of the shop, which is where the server of the test is.
func operations(t *testing.T, a *api) *tool.Registry {
	t.Helper()
	found, err := a.tools.Find(t.Context(), declare(t, config(t, map[string]any{"openapi": shop(t), "base_url": a.URL + "/v1", "headers": map[string]string{"X-All": "1"}})))
	if err != nil {
		t.Fatal(err)
	}
	var all []tool.Tool
	for _, d := range found {
		d.Name = strings.TrimPrefix(d.Name, "api/")
		made, err := a.tools.Make(d)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, made)
	}
	r, err := tool.NewRegistry(all...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOperations(t *testing.T) {
	a := newAPI(t, nil)
	r := operations(t, a)
	for _, c := range []struct{ name, tool, args, asked, body string }{
		{"nothing", "listItems", `{}`, "GET /v1/items", ""},
		{"lists", "listItems", `{"tags":["a b","c"],"ids":[1,2],"pipes":["x","y"]}`, "GET /v1/items?tags=a+b&tags=c&ids=1%2C2&pipes=x%7Cy", ""},
		{"objects", "listItems", `{"filter":{"size":"L","a":"&"},"where":{"n":1}}`, "GET /v1/items?filter%5Ba%5D=%26&filter%5Bsize%5D=L&where=%7B%22n%22%3A1%7D", ""},
		{"headers", "listItems", `{"X-Trace":"t","session":"a;b"}`, "GET /v1/items", ""},
		{"a path", "getItem", `{"id":"a/b"}`, "GET /v1/items/a%2Fb", ""},
		{"styles", "styled", `{"list":["a","b/c"],"suffix":"json"}`, "GET /v1/items/a,b%2Fc/label/.json", ""},
		{"a body", "createItem", `{"name":"n","parts":[{"name":"m","parts":[]}],"price":null,"enum":"large"}`, "POST /v1/items", `{"enum":"large","name":"n","parts":[{"name":"m","parts":[]}],"price":null}`},
		{"names that clash", "replaceItem", `{"id":"1","query_id":"2","name":"n","parts":[]}`, "PUT /v1/items/1?id=2", `{"name":"n","parts":[]}`},
		{"a whole body", "patch_items_id", `{"id":"1","body":{"any":"thing"}}`, "PATCH /v1/items/1", `{"any":"thing"}`},
		{"no body", "patch_items_id", `{"id":"1"}`, "PATCH /v1/items/1", ""},
		{"a form", "logIn", `{"user":"a&b","scopes":["r","w"]}`, "POST /v1/login", "scopes=r&scopes=w&user=a%26b"},
		{"a text", "note", `{"body":"one\ntwo"}`, "POST /v1/note", "one\ntwo"},
	} {
		result, err := r.Dispatch(t.Context(), tool.Call{Name: c.tool, Args: json.RawMessage(c.args)})
		if err != nil || result.Error {
			t.Errorf("%s: %+v, %v", c.name, result, err)
			continue
		}
		if got := a.last().Method + " " + a.last().URI; got != c.asked || a.last().Body != c.body || a.last().Header.Get("X-All") != "1" {
			t.Errorf("%s: got %s with %s; want %s with %s", c.name, got, a.last().Body, c.asked, c.body)
		}
		if c.name == "headers" && (a.last().Header.Get("X-Trace") != "t" || a.last().Header.Get("Cookie") != "session=a%3Bb") {
			t.Errorf("headers: %v", a.last().Header)
		}
		if c.name == "a whole body" && a.last().Header.Get("Content-Type") != "application/merge-patch+json" {
			t.Errorf("content type: %v", a.last().Header)
		}
	}
	for name, c := range map[string][2]string{
		"a limit of 3.0":              {"listItems", `{"limit":0}`},
		"an unknown argument":         {"listItems", `{"Authorization":"x"}`},
		"a part without its name":     {"createItem", `{"name":"n","parts":[{"parts":[]}]}`},
		"what only the server writes": {"createItem", `{"id":"1","name":"n","parts":[]}`},
		"a size that is none":         {"createItem", `{"name":"n","parts":[],"enum":"huge"}`},
		"dots":                        {"getItem", `{"id":".."}`},
	} {
		a.asked.Store(&seen{})
		result, err := r.Dispatch(t.Context(), tool.Call{Name: c[0], Args: json.RawMessage(c[1])})
		if err != nil || !result.Error || a.last().Method != "" {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
}

func TestInclude(t *testing.T) {
	a := newAPI(t, nil)
	for _, c := range []struct {
		name    string
		include []string
		want    int
		code    durable.Code
	}{
		{"all", nil, 9, ""},
		{"by name", []string{"getItem"}, 1, ""},
		{"by pattern", []string{"*Item"}, 4, ""},
		{"by route", []string{"GET /items", "* /items/{id}"}, 5, ""},
		{"unknown", []string{"getItem", "sellItem"}, 0, durable.CodeNotFound},
	} {
		found, err := a.tools.Find(t.Context(), declare(t, config(t, map[string]any{"openapi": shop(t), "include": c.include})))
		if len(found) != c.want || c.code == "" && err != nil || c.code != "" && durable.CodeOf(err) != c.code {
			t.Errorf("%s: %d tools, %v", c.name, len(found), err)
		}
	}
	found, err := a.tools.Find(t.Context(), declare(t, config(t, map[string]any{"openapi": shop(t), "include": []string{"createItem"}, "effects": map[string]string{"createItem": "idempotent"}})))
	if err != nil {
		t.Fatal(err)
	}
	if made, err := a.tools.Make(found[0]); err != nil || made.Spec().Options.Effect != durable.Idempotent {
		t.Errorf("effects: %v, %v", made, err)
	}
}

func TestDocumentOfAURL(t *testing.T) {
	var text string
	a := newAPI(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch r.URL.Path {
		case "/docs/openapi.yaml":
			fmt.Fprint(w, text)
		case "/gone":
			w.WriteHeader(nethttp.StatusNotFound)
		case "/busy":
			w.WriteHeader(nethttp.StatusServiceUnavailable)
		}
	})
	text = "openapi: 3.1.0\nservers: [{url: ../api}]\npaths: {/x: {get: {operationId: x}}}\n"
	found, err := a.tools.Find(t.Context(), declare(t, `{"openapi":"`+a.URL+`/docs/openapi.yaml"}`))
	if err != nil || len(found) != 1 || !strings.Contains(string(found[0].Config), `"base_url":"`+a.URL+`/api"`) {
		t.Errorf("got %v, %v", found, err)
	}
	text = "openapi: 3.1.0\nservers: [{url: https://evil.example.org}]\npaths: {/x: {get: {operationId: x}}}\n"
	if _, err := a.tools.Find(t.Context(), declare(t, `{"openapi":"`+a.URL+`/docs/openapi.yaml","auth":{"bearer":"${secret:TOKEN}"}}`)); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "base_url") {
		t.Errorf("a document that sends secrets elsewhere: %v", err)
	}
	for path, code := range map[string]durable.Code{"/gone": durable.CodeInvalid, "/busy": durable.CodeUnavailable, "/empty": durable.CodeInvalid} {
		if _, err := a.tools.Find(t.Context(), declare(t, `{"openapi":"`+a.URL+path+`"}`)); durable.CodeOf(err) != code {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestWhereSecretsGo: a document decides where secrets go only as far as it is from there, and so does
// no redirect.
func TestWhereSecretsGo(t *testing.T) {
	const doc = `{"openapi":"3.1.0","info":{"title":"x","version":"1"},"paths":{"/a":{"get":{"operationId":"a","responses":{}}}}}`
	there := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) { fmt.Fprint(w, doc) }))
	defer there.Close()
	here := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/away" {
			nethttp.Redirect(w, r, there.URL+"/doc", nethttp.StatusFound)
			return
		}
		fmt.Fprint(w, doc)
	}))
	defer here.Close()
	g, err := guard.New(guard.Config{Allow: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	b := secret.New(secret.Environment(func(string) (string, bool) { return "hunter2-token", true }, "TOKEN"))
	tools, err := http.New(http.Config{Guard: g, Expand: b.Expand, Redact: b.Redactor().Text})
	if err != nil {
		t.Fatal(err)
	}
	defer tools.Close()
	for path, want := range map[string]string{"/doc": "", "/away": "which is not where it came from"} {
		config, err := json.Marshal(http.Declared{OpenAPI: here.URL + path, Auth: &http.Auth{Bearer: "${secret:TOKEN}"}})
		if err != nil {
			t.Fatal(err)
		}
		found, err := tools.Find(t.Context(), tool.Declaration{Name: "api", Kind: http.Kind, Config: config})
		if want == "" && (err != nil || len(found) != 1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v; want %q", path, found, err, want)
		}
	}
}

func TestBadDocuments(t *testing.T) {
	a := newAPI(t, nil)
	const head = "openapi: 3.1.0\nservers: [{url: https://e.example}]\n"
	bomb := "a: &a [x, x]\n"
	for i := range 30 {
		bomb += fmt.Sprintf("b%d: &b%d [*a, *a]\n", i, i)
	}
	for _, c := range []struct{ name, text, says string }{
		{"not a document", "hello", "want a document"},
		{"half JSON", `{"openapi":`, "EOF"},
		{"half YAML", "openapi: [", "openapi"},
		{"Swagger", "swagger: '2.0'", "Swagger 2.0"},
		{"another version", "openapi: 4.0.0", "4.0.0"},
		{"no server", "openapi: 3.0.0\npaths: {}", "base_url"},
		{"a server with a gap", "openapi: 3.0.0\nservers: [{url: 'https://{x}.e'}]", "variable"},
		{"a remote reference", head + "paths: {/x: {get: {parameters: [{$ref: 'https://evil.example/p.yaml#/p'}]}}}", "out of the document"},
		{"a reference to a file", head + "paths: {/x: {get: {requestBody: {content: {application/json: {schema: {$ref: /etc/passwd}}}}}}}", "out of the document"},
		{"a reference to nothing", head + "paths: {/x: {$ref: '#/nowhere'}}", "names nothing"},
		{"a circle", head + "paths: {/x: {$ref: '#/paths/~1y'}, /y: {$ref: '#/paths/~1x'}}", "circle"},
		{"a path without a slash", head + "paths: {'.evil.example/': {get: {}}}", "begins with /"},
		{"a name that nobody fills", head + "paths: {'/x/{y}': {get: {}}}", "{y}"},
		{"an effect", head + "paths: {/x: {get: {x-orpine-effect: nice}}}", "effect"},
		{"a body of another kind", head + "paths: {/x: {post: {requestBody: {content: {image/png: {}}}}}}", "image/png"},
		{"no schema", head + "paths: {/x: {get: {parameters: [{name: a, in: query, schema: {type: strnig, minLength: many}}]}}}", "schema"},
		{"an alias", head + bomb, "alias"},
		{"deep brackets", head + "x: " + strings.Repeat("[", 50000), "deep"},
		{"deep dashes", head + "x:\n  " + strings.Repeat("- ", 50000) + "a", "deep"},
	} {
		_, err := a.tools.Find(t.Context(), declare(t, config(t, map[string]any{"openapi": c.text})))
		if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want invalid with %q", c.name, err, c.says)
		}
	}
}

// A schema that refers to itself from everywhere stays as small as it is written.
func TestCircularSchema(t *testing.T) {
	a := newAPI(t, nil)
	var b strings.Builder
	b.WriteString(`{"openapi":"3.1.0","servers":[{"url":"https://e.example"}],"paths":{"/x":{"post":{"operationId":"x","requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/S0"}}}}}}},"components":{"schemas":{`)
	const n = 60
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"S%d":{"type":"object","properties":{`, i)
		for j := range n {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"p%d":{"$ref":"#/components/schemas/S%d"}`, j, j)
		}
		b.WriteString("}}")
	}
	b.WriteString("}}}")
	found, err := a.tools.Find(t.Context(), declare(t, config(t, map[string]any{"openapi": b.String()})))
	if err != nil || len(found) != 1 || len(found[0].Config) > 2*b.Len() {
		t.Fatalf("%d tools, %v", len(found), err)
	}
	if _, err := a.tools.Make(found[0]); err != nil {
		t.Error(err)
	}
}

func FuzzOpenAPI(f *testing.F) {
	f.Add(shop(f))
	for _, s := range []string{
		`{"openapi":"3.1.0","servers":[{"url":"https://e.example"}],"paths":{"/x/{y}":{"get":{"parameters":[{"name":"y","in":"path","schema":true}]}}}}`,
		"openapi: 3.0.0\nservers: [{url: 'https://e.example'}]\npaths: {/x: {post: {requestBody: {content: {'*/*': {schema: {$ref: '#'}}}}}}}",
		"openapi: 3.0.0\npaths: [", "swagger: 2", "x: &a *a",
	} {
		f.Add(s)
	}
	a := newAPI(f, nil)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.HasPrefix(text, "http") {
			return // tests do not go online
		}
		start := time.Now()
		defer func() {
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%d bytes take %v", len(text), took)
			}
		}()
		found, err := a.tools.Find(t.Context(), declare(t, config(t, map[string]any{"openapi": text, "base_url": "https://e.example"})))
		if err != nil {
			if durable.CodeOf(err) != durable.CodeInvalid {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		for _, d := range found {
			d.Name = "x"
			made, err := a.tools.Make(d)
			if err != nil {
				t.Fatalf("%q: what was found cannot be made: %v", text, err)
			}
			if _, err := tool.NewRegistry(made); err != nil {
				t.Fatalf("%q: what was made cannot be registered: %v", text, err)
			}
		}
	})
}
