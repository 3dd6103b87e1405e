package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/webhook"
	"github.com/orpine-run/orpine/store"
)

// TestRegister: what is kept, what is shown and what is refused.
func TestRegister(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	if _, err := webhook.New(webhook.Config{}).List(ctx, ""); !errors.Is(err, durable.ErrUnavailable) {
		t.Errorf("listed before the start: %v", err)
	}
	h := open(t, dir, webhook.Config{})
	if err := h.hooks.Start(ctx, h.Runtime); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("started twice: %v", err)
	}
	bad := map[string]client.Webhook{
		"no URL":       {},
		"a file":       {URL: "file:///etc/passwd"},
		"no host":      {URL: "https:///hook"},
		"not a URL":    {URL: "http://a b/"},
		"a long one":   {URL: "http://a/" + strings.Repeat("a", 2000)},
		"a status":     {URL: "http://a", Statuses: []durable.Status{"done"}},
		"one in vain":  {URL: "http://a", Statuses: []durable.Status{durable.Running}},
		"a bad ID":     {URL: "http://a", ID: "a/b"},
		"no base64":    {URL: "http://a", Secret: "whsec_äöü"},
		"a short key":  {URL: "http://a", Secret: base64.StdEncoding.EncodeToString(make([]byte, 23))},
		"too long one": {URL: "http://a", Secret: base64.StdEncoding.EncodeToString(make([]byte, 65))},
	}
	for name, w := range bad {
		if _, err := h.hooks.Register(ctx, w); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: registered with %v", name, err)
		}
	}
	first, err := h.hooks.Register(ctx, client.Webhook{URL: "https://example.com/a", Failing: "I say so"})
	must(t, err)
	if key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(first.Secret, "whsec_")); err != nil || len(key) != 24 {
		t.Errorf("the secret made is %s", first.Secret)
	}
	given := base64.StdEncoding.EncodeToString(make([]byte, 24))
	second, err := h.hooks.Register(ctx, client.Webhook{ID: "x", URL: "http://localhost", Tenant: "t", Secret: given, Statuses: []durable.Status{durable.Failed}})
	must(t, err)
	if second.ID != "x" || second.Secret != given {
		t.Errorf("what was given became %+v", second)
	}
	if _, err := h.hooks.Register(ctx, second); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("registered twice: %v", err)
	}
	h.close(t)
	h.hooks.Stop()
	h = open(t, dir, webhook.Config{})
	defer h.close(t)
	want := []client.Webhook{{ID: first.ID, URL: first.URL}, {ID: "x", URL: second.URL, Tenant: "t", Statuses: second.Statuses}}
	for tenant, want := range map[string][]client.Webhook{"": want, "t": want[1:], "u": {}} {
		got, err := h.hooks.List(ctx, tenant)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("webhooks of tenant %q (-want +got):\n%s", tenant, diff)
		}
	}
	for _, err := range []error{h.hooks.Remove(ctx, "u", "x"), h.hooks.Remove(ctx, "t", first.ID), h.hooks.Remove(ctx, "", "y")} {
		if !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("removed another's: %v", err)
		}
	}
	must(t, h.hooks.Remove(ctx, "t", "x"), h.hooks.Remove(ctx, "", first.ID))
	if got, err := h.hooks.List(ctx, ""); err != nil || len(got) > 0 {
		t.Errorf("removed, and there are %v, error %v", got, err)
	}
}

// TestSecretStaysHome: no journal holds the secret.
func TestSecretStaysHome(t *testing.T) {
	r := newReceiver(t, nil)
	h := open(t, t.TempDir(), webhook.Config{})
	defer h.close(t)
	w := h.register(t, r, client.Webhook{URL: serve(t, r)})
	h.start(t, durable.StartRequest{Program: "echo"})
	r.next()
	for _, d := range h.deliveries(t) {
		entries, err := h.Entries(t.Context(), d.ID, -1, 100)
		must(t, err)
		text, err := json.Marshal(entries)
		must(t, err)
		if !strings.Contains(string(text), w.ID) || strings.Contains(string(text), w.Secret) {
			t.Errorf("the journal of the delivery: %s", text)
		}
	}
}

// TestDamagedRecord: a webhook that cannot be read is shown and can be removed, and holds up
// no other.
func TestDamagedRecord(t *testing.T) {
	r := newReceiver(t, nil)
	dir := t.TempDir()
	h := open(t, dir, webhook.Config{})
	h.register(t, r, client.Webhook{ID: "good", URL: serve(t, r)})
	must(t, h.Write(t.Context(), store.RecordChange{Kind: "webhook", Key: "bad", Data: []byte("{")},
		store.RecordChange{Kind: "webhook-mark", Key: "mark", Expect: store.AnyVersion, Data: []byte("soon")}))
	h.close(t)
	h = open(t, dir, webhook.Config{})
	defer h.close(t)
	list, err := h.hooks.List(t.Context(), "")
	must(t, err)
	if len(list) != 2 || list[0].ID != "bad" || !strings.Contains(list[0].Failing, "damaged") {
		t.Errorf("the list is %+v", list)
	}
	h.start(t, durable.StartRequest{Program: "echo"})
	r.next()
	must(t, h.hooks.Remove(t.Context(), "", "bad"))
}
