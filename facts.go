package orpine

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/tool/memory"
)

// factKind is the kind of the records of facts.
const factKind = "fact"

var _ memory.Shelf = (*Runtime)(nil)

// Facts returns what agents keep beyond conversations, for a tenant and in a space; see
// tool/memory. What is damaged is left out.
func (r *Runtime) Facts(ctx context.Context, tenant, space string) ([]memory.Fact, error) {
	var list []memory.Fact
	err := r.eachRecord(ctx, factKind, store.KeyOf(tenant, space)+"/", func(one *store.Record) error {
		var fact memory.Fact
		if json.Unmarshal(one.Data, &fact) == nil {
			list = append(list, fact)
		}
		return nil
	})
	return list, err
}

// SaveFact keeps a fact in place of the one with its key.
func (r *Runtime) SaveFact(ctx context.Context, tenant, space string, f memory.Fact) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return r.journal.Write(ctx, store.RecordChange{Kind: factKind, Key: store.KeyOf(tenant, space, f.Key), Expect: store.AnyVersion, Data: data})
}

// ForgetFact forgets a fact, if there is one.
func (r *Runtime) ForgetFact(ctx context.Context, tenant, space, key string) error {
	err := r.journal.Write(ctx, store.RecordChange{Kind: factKind, Key: store.KeyOf(tenant, space, key), Expect: store.AnyVersion})
	if errors.Is(err, durable.ErrNotFound) {
		return nil
	}
	return err
}
