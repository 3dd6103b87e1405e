package guard

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// rule is one entry of the allow list.
type rule struct {
	host   string       // of a name
	prefix netip.Prefix // of an address or a range
	port   uint16       // 0 = every port
}

func parseRule(entry string) (rule, error) {
	if prefix, err := netip.ParsePrefix(entry); err == nil {
		return rule{prefix: prefix.Masked()}, nil
	}
	host, port := strings.TrimSpace(entry), ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	r := rule{}
	if port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return rule{}, durable.Errorf(durable.CodeInvalid, "allow %q: %q is not a port", entry, port)
		}
		r.port = uint16(number)
	}
	name, err := canonical(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if err != nil {
		return rule{}, durable.Errorf(durable.CodeInvalid, "allow %q: want a host, an address or a range, such as api.example.org:8443, 10.0.0.7 or 10.1.0.0/16", entry)
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		addr = addr.Unmap()
		r.prefix = netip.PrefixFrom(addr, addr.BitLen())
		return r, nil
	}
	r.host = name
	return r, nil
}

// names reports whether an entry opens a name at a port.
func (g *Guard) names(host string, port uint16) bool {
	return host != "" && slices.ContainsFunc(g.rules, func(r rule) bool {
		return r.host == host && (r.port == 0 || r.port == port)
	})
}

// lists reports whether an entry opens an address at a port.
func (g *Guard) lists(addr netip.Addr, port uint16) bool {
	return slices.ContainsFunc(g.rules, func(r rule) bool {
		return r.prefix.IsValid() && r.prefix.Contains(addr) && (r.port == 0 || r.port == port)
	})
}

// verdictOfName refuses names that mean the machine itself or its cloud, whatever they
// resolve to here, and ports; not yet addresses.
func (g *Guard) verdictOfName(host string, port uint16) error {
	if g.names(host, port) {
		return nil
	}
	switch {
	case host == "localhost", strings.HasSuffix(host, ".localhost"), strings.HasSuffix(host, ".localdomain"):
		return refuse(host, port, "this machine")
	case slices.Contains(metadataNames(), host):
		return refuse(host, port, "a metadata service")
	}
	return nil
}

// verdict says whether an address, that of host where it is not empty, may be dialed.
func (g *Guard) verdict(host string, addr netip.Addr, port uint16) error {
	if addr.Zone() != "" {
		return durable.Errorf(durable.CodeDenied, "an address may not name a zone")
	}
	addr = addr.Unmap()
	if g.lists(addr, port) {
		return nil
	}
	kind, err := kindOf(addr)
	if err != nil {
		return err
	}
	named := g.names(host, port)
	switch {
	case kind == public && (named || slices.Contains(g.ports, int(port))):
		return nil
	case kind == public:
		what := addr.String()
		if host != "" {
			what = host
		}
		return refuse(what, port, "on a port other than "+listPorts(g.ports))
	case named && (kind == private || kind == loopback || kind == shared || kind == own):
		return nil
	}
	return refuse(addr.String(), port, string(kind))
}

func refuse(what string, port uint16, why string) error {
	return durable.Errorf(durable.CodeDenied, "%s is %s, which tools may not reach; if they should, put %q on the allow list",
		what, why, net.JoinHostPort(what, strconv.Itoa(int(port))))
}

func listPorts(ports []int) string {
	texts := make([]string, len(ports))
	for i, p := range ports {
		texts[i] = strconv.Itoa(p)
	}
	return strings.Join(texts, ", ")
}
