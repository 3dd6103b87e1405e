package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/mcp"
)

// gate is a remote server in front of which the tests can stand.
type gate struct {
	*httptest.Server
	front atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // true = it has answered
	posts atomic.Int64
}

func remote(t testing.TB, s *sdk.Server, stateless bool) *gate {
	g := &gate{}
	handler := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s }, &sdk.StreamableHTTPOptions{Stateless: stateless})
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			g.posts.Add(1)
		}
		if front := g.front.Load(); front != nil && (*front)(w, r) {
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		g.CloseClientConnections()
		g.Close()
	})
	return g
}

func (g *gate) set(front func(http.ResponseWriter, *http.Request) bool) { g.front.Store(&front) }

// calls reports whether a request is a call of a tool, and leaves it as it was.
func calls(r *http.Request) bool {
	data, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(data)))
	return strings.Contains(string(data), `"tools/call"`)
}

// TestRemote: a remote server is like one over stdio; what it is told leaves the house.
func TestRemote(t *testing.T) {
	for _, protocol := range []string{"", "2025-11-25", "2025-03-26"} {
		g := remote(t, fixture(), false)
		b := open(t, mcp.Config{HTTP: g.Client()})
		tools := b.tools(mcp.Server{URL: g.URL, Protocol: protocol})
		if flow := tools["echo"].Spec().Flow; !flow.Egress || !flow.Untrusted {
			t.Errorf("its flow is %+v", flow)
		}
		ctx, _ := attempt(t.Context(), "run/0/1", nil)
		if r, err := tools["echo"].Call(ctx, encode(t, args{Text: "far"})); err != nil || r.Content != "far key=run/0/1" {
			t.Errorf("%s: got %+v, error %v", protocol, r, err)
		}
		order, file := tools["order"], ledger(t)
		r := b.orderOf(order, "tea", file, "k")
		if len(r.Asks) != 1 {
			t.Fatalf("%s: it asks %+v", protocol, r)
		}
	}
}

// TestOldRemote: the transport of 2024-11-05.
func TestOldRemote(t *testing.T) {
	s := fixture()
	web := httptest.NewServer(sdk.NewSSEHandler(func(*http.Request) *sdk.Server { return s }, nil))
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	b := open(t, mcp.Config{HTTP: web.Client()})
	echo := b.tools(mcp.Server{URL: web.URL, Type: "sse"})["echo"]
	for range 2 {
		if r := b.call(echo, args{Text: "old"}); !strings.Contains(r.Content, "old") {
			t.Errorf("got %+v", r)
		}
	}
}

// TestHeaders: a header with a secret goes to the host of the server and to no other, and is in no
// error and no definition.
func TestHeaders(t *testing.T) {
	const secret = "s3cr3t-value"
	var elsewhere atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere.Store(r.Header.Get("X-Key")) }))
	defer other.Close()
	g := remote(t, fixture(), false)
	var seen atomic.Value
	g.set(func(_ http.ResponseWriter, r *http.Request) bool { seen.Store(r.Header.Get("X-Key")); return false })
	b := open(t, mcp.Config{HTTP: g.Client(), Expand: func(_ context.Context, text string) (string, error) {
		if text != "${secret:KEY}" {
			return "", fmt.Errorf("asked for %s", text)
		}
		return secret, nil
	}})
	server := mcp.Server{URL: g.URL, Headers: map[string]string{"X-Key": "k ${secret:KEY}"}, Effects: map[string]durable.Effect{"*": durable.Read}}
	list := b.list(server)
	if data := string(encode(t, list)); strings.Contains(data, secret) || !strings.Contains(data, "${secret:KEY}") {
		t.Errorf("the definition holds %s", data)
	}
	if seen.Load() != "k "+secret {
		t.Errorf("the server saw %v", seen.Load())
	}
	echo := b.tools(server)["echo"]
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		return true
	})
	_, err := echo.Call(t.Context(), json.RawMessage(`{}`))
	if elsewhere.Load() != "" {
		t.Errorf("the other host saw %v", elsewhere.Load())
	}
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
	if _, err := mcp.Declare("x", mcp.Server{Command: "c", Env: map[string]string{"A": "${secret:KEY}"}}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a secret in the environment of a process: %v", err)
	}
}

