package access_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/store"
)

var _ access.Ledger = (*orpine.Runtime)(nil)

// open opens a data directory until the test ends.
func open(tb testing.TB, dir string) *orpine.Runtime {
	tb.Helper()
	r, err := orpine.Open(context.WithoutCancel(tb.Context()), orpine.Config{Data: dir, Passive: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { shut(tb, r) })
	return r
}

// shut closes it before the test ends, so that it can be opened again.
func shut(tb testing.TB, r *orpine.Runtime) {
	tb.Helper()
	if err := r.Close(); err != nil {
		tb.Error(err)
	}
}

// put replaces or deletes a record behind the back of the guard.
func put(tb testing.TB, r access.Records, kind, key string, data []byte) {
	tb.Helper()
	if err := r.Write(tb.Context(), store.RecordChange{Kind: kind, Key: key, Expect: store.AnyVersion, Data: data}); err != nil {
		tb.Fatal(err)
	}
}

// only returns the one record of a kind.
func only(tb testing.TB, r access.Records, kind string) store.Record {
	tb.Helper()
	all, err := r.Records(tb.Context(), kind, store.RecordFilter{})
	if err != nil || len(all) != 1 {
		tb.Fatalf("%d records of kind %s, %v; want 1", len(all), kind, err)
	}
	return all[0]
}

// encoded is a value as JSON.
func encoded(tb testing.TB, v any) []byte {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
