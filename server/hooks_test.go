package server_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/trigger"
)

// TestFailures: an address that fails is put off until its failures are old, others are not, and
// however many there are no more than some are kept.
func TestFailures(t *testing.T) {
	f, now := server.NewFailures(), time.Now()
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
	if f.Kept() > 10_001 {
		t.Errorf("%d addresses are kept", f.Kept())
	}
	if f.May("one more", now) {
		t.Error("the addresses beyond have no bound")
	}
	f.Count("much later", now.Add(72*time.Hour))
	if f.Kept() > 2 || !f.May("one more", now.Add(72*time.Hour)) {
		t.Errorf("%d addresses are kept for ever", f.Kept())
	}
}

// FuzzAddress: of what names an address only the address is left, of IPv6 its network.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:1", "[::ffff:10.0.0.1]:9", "@", "", "host:1", "[::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		got := server.AddressOf(remote)
		if from, err := netip.ParseAddrPort(remote); err == nil {
			other := server.AddressOf(netip.AddrPortFrom(from.Addr(), from.Port()+1).String())
			if got == "" || got != other {
				t.Errorf("%q is %q, and from another port %q", remote, got, other)
			}
		}
	})
}

// BenchmarkHook lets a delivery in that fits, one that does not, and one for a trigger that there is
// not. The trigger starts nothing, so this is what the door costs.
func BenchmarkHook(b *testing.B) {
	wait := durable.NewProgram("wait", func(ctx durable.Context, _ int) (int, error) { return 0, ctx.Inbox("go").Receive(ctx, nil) })
	rt, err := orpine.Open(b.Context(), orpine.Config{Data: b.TempDir(), Programs: []durable.Program{wait}})
	if err != nil {
		b.Fatal(err)
	}
	defer rt.Close() //nolint:errcheck // the benchmark is about something else
	s, err := server.New(b.Context(), server.Config{Runtime: rt, Secret: hookSecret})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // as above
	_, err = rt.SetTrigger(b.Context(), "", trigger.Definition{
		Name: "paid", On: trigger.On{Webhook: &trigger.Webhook{Secret: "HOOK", If: "event.data.amount > 100"}}, Start: trigger.Start{Program: "wait"},
	})
	if err != nil {
		b.Fatal(err)
	}
	body, n := []byte(`{"amount": 7}`), 0
	post := func(b *testing.B, name string, want int, header []string) {
		b.Helper()
		n++
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "http://127.0.0.1/v1/hooks/"+name, bytes.NewReader(body))
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", n>>16&255, n>>8&255, n&255)
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != want {
			b.Fatalf("status %d, want %d: %s", w.Code, want, w.Body)
		}
	}
	b.Run("fits", func(b *testing.B) {
		for b.Loop() {
			post(b, "paid", http.StatusAccepted, sign(fmt.Sprint("d", n), body, time.Now()))
		}
	})
	b.Run("forged", func(b *testing.B) {
		for b.Loop() {
			post(b, "paid", http.StatusUnauthorized, nil)
		}
	})
	b.Run("nothing there", func(b *testing.B) {
		for b.Loop() {
			post(b, "nosuch", http.StatusUnauthorized, nil)
		}
	})
}
