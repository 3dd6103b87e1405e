package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	proxyHead    = 64 << 10 // bytes of a request without its body
	proxyWait    = 30 * time.Second
	proxyClients = 128 // connections at once
)

// proxy lets a process reach the addresses that are allowed, and nothing else. It knows
// CONNECT (RFC 9110, 9.3.6) and requests for a whole http URL (RFC 9112, 3.2.2), one for each
// connection. Names are resolved by dial, never in the jail.
type proxy struct {
	allow []string
	dial  func(ctx context.Context, network, address string) (net.Conn, error)

	ctx    context.Context //nolint:containedctx // the life of the proxy, which stop ends
	cancel context.CancelFunc
	wait   sync.WaitGroup
	listen net.Listener
}

func newProxy(allow []string, dial func(ctx context.Context, network, address string) (net.Conn, error)) *proxy {
	p := &proxy{allow: allow, dial: dial}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

func (p *proxy) start(l net.Listener) {
	p.listen = l
	p.wait.Go(func() {
		slots := make(chan struct{}, proxyClients)
		for {
			slots <- struct{}{}
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wait.Go(func() {
				defer func() { <-slots }()
				p.serve(conn)
			})
		}
	})
}

// stop ends all connections and waits for that.
func (p *proxy) stop() {
	p.cancel()
	_ = p.listen.Close()
	p.wait.Wait()
}

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()                                            //nolint:errcheck // nobody is left to be told
	stop := context.AfterFunc(p.ctx, func() { _ = conn.Close() }) // also wakes who reads
	defer stop()
	_ = conn.SetReadDeadline(time.Now().Add(proxyWait))
	in := bufio.NewReader(conn)
	r, err := readRequest(in)
	if err != nil {
		answer(conn, "400 Bad Request", err.Error())
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	if !allowed(p.allow, r.host, r.port) {
		answer(conn, "403 Forbidden", fmt.Sprintf("%s is not among the addresses that this command may reach: %s", net.JoinHostPort(r.host, r.port), strings.Join(p.allow, ", ")))
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, proxyWait)
	there, err := p.dial(ctx, "tcp", net.JoinHostPort(r.host, r.port))
	cancel()
	if err != nil {
		answer(conn, "502 Bad Gateway", err.Error())
		return
	}
	defer there.Close() //nolint:errcheck // nobody is left to be told
	stopThere := context.AfterFunc(p.ctx, func() { _ = there.Close() })
	defer stopThere()
	if r.connect {
		_, err = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	} else {
		_, err = io.WriteString(there, r.head)
	}
	if err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(there, in)
		closeWrite(there)
	}()
	_, _ = io.Copy(conn, there)
	_ = conn.Close() // wakes the other direction
	<-done
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.Close()
}

func answer(w io.Writer, status, text string) {
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s\n", status, len(text)+1, text)
}

// request is what a client of the proxy wants.
type request struct {
	connect    bool
	host, port string
	head       string // what the other side is sent, without the body; empty for connect
}

// readRequest reads a request up to its body.
func readRequest(in *bufio.Reader) (request, error) {
	head := &io.LimitedReader{R: in, N: proxyHead}
	// One byte at a time from a reader that has a buffer: nothing behind the head is taken.
	text := textproto.NewReader(bufio.NewReaderSize(byByte{head}, 16))
	line, err := text.ReadLine()
	if err != nil {
		return request{}, fmt.Errorf("read the request: %w", err)
	}
	method, rest, _ := strings.Cut(line, " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" || method == "" || (version != "HTTP/1.1" && version != "HTTP/1.0") {
		return request{}, errors.New("this proxy speaks HTTP/1.1: METHOD TARGET HTTP/1.1")
	}
	headers, err := text.ReadMIMEHeader()
	if err != nil {
		return request{}, fmt.Errorf("read the headers: %w", err)
	}
	if method == "CONNECT" {
		host, port, err := net.SplitHostPort(target)
		if err != nil || !address(host, port) {
			return request{}, fmt.Errorf("%q is no host:port", target)
		}
		return request{connect: true, host: host, port: port}, nil
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return request{}, errors.New("the target is no http URL; use CONNECT for anything else")
	}
	r := request{host: u.Hostname(), port: u.Port()}
	if r.port == "" {
		r.port = "80"
	}
	if !address(r.host, r.port) {
		return request{}, fmt.Errorf("%q is no address", u.Host)
	}
	r.head, err = forwarded(method, u, headers)
	return r, err
}

// forwarded is the head of a request as the other side is sent it, for one request alone.
func forwarded(method string, u *url.URL, headers textproto.MIMEHeader) (string, error) {
	target := u.RequestURI()
	if control(target) || strings.Contains(target, " ") {
		return "", errors.New("the target has a control character")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, u.Host)
	for name, values := range headers {
		switch name {
		case "Host", "Connection", "Proxy-Connection", "Proxy-Authorization", "Keep-Alive", "Upgrade":
			continue
		}
		if strings.ContainsAny(name, " \t\"(),/:;<=>?@[\\]{}") || control(name) {
			return "", fmt.Errorf("%q is no name of a header", name)
		}
		for _, v := range values {
			if control(v) {
				return "", fmt.Errorf("header %s has a control character", name)
			}
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	b.WriteString("Connection: close\r\n\r\n")
	return b.String(), nil
}

// address reports whether a host and a port have only what a name or an IP address has.
func address(host, port string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	return host != "" && port != "" && host[0] != '.' && strings.Trim(port, "0123456789") == "" &&
		(strings.IndexFunc(host, func(r rune) bool { return !strings.ContainsRune(letters, r) }) < 0 || net.ParseIP(host) != nil)
}

// control reports whether a text has what could end a line of a header.
func control(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7f }) >= 0
}

// byByte reads no more than one byte at a time.
type byByte struct{ r io.Reader }

func (b byByte) Read(p []byte) (int, error) {
	if len(p) > 1 {
		p = p[:1]
	}
	return b.r.Read(p)
}

// allowed reports whether one entry of a list names an address: host:port, where the host may
// be *.domain for every name beneath, and the port may be *.
func allowed(list []string, host, port string) bool {
	if !address(host, port) {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, entry := range list {
		h, p, err := net.SplitHostPort(strings.ToLower(entry))
		if err != nil || (p != "*" && p != port) {
			continue
		}
		if h == host {
			return true
		}
		if domain, ok := strings.CutPrefix(h, "*."); ok && strings.HasSuffix(host, "."+domain) {
			return true
		}
	}
	return false
}
