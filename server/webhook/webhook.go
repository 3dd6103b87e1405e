package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// The kinds of records that are kept here. They are stored: never rename.
const (
	hookKind = "webhook"      // key = ID of the webhook, data = JSON of kept
	markKind = "webhook-mark" // under markKey: all before this time in microseconds is on its way
	markKey  = "mark"
)

// maxHooks bounds how many webhooks there are: each change is held against all of them.
const maxHooks = 1000

// reported are the statuses that can be asked for; all of them are the default.
func reported() []durable.Status {
	return []durable.Status{
		durable.Waiting, durable.Paused, durable.Blocked, durable.Succeeded, durable.Failed, durable.Canceled, durable.Killed,
	}
}

// Config says how deliveries are sent.
type Config struct {
	Transport http.RoundTripper // nil = a plain one, without a proxy
	Log       *slog.Logger      // nil = no log
}

// Dispatcher keeps the webhooks of a runtime and starts a delivery for every change that one
// of them wants. Its program and its Changed are given to [orpine.Open], and what that returns
// to Start. All methods are safe for concurrent use.
type Dispatcher struct {
	log    *slog.Logger
	client *http.Client
	post   durable.Func[delivery, receipt]

	there   chan struct{} // closed once there is a runtime
	runtime *orpine.Runtime
	hooks   atomic.Pointer[[]hook] // what changes are held against; nil before Start

	listing sync.Mutex // held by who changes the list of webhooks

	mu      sync.Mutex
	pending []durable.Run // changes that were told and not yet handed on
	behind  bool          // there may be changes in the store that are not in pending
	stop    context.CancelFunc
	gone    chan struct{} // closed once the loop has ended

	news chan struct{} // there is something in pending

	// These belong to the loop.
	mark   time.Time // as it is stored; zero = none
	noted  time.Time // when the clock last ticked
	handed bool      // something was handed on since the mark was written
}

// kept is a webhook as it is stored.
type kept struct {
	client.Webhook
	Created time.Time `json:"created"` // earlier changes are not for it
}

// hook is what a change is held against.
type hook struct {
	id       string
	tenant   string
	statuses []durable.Status
	created  time.Time
}

// New makes a dispatcher.
func New(cfg Config) *Dispatcher {
	d := &Dispatcher{log: cfg.Log, there: make(chan struct{}), news: make(chan struct{}, 1)}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{
			TLSHandshakeTimeout: timeout, IdleConnTimeout: time.Minute, MaxIdleConns: 100, ForceAttemptHTTP2: true,
		}
	}
	d.client = &http.Client{
		Transport:     cfg.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	d.post = newPost(d)
	return d
}

// Register keeps a webhook. It makes the ID and the secret where there is none, and returns
// them; the secret is not shown again. Errors: invalid for a URL that is not http or https, a
// status that is not reported, or a secret that is no key; conflict for an ID that is taken;
// exhausted when there are 1,000; unavailable before Start.
func (d *Dispatcher) Register(ctx context.Context, w client.Webhook) (client.Webhook, error) {
	if err := d.started(); err != nil {
		return w, err
	}
	w.ID, w.Secret, w.Failing = cmp.Or(w.ID, "wh_"+string(orpine.NewRunID())), cmp.Or(w.Secret, newSecret()), ""
	if err := check(&w); err != nil {
		return w, err
	}
	d.listing.Lock()
	defer d.listing.Unlock()
	hooks := *d.hooks.Load()
	if len(hooks) >= maxHooks {
		return w, durable.Errorf(durable.CodeExhausted, "there are %d webhooks already: remove one", len(hooks))
	}
	k := kept{Webhook: w, Created: time.Now().UTC().Truncate(time.Microsecond)}
	data, err := json.Marshal(k)
	if err != nil {
		return w, err
	}
	err = d.runtime.Write(ctx, store.RecordChange{Kind: hookKind, Key: w.ID, Data: data})
	switch {
	case errors.Is(err, durable.ErrConflict):
		return w, durable.Errorf(durable.CodeConflict, "a webhook %s exists: remove it first, or leave the ID out", w.ID)
	case err != nil:
		return w, err
	}
	hooks = append(slices.Clone(hooks), k.hook())
	d.hooks.Store(&hooks)
	return w, nil
}

