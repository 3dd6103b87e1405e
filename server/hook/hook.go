package hook

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

// Event begins the event that a webhook hears; see trigger.Definition.Hears.
const Event = "webhook:"

// Config is what a door is made of.
type Config struct {
	Runtime *orpine.Runtime // required
	Log     *slog.Logger    // required
	// Secret looks up a secret by its name; nil = there are none, and nothing fits.
	Secret func(ctx context.Context, name string) (string, error)
	// First reports whether something is done for the first time, of a tenant, under a key. Required.
	First func(ctx context.Context, tenant, what, key string) (bool, error)
}

// Door looks at deliveries. Make it with New.
type Door struct {
	cfg    Config
	nobody string // the secret of what is not there
}

// New makes a door.
func New(cfg Config) *Door {
	var key [32]byte
	rand.Read(key[:]) // never fails, by its documentation
	return &Door{cfg: cfg, nobody: base64.StdEncoding.EncodeToString(key[:])}
}

// Signed reports whether a request is signed as the trigger says, and names the delivery. For what is
// not there as much is computed as for what is.
func (d *Door) Signed(ctx context.Context, tenant, name string, header func(string) string, data []byte) (id string, fits bool) {
	t, err := d.cfg.Runtime.Trigger(ctx, tenant, name)
	hook := t.Definition.On.Webhook
	secret, scheme, there := d.nobody, trigger.Standard, err == nil && hook != nil && d.cfg.Secret != nil
	if there {
		scheme = cmp.Or(hook.Scheme, trigger.Standard)
		if secret, err = d.cfg.Secret(ctx, hook.Secret); err != nil {
			d.cfg.Log.ErrorContext(ctx, "the secret of a webhook is not there", slog.String("trigger", name), slog.Any("error", err))
			secret, scheme, there = d.nobody, trigger.Standard, false
		}
	}
	id, err = trigger.Verify(secret, scheme, header, data, time.Now())
	if durable.CodeOf(err) == durable.CodeInvalid && there {
		d.cfg.Log.ErrorContext(ctx, "the secret of a webhook is none", slog.String("trigger", name), slog.Any("error", err))
	}
	return id, there && err == nil
}

// Take tells the trigger of a delivery. One that is sent again is told again too, because the process
// may have died before: the trigger takes it once. Errors: invalid for what is no JSON or too long,
// conflict for a trigger that hears nothing any more.
func (d *Door) Take(ctx context.Context, tenant, name, id string, data []byte) (first bool, err error) {
	if len(data) > 0 && !json.Valid(data) {
		return false, durable.Errorf(durable.CodeInvalid, "the body is not JSON")
	}
	if first, err = d.cfg.First(ctx, tenant, "post-hook "+name, id); err != nil {
		return false, err
	}
	told, err := d.cfg.Runtime.Emit(ctx, tenant, trigger.Occurred{ID: id, Name: Event + name, Data: data})
	if err == nil && told == 0 {
		err = durable.Errorf(durable.CodeConflict, "trigger %s is over, or blocked", name)
	}
	return first, err
}
