package guard_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine/tool/guard"
)

// resolver answers names ending in .test. A rebinding one is public for who asks first.
type resolver struct {
	mu    sync.Mutex
	asked map[string]int
}

var records = map[string][]string{
	"public.test": {"93.184.216.34"}, "loopback.test": {"127.0.0.1"}, "loopback6.test": {"::1"}, "mapped.test": {"::ffff:127.0.0.1"},
	"unspecified.test": {"0.0.0.0"}, "private10.test": {"10.0.0.1"}, "private172.test": {"172.16.0.1"}, "private192.test": {"192.168.1.1"},
	"linklocal.test": {"169.254.1.1", "fe80::1"}, "ula.test": {"fd12::1"}, "meta.test": {"169.254.169.254"}, "nat64.test": {"64:ff9b::7f00:1"},
	"sixtofour.test": {"2002:7f00:1::1"}, "teredo.test": {"2001:0:7f00:1::"}, "cgnat.test": {"100.64.0.1"}, "multicast.test": {"224.0.0.1", "ff02::1"},
	"broadcast.test": {"255.255.255.255"}, "several.test": {"10.0.0.1", "127.0.0.1", "::1"}, "zoned.test": {"::1%lo"},
}

func (r *resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[host]++
	if host == "rebind.test" || strings.HasSuffix(host, ".rebind.test") || host == "flip.test" {
		if r.asked[host]%2 == 1 {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	if strings.HasSuffix(host, ".loopback.test") {
		host = "loopback.test"
	}
	if dashed, ok := strings.CutPrefix(host, "ip-"); ok {
		addr, err := netip.ParseAddr(strings.ReplaceAll(strings.TrimSuffix(dashed, ".test"), "-", "."))
		return []netip.Addr{addr}, err
	}
	var found []netip.Addr
	for _, text := range records[host] {
		found = append(found, netip.MustParseAddr(text))
	}
	if found == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, nil
}

// house is a canary that nobody may reach, and a redirector that is on the allow list.
type house struct {
	reached atomic.Int64
	port    string
	open    string
	names   *resolver
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{names: &resolver{asked: map[string]int{}}}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":0") // all of 127/8 and ::1
	if err != nil {
		t.Fatal(err)
	}
	canary := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { h.reached.Add(1) }), ReadHeaderTimeout: time.Minute}
	// A connection is enough: what would not speak HTTP has reached it too.
	canary.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			h.reached.Add(1)
		}
	}
	go func() { _ = canary.Serve(listener) }()
	t.Cleanup(func() { _ = canary.Close() })
	_, h.port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	redirector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, err := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		if err != nil {
			status = http.StatusFound
		}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(status)
	}))
	t.Cleanup(redirector.Close)
	h.open = redirector.URL
	return h
}

// corpus is the hand-written list and every spelling of every special address.
func (h *house) corpus(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("testdata/urls.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var urls []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			urls = append(urls, strings.NewReplacer("{port}", h.port, "{open}", h.open).Replace(line))
		}
	}
	for _, text := range []string{
		"127.0.0.1", "127.8.8.8", "0.0.0.0", "0.255.0.1", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1",
		"100.64.0.1", "100.127.255.254", "169.254.0.1", "169.254.169.254", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.19.255.254",
		"198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
	} {
		for _, host := range spellings(netip.MustParseAddr(text)) {
			urls = append(urls, "http://"+host+":"+h.port+"/", h.open+"/302?to="+url.QueryEscape("http://"+host+":"+h.port+"/"))
		}
	}
	return urls
}