// idForm is what an ID looks like.
var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// check says what is wrong with a webhook.
func check(w *client.Webhook) error {
	const maxURL = 2000
	u, err := url.Parse(w.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || len(w.URL) > maxURL {
		return durable.Errorf(durable.CodeInvalid, "webhook: %.200q is no URL to deliver to; give one like https://example.com/hook", w.URL)
	}
	if !idForm.MatchString(w.ID) {
		return durable.Errorf(durable.CodeInvalid, "webhook: an ID has up to 64 letters, digits, - and _, unlike %.80q", w.ID)
	}
	for _, s := range w.Statuses {
		if !slices.Contains(reported(), s) {
			return durable.Errorf(durable.CodeInvalid, "webhook: changes to %q are not reported; there are %v", s, reported())
		}
	}
	_, err = keyOf(w.Secret)
	return err
}

// List returns the webhooks of a tenant, without their secrets; those of everybody for "". One
// whose record is damaged has nothing but its ID, and says so in Failing. Error: unavailable
// before Start.
func (d *Dispatcher) List(ctx context.Context, tenant string) ([]client.Webhook, error) {
	if err := d.started(); err != nil {
		return nil, err
	}
	all, err := d.all(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]client.Webhook, 0, len(all))
	for _, k := range all {
		if tenant == "" || k.Tenant == tenant {
			k.Secret = ""
			list = append(list, k.Webhook)
		}
	}
	return list, nil
}

// Remove forgets a webhook. What is on its way to it is given up at the next attempt. Errors:
// not_found, also for that of another tenant than the one given; unavailable before Start.
func (d *Dispatcher) Remove(ctx context.Context, tenant, id string) error {
	if err := d.started(); err != nil {
		return err
	}
	if tenant != "" {
		k, _, err := d.read(ctx, id)
		if err == nil && k.Tenant != tenant {
			err = durable.Errorf(durable.CodeNotFound, "no webhook %s", id)
		}
		if err != nil {
			return err
		}
	}
	if _, err := d.runtime.Record(ctx, hookKind, id); errors.Is(err, durable.ErrNotFound) {
		return durable.Errorf(durable.CodeNotFound, "no webhook %s", id)
	}
	return d.drop(ctx, id)
}

// drop removes a webhook, whatever its record holds.
func (d *Dispatcher) drop(ctx context.Context, id string) error {
	d.listing.Lock()
	defer d.listing.Unlock()
	if err := d.runtime.Write(ctx, store.RecordChange{Kind: hookKind, Key: id, Expect: store.AnyVersion}); err != nil {
		return err
	}
	hooks := slices.DeleteFunc(slices.Clone(*d.hooks.Load()), func(h hook) bool { return h.id == id })
	d.hooks.Store(&hooks)
	return nil
}

// read returns a webhook and the version of its record. Errors: not_found, internal when it
// is damaged.
func (d *Dispatcher) read(ctx context.Context, id string) (kept, int64, error) {
	r, err := d.runtime.Record(ctx, hookKind, id)
	switch {
	case errors.Is(err, durable.ErrNotFound):
		return kept{}, 0, durable.Errorf(durable.CodeNotFound, "no webhook %s", id)
	case err != nil:
		return kept{}, 0, err
	}
	k, err := parse(r)
	return k, r.Version, err
}

// all returns every webhook.
func (d *Dispatcher) all(ctx context.Context) ([]kept, error) {
	records, err := d.runtime.Records(ctx, hookKind, store.RecordFilter{Limit: maxHooks})
	if err != nil {
		return nil, err
	}
	all := make([]kept, len(records))
	for i, r := range records {
		if all[i], err = parse(r); err != nil {
			all[i] = kept{Webhook: client.Webhook{ID: r.Key, Failing: err.Error()}}
		}
	}
	return all, nil
}

// parse reads the record of a webhook. Error: internal when it is damaged.
func parse(r store.Record) (kept, error) {
	var k kept
	err := r.Fault
	if err == nil {
		err = json.Unmarshal(r.Data, &k)
	}
	if err != nil {
		return kept{}, durable.Errorf(durable.CodeInternal, "the record of webhook %s is damaged: %w; remove it and register it again", r.Key, err)
	}
	k.ID = r.Key
	return k, nil
}

func (k *kept) hook() hook {
	h := hook{id: k.ID, tenant: k.Tenant, statuses: k.Statuses, created: k.Created}
	if len(h.statuses) == 0 {
		h.statuses = reported()
	}
	return h
}

// wants reports whether a change is for this webhook.
func (h *hook) wants(r *durable.Run) bool {
	return r.Program != Program && (h.tenant == "" || h.tenant == r.Tenant) && slices.Contains(h.statuses, r.Status)
}

func (d *Dispatcher) started() error {
	if d.hooks.Load() == nil {
		return durable.Errorf(durable.CodeUnavailable, "webhooks are not started yet")
	}
	return nil
}
