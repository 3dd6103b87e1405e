package sandbox

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestReadRequest(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     request
		rest     string // what is left for the other side
		says     string
	}{
		{name: "connect", in: "CONNECT a.test:443 HTTP/1.1\r\nHost: b.test\r\n\r\nbytes", want: request{connect: true, host: "a.test", port: "443"}, rest: "bytes"},
		{name: "connect by IPv6", in: "CONNECT [::1]:443 HTTP/1.0\r\n\r\n", want: request{connect: true, host: "::1", port: "443"}},
		{
			name: "get", in: "GET http://a.test/x?y=1#z HTTP/1.1\r\nHost: evil.test\r\nProxy-Authorization: secret\r\nConnection: keep-alive\r\nX-A: 1\r\n\r\n",
			want: request{host: "a.test", port: "80", head: "GET /x?y=1 HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\nConnection: close\r\n\r\n"},
		},
		{
			name: "body", in: "POST http://a.test:81 HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
			want: request{host: "a.test", port: "81", head: "POST / HTTP/1.1\r\nHost: a.test:81\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"}, rest: "body",
		},
		{name: "a user in the URL", in: "GET http://good.test@evil.test/ HTTP/1.1\r\n\r\n", want: request{host: "evil.test", port: "80", head: "GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"}},
		{name: "https without connect", in: "GET https://a.test/ HTTP/1.1\r\n\r\n", says: "no http URL"},
		{name: "a path", in: "GET / HTTP/1.1\r\n\r\n", says: "no http URL"},
		{name: "no port", in: "CONNECT a.test HTTP/1.1\r\n\r\n", says: "no host:port"},
		{name: "not HTTP", in: "\x16\x03\x01\x00\r\n\r\n", says: "speaks HTTP/1.1"},
		{name: "HTTP/2", in: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", says: "speaks HTTP/1.1"},
		{name: "cut off", in: "CONNECT a.test:443 HTTP/1.1\r\nHost:", says: "read the headers"},
		{name: "nothing", in: "", says: "read the request"},
		{name: "too long", in: "GET http://a.test/ HTTP/1.1\r\nX: " + strings.Repeat("x", proxyHead) + "\r\n\r\n", says: "read the headers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := bufio.NewReader(strings.NewReader(c.in))
			got, err := readRequest(in)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("got %+v, %v, want %q", got, err, c.says)
				}
				return
			}
			rest, _ := io.ReadAll(in)
			if err != nil || got != c.want || string(rest) != c.rest {
				t.Errorf("got %+v, %v and %q, want %+v and %q", got, err, rest, c.want, c.rest)
			}
		})
	}
}

func TestAllowed(t *testing.T) {
	list := []string{"a.test:443", "*.b.test:80", "C.test:*", "[::1]:1", "10.0.0.1:5"}
	for _, c := range []struct {
		host, port string
		want       bool
	}{
		{"a.test", "443", true},
		{"A.Test", "443", true},
		{"a.test.", "443", true},
		{"a.test", "80", false},
		{"x.a.test", "443", false},
		{"xa.test", "443", false},
		{"x.b.test", "80", true},
		{"y.x.b.test", "80", true},
		{"b.test", "80", false},
		{".b.test", "80", false},
		{"xb.test", "80", false},
		{"c.test", "1", true},
		{"::1", "1", true},
		{"10.0.0.1", "5", true},
		{"010.0.0.1", "5", false},
		{"", "443", false},
		{"*.b.test", "80", false},
	} {
		if got := allowed(list, c.host, c.port); got != c.want {
			t.Errorf("%s:%s: got %v", c.host, c.port, got)
		}
	}
}

// FuzzReadRequest: what the proxy sends on is one request, to the host that it was held
// against the list, whatever a client writes.
func FuzzReadRequest(f *testing.F) {
	for _, seed := range []string{
		"CONNECT a.test:443 HTTP/1.1\r\n\r\n",
		"GET http://a.test/x?y#z HTTP/1.1\r\nHost: b\r\nX: y\r\n z\r\n\r\n",
		"GET http://a.test/%0d%0aHost:%20b HTTP/1.1\r\n\r\n",
		"GET http://u:p@[::1%25eth0]:80/ HTTP/1.0\r\nA: \rb\r\n\r\n",
		"GET\thttp://a.test/ HTTP/1.1\n\n",
		"GET http://a.test/?\x00 HTTP/1.1\r\nX\x00: 1\r\n\r\n",
		"GE T http://a.test/ HTTP/1.1\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, err := readRequest(bufio.NewReader(strings.NewReader(in)))
		if err != nil {
			return
		}
		if r.host == "" || r.port == "" {
			t.Fatalf("an address without an end: %+v", r)
		}
		if r.connect {
			return
		}
		sent, err := http.ReadRequest(bufio.NewReader(strings.NewReader(r.head)))
		if err != nil {
			t.Fatalf("what is sent on is no request: %v\n%q", err, r.head)
		}
		if host := strings.Trim(strings.TrimSuffix(sent.Host, ":"+r.port), "[]:"); host != r.host {
			t.Errorf("held against the list was %q, sent is %q", r.host, sent.Host)
		}
		if n := strings.Count(r.head, "\r\n\r\n"); n != 1 || !strings.HasSuffix(r.head, "\r\n\r\n") {
			t.Errorf("%d requests in %q", n, r.head)
		}
	})
}