func spellings(a netip.Addr) []string {
	b := a.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	return []string{
		a.String(), a.String() + ".", fmt.Sprint(n), fmt.Sprintf("0x%x", n), fmt.Sprintf("0%o", n),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]), fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%d.%d", b[0], n&0xffffff), fmt.Sprintf("%d.%d.%d", b[0], b[1], n&0xffff),
		"[::ffff:" + a.String() + "]", fmt.Sprintf("[::ffff:%x:%x]", n>>16, n&0xffff), "[::" + a.String() + "]",
		"[64:ff9b::" + a.String() + "]", fmt.Sprintf("[2002:%x:%x::1]", n>>16, n&0xffff), fmt.Sprintf("[2a00::5efe:%x:%x]", n>>16, n&0xffff),
		"user@" + a.String(), "ip-" + strings.ReplaceAll(a.String(), ".", "-") + ".test",
	}
}

func TestCorpus(t *testing.T) {
	h := newHouse(t)
	port, err := strconv.Atoi(h.port)
	if err != nil {
		t.Fatal(err)
	}
	// The port of the canary is an open one, so that it is the address that is refused.
	g, err := guard.New(guard.Config{Allow: []string{strings.TrimPrefix(h.open, "http://")}, Resolver: h.names, Ports: []int{80, 443, port}})
	if err != nil {
		t.Fatal(err)
	}
	open := netip.MustParseAddrPort(strings.TrimPrefix(h.open, "http://"))
	dialed := map[string]bool{}
	var mu sync.Mutex
	g.Watch(func(to netip.AddrPort) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case to == open:
			return nil
		case to.Addr() == netip.MustParseAddr("93.184.216.34"): // the only public address there is; nothing leaves the machine
			dialed[to.String()] = true
			return errors.New("the test is offline")
		}
		t.Errorf("it dials %s", to)
		return nil
	})
	client := g.Client(10 * time.Second)
	defer client.CloseIdleConnections()
	urls := h.corpus(t)
	if len(urls) < 300 {
		t.Fatalf("%d URLs, want at least 300", len(urls))
	}
	for _, u := range urls {
		before := h.reached.Load()
		if fetch(t, client, u) && !strings.HasPrefix(u, h.open) {
			t.Errorf("%s is answered", u)
		}
		if h.reached.Load() != before {
			t.Errorf("%s reaches the canary", u)
		}
	}
	if len(dialed) == 0 {
		t.Error("no rebinding name was dialed at the address that was checked")
	}
	reached := h.control(t, urls)
	t.Logf("%d URLs: 0 reach the canary; without the guard %d do", len(urls), reached)
	if reached < 150 {
		t.Errorf("without the guard only %d URLs reach the canary: the corpus proves little", reached)
	}
}

// control counts the URLs that reach the canary through a plain client that resolves as libc
// does, looks at the first answer and dials the second.
func (h *house) control(t *testing.T, urls []string) int {
	t.Helper()
	plain := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		addr, ok := inetAton(host)
		if !ok {
			if _, err := h.names.LookupNetIP(ctx, "ip", host); err != nil && !strings.HasSuffix(host, "localhost") {
				return nil, err
			}
			addr = netip.MustParseAddr("127.0.0.1")
			if found, err := h.names.LookupNetIP(ctx, "ip", host); err == nil {
				addr = found[len(found)-1].Unmap()
			}
		}
		if !addr.IsLoopback() && !addr.IsUnspecified() {
			return nil, errors.New("the test is offline")
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), port))
	}}}
	count := 0
	for _, u := range urls {
		before := h.reached.Load()
		fetch(t, plain, u)
		if h.reached.Load() != before {
			count++
		}
	}
	return count
}

// inetAton reads an address as inet_aton(3) does.
func inetAton(host string) (netip.Addr, bool) {
	host = strings.TrimSuffix(host, ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), true
	}
	parts := strings.Split(host, ".")
	var n uint64
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 0, 32)
		if err != nil || len(parts) > 4 || strings.ContainsAny(p, "_oObB") && !strings.HasPrefix(p, "0x") {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			n |= v << (24 - 8*i)
		} else {
			n |= v
		}
	}
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), true
}

func fetch(t *testing.T, client *http.Client, u string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
