package hook

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Bounds of requests that do not fit, for one address.
const (
	failuresAtOnce = 30
	failuresEvery  = 2 * time.Second // one more
	failuresKept   = 10_000          // addresses; those beyond share one bound
)

// Failures counts the requests that did not fit, by address.
type Failures struct {
	mu sync.Mutex
	by map[string]time.Time // when an address will have none on its account
}

// NewFailures begins to count.
func NewFailures() *Failures { return &Failures{by: map[string]time.Time{}} }

// Len is how many addresses are kept.
func (f *Failures) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.by)
}

// May reports whether an address may try.
func (f *Failures) May(from string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.by[f.account(from)].Sub(now) <= (failuresAtOnce-1)*failuresEvery
}

// Count puts a failure on the account of an address.
func (f *Failures) Count(from string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.by) >= failuresKept {
		for one, until := range f.by {
			if !until.After(now) {
				delete(f.by, one)
			}
		}
	}
	account := f.account(from)
	f.by[account] = later(f.by[account], now).Add(failuresEvery)
}

// account is where the failures of an address are counted.
func (f *Failures) account(from string) string {
	if _, ok := f.by[from]; !ok && len(f.by) >= failuresKept {
		return ""
	}
	return from
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// AddressOf is the address that a request has come from; of IPv6 the network, of which one has many
// addresses.
func AddressOf(remote string) string {
	const network = 64
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		if prefix, err := addr.Prefix(network); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}
