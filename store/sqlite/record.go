package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// recordColumns are those of a record, in the order of scanRecord.
const recordColumns = `kind, key, version, updated, data, sum`

// sumOfRecord is the checksum of all of a record.
func sumOfRecord(r *store.Record) int64 {
	b := make([]byte, 0, 64+len(r.Kind)+len(r.Key)+len(r.Data))
	for _, s := range []string{r.Kind, r.Key, string(r.Data)} {
		b = appendText(b, s)
	}
	for _, v := range []int64{r.Version, r.Updated.UnixMicro()} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v)) //nolint:gosec // bits, not a number
	}
	return digest(b)
}

func scanRecord(scan func(...any) error) (store.Record, error) {
	r := store.Record{Data: []byte{}}
	var updated, sum int64
	err := scan(&r.Kind, &r.Key, &r.Version, &updated, &r.Data, &sum)
	if err != nil && r.Kind == "" {
		return r, err
	}
	if r.Data == nil {
		r.Data = []byte{}
	}
	r.Updated = time.UnixMicro(updated).UTC()
	if err == nil && sum == sumOfRecord(&r) {
		return r, nil
	}
	if err == nil {
		err = errors.New("its checksum does not match")
	}
	return store.Record{
		Kind: r.Kind, Key: r.Key,
		Fault: durable.Errorf(durable.CodeInternal, "record %s %q is damaged: %w", r.Kind, r.Key, err),
	}, nil
}

// Mark implements store.Records.
func (s *Store) Mark(ctx context.Context, key string) (int64, error) {
	var v int64
	err := s.read.QueryRowContext(ctx, `SELECT value FROM mark WHERE key = ?`, key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return v, wrap(err, "read mark "+key)
}

// Record implements store.Records.
func (s *Store) Record(ctx context.Context, kind, key string) (store.Record, error) {
	r, err := scanRecord(s.read.QueryRowContext(ctx, `SELECT `+recordColumns+` FROM record WHERE kind = ? AND key = ?`, kind, key).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Record{}, durable.Errorf(durable.CodeNotFound, "no %s %q", kind, key)
	case err != nil:
		return store.Record{}, wrap(err, "read a record of kind "+kind)
	}
	return r, r.Fault
}

// Records implements store.Records.
func (s *Store) Records(ctx context.Context, kind string, f store.RecordFilter) ([]store.Record, error) {
	query, args := `SELECT `+recordColumns+` FROM record WHERE kind = ? AND key >= ?`, []any{kind, f.Prefix}
	if end := behind(f.Prefix); end != "" {
		query, args = query+` AND key < ?`, append(args, end)
	}
	after, order := ` AND key > ?`, ` ORDER BY key`
	if f.Backwards {
		after, order = ` AND key < ?`, ` ORDER BY key DESC`
	}
	if f.After != "" {
		query, args = query+after, append(args, f.After)
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	rows, err := s.read.QueryContext(ctx, query+order+` LIMIT ?`, append(args, f.Limit)...)
	if err != nil {
		return nil, wrap(err, "list records of kind "+kind)
	}
	return collect(rows, scanRecord)
}

// behind is the first text behind all that begin with prefix; "" if there is none.
func behind(prefix string) string {
	for last := len(prefix) - 1; last >= 0; last-- {
		if prefix[last] < 0xff {
			return prefix[:last] + string([]byte{prefix[last] + 1})
		}
	}
	return ""
}

// planRecords says what becomes of the records that a group changes: those to write, and
// with nil Data those to delete. It writes nothing. Where the group is refused it sets its err.
func (t *transaction) planRecords(g *group) (plan []store.Record, err error) {
	type name struct{ kind, key string }
	var seen map[name]bool
	for _, c := range g.changes {
		if len(c.Records) > 0 && seen == nil {
			seen = map[name]bool{}
		}
		for i := range c.Records {
			r := &c.Records[i]
			if seen[name{r.Kind, r.Key}] {
				g.err = durable.Errorf(durable.CodeInvalid, "record %s %q is changed twice at once: make it one change", r.Kind, r.Key)
				return nil, nil
			}
			seen[name{r.Kind, r.Key}] = true
			next, refusal, err := t.planRecord(r)
			if g.err = refusal; refusal != nil || err != nil {
				return nil, err
			}
			plan = append(plan, next)
		}
	}
	return plan, nil
}

// planRecord says what becomes of one. A refusal is of its group, an err of the store.
func (t *transaction) planRecord(c *store.RecordChange) (next store.Record, refusal, err error) {
	if c.Kind == "" || c.Key == "" {
		return next, durable.Errorf(durable.CodeInvalid, "record %s %q: a record needs a kind and a key", c.Kind, c.Key), nil
	}
	old, err := scanRecord(t.findRecord.QueryRowContext(t.ctx, c.Kind, c.Key).Scan)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return next, nil, err
	}
	switch {
	case c.Expect == store.AnyVersion:
	case old.Fault != nil:
		return next, durable.Errorf(durable.CodeConflict, "record %s %q is damaged, which version it has cannot be told: replace or delete it whatever its version", c.Kind, c.Key), nil
	case c.Expect == 0 && old.Version > 0:
		return next, durable.Errorf(durable.CodeConflict, "%s %q exists", c.Kind, c.Key), nil
	case c.Expect != old.Version:
		return next, durable.Errorf(durable.CodeConflict, "%s %q was changed by somebody else: its version is %d and not %d (0 = there is none); read it again", c.Kind, c.Key, old.Version, c.Expect), nil
	}
	return store.Record{
		Kind: c.Kind, Key: c.Key, Version: old.Version + 1, Updated: time.Now().UTC().Truncate(time.Microsecond), Data: c.Data,
	}, nil, nil
}

func (t *transaction) writeRecords(plan []store.Record) error {
	for i := range plan {
		r := &plan[i]
		var err error
		if r.Data == nil {
			_, err = t.dropRecord.ExecContext(t.ctx, r.Kind, r.Key)
		} else {
			_, err = t.putRecord.ExecContext(t.ctx, r.Kind, r.Key, r.Version, r.Updated.UnixMicro(), r.Data, sumOfRecord(r))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
