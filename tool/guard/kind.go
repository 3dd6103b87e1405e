package guard

import (
	"net"
	"net/netip"

	"github.com/orpine-run/orpine/durable"
)

// kind is what an address is for, as a person reads it.
type kind string

const (
	public   kind = ""
	loopback kind = "an address of this machine itself"
	own      kind = "an address of an interface of this machine"
	private  kind = "a private address"
	shared   kind = "an address of a carrier's private network"
	local    kind = "a link-local address"
	metadata kind = "the address of a metadata service"
	reserved kind = "a reserved address"
	tunnel   kind = "an IPv6 address that stands for an IPv4 one"
)

// span is a range of addresses of one kind.
type span struct {
	prefix string
	kind   kind
}

// spans are the special ranges of the registries of IANA (RFC 6890 and its updates) and of
// the clouds, the first that fits counts.
func spans() []span {
	return []span{
		{"169.254.169.254/32", metadata}, // AWS, Google, Azure and most others
		{"169.254.169.253/32", metadata}, // DNS of AWS
		{"169.254.170.2/32", metadata},   // credentials of AWS containers
		{"169.254.170.23/32", metadata},  // of AWS pods
		{"168.63.129.16/32", metadata},   // Azure, a public address by its look
		{"100.100.100.200/32", metadata}, // Alibaba
		{"192.0.0.192/32", metadata},     // Oracle
		{"fd00:ec2::/32", metadata},      // AWS
		{"fd20:ce::254/128", metadata},   // Google
		{"fd00:42::42/128", metadata},    // Scaleway

		{"127.0.0.0/8", loopback},
		{"0.0.0.0/8", loopback}, // Linux takes 0.0.0.0 for itself
		{"10.0.0.0/8", private},
		{"172.16.0.0/12", private},
		{"192.168.0.0/16", private},
		{"100.64.0.0/10", shared},
		{"169.254.0.0/16", local},
		{"192.0.0.0/24", reserved},
		{"192.0.2.0/24", reserved}, // documentation
		{"198.51.100.0/24", reserved},
		{"203.0.113.0/24", reserved},
		{"192.31.196.0/24", reserved}, // AS112
		{"192.175.48.0/24", reserved},
		{"192.52.193.0/24", reserved}, // AMT
		{"192.88.99.0/24", reserved},  // 6to4 relays
		{"198.18.0.0/15", reserved},   // benchmarks
		{"224.0.0.0/4", reserved},     // multicast
		{"240.0.0.0/4", reserved},

		{"::1/128", loopback},
		{"::/128", loopback},
		{"::/96", tunnel},               // IPv4-compatible
		{"::ffff:0:0:0/96", tunnel},     // IPv4-translated, RFC 2765
		{"64:ff9b:1::/48", tunnel},      // local NAT64, RFC 8215
		{"2001::/32", tunnel},           // Teredo
		{"2002::/16", tunnel},           // 6to4
		{"fc00::/7", private},           //
		{"fe80::/10", local},            //
		{"fec0::/10", local},            // site-local, of old
		{"2001::/23", reserved},         // IETF: benchmarks, ORCHID
		{"2001:db8::/32", reserved},     // documentation
		{"3fff::/20", reserved},         //
		{"2620:4f:8000::/48", reserved}, // AS112
	}
}

// metadataNames are the names by which clouds offer their metadata.
func metadataNames() []string {
	return []string{
		"metadata", "metadata.google.internal", "metadata.goog", "metadata.internal", "metadata.azure.internal", "metadata.azure.com",
		"instance-data", "instance-data.ec2.internal", "metadata.tencentyun.com", "metadata.platformequinix.com",
	}
}

// kindOf says what an address is for. The error is internal: the machine does not tell its
// own addresses.
func kindOf(addr netip.Addr) (kind, error) {
	addr = addr.Unmap()
	if netip.MustParsePrefix("64:ff9b::/96").Contains(addr) { // NAT64, RFC 6052: it is what it carries
		b := addr.As16()
		return kindOf(netip.AddrFrom4([4]byte(b[12:])))
	}
	for _, s := range spans() {
		if netip.MustParsePrefix(s.prefix).Contains(addr) {
			return s.kind, nil
		}
	}
	if addr.Is6() {
		if !netip.MustParsePrefix("2000::/3").Contains(addr) {
			return reserved, nil // the rest is not given out
		}
		b := addr.As16()
		if (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
			return tunnel, nil // ISATAP, RFC 5214
		}
	}
	return ownKind(addr)
}

// ownKind finds out whether an address that looks public is one of this machine's own, behind
// which services listen that trust whoever is local.
func ownKind(addr netip.Addr) (kind, error) {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return reserved, durable.Errorf(durable.CodeInternal, "list the addresses of this machine: %w", err)
	}
	for _, i := range interfaces {
		if n, ok := i.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok && a.Unmap() == addr {
				return own, nil
			}
		}
	}
	return public, nil
}