// TestRemoteTrouble: what a status or a cut means for each effect.
func TestRemoteTrouble(t *testing.T) {
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !calls(r) {
				return false
			}
			if len(header) > 0 {
				w.Header().Set(header[0], header[1])
			}
			http.Error(w, "no", code)
			return true
		}
	}
	cut := func(w http.ResponseWriter, r *http.Request) bool {
		if calls(r) {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	half := func(w http.ResponseWriter, r *http.Request) bool {
		if !calls(r) {
			return false
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, ": there is more to come\n\n")
		return true
	}
	for _, c := range []struct {
		name   string
		front  func(http.ResponseWriter, *http.Request) bool
		effect durable.Effect
		code   durable.Code // of the error; "" = the model is told
		doubt  bool
		final  bool
		says   string
	}{
		{"429", status(429, "Retry-After", "7"), durable.Read, durable.CodeUnavailable, false, false, "takes no calls now"},
		{"429", status(429), durable.Irreversible, durable.CodeUnavailable, false, true, "takes no calls now"},
		{"503", status(503), durable.Irreversible, durable.CodeUnavailable, false, true, "takes no calls now"},
		{"500", status(500), durable.Read, durable.CodeUnavailable, false, false, "Internal Server Error"},
		{"502", status(502), durable.Irreversible, durable.CodeUnavailable, true, false, "Bad Gateway"},
		{"400", status(400), durable.Irreversible, "", false, false, "refused the call"},
		{"401", status(401), durable.Irreversible, "", false, false, "orpine mcp login fix"},
		{"cut", cut, durable.Read, durable.CodeUnavailable, false, false, "EOF"},
		{"cut", cut, durable.Irreversible, durable.CodeUnavailable, true, false, "EOF"},
		{"half", half, durable.Read, durable.CodeUnavailable, false, false, "without response"},
		{"half", half, durable.Irreversible, durable.CodeUnavailable, true, false, "without response"},
	} {
		t.Run(c.name+" "+string(c.effect), func(t *testing.T) {
			g := remote(t, fixture(), false)
			b := open(t, mcp.Config{HTTP: g.Client()})
			echo := b.tools(mcp.Server{URL: g.URL, Effects: map[string]durable.Effect{"*": c.effect}})["echo"]
			g.set(c.front)
			before := g.posts.Load()
			r, err := echo.Call(t.Context(), json.RawMessage(`{}`))
			_, doubt := errors.AsType[*durable.DoubtError](err)
			e, _ := errors.AsType[*durable.Error](err)
			if (err != nil) != (c.code != "") || err != nil && durable.CodeOf(err) != c.code || doubt != c.doubt || err == nil && !r.Error {
				t.Errorf("got %+v, error %v, in doubt %v", r, err, doubt)
			}
			if e != nil && e.Final != c.final {
				t.Errorf("final: %v", e.Final)
			}
			if c.name == "429" && c.effect == durable.Read && (e == nil || e.RetryAfter != 7*time.Second) {
				t.Errorf("to be tried again: %+v", e)
			}
			if text := r.Content + fmt.Sprint(err); !strings.Contains(text, c.says) {
				t.Errorf("%q is not in %q", c.says, text)
			}
			if n := g.posts.Load() - before; n != 1 {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
}

// TestForgotten: a server that was restarted does not know us any more; it is connected to again
// and the call is made once.
func TestForgotten(t *testing.T) {
	g := remote(t, fixture(), false)
	b := open(t, mcp.Config{HTTP: g.Client()})
	echo := b.tools(mcp.Server{URL: g.URL, Protocol: "2025-11-25"})["echo"]
	known := ""
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		id := r.Header.Get("Mcp-Session-Id")
		if known == "" && id != "" {
			known = id // from now on it is forgotten
		}
		if id != "" && id == known {
			http.Error(w, "session not found", http.StatusNotFound)
			return true
		}
		return false
	})
	if r := b.call(echo, args{Text: "again"}); r.Content != "again key=" {
		t.Errorf("got %+v", r)
	}
}

// TestRemoteUnreachable: what is wrong with an address is said.
func TestRemoteUnreachable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") }))
	defer page.Close()
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer refuses.Close()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	for url, want := range map[string]string{
		gone.URL: "there is no MCP server at its url (404)", closed.URL: "connection refused", page.URL: "content type", refuses.URL: "orpine mcp login fix", endless.URL: "longer than",
		"http://127.0.0.1:1/${NO_SUCH}": "NO_SUCH is not set",
	} {
		b := open(t, mcp.Config{HTTP: http.DefaultClient})
		_, err := b.Source(t.Context(), b.declare(mcp.Server{URL: url}))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "MCP server fix") {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
