package access

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// onceKind is the kind of the records of idempotency keys.
const onceKind = "once"

// Bounds of idempotency keys.
const (
	onceFor   = 24 * time.Hour // how long one is remembered
	onceMax   = 255            // in characters
	onceSweep = 16             // how many a call looks at to forget old ones
)

// asked is what is remembered of a request.
type asked struct {
	Request string `json:"request"` // its hash
	ID      string `json:"id"`      // what it made
}

// Keys remembers idempotency keys, so that what is asked for twice is done once. It is safe
// for concurrent use.
type Keys struct {
	records Records

	mu    sync.Mutex // one sweep at a time
	swept string     // the key of the last record that was looked at
}

// NewKeys keeps idempotency keys among the records of a runtime.
func NewKeys(r Records) *Keys { return &Keys{records: r} }

// Once says which ID a request is for. The first call with a key takes one from newID and
// returns it, durable, with first set; each call with the same key and the same request gets
// that ID within 24 hours from then. The key counts for a tenant and a route. Whoever calls
// does what was asked for, under that ID, whether first or not: the process that was first may
// have died before it did. newID may be called without its ID being used. Errors: invalid for
// a key that is not 1 to 255 printable ASCII characters; conflict when it was used for another
// request.
func (k *Keys) Once(ctx context.Context, tenant, route, key string, request []byte, newID func() string) (id string, first bool, err error) {
	if key == "" || len(key) > onceMax || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", false, durable.Errorf(durable.CodeInvalid, "%.80q is no idempotency key: it has 1 to %d printable ASCII characters", key, onceMax)
	}
	name := store.KeyOf(tenant, route, key)
	mine := asked{Request: hashOf(string(request))}
	for {
		r, err := k.records.Record(ctx, onceKind, name)
		if err != nil && !errors.Is(err, durable.ErrNotFound) {
			return "", false, err
		}
		if err == nil && !old(r) {
			id, err := again(r, mine.Request)
			return id, false, err
		}
		if mine.ID == "" {
			if err := k.sweep(ctx); err != nil {
				return "", false, err
			}
			mine.ID = newID()
		}
		data, err := json.Marshal(mine)
		if err != nil {
			return "", false, err
		}
		err = k.records.Write(ctx, store.RecordChange{Kind: onceKind, Key: name, Expect: r.Version, Data: data})
		if err == nil {
			return mine.ID, true, nil
		}
		if !errors.Is(err, durable.ErrConflict) {
			return "", false, err
		}
		// Another call was first, or an old record was forgotten: look again.
	}
}

// again is the ID of a request that was made before.
func again(r store.Record, request string) (string, error) {
	var before asked
	if err := json.Unmarshal(r.Data, &before); err != nil {
		return "", durable.Errorf(durable.CodeInternal, "what was asked for with this idempotency key is damaged: %w; look whether it was done before you use another key", err)
	}
	if before.Request != request {
		return "", durable.Errorf(durable.CodeConflict, "the key was used for another request: send that one again, or take another key")
	}
	return before.ID, nil
}

// old reports whether a key is no longer remembered.
func old(r store.Record) bool { return r.Fault == nil && time.Since(r.Updated) >= onceFor }

// sweep deletes old keys among the next few, and begins anew behind the last. Every key that
// is new makes it look at several, so they do not pile up.
func (k *Keys) sweep(ctx context.Context) error {
	if !k.mu.TryLock() {
		return nil // somebody does
	}
	defer k.mu.Unlock()
	page, err := k.records.Records(ctx, onceKind, store.RecordFilter{After: k.swept, Limit: onceSweep})
	if err != nil {
		return err
	}
	k.swept = ""
	if len(page) == onceSweep {
		k.swept = page[onceSweep-1].Key
	}
	var changes []store.RecordChange
	for _, r := range page {
		if old(r) {
			changes = append(changes, store.RecordChange{Kind: onceKind, Key: r.Key, Expect: r.Version})
		}
	}
	if len(changes) == 0 {
		return nil
	}
	// Waited for to the end: a deletion that comes late could meet a record that was made
	// anew since and has the same version.
	err = k.records.Write(context.WithoutCancel(ctx), changes...)
	if errors.Is(err, durable.ErrConflict) {
		return nil // one of them was used again meanwhile; the others go in the next round
	}
	return err
}
