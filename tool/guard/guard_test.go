package guard_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/guard"
)

func TestAllow(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name, allow, url string
		code             durable.Code // "" = it is answered
		says             string
	}{
		{"nothing", "", "http://127.0.0.1:{port}/", durable.CodeDenied, `put "127.0.0.1:{port}" on the allow list`},
		{"the address and port", "127.0.0.1:{port}", "http://127.0.0.1:{port}/", "", ""},
		{"the address", "127.0.0.1", "http://127.0.0.1:{port}/", "", ""},
		{"another port", "127.0.0.1:1", "http://127.0.0.1:{port}/", durable.CodeDenied, "of this machine itself"},
		{"a range", "127.0.0.0/8", "http://127.9.9.9:{port}/", "", ""},
		{"another range", "10.0.0.0/8", "http://127.0.0.1:{port}/", durable.CodeDenied, "allow list"},
		{"mapped", "127.0.0.1", "http://[::ffff:127.0.0.1]:{port}/", "", ""},
		{"IPv6", "[::1]:{port}", "http://[::1]:{port}/", "", ""},
		{"a name", "loopback.test:{port}", "http://LOOPBACK.test.:{port}/", "", ""},
		{"a name in capitals", "LoopBack.test", "http://loopback.test:{port}/", "", ""},
		{"a name and not its address", "loopback.test", "http://127.0.0.1:{port}/", durable.CodeDenied, "allow list"},
		{"an address and not a name of it", "loopback.test:1", "http://loopback.test:{port}/", durable.CodeDenied, "127.0.0.1 is"},
		{"no name opens metadata", "meta.test", "http://meta.test/", durable.CodeDenied, "metadata"},
		{"no name opens link-local", "linklocal.test", "http://linklocal.test/", durable.CodeDenied, "link-local"},
		{"the address behind a name", "127.0.0.1", "http://several.test:{port}/", "", ""},
		{"an unusual spelling of what is allowed", "127.0.0.1", "http://2130706433:{port}/", durable.CodeDenied, "unusual spelling"},
		{"an unknown name", "", "http://nowhere.test/", durable.CodeNotFound, "no host nowhere.test"},
		{"a port that is not open", "", "http://public.test:22/", durable.CodeDenied, `"public.test:22"`},
		{"another scheme", "", "ftp://public.test/", durable.CodeDenied, "http or https"},
		{"a password", "127.0.0.1", "http://u:hunter2@127.0.0.1:{port}/", durable.CodeDenied, "user name"},
	} {
		port := strings.NewReplacer("{port}", h.port)
		cfg := guard.Config{Resolver: h.names}
		if c.allow != "" {
			cfg.Allow = []string{port.Replace(c.allow)}
		}
		g, err := guard.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		client := g.Client(10 * time.Second)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, port.Replace(c.url), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		client.CloseIdleConnections()
		err = guard.Cause(err)
		if c.code == "" && err != nil || c.code != "" && (err == nil || durable.CodeOf(err) != c.code || !strings.Contains(err.Error(), port.Replace(c.says))) {
			t.Errorf("%s: got %v, want %q %s", c.name, err, c.code, port.Replace(c.says))
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", c.name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, entry := range []string{"", "a b", "host:0", "host:http", "10.0.0.0/33", "0x7f.1", "http://host/", "*.example.org", "[::1%lo]:80"} {
		if _, err := guard.New(guard.Config{Allow: []string{entry}}); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%q: got %v, want invalid", entry, err)
		}
	}
}

func TestDialRefuses(t *testing.T) {
	g, err := guard.New(guard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ network, address string }{
		{"unix", "/run/docker.sock"},
		{"udp", "8.8.8.8:53"},
		{"tcp", "127.0.0.1"},
		{"tcp", "127.0.0.1:http"},
		{"tcp", "127.0.0.1:80"},
		{"tcp6", "[::1]:443"},
		{"tcp", "[fe80::1%lo]:80"},
		{"tcp", ":80"},
	} {
		if conn, err := g.Dial(t.Context(), c.network, c.address); err == nil {
			_ = conn.Close()
			t.Errorf("it dials %s %s", c.network, c.address)
		}
	}
}

// A key that a tool sends goes to the origin it is for, and nowhere else.
func TestRedirectsKeepKeys(t *testing.T) {
	seen := make(chan http.Header, 10)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	defer other.Close()
	var first *httptest.Server
	first = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/near":
			http.Redirect(w, r, first.URL+"/end", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			seen <- r.Header
		}
	}))
	defer first.Close()
	g, err := guard.New(guard.Config{Allow: []string{"127.0.0.1"}, MaxRedirects: 3})
	if err != nil {
		t.Fatal(err)
	}
	client := g.Client(10 * time.Second)
	defer client.CloseIdleConnections()
	ask := func(method, path, body string) error {
		req, err := http.NewRequestWithContext(t.Context(), method, first.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body == "" {
			req.Body, req.GetBody = nil, nil
		}
		req.Header.Set("Authorization", "Bearer k")
		req.Header.Set("X-Api-Key", "k")
		req.Header.Set("Accept", "text/plain")
		resp, err := client.Do(req)
		if err != nil {
			return guard.Cause(err)
		}
		return resp.Body.Close()
	}
	if err := ask(http.MethodGet, "/away?key=k", ""); err != nil {
		t.Fatal(err)
	}
	got := <-seen
	if got.Get("Authorization")+got.Get("X-Api-Key")+got.Get("Referer") != "" || got.Get("Accept") != "text/plain" {
		t.Errorf("another origin is sent %v", got)
	}
	if err := ask(http.MethodGet, "/near?key=k", ""); err != nil {
		t.Fatal(err)
	}
	if got = <-seen; got.Get("X-Api-Key") != "k" || got.Get("Referer") != "" {
		t.Errorf("the same origin is sent %v", got)
	}
	if err := ask(http.MethodPost, "/away", "secret=k"); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("a body sent elsewhere: got %v, want denied", err)
	}
	if err := ask(http.MethodGet, "/loop", ""); !errors.Is(err, durable.ErrDenied) || !strings.Contains(err.Error(), "more than 3") {
		t.Errorf("a loop: got %v, want denied", err)
	}
}

func TestEnvironmentProxyIsIgnored(t *testing.T) {
	h := newHouse(t)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:"+h.port)
	t.Setenv("http_proxy", "http://127.0.0.1:"+h.port)
	g, err := guard.New(guard.Config{Resolver: h.names})
	if err != nil {
		t.Fatal(err)
	}
	g.Watch(func(to netip.AddrPort) error { return fmt.Errorf("offline: %s", to) })
	client := g.Client(10 * time.Second)
	if fetch(t, client, "http://public.test/") || h.reached.Load() != 0 {
		t.Error("it asks the proxy of the environment")
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1/", "http://0x7f.1/", "http://[::ffff:7f00:1]:80/", "http://１２７.０.０.１/", "https://example.org./", "http://a_b.example/"} {
		f.Add(s)
	}
	g, err := guard.New(guard.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil || g.Check(u) != nil {
			return
		}
		// What passes is a name, or an address that is public by every reading of it.
		addr, ok := inetAton(strings.ToLower(u.Hostname()))
		if ok && (addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast()) {
			t.Errorf("%q passes", text)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	g, err := guard.New(guard.Config{Allow: []string{"10.0.0.0/8"}})
	if err != nil {
		b.Fatal(err)
	}
	u, err := url.Parse("https://93.184.216.34/")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := g.Check(u); err != nil {
			b.Fatal(err)
		}
	}
}
