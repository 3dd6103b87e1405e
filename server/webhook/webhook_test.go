package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/webhook"
)

// verify is what a receiver does; docs/webhooks.md shows these very lines.
func verify(secret string, h http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	seconds, bad := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || bad != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("webhook-id"), seconds, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return slices.ContainsFunc(strings.Fields(h.Get("webhook-signature")), func(s string) bool {
		return hmac.Equal([]byte(s), []byte(want))
	})
}

// TestDocs: the lines that the documents show are those that are tested.
func TestDocs(t *testing.T) {
	source, err := os.ReadFile("webhook_test.go")
	must(t, err)
	_, rest, _ := strings.Cut(string(source), "func verify(")
	lines, _, _ := strings.Cut(rest, "\n}\n")
	page, err := os.ReadFile("../../docs/webhooks.md")
	must(t, err)
	if !strings.Contains(string(page), "func verify("+lines+"\n}\n") {
		t.Error("docs/webhooks.md does not show verify as it is here")
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// receiver takes events, and answers as it is told to.
type receiver struct {
	t      testing.TB
	secret string
	answer func(n int, w http.ResponseWriter) // nil = 200; n counts the requests from 1
	taken  chan got
	mu     sync.Mutex
	n      int
}

// got is a request that a receiver took.
type got struct {
	id    string
	at    time.Time
	event webhook.Event
}

func newReceiver(t testing.TB, answer func(n int, w http.ResponseWriter)) *receiver {
	return &receiver{t: t, answer: answer, taken: make(chan got, 1000)}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	r.n++
	n, secret := r.n, r.secret
	r.mu.Unlock()
	g := got{id: req.Header.Get("webhook-id"), at: time.Now()}
	if err == nil {
		err = json.Unmarshal(body, &g.event)
	}
	switch {
	case err != nil:
		r.t.Errorf("a body cannot be read: %v", err)
	case req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json":
		r.t.Errorf("got %s of %s", req.Method, req.Header.Get("Content-Type"))
	case !verify(secret, req.Header, body):
		r.t.Errorf("event %s is not signed: %v", g.id, req.Header)
	case verify(secret, req.Header, append(body, ' ')):
		r.t.Error("the signature fits another body too")
	case g.id == "" || g.id != g.event.ID || g.event.Type != "run."+string(g.event.Run.Status):
		r.t.Errorf("event %s (%s) of a %s run came as %s", g.event.ID, g.event.Type, g.event.Run.Status, g.id)
	}
	r.taken <- g
	if r.answer != nil {
		r.answer(n, w)
	}
}

// next waits for a request.
func (r *receiver) next() got {
	r.t.Helper()
	select {
	case g := <-r.taken:
		return g
	case <-time.After(30 * time.Second):
		r.t.Fatal("no event came")
	}
	return got{}
}

// none wants no more requests to have come by now.
func (r *receiver) none() {
	r.t.Helper()
	select {
	case g := <-r.taken:
		r.t.Errorf("another event came: %s of run %s", g.event.Type, g.event.Run.ID)
	default:
	}
}

// serve puts a receiver on the loopback.
func serve(t testing.TB, r *receiver) string {
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return s.URL
}

// house is a runtime with webhooks.
type house struct {
	*orpine.Runtime
	hooks *webhook.Dispatcher
}

// open opens a directory; whoever closes the house stops its dispatcher first.
func open(t testing.TB, dir string, cfg webhook.Config) *house {
	t.Helper()
	hooks := webhook.New(cfg)
	r, err := orpine.Open(t.Context(), orpine.Config{Data: dir, Programs: append(programs(), hooks.Program()), OnStatus: hooks.Changed})
	must(t, err)
	must(t, hooks.Start(t.Context(), r))
	return &house{Runtime: r, hooks: hooks}
}

func (h *house) close(t testing.TB) {
	t.Helper()
	h.hooks.Stop()
	must(t, h.Close())
}

// programs are what the runs of the tests execute.
func programs() []durable.Program {
	return []durable.Program{
		durable.NewProgram("echo", func(_ durable.Context, in json.RawMessage) (json.RawMessage, error) {
			if string(in) == `"fail"` {
				return nil, durable.Errorf(durable.CodeInvalid, "that is no input")
			}
			return in, nil
		}),
		durable.NewProgram("ask", func(ctx durable.Context, q durable.Interrupt) (string, error) {
			if q.Prompt == "block" {
				return "", durable.Block(errors.New("a key is missing"))
			}
			var answer string
			return answer, ctx.Ask(q).Get(ctx, &answer)
		}),
	}
}

func (h *house) register(t testing.TB, r *receiver, w client.Webhook) client.Webhook {
	t.Helper()
	w, err := h.hooks.Register(t.Context(), w)
	must(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = w.Secret
	return w
}

func (h *house) start(t testing.TB, req durable.StartRequest) durable.RunID {
	t.Helper()
	id, err := h.Start(t.Context(), req)
	must(t, err)
	return id
}

// deliveries are the runs of the program of deliveries once they have ended, oldest first.
func (h *house) deliveries(t testing.TB) []durable.Run {
	t.Helper()
	runs, err := h.List(t.Context(), durable.Filter{Program: webhook.Program, Oldest: true, Limit: 1000})
	must(t, err)
	for i := range runs {
		runs[i], err = h.Wait(t.Context(), runs[i].ID)
		must(t, err)
	}
	return runs
}

// TestEveryStatus: each way to stand still is told, with what a receiver wants to know.
func TestEveryStatus(t *testing.T) {
	r := newReceiver(t, nil)
	h := open(t, t.TempDir(), webhook.Config{})
	defer h.close(t)
	h.register(t, r, client.Webhook{URL: serve(t, r)})
	ask := durable.StartRequest{Program: "ask", Input: []byte(`{"id":"q","prompt":"May I?"}`)}
	wants := func(run durable.RunID, want durable.Status) durable.Run {
		t.Helper()
		g := r.next()
		if g.event.Run.ID != run || g.event.Run.Status != want || !g.event.Time.Equal(g.event.Run.Updated) {
			t.Errorf("told of run %s: %s at %s; want %s: %s", g.event.Run.ID, g.event.Type, g.event.Time, run, want)
		}
		return g.event.Run
	}
	id := h.start(t, durable.StartRequest{Program: "echo", Name: "first", Input: []byte(`{"a": "<b>"}`)})
	if run := wants(id, durable.Succeeded); string(run.Output) != `{"a":"\u003cb\u003e"}` || run.Name != "first" {
		t.Errorf("it came with name %q, output %s", run.Name, run.Output)
	}
	if run := wants(h.start(t, durable.StartRequest{Program: "echo", Input: []byte(`"fail"`)}), durable.Failed); run.Error == nil || run.Error.Code != durable.CodeInvalid {
		t.Errorf("it came with error %v", run.Error)
	}
	id = h.start(t, ask)
	if run := wants(id, durable.Waiting); !run.NeedsPerson() || run.Waits[0].Interrupt.Prompt != "May I?" {
		t.Errorf("it came with waits %+v", run.Waits)
	}
	must(t, h.Pause(t.Context(), id))
	wants(id, durable.Paused)
	must(t, h.Resume(t.Context(), id))
	wants(id, durable.Waiting)
	must(t, h.Cancel(t.Context(), id, "enough"))
	if run := wants(id, durable.Canceled); run.Reason != "enough" {
		t.Errorf("it came with reason %q", run.Reason)
	}
	id = h.start(t, durable.StartRequest{Program: "ask", Input: []byte(`{"prompt":"block"}`)})
	if run := wants(id, durable.Blocked); run.Reason != "a key is missing" {
		t.Errorf("it came with reason %q", run.Reason)
	}
	must(t, h.Kill(t.Context(), id, "now"))
	wants(id, durable.Killed)
	for _, d := range h.deliveries(t) {
		if d.Status != durable.Succeeded || string(d.Output) != `{"answer":200}` || !strings.HasPrefix(d.Name, "run.") {
			t.Errorf("delivery %s (%s) is %s with %s", d.ID, d.Name, d.Status, d.Output)
		}
	}
	r.none() // deliveries are runs, and are not reported
}

// TestWanted: a webhook is told of what it asked for, and of its tenant's runs only.
func TestWanted(t *testing.T) {
	all, ours, ends := newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil)
	h := open(t, t.TempDir(), webhook.Config{})
	defer h.close(t)
	h.register(t, all, client.Webhook{URL: serve(t, all)})
	h.register(t, ours, client.Webhook{URL: serve(t, ours), Tenant: "ours"})
	h.register(t, ends, client.Webhook{URL: serve(t, ends), Statuses: []durable.Status{durable.Killed, durable.Blocked}})
	for _, tenant := range []string{"", "theirs", "ours"} {
		id := h.start(t, durable.StartRequest{Program: "ask", Tenant: tenant})
		first := all.next()
		if first.event.Run.ID != id || first.event.Type != "run.waiting" {
			t.Errorf("the one for all was told of %s: %s", first.event.Run.ID, first.event.Type)
		}
		if tenant == "ours" {
			if g := ours.next(); g.id != first.id {
				t.Errorf("one change has the IDs %s and %s", g.id, first.id)
			}
		}
		must(t, h.Kill(t.Context(), id, ""))
		all.next()
		if g := ends.next(); g.event.Run.ID != id || g.event.Type != "run.killed" {
			t.Errorf("the one for ends was told of %s: %s", g.event.Run.ID, g.event.Type)
		}
	}
	if g := ours.next(); g.event.Type != "run.killed" || g.event.Run.Tenant != "ours" {
		t.Errorf("the tenant's was told of %s: %s", g.event.Run.ID, g.event.Type)
	}
	var tenants []string
	for _, d := range h.deliveries(t) {
		if d.Tenant != "" {
			tenants = append(tenants, d.Tenant)
		}
	}
	if diff := cmp.Diff([]string{"ours", "ours"}, tenants); diff != "" {
		t.Errorf("deliveries of a tenant's webhook are that tenant's (-want +got):\n%s", diff)
	}
	all.none()
	ours.none()
	ends.none()
}

// TestBody: a body is never larger than 64 KB, whatever there is in a run.
func TestBody(t *testing.T) {
	r := newReceiver(t, nil)
	h := open(t, t.TempDir(), webhook.Config{})
	defer h.close(t)
	h.register(t, r, client.Webhook{URL: serve(t, r)})
	text := func(n int) string { return strings.Repeat("<", n) } // six bytes each in JSON
	tests := []struct {
		name string
		req  durable.StartRequest
		want func(durable.Run) bool
	}{
		{
			"a small output",
			durable.StartRequest{Program: "echo", Input: []byte(`"small"`)},
			func(r durable.Run) bool { return string(r.Output) == `"small"` },
		},
		{
			"a large output",
			durable.StartRequest{Program: "echo", Input: []byte(`"` + text(8<<10) + `"`)},
			func(r durable.Run) bool { return r.Output == nil },
		},
		{
			"large waits",
			durable.StartRequest{Program: "ask", Input: []byte(`{"prompt":"` + text(20<<10) + `"}`)},
			func(r durable.Run) bool { return r.Waits == nil },
		},
		{
			"a large name",
			durable.StartRequest{Program: "echo", Name: text(20 << 10), Input: []byte(`"` + text(4<<10) + `"`)},
			func(r durable.Run) bool { return len(r.Name) == 1<<10 && r.Output == nil },
		},
	}
	for _, tt := range tests {
		h.start(t, tt.req)
		if run := r.next().event.Run; !tt.want(run) {
			t.Errorf("%s: came with name of %d bytes, %d waits, output of %d bytes", tt.name, len(run.Name), len(run.Waits), len(run.Output))
		}
	}
	for _, d := range h.deliveries(t) {
		steps, err := h.Steps(t.Context(), d.ID)
		must(t, err)
		if size := steps[0].Input.Bytes; size > 66<<10 {
			t.Errorf("delivery %s has a body of some %d bytes", d.Name, size)
		}
	}
}

// TestFinalAnswers: what is not tried again, and what is remembered of it.
func TestFinalAnswers(t *testing.T) {
	tests := []struct {
		answer int
		code   durable.Code // of the delivery; "" = it succeeded
		stays  bool         // the webhook is still there
	}{
		{answer: 201, stays: true},
		{answer: 204, stays: true},
		{answer: 404, code: durable.CodeDenied, stays: true},
		{answer: 400, code: durable.CodeDenied, stays: true},
		{answer: 410, code: durable.CodeNotFound},
	}
	for _, tt := range tests {
		t.Run(strconv.Itoa(tt.answer), func(t *testing.T) {
			r := newReceiver(t, func(_ int, w http.ResponseWriter) { w.WriteHeader(tt.answer) })
			h := open(t, t.TempDir(), webhook.Config{})
			defer h.close(t)
			h.register(t, r, client.Webhook{URL: serve(t, r)})
			h.start(t, durable.StartRequest{Program: "echo"})
			r.next()
			d := h.deliveries(t)
			if len(d) != 1 || (d[0].Error == nil) != (tt.code == "") {
				t.Fatalf("deliveries: %+v", d)
			}
			text := ""
			if d[0].Error != nil {
				text = d[0].Error.Message
				if d[0].Error.Code != tt.code || !strings.Contains(text, strconv.Itoa(tt.answer)) {
					t.Errorf("it failed with %s: %s", d[0].Error.Code, text)
				}
			}
			list, err := h.hooks.List(t.Context(), "")
			must(t, err)
			if tt.stays != (len(list) == 1) || tt.stays && list[0].Failing != text {
				t.Errorf("the webhook is %+v; the delivery says %q", list, text)
			}
			h.start(t, durable.StartRequest{Program: "echo"})
			if tt.stays {
				r.next()
			}
			h.deliveries(t)
			r.none()
		})
	}
}

// TestRefused: a receiver that is not there is noted, without what may be secret in its URL,
// and one that was removed gets nothing any more.
func TestRefused(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	url := strings.Replace(s.URL, "http://", "http://user:password@", 1)
	s.Close()
	h := open(t, t.TempDir(), webhook.Config{})
	defer h.close(t)
	w, err := h.hooks.Register(t.Context(), client.Webhook{URL: url})
	must(t, err)
	h.start(t, durable.StartRequest{Program: "echo"})
	var d []durable.Run
	until(t, func() bool {
		d, err = h.List(t.Context(), durable.Filter{Program: webhook.Program, Statuses: []durable.Status{durable.Waiting}})
		must(t, err)
		return len(d) == 1
	})
	list, err := h.hooks.List(t.Context(), "")
	must(t, err)
	if text := list[0].Failing; !strings.Contains(text, "refused") || strings.Contains(text, "password") {
		t.Errorf("noted: %q", text)
	}
	must(t, h.hooks.Remove(t.Context(), "", w.ID))
	if run, err := h.Wait(t.Context(), d[0].ID); err != nil || run.Error == nil || run.Error.Code != durable.CodeNotFound {
		t.Errorf("the delivery to a webhook that was removed is %s, %v, error %v", run.Status, run.Error, err)
	}
}

// until looks again and again, in step with the clock, until something is so.
func until(t testing.TB, so func() bool) {
	t.Helper()
	clock := time.NewTicker(5 * time.Millisecond)
	defer clock.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !so() {
		select {
		case <-clock.C:
		case <-ctx.Done():
			t.Fatal("it did not come to be")
		}
	}
}
