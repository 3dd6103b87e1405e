package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/trigger"
)

// filedKind is the kind of the records that say which triggers the server's file had, by name. They
// are of no tenant.
const filedKind = "filed_trigger"

// filed is the record of a trigger of the file.
type filed struct {
	File   string `json:"file"`   // hash of the definition that the file had last
	Source string `json:"source"` // who has set it, or removed it, since: FromFile or FromAPI

	version int64
}

// Filed sets the triggers of the server's file, and remembers which those are.
type Filed struct {
	Runtime *orpine.Runtime // required
	Log     *slog.Logger    // required
}

// Load sets the triggers of the file and removes those that an earlier file had. What the file
// has not changed since takes nothing back that was done by hand. A trigger that is blocked keeps what
// it has, and the next Load tries again.
func (f *Filed) Load(ctx context.Context, list []trigger.Definition) error {
	before, err := f.all(ctx)
	if err != nil {
		return err
	}
	for _, d := range list {
		data, err := json.Marshal(d)
		if err != nil {
			return err
		}
		now := filed{File: durable.RefOf(data).Hash, Source: FromFile}
		was := before[d.Name]
		delete(before, d.Name)
		if was.File == now.File {
			continue
		}
		_, err = f.Runtime.SetTrigger(ctx, "", d)
		if errors.Is(err, durable.ErrConflict) {
			f.Log.WarnContext(ctx, "a trigger of the file is not changed", slog.String("trigger", d.Name), slog.Any("error", err))
			continue
		}
		if err == nil { // only now: who is killed here sets it again, which changes nothing
			err = f.write(ctx, d.Name, was.version, &now)
		}
		if err != nil {
			return err
		}
	}
	for name, was := range before {
		if was.Source == FromFile {
			if err := f.Runtime.RemoveTrigger(ctx, "", name); err != nil && !errors.Is(err, durable.ErrNotFound) {
				return err
			}
		}
		if err := f.write(ctx, name, was.version, nil); err != nil {
			return err
		}
	}
	return nil
}

// all are the triggers that the file had, by name.
func (f *Filed) all(ctx context.Context) (map[string]filed, error) {
	all := map[string]filed{}
	const page = 500
	for next := (store.RecordFilter{Limit: page}); ; {
		records, err := f.Runtime.Records(ctx, filedKind, next)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			one := filed{version: r.Version}
			if r.Fault != nil || json.Unmarshal(r.Data, &one) != nil {
				one.Source = "" // nobody can say whose it is: it is not removed
			}
			all[r.Key] = one
			next.After = r.Key
		}
		if len(records) < page {
			return all, nil
		}
	}
}

// write writes the record of a trigger of the file; nil deletes it. Somebody who was faster has
// done so by hand, and is right.
func (f *Filed) write(ctx context.Context, name string, version int64, now *filed) error {
	change := store.RecordChange{Kind: filedKind, Key: name, Expect: version}
	if now != nil {
		var err error
		if change.Data, err = json.Marshal(now); err != nil {
			return err
		}
	}
	if err := f.Runtime.Write(ctx, change); err != nil && !errors.Is(err, durable.ErrConflict) {
		return err
	}
	return nil
}

// ByHand notes that a trigger is set or removed by hand, before it is.
func (f *Filed) ByHand(ctx context.Context, tenant, name string) error {
	if tenant != "" {
		return nil // the file has none of them
	}
	record, err := f.Runtime.Record(ctx, filedKind, name)
	if errors.Is(err, durable.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var was filed
	if err := json.Unmarshal(record.Data, &was); err != nil || was.Source == FromAPI {
		return nil //nolint:nilerr // one that is damaged is nobody's
	}
	was.Source = FromAPI
	return f.write(ctx, name, record.Version, &was)
}
