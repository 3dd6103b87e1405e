// Package guard lets tools make HTTP requests to the public internet and to nothing
// else: a [Guard] looks at the address that a name resolved to at the moment of the
// connection, at every hop of every redirect, and dials exactly that address. What is
// private, of this machine or of the cloud's metadata is refused unless the operator
// listed it.
//
// It may not follow a proxy of the environment, keep state about who asked, or decide by
// names alone. On the line request -> run -> step -> journal -> event -> client it stands
// inside a step, beneath the tools that speak HTTP; it knows nothing of runs.
//
// A refusal is a durable.Error with the code denied: it says which address and which entry
// of the allow list would open it, and nothing else about the network. A name that does
// not exist is not_found, what cannot be reached just now is unavailable.
package guard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// maxShown is how much of what a caller wrote stands in an error, in bytes.
const maxShown = 80

// Config says what a guard lets through.
type Config struct {
	// Allow opens what would be refused. An entry is a host name or an address, with or
	// without a port, or a range: "api.corp.example", "api.corp.example:8443",
	// "127.0.0.1:8080", "[fd12::1]:443", "10.1.0.0/16". Without a port it opens every port.
	// A name opens the private and loopback addresses it resolves to; link-local, metadata
	// and reserved ones must be listed as addresses.
	Allow []string
	// Ports of public hosts that may be reached without an entry; default 80 and 443.
	Ports []int
	// Resolver looks up names; default net.DefaultResolver.
	Resolver Resolver
	// MaxRedirects is how many redirects a client follows; default 5, negative = none.
	MaxRedirects int
	// ConnectTimeout bounds the connection to one address; default 10 seconds.
	ConnectTimeout time.Duration
}

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver interface {
	// LookupNetIP is called with the network "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Guard decides which connections are made. It is safe for concurrent use.
type Guard struct {
	rules     []rule
	ports     []int
	resolver  Resolver
	redirects int
	connect   func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// New makes a guard. Error: invalid for an entry of Allow that cannot be read.
func New(cfg Config) (*Guard, error) {
	g := &Guard{ports: cfg.Ports, resolver: cfg.Resolver, redirects: cfg.MaxRedirects}
	for _, entry := range cfg.Allow {
		r, err := parseRule(entry)
		if err != nil {
			return nil, err
		}
		g.rules = append(g.rules, r)
	}
	if g.ports == nil {
		g.ports = []int{80, 443}
	}
	if g.resolver == nil {
		g.resolver = net.DefaultResolver
	}
	if g.redirects == 0 {
		g.redirects = 5
	}
	dialer := &net.Dialer{Timeout: cfg.ConnectTimeout}
	if dialer.Timeout <= 0 {
		dialer.Timeout = 10 * time.Second
	}
	g.connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		// An address and not a text: nothing is left that could be resolved again.
		return dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, to)
	}
	return g, nil
}

// Check says whether a URL may be asked for, as far as it can be told without a lookup:
// its scheme, its host as it is spelled, and its port. What a name resolves to is seen by
// [Guard.Dial]. Errors: invalid, denied.
func (g *Guard) Check(u *url.URL) error {
	switch {
	case u == nil || u.Host == "":
		return durable.Errorf(durable.CodeInvalid, "the URL names no host; want https://HOST/PATH")
	case u.Scheme != "http" && u.Scheme != "https":
		return durable.Errorf(durable.CodeDenied, "the scheme %q is not http or https", tool.Clip(u.Scheme, maxShown))
	case u.User != nil:
		return durable.Errorf(durable.CodeDenied, "a URL may not carry a user name or a password")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	host, number, err := parseTarget(u.Hostname(), port)
	if err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return g.verdict("", addr, number)
	}
	return g.verdictOfName(host, number)
}

