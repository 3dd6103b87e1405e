package http_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/guard"
	"github.com/orpine-run/orpine/tool/http"
	"github.com/orpine-run/orpine/tool/secret"
)

// seen is what the server was asked.
type seen struct {
	Method, URI, Body string
	Header            nethttp.Header
}

// api is a server that shows what it was asked, and the tools that may reach it.
type api struct {
	*httptest.Server
	tools *http.Tools
	asked atomic.Pointer[seen]
}

// last is what it was asked last.
func (a *api) last() seen {
	if s := a.asked.Load(); s != nil {
		return *s
	}
	return seen{}
}

func newAPI(t testing.TB, answer nethttp.HandlerFunc) *api {
	t.Helper()
	a := &api{}
	a.Server = httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		a.asked.Store(&seen{r.Method, r.RequestURI, string(body), r.Header})
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(a.Close)
	g, err := guard.New(guard.Config{Allow: []string{strings.TrimPrefix(a.URL, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"TOKEN": "hunter2-token", "OTHER": "pass word&1"}
	b := secret.New(secret.Environment(func(n string) (string, bool) { v, ok := values[n]; return v, ok }, "TOKEN", "OTHER"))
	a.tools, err = http.New(http.Config{Guard: g, Expand: b.Expand, Redact: b.Redactor().Text, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.tools.Close)
	return a
}

func declare(t testing.TB, config string) tool.Declaration {
	t.Helper()
	if !json.Valid([]byte(config)) {
		t.Fatalf("not JSON: %s", config)
	}
	return tool.Declaration{Name: "api", Kind: http.Kind, Config: json.RawMessage(config)}
}

func (a *api) call(t testing.TB, config, args string) (tool.Result, error) {
	t.Helper()
	made, err := a.tools.Make(declare(t, strings.ReplaceAll(config, "{base}", a.URL)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := tool.NewRegistry(made)
	if err != nil {
		t.Fatal(err)
	}
	ctx := durable.WithAttempt(t.Context(), &durable.Attempt{Key: "run/0/1"})
	return r.Dispatch(ctx, tool.Call{Name: "api", Args: json.RawMessage(args)})
}

func TestTemplate(t *testing.T) {
	a := newAPI(t, nil)
	const typed = `"args":{"type":"object","properties":{"x":{},"y":{}}}`
	for _, c := range []struct{ name, config, args, uri, body string }{
		{"plain", `{"url":"{base}/a"}`, ``, "/a", ""},
		{"no path", `{"url":"{base}"}`, ``, "/", ""},
		{"a path", `{"url":"{base}/a/{x}/b"}`, `{"x":"a/b?c#d e%2e é"}`, "/a/a%2Fb%3Fc%23d%20e%252e%20%C3%A9/b", ""},
		{"a query", `{"url":"{base}/a?fixed=1&q={x}#f","query":{"n":"p{y}s"}}`, `{"x":"a&b=c d+","y":"1"}`, "/a?fixed=1&q=a%26b%3Dc+d%2B&n=p1s", ""},
		{"left out", `{"url":"{base}/a","query":{"q":"{x}","n":"{y}"},` + typed + `}`, `{"y":2}`, "/a?n=2", ""},
		{"a list", `{"url":"{base}/a","query":{"q":"{x}","n":"{y}"},` + typed + `}`, `{"x":["a","b c",3],"y":12345678901234567890}`, "/a?n=12345678901234567890&q=a&q=b+c&q=3", ""},
		{"a document", `{"method":"post","url":"{base}/a","body":{"t":"{x}","list":["{y}","<{x}>"],"n":1.50},` + typed + `}`, `{"x":"{y}\"","y":{"deep":[1,null]}}`, "/a", `{"list":[{"deep":[1,null]},"\u003c{y}\"\u003e"],"n":1.50,"t":"{y}\""}`},
		{"a document with gaps", `{"method":"POST","url":"{base}/a","body":{"t":"{x}","u":"{y}"},` + typed + `}`, `{"x":null}`, "/a", `{"t":null}`},
		{"a text", `{"method":"POST","url":"{base}/a","body":"say {x}!"}`, `{"x":"a&b\n"}`, "/a", "say a&b\n!"},
		{"a text that is JSON", `{"method":"POST","url":"{base}/a","headers":{"content-type":"application/json"},"body":"{ \"q\": \"{x}\" }"}`, `{"x":"\"}, {\"n"}`, "/a", `{ "q": "\"}, {\"n" }`},
		{"a form", `{"method":"POST","url":"{base}/a","form":{"u":"{x}","v":"fix"}}`, `{"x":"a b&c"}`, "/a", "u=a+b%26c&v=fix"},
	} {
		result, err := a.call(t, c.config, c.args)
		if err != nil || result.Error {
			t.Errorf("%s: %+v, %v", c.name, result, err)
			continue
		}
		if a.last().URI != c.uri || a.last().Body != c.body {
			t.Errorf("%s: asked %s with %s; want %s with %s", c.name, a.last().URI, a.last().Body, c.uri, c.body)
		}
	}
}

func TestTemplateRefusesArguments(t *testing.T) {
	a := newAPI(t, nil)
	for _, c := range []struct{ name, config, args string }{
		{"dots", `{"url":"{base}/a/{x}"}`, `{"x":".."}`},
		{"dots behind a slash", `{"url":"{base}/a/{x}/b"}`, `{"x":"a/../../etc"}`},
		{"dots behind a backslash", `{"url":"{base}/a/{x}/b"}`, `{"x":"a\\..\\etc"}`},
		{"nothing in the path", `{"url":"{base}/a/{x}"}`, `{"x":""}`},
		{"null in the path", `{"url":"{base}/a/{x}","args":{"type":"object","properties":{"x":{}}}}`, `{}`},
		{"a line break in a header", `{"url":"{base}/a","headers":{"X-A":"{x}"}}`, `{"x":"a\r\nX-B: c"}`},
		{"an argument too many", `{"url":"{base}/a/{x}"}`, `{"x":"a","y":"b"}`},
		{"an argument of another type", `{"url":"{base}/a/{x}"}`, `{"x":1}`},
	} {
		a.asked.Store(&seen{})
		if result, err := a.call(t, c.config, c.args); err != nil || !result.Error || a.last().Method != "" {
			t.Errorf("%s: %+v, %v, asked %+v", c.name, result, err, a.last())
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	a := newAPI(t, nil)
	for _, c := range []struct{ name, config, says string }{
		{"nothing", `{}`, "want openapi"},
		{"a typo", `{"url":"https://h/","quary":{}}`, "quary"},
		{"no URL", `{"url":"/path"}`, "host"},
		{"another scheme", `{"url":"ftp://h/"}`, "http or https"},
		{"a host of the model's", `{"url":"https://{x}.example.org/"}`, "fixed"},
		{"a scheme of the model's", `{"url":"{x}://example.org/"}`, "fixed"},
		{"a password", `{"url":"https://u:p@example.org/"}`, "password"},
		{"a secret in the URL", `{"url":"https://h/?k=${secret:TOKEN}"}`, "auth"},
		{"a secret in a header", `{"url":"https://h/","headers":{"X":"${secret:TOKEN}"}}`, "auth"},
		{"a secret in the body", `{"url":"https://h/","body":"${secret:TOKEN}"}`, "auth"},
		{"a literal key", `{"url":"https://h/","auth":{"bearer":"abcdef"}}`, "journaled"},
		{"two ways", `{"url":"https://h/","auth":{"bearer":"${secret:A}","query":{"k":"${secret:A}"}}}`, "one of"},
		{"a header that is not its own", `{"url":"https://h/","headers":{"Host":"evil"}}`, "not for a tool"},
		{"no header", `{"url":"https://h/","headers":{"a b":"c"}}`, "name of a header"},
		{"a method", `{"url":"https://h/","method":"CONNECT"}`, "method"},
		{"an effect", `{"url":"https://h/","options":{"Effect":"harmless"}}`, "effect"},
		{"an unknown name", `{"url":"https://h/{x}","args":{"type":"object","properties":{"y":{}}}}`, "no such property"},
		{"an unused name", `{"url":"https://h/{x}","args":{"type":"object","properties":{"x":{},"y":{}}}}`, "nowhere"},
		{"body and form", `{"url":"https://h/","body":1,"form":{"a":"b"}}`, "not both"},
		{"a document", `{"openapi":"openapi: 3.0.0"}`, "found first"},
	} {
		if _, err := a.tools.Make(declare(t, c.config)); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want invalid with %q", c.name, err, c.says)
		}
	}
	if _, err := http.New(http.Config{Expand: func(context.Context, string) (string, error) { return "", nil }}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("Expand without Redact: %v", err)
	}
	plain, err := http.New(http.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Make(declare(t, `{"url":"https://h/","auth":{"bearer":"${secret:A}"}}`)); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("auth without secrets: %v", err)
	}
}

// Secrets get to the server and nowhere else, even if it sends them back.
func TestAuth(t *testing.T) {
	echo := func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/fail" {
			w.WriteHeader(nethttp.StatusForbidden)
		}
		fmt.Fprintf(w, "you sent %s %v", r.RequestURI, r.Header)
	}
	a := newAPI(t, echo)
	for _, c := range []struct {
		name, auth string
		check      func(seen) bool
	}{
		{"bearer", `{"bearer":"${secret:TOKEN}"}`, func(s seen) bool { return s.Header.Get("Authorization") == "Bearer hunter2-token" }},
		{"basic", `{"basic":{"user":"me","password":"${secret:OTHER}"}}`, func(s seen) bool {
			return s.Header.Get("Authorization") == "Basic bWU6cGFzcyB3b3JkJjE="
		}},
		{"header", `{"header":{"x-key":"k ${secret:TOKEN}"}}`, func(s seen) bool { return s.Header.Get("X-Key") == "k hunter2-token" }},
		{"query", `{"query":{"key":"${secret:OTHER}"}}`, func(s seen) bool {
			return strings.Contains(s.URI, "key=pass+word%261") && strings.Contains(s.URI, "q=1")
		}},
	} {
		for _, path := range []string{"/ok", "/fail"} {
			result, err := a.call(t, `{"url":"{base}`+path+`?q=1","auth":`+c.auth+`}`, ``)
			if err != nil || !c.check(a.last()) {
				t.Errorf("%s: %v, asked %+v", c.name, err, a.last())
			}
			for _, leak := range []string{"hunter2", "pass word", "pass+word", "cGFzcyB3b3Jk", "pass%20word"} {
				if strings.Contains(result.Content, leak) {
					t.Errorf("%s: the result holds the secret: %s", c.name, result.Content)
				}
			}
			if !strings.Contains(result.Content, "[secret:") {
				t.Errorf("%s: nothing was echoed, so nothing is proved: %s", c.name, result.Content)
			}
		}
	}
	// The model cannot ask for one.
	if _, err := a.call(t, `{"url":"{base}/a","query":{"q":"{x}"}}`, `{"x":"${secret:TOKEN}"}`); err != nil || strings.Contains(a.last().URI, "hunter2") {
		t.Errorf("an argument was expanded: %s, %v", a.last().URI, err)
	}
	a.Close()
	_, err := a.call(t, `{"url":"{base}/a","auth":{"query":{"key":"${secret:TOKEN}"}}}`, ``)
	if !errors.Is(err, durable.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a server that is gone: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	big := strings.Repeat("x", 3000)
	a := newAPI(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		q := r.URL.Query()
		for name, value := range map[string]string{"Content-Type": q.Get("type"), "Retry-After": q.Get("after")} {
			if value != "" {
				w.Header().Set(name, value)
			}
		}
		if q.Get("status") != "" {
			var status int
			if _, err := fmt.Sscan(q.Get("status"), &status); err == nil {
				w.WriteHeader(status)
			}
		}
		_, _ = io.WriteString(w, q.Get("body"))
		if q.Get("break") != "" {
			panic(nethttp.ErrAbortHandler)
		}
	})
	for _, c := range []struct {
		name, query string
		failed      bool
		code        durable.Code // of a passing error
		want        string
	}{
		{"JSON", `type=application/json&body={"a":1.0}`, false, "", `{"a":1.0}`},
		{"text", `type=text/plain&body=hello`, false, "", "hello"},
		{"nothing", `status=204`, false, "", "204 No Content"},
		{"another charset", `type=text/plain;charset=iso-8859-1&body=%E9t%E9`, false, "", "été"},
		{"a charset nobody knows", `type=text/plain;charset=klingon&body=ok`, false, "", "ok"},
		{"no UTF-8", `type=application/json&body=%22%FF%22`, false, "", "\"\ufffd\""},
		{"an image", `type=image/png&body=%89PNG`, false, "", "[image/png, 4 bytes, which is no text]"},
		{"too much", `type=text/plain&body=` + big, false, "", "\n[cut after 2000 bytes]"},
		{"not found", `status=404&body=no+such+item`, true, "", "404 Not Found: no such item"},
		{"a fault", `status=500&type=text/plain&body=` + strings.Repeat("y", 5000), true, "", "[cut after 4096 bytes]"},
		{"a redirect to nowhere", `status=304`, true, "", "304"},
		{"too often", `status=429&after=7&body=slow+down`, false, durable.CodeExhausted, "429 Too Many Requests: slow down"},
		{"busy", `status=503&after=7`, false, durable.CodeUnavailable, "503"},
		{"behind a gateway", `status=502`, false, durable.CodeUnavailable, "502"},
		{"broken off", `body=half&break=1`, false, durable.CodeUnavailable, ""},
	} {
		result, err := a.call(t, `{"url":"{base}/a?`+strings.ReplaceAll(c.query, `"`, `\"`)+`","max_bytes":2000}`, ``)
		if c.code != "" {
			e, ok := errors.AsType[*durable.Error](err)
			if !ok || e.Code != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(c.query, "after") && e.RetryAfter != 7*time.Second {
				t.Errorf("%s: got %v, want %s %s", c.name, err, c.code, c.want)
			}
			continue
		}
		if err != nil || result.Error != c.failed || !strings.Contains(result.Content, c.want) || len(result.Content) > 5000 {
			t.Errorf("%s: got %+v, %v; want %s", c.name, result, err, c.want)
		}
	}
}

func TestEffectsAndKeys(t *testing.T) {
	a := newAPI(t, nil)
	for _, c := range []struct {
		method, options string
		effect          durable.Effect
	}{
		{"GET", `{}`, durable.Read},
		{"HEAD", `{}`, durable.Read},
		{"PUT", `{}`, durable.Idempotent},
		{"DELETE", `{}`, durable.Idempotent},
		{"POST", `{}`, durable.Irreversible},
		{"PATCH", `{}`, durable.Irreversible},
		{"POST", `{"Effect":"idempotent"}`, durable.Idempotent},
		{"POST", `{"Effect":"read"}`, durable.Read},
	} {
		config := `{"url":"{base}/a","method":"` + c.method + `","options":` + c.options + `}`
		if _, err := a.call(t, config, ``); err != nil {
			t.Fatal(err)
		}
		made, err := a.tools.Make(declare(t, strings.ReplaceAll(config, "{base}", a.URL)))
		if err != nil {
			t.Fatal(err)
		}
		spec := made.Spec()
		key := a.last().Header.Get("Idempotency-Key")
		if spec.Options.Effect != c.effect || (key == "run/0/1") != (c.effect != durable.Read) || spec.Flow != (tool.Flow{Untrusted: true, Egress: true}) {
			t.Errorf("%s %s: effect %s, key %q, flow %+v", c.method, c.options, spec.Options.Effect, key, spec.Flow)
		}
	}
}

// What the guard refuses is refused here too, however it is reached.
func TestGuarded(t *testing.T) {
	inner := newAPI(t, nil)
	outer := newAPI(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		nethttp.Redirect(w, r, inner.URL+"/secret", nethttp.StatusFound)
	})
	for name, config := range map[string]string{
		"direct":     `{"url":"` + inner.URL + `/"}`,
		"redirected": `{"url":"` + outer.URL + `/"}`,
		"document":   `{"openapi":"` + inner.URL + `/openapi.json"}`,
	} {
		var err error
		result := tool.Result{Error: true}
		if name == "document" {
			_, err = outer.tools.Find(t.Context(), declare(t, config))
			result.Content = fmt.Sprint(err)
		} else {
			result, err = outer.call(t, config, ``)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !result.Error || !strings.Contains(result.Content, "allow list") || inner.last().Method != "" {
			t.Errorf("%s: got %+v", name, result)
		}
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	a := newAPI(t, func(nethttp.ResponseWriter, *nethttp.Request) { <-release })
	defer close(release)
	g, err := guard.New(guard.Config{Allow: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if a.tools, err = http.New(http.Config{Guard: g, Timeout: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.call(t, `{"url":"{base}/a"}`, ``); !errors.Is(err, durable.ErrUnavailable) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("read: %v", err)
	}
	if _, err := a.call(t, `{"method":"POST","url":"{base}/a"}`, ``); !errors.Is(err, durable.ErrUnavailable) || !strings.Contains(err.Error(), "not known") {
		t.Errorf("irreversible: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	made, err := a.tools.Make(declare(t, `{"url":"`+a.URL+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.Call(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range [][2]string{{"a/b", "é"}, {"..", "&x=1"}, {"?#", "\r\n"}, {"%2e%2e", "${secret:TOKEN}"}, {"{y}", "{x}"}, {"@evil", "\\"}} {
		f.Add(s[0], s[1])
	}
	a := newAPI(f, nil)
	f.Fuzz(func(t *testing.T, x, y string) {
		args, err := json.Marshal(map[string]string{"x": x, "y": y})
		if err != nil {
			t.Fatal(err)
		}
		a.asked.Store(&seen{})
		result, err := a.call(t, `{"method":"POST","url":"{base}/a/{x}/b?q={y}","form":{"f":"{x}"},"headers":{"X-Y":"{y}"}}`, string(args))
		if err != nil {
			t.Fatalf("%q %q: %v", x, y, err)
		}
		if result.Error {
			if a.last().Method != "" {
				t.Errorf("%q %q: refused and yet asked", x, y)
			}
			return
		}
		u, err := url.ParseRequestURI(a.last().URI)
		if err != nil {
			t.Fatal(err)
		}
		form, err := url.ParseQuery(a.last().Body)
		if err != nil {
			t.Fatal(err)
		}
		var sent map[string]string // what is no UTF-8 does not survive JSON
		if err := json.Unmarshal(args, &sent); err != nil {
			t.Fatal(err)
		}
		if x = sent["x"]; u.Path != "/a/"+x+"/b" || len(u.Query()) != 1 || u.Query().Get("q") != sent["y"] || len(form) != 1 || form.Get("f") != x {
			t.Errorf("%q %q became %s with %s", x, y, a.last().URI, a.last().Body)
		}
	})
}
