// Package access guards the door of a server: who may come in and for what ([Tokens]), what
// everybody asked for ([Audit]), and that what is asked for twice is done once ([Keys]).
//
// It keeps all of that as records and knows nothing of HTTP: not what a path means, which
// scope it needs or how a refusal is sent; the server does. It may not reach a run, and never
// stores or repeats the secret of a token. On the line request -> run -> step -> journal ->
// event -> client it stands before the request.
package access

import (
	"context"

	"github.com/orpine-run/orpine/store"
)

// Records keeps what must not be lost; *orpine.Runtime implements it. One process writes it
// at a time.
type Records interface {
	// Record returns one record. Errors: not_found, internal when it is damaged.
	Record(ctx context.Context, kind, key string) (store.Record, error)
	// Records returns the records of a kind that match, ordered by their keys.
	Records(ctx context.Context, kind string, f store.RecordFilter) ([]store.Record, error)
	// Write changes records, all or none, and returns once that is durable. Error:
	// conflict when a version is not the expected one.
	Write(ctx context.Context, changes ...store.RecordChange) error
}

// Ledger is where the log of audit is kept; a runtime is one.
type Ledger interface {
	Records
	// WriteLater is Write of what is asked for when something else is committed. Neither function
	// may block.
	WriteLater(changes func() []store.RecordChange, done func(error))
	// Hurry has what waits committed now.
	Hurry()
}

// pageSize is how many records are read at once.
const pageSize = 500