// Dial resolves the host of address once, checks what it resolved to and connects to
// exactly what it checked. Addresses that are refused are passed over; the error is about
// them when none is left. network must be tcp, tcp4 or tcp6. Errors: denied, not_found,
// unavailable, invalid.
func (g *Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !slices.Contains([]string{"tcp", "tcp4", "tcp6"}, network) {
		return nil, durable.Errorf(durable.CodeDenied, "the network %q is not tcp", tool.Clip(network, maxShown))
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "want HOST:PORT")
	}
	host, number, err := parseTarget(host, port)
	if err != nil {
		return nil, err
	}
	addrs, err := g.resolve(ctx, host, number)
	if err != nil {
		return nil, err
	}
	var last error
	for _, addr := range addrs {
		if network == "tcp4" && !addr.Is4() || network == "tcp6" && !addr.Is6() {
			continue
		}
		conn, err := g.connect(ctx, netip.AddrPortFrom(addr, number))
		if err == nil {
			return conn, nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	if last == nil {
		return nil, durable.Errorf(durable.CodeUnavailable, "%s has no address of the kind %s", host, network)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, durable.Errorf(durable.CodeUnavailable, "connect to %s: %w", net.JoinHostPort(host, port), last)
}

// resolve returns the addresses of a host that may be dialed, at least one.
func (g *Guard) resolve(ctx context.Context, host string, port uint16) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, g.verdict("", addr, port)
	}
	if err := g.verdictOfName(host, port); err != nil {
		return nil, err
	}
	found, err := g.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, lookupError(ctx, host, err)
	}
	var good []netip.Addr
	var refused error
	for _, addr := range found {
		if err := g.verdict(host, addr, port); err != nil {
			if refused == nil {
				refused = err
			}
			continue
		}
		good = append(good, addr.Unmap())
	}
	switch {
	case len(good) > 0:
		return good, nil
	case refused != nil:
		return nil, refused
	}
	return nil, durable.Errorf(durable.CodeNotFound, "%s has no address", host)
}

func lookupError(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return durable.Errorf(durable.CodeNotFound, "there is no host %s", host)
	}
	// The text of a resolver names its servers, which are nobody's business.
	return durable.Errorf(durable.CodeUnavailable, "look up %s: the resolver gave no answer", host)
}

// parseTarget brings a host and a port into the one spelling the rules know.
func parseTarget(host, port string) (string, uint16, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return "", 0, durable.Errorf(durable.CodeInvalid, "%q is not a port", tool.Clip(port, maxShown))
	}
	host, err = canonical(host)
	return host, uint16(number), err
}

// canonical is a host in lower case, in ASCII and without a dot at its end. It refuses
// every way to write an address but the plain one: which address such a text means depends
// on who reads it.
func canonical(host string) (string, error) {
	if strings.Contains(host, "%") {
		return "", durable.Errorf(durable.CodeDenied, "an address may not name a zone")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), nil
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil && !isLDH(strings.TrimSuffix(host, ".")) {
		return "", durable.Errorf(durable.CodeInvalid, "%q is not the name of a host", tool.Clip(host, maxShown))
	}
	if err != nil { // such as a name with an underscore
		ascii = strings.TrimSuffix(host, ".")
	}
	ascii = strings.ToLower(strings.TrimSuffix(ascii, "."))
	if addr, err := netip.ParseAddr(ascii); err == nil {
		return addr.String(), nil // digits of another script, or a dot at the end
	}
	if ascii == "" || !isLDH(ascii) {
		return "", durable.Errorf(durable.CodeInvalid, "%q is not the name of a host", tool.Clip(host, maxShown))
	}
	last := ascii[strings.LastIndexByte(ascii, '.')+1:]
	if isNumber(last) {
		return "", durable.Errorf(durable.CodeDenied, "%q is an unusual spelling of an address; write it as 192.0.2.1 or [2001:db8::1]", tool.Clip(host, maxShown))
	}
	return ascii, nil
}

// isLDH reports whether a name has letters, digits, hyphens and underscores only, in labels
// that are not empty.
func isLDH(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		odd := func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", r)
		}
		if strings.ContainsFunc(label, odd) {
			return false
		}
	}
	return true
}

// isNumber reports whether a label is one by the URL standard of WHATWG: a host that ends in
// one is an address there, and for inet_aton.
func isNumber(label string) bool {
	digits := "0123456789"
	if rest, ok := strings.CutPrefix(label, "0x"); ok {
		label, digits = rest, "0123456789abcdef"
	}
	return strings.TrimLeft(label, digits) == ""
}
