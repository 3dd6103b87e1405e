package server_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/trigger"
)

// hookKey is a secret of the tests.
var hookKey = []byte("0123456789abcdef0123456789abcdef")

func hookSecret(_ context.Context, name string) (string, error) {
	if name != "HOOK" {
		return "", durable.Errorf(durable.CodeNotFound, "there is no secret %s", name)
	}
	return "whsec_" + base64.StdEncoding.EncodeToString(hookKey), nil
}

// sign are the headers of a delivery, as Standard Webhooks has them.
func sign(id string, body []byte, at time.Time) []string {
	stamp := fmt.Sprint(at.Unix())
	mac := hmac.New(sha256.New, hookKey)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return []string{"Webhook-Id", id, "Webhook-Timestamp", stamp, "Webhook-Signature", "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}

const onHook = `{"on":{"webhook":{"secret":"HOOK"}},"overlap":"allow","start":{"program":"agent","name":"chatty","input":{"text":"paid ${{ trigger.event.data.amount }}"}}}`

// TestHook: a signed delivery starts one run, however often it is sent.
func TestHook(t *testing.T) {
	s := open(t, server.Config{Strict: true, Secret: hookSecret})
	s.Client = mustClient(s, s.secret("*"))
	tr := s.setTrigger("paid", onHook)
	body := []byte(`{"amount": 7}`)
	post := func(path string, body []byte, header ...string) (int, string) {
		t.Helper()
		status, data, _ := s.text(http.MethodPost, "/v1/hooks/"+path, bytes.NewReader(body), header...)
		return status, string(data)
	}
	good := sign("d1", body, time.Now())
	if status, text := post("paid", body, good...); status != http.StatusAccepted || !strings.Contains(text, `"id":"d1"`) {
		t.Errorf("status %d: %s", status, text)
	}
	if status, text := post("paid", body, good...); status != http.StatusOK || !strings.Contains(text, `"id":"d1"`) {
		t.Errorf("sent again: status %d: %s", status, text)
	}
	s.stop()
	s.start()
	s.Client = mustClient(s, s.secret("*"))
	if status, text := post("paid", body, good...); status != http.StatusOK {
		t.Errorf("sent again to another process: status %d: %s", status, text)
	}
	if status, text := post("paid", []byte(`{"amount": 8}`), sign("d2", []byte(`{"amount": 8}`), time.Now())...); status != http.StatusAccepted {
		t.Errorf("another: status %d: %s", status, text)
	}
	if got := s.started(tr.Run, 2); len(got) != 2 || got[0] != `{"text":"paid 7"}` || got[1] != `{"text":"paid 8"}` {
		t.Errorf("started %v", got)
	}
	if status, text := post("paid", []byte("no JSON"), sign("d3", []byte("no JSON"), time.Now())...); status != http.StatusBadRequest {
		t.Errorf("no JSON: status %d: %s", status, text)
	}
	large := []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	if status, _ := post("paid", large, sign("d4", large, time.Now())...); status != http.StatusRequestEntityTooLarge {
		t.Errorf("large: status %d", status)
	}
	if lines, err := s.Audit(t.Context(), 0, 1000); err != nil || !strings.Contains(fmt.Sprintf("%+v", lines), "webhook paid") {
		t.Errorf("the log of audit has %+v, error %v", lines, err)
	}
}

// TestForgedHook: whatever is wrong with a delivery, the answer is the same one.
func TestForgedHook(t *testing.T) {
	s := open(t, server.Config{Strict: true, Secret: hookSecret})
	s.Client = mustClient(s, s.secret("*"))
	s.setTrigger("paid", onHook)
	s.setTrigger("keyless", strings.ReplaceAll(onHook, "HOOK", "GONE"))
	s.setTrigger("orders", onOrder)
	body, now := []byte(`{"amount": 7}`), time.Now()
	forged := sign("d1", body, now)
	forged[1] = "d2"
	for name, x := range map[string]struct {
		path   string
		header []string
	}{
		"no signature":        {"paid", nil},
		"of something else":   {"paid", sign("d1", []byte(`{"amount": 8}`), now)},
		"of another delivery": {"paid", forged},
		"old":                 {"paid", sign("d1", body, now.Add(-time.Hour))},
		"of tomorrow":         {"paid", sign("d1", body, now.Add(time.Hour))},
		"no such trigger":     {"nosuch", sign("d1", body, now)},
		"no webhook":          {"orders", sign("d1", body, now)},
		"no such secret":      {"keyless", sign("d1", body, now)},
		"of another tenant":   {"paid?tenant=acme", sign("d1", body, now)},
	} {
		status, p, _ := s.raw(http.MethodPost, "/v1/hooks/"+x.path, bytes.NewReader(body), x.header...)
		p.Request = ""
		want := "the signature of the request is missing, too old or does not fit, or there is no such webhook"
		if status != http.StatusUnauthorized || p.Detail != want {
			t.Errorf("%s: status %d: %+v", name, status, p)
		}
	}
	for range 100 { // no more than some are looked at
		if status, _, h := s.raw(http.MethodPost, "/v1/hooks/paid", bytes.NewReader(body)); status == http.StatusTooManyRequests {
			if h.Get("Retry-After") == "" {
				t.Error("it does not say when to come back")
			}
			return
		}
	}
	t.Error("a hundred forgeries were looked at")
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
