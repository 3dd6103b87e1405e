package store

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// Records keeps what the runtime itself must remember and is no run.
type Records interface {
	// Mark returns the value that was last committed under key; 0 if there is none.
	Mark(ctx context.Context, key string) (int64, error)
	// Record returns one record. Errors: not_found, internal when it is damaged.
	Record(ctx context.Context, kind, key string) (Record, error)
	// Records returns the records of a kind that match, ordered by the bytes of their keys.
	// One that is damaged is a record with a Fault.
	Records(ctx context.Context, kind string, f RecordFilter) ([]Record, error)
}

// Record is a named document of the runtime itself that is not a run, such as a definition
// under its name or a token. A Change puts, replaces and deletes it.
type Record struct {
	Kind    string    // what it is; a store knows no kinds
	Key     string    // its name among those of its kind
	Version int64     // counts its changes from 1; a record that was deleted begins anew
	Updated time.Time // when the store wrote it
	Data    []byte    // opaque to the store; never nil, but of one with a Fault
	Fault   error     // it is damaged: nothing of it but Kind and Key is set, and these may be damaged too
}

// AnyVersion is the Expect of a change that replaces or deletes a record whatever there is,
// also one that is damaged or none at all.
const AnyVersion = -1

// RecordChange is what a change does to a record.
type RecordChange struct {
	Kind, Key string // required
	Expect    int64  // the Version it replaces; 0 = there must be none; AnyVersion = whatever there is
	Data      []byte // nil = delete; empty, but not nil, is a record that is empty
}

// RecordFilter narrows Records. Zero fields do not narrow.
type RecordFilter struct {
	Prefix    string // only keys that begin with it
	After     string // only keys behind it, in the order asked for, to go on behind the last one of a page
	Backwards bool   // the highest key first
	Limit     int    // 0 = 100
}

// KeyOf is the key of a record that is found by several names. Those that share the first names
// share KeyOf(names...) + "/" as a prefix.
func KeyOf(names ...string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = url.QueryEscape(n)
	}
	return strings.Join(parts, "/")
}
