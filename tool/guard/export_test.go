package guard

import (
	"context"
	"net"
	"net/netip"
)

// Watch lets a test see every connection a guard is about to make, and refuse it.
func (g *Guard) Watch(before func(to netip.AddrPort) error) {
	connect := g.connect
	g.connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		if err := before(to); err != nil {
			return nil, err
		}
		return connect(ctx, to)
	}
}
