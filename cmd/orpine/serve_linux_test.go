package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

// served is a file with an agent, a workflow, a trigger and a schedule.
const served = `
agents: { helper: { model: script/script.yaml } }
workflows:
  hello:
    input: { who: string }
    steps:
      - { id: say, agent: helper, prompt: "hello ${{ input.who }}" }
triggers:
  orders: { on: { event: order }, run: hello, with: { who: "${{ trigger.event.id }}" }, overlap: allow }
  paid: { on: { webhook: HOOK }, run: helper, with: { text: "paid ${{ trigger.event.data.amount }}" } }
schedules:
  nightly: { cron: "0 3 * * *", tz: Europe/Berlin, run: helper, with: { text: the night has come } }
`

// hookKey signs the deliveries of the tests.
var hookKey = []byte("0123456789abcdef0123456789abcdef")

// deliver posts a delivery to the webhook paid, signed as Standard Webhooks has it.
func deliver(t *testing.T, server, body string, key []byte) int {
	t.Helper()
	at := fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "d1.%s.%s", at, body)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+"/v1/hooks/paid", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Webhook-Id": "d1", "Webhook-Timestamp": at, "Webhook-Signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only looked at
	return resp.StatusCode
}

// TestServeFile: the workflows and triggers of the file are there when the server is; a file with a
// fault changes nothing, one without changes what it says, and a kill in between loses nothing.
func TestServeFile(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "ORPINE_SECRETS=HOOK", "HOOK=whsec_"+base64.StdEncoding.EncodeToString(hookKey))
	p.write("script.yaml", "rules: [ { reply: { text: hello } } ]")
	p.write("served.yaml", served)
	s := p.serve("serve", "--file", p.path("served.yaml"), "--addr")
	c, err := client.New(client.Config{URL: s.url()})
	if err != nil {
		t.Fatal(err)
	}
	triggers := func() map[string]orpine.Trigger {
		t.Helper()
		data, err := c.Triggers(t.Context())
		var list []orpine.Trigger
		if err != nil || json.Unmarshal(data, &list) != nil {
			t.Fatalf("%s, error %v", data, err)
		}
		byName := map[string]orpine.Trigger{}
		for _, one := range list {
			byName[one.Name] = one
		}
		return byName
	}
	emit := func(id string) {
		t.Helper()
		if told, err := c.Emit(t.Context(), json.RawMessage(`{"name":"order","id":"`+id+`"}`)); err != nil || told != 1 {
			t.Errorf("order %s: %d heard it, error %v", id, told, err)
		}
	}
	ended := func(n int64) {
		t.Helper()
		within(t, 20*time.Second, "the runs of the trigger have ended", func() bool {
			counts, err := c.Count(t.Context(), durable.Filter{Name: "hello"})
			return err == nil && counts[durable.Succeeded] == n
		})
	}
	first := triggers()
	if len(first) != 3 || first["nightly"].Next.IsZero() {
		t.Fatalf("triggers %+v", first)
	}
	w, err := c.Workflow(t.Context(), "hello", "")
	if err != nil || w.Source != "file" {
		t.Fatalf("%+v, error %v", w, err)
	}
	emit("1")
	ended(1)

	if status := deliver(t, s.url(), `{"amount": 7}`, hookKey); status != http.StatusAccepted {
		t.Errorf("a delivery: status %d", status)
	}
	if status := deliver(t, s.url(), `{"amount": 7}`, []byte("another key of the same length..")); status != http.StatusUnauthorized {
		t.Errorf("a forged delivery: status %d", status)
	}

	s.restart() // a kill between two loads
	emit("1")
	within(t, 20*time.Second, "the delivery has started its run", func() bool {
		counts, err := c.Count(t.Context(), durable.Filter{Name: "helper", Parent: first["paid"].Run})
		return err == nil && counts[durable.Succeeded] == 1
	})
	emit("2")
	ended(2)
	if now := triggers(); len(now) != 3 || now["orders"].Run != first["orders"].Run || now["orders"].State.Started != 2 || now["nightly"].Run != first["nightly"].Run {
		t.Errorf("behind a kill: %+v", now)
	}

	p.write("served.yaml", strings.Replace(served, "run: hello", "run: helo", 1))
	within(t, 20*time.Second, "the bad file was looked at", func() bool { return strings.Contains(s.pr.err.String(), "the file is not taken") })
	if now := triggers(); len(now) != 3 {
		t.Errorf("behind a bad file: %+v", now)
	}
	emit("3")
	ended(3)

	changed, _, _ := strings.Cut(strings.Replace(served, "hello ${{", "good day ${{", 1), "schedules:")
	p.write("served.yaml", changed)
	within(t, 20*time.Second, "the schedule is gone", func() bool { return len(triggers()) == 2 })
	if now := triggers(); now["orders"].Run != first["orders"].Run || now["orders"].State.Started != 3 {
		t.Errorf("behind a change: %+v", now)
	}
	if again, err := c.Workflow(t.Context(), "hello", ""); err != nil || len(again.Versions) != 2 || again.Versions[1] != w.Hash {
		t.Errorf("the workflow is %+v, error %v", again, err)
	}
	emit("4")
	ended(4)

	if _, err := c.SetTrigger(t.Context(), "mine", json.RawMessage(`{"on":{"event":{"names":["x"]}},"start":{"program":"agent","name":"helper"}}`)); err != nil {
		t.Fatal(err)
	}
	s.kill()
	p.write("served.yaml", "agents: { helper: { model: script/script.yaml } }")
	s.start() // what went from the file while nothing ran is gone, and what was never in it is there
	if now := triggers(); len(now) != 1 || now["mine"].Name != "mine" {
		t.Errorf("at the end: %+v", now)
	}
}
