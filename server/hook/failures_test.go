package hook_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/orpine-run/orpine/server/hook"
)

// TestFailures: an address that fails is put off until its failures are old, others are not, and
// however many there are no more than some are kept.
func TestFailures(t *testing.T) {
	f, now := hook.NewFailures(), time.Now()
	n := 0
	for ; f.May("a", now); n++ {
		f.Count("a", now)
		if n > 1000 {
			t.Fatal("it is never put off")
		}
	}
	if n != 30 || !f.May("b", now) {
		t.Errorf("put off after %d; another: %t", n, f.May("b", now))
	}
	if f.May("a", now.Add(time.Second)) || !f.May("a", now.Add(2*time.Second)) {
		t.Error("it is not let in again two seconds later")
	}
	for i := range 50_000 {
		f.Count(fmt.Sprint(i), now)
	}
	if f.Len() > 10_001 {
		t.Errorf("%d addresses are kept", f.Len())
	}
	if f.May("one more", now) {
		t.Error("the addresses beyond have no bound")
	}
	f.Count("much later", now.Add(72*time.Hour))
	if f.Len() > 2 || !f.May("one more", now.Add(72*time.Hour)) {
		t.Errorf("%d addresses are kept for ever", f.Len())
	}
}

// FuzzAddress: of what names an address only the address is left, of IPv6 its network.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:1", "[::ffff:10.0.0.1]:9", "@", "", "host:1", "[::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		got := hook.AddressOf(remote)
		if from, err := netip.ParseAddrPort(remote); err == nil {
			other := hook.AddressOf(netip.AddrPortFrom(from.Addr(), from.Port()+1).String())
			if got == "" || got != other {
				t.Errorf("%q is %q, and from another port %q", remote, got, other)
			}
		}
	})
}
