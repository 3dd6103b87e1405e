package mcp_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/mcp"
)

// guarded is a remote server with an authorization server in front of it.
type guarded struct {
	*httptest.Server
	mu        sync.Mutex
	tokens    map[string]bool
	codes     map[string]url.Values // what an authorization was asked for with
	clients   int                   // that were registered
	refreshed int
	expires   int // seconds that the next token lives
	refuse    bool
}

func guard(t *testing.T) *guarded {
	g := &guarded{tokens: map[string]bool{}, codes: map[string]url.Values{}, expires: 3600}
	s := fixture()
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mcpHandler := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s }, nil)
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		g.mu.Lock()
		ok := g.tokens[token]
		g.mu.Unlock()
		if !ok {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+g.URL+`/.well-known/oauth-protected-resource/mcp"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mcpHandler.ServeHTTP(w, r)
	})
	mux.HandleFunc("/.well-known/oauth-protected-resource/mcp", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"resource": g.URL + "/mcp", "authorization_servers": []string{g.URL}, "scopes_supported": []string{"tools"}})
	})
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{
			"issuer": g.URL, "authorization_endpoint": g.URL + "/authorize", "token_endpoint": g.URL + "/token", "registration_endpoint": g.URL + "/register",
			"response_types_supported": []string{"code"}, "code_challenge_methods_supported": []string{"S256"},
			"grant_types_supported": []string{"authorization_code", "refresh_token", "client_credentials"}, "token_endpoint_auth_methods_supported": []string{"none", "client_secret_post"},
			"authorization_response_iss_parameter_supported": true,
		})
	})
	mux.HandleFunc("/register", func(w http.ResponseWriter, r *http.Request) {
		var in map[string]any
		_ = json.NewDecoder(r.Body).Decode(&in)
		g.mu.Lock()
		g.clients++
		in["client_id"] = "client-" + strconv.Itoa(g.clients)
		g.mu.Unlock()
		answer(w, 201, in)
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		back, _ := url.Parse(q.Get("redirect_uri"))
		values := url.Values{"state": {q.Get("state")}, "iss": {g.URL}}
		g.mu.Lock()
		if g.refuse {
			values.Set("error", "access_denied")
		} else {
			code := "code-" + strconv.Itoa(len(g.codes))
			g.codes[code] = q
			values.Set("code", code)
		}
		g.mu.Unlock()
		back.RawQuery = values.Encode()
		http.Redirect(w, r, back.String(), http.StatusFound)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		g.mu.Lock()
		defer g.mu.Unlock()
		ok := false
		switch r.Form.Get("grant_type") {
		case "authorization_code":
			asked, known := g.codes[r.Form.Get("code")]
			sum := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
			ok = known && asked.Get("code_challenge") == base64.RawURLEncoding.EncodeToString(sum[:]) && asked.Get("redirect_uri") == r.Form.Get("redirect_uri") && asked.Get("resource") == g.URL+"/mcp"
			delete(g.codes, r.Form.Get("code"))
		case "refresh_token":
			ok = strings.HasPrefix(r.Form.Get("refresh_token"), "refresh")
			g.refreshed++
		case "client_credentials":
			id, secret, basic := r.BasicAuth()
			if !basic {
				id, secret = r.Form.Get("client_id"), r.Form.Get("client_secret")
			}
			ok = id == "robot" && secret == "hunter2"
		}
		if !ok {
			answer(w, 400, map[string]any{"error": "invalid_grant"})
			return
		}
		token := "token-" + strconv.Itoa(len(g.tokens))
		g.tokens[token] = true
		answer(w, 200, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": g.expires, "refresh_token": "refresh-" + token})
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(func() { g.CloseClientConnections(); g.Close() })
	return g
}

// browser follows a link as a person would, to the end.
func browser(t *testing.T, g *guarded) func(string) error {
	return func(address string) error {
		if !strings.HasPrefix(address, g.URL+"/authorize?") {
			t.Errorf("the person is sent to %s", address)
		}
		go func() {
			resp, err := g.Client().Get(address)
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
		}()
		return nil
	}
}

type logins struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (l *logins) Load(_ context.Context, server string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept[server], nil
}

func (l *logins) Save(_ context.Context, server string, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept[server] = data
	return nil
}

// TestLogin: a person logs in once; other processes use the login, and renew it, without anybody
// there. Without one they say how to get it, and register nothing.
func TestLogin(t *testing.T) {
	g := guard(t)
	kept := &logins{kept: map[string][]byte{}}
	server := mcp.Server{URL: g.URL + "/mcp"}
	b := open(t, mcp.Config{HTTP: g.Client(), Logins: kept})
	_, err := b.Source(t.Context(), b.declare(server))
	if !errors.Is(err, durable.ErrDenied) || !strings.Contains(err.Error(), "orpine mcp login fix") || g.clients != 0 {
		t.Fatalf("without a login: %v, %d clients", err, g.clients)
	}
	g.refuse = true
	if err := b.Login(t.Context(), b.declare(server), browser(t, g)); !errors.Is(err, durable.ErrDenied) || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("refused: %v", err)
	}
	g.refuse, g.expires = false, 1 // so that it is renewed at once
	if err := b.Login(t.Context(), b.declare(server), browser(t, g)); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.expires, g.refreshed = 3600, 0
	g.mu.Unlock()
	for range 2 {
		other := open(t, mcp.Config{HTTP: g.Client(), Logins: kept})
		if r := other.call(other.tools(server)["echo"], args{Text: "in"}); r.Content != "in key=" {
			t.Errorf("got %+v", r)
		}
	}
	if g.refreshed != 1 {
		t.Errorf("renewed %d times: the new one is kept", g.refreshed)
	}
	elsewhere := guard(t)
	other := open(t, mcp.Config{HTTP: g.Client(), Logins: kept})
	if _, err := other.Source(t.Context(), other.declare(mcp.Server{URL: elsewhere.URL + "/mcp"})); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("the login was used for another address: %v", err)
	}
	if err := b.Login(t.Context(), b.declare(mcp.Server{Command: "x"}), browser(t, g)); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("stdio: %v", err)
	}
}

// TestClientCredentials: a server is told who asks by a secret of ours.
func TestClientCredentials(t *testing.T) {
	g := guard(t)
	for secret, works := range map[string]bool{"hunter2": true, "wrong": false} {
		b := open(t, mcp.Config{HTTP: g.Client(), Expand: func(context.Context, string) (string, error) { return secret, nil }})
		list, err := b.Source(t.Context(), b.declare(mcp.Server{URL: g.URL + "/mcp", OAuth: &mcp.OAuth{ClientID: "robot", ClientSecret: "${secret:ROBOT}", Grant: "client_credentials"}}))
		if (err == nil) != works || works && len(list) == 0 || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %d tools, error %v", secret, len(list), err)
		}
	}
}
