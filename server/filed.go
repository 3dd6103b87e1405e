package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

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
	Source string `json:"source"` // who has set it, or removed it, since: fromFile or fromAPI

	version int64
}

// loadTriggers sets the triggers of the file and removes those that an earlier file had. What the file
// has not changed since takes nothing back that was done by hand. A trigger that is blocked keeps what
// it has, and the next Load tries again.
func (s *Server) loadTriggers(ctx context.Context, list []trigger.Definition) error {
	before, err := s.filed(ctx)
	if err != nil {
		return err
	}
	for _, d := range list {
		data, err := json.Marshal(d)
		if err != nil {
			return err
		}
		now := filed{File: durable.RefOf(data).Hash, Source: fromFile}
		was := before[d.Name]
		delete(before, d.Name)
		if was.File == now.File {
			continue
		}
		_, err = s.rt.SetTrigger(ctx, "", d)
		if errors.Is(err, durable.ErrConflict) {
			s.log.WarnContext(ctx, "a trigger of the file is not changed", slog.String("trigger", d.Name), slog.Any("error", err))
			continue
		}
		if err == nil { // only now: who is killed here sets it again, which changes nothing
			err = s.writeFiled(ctx, d.Name, was.version, &now)
		}
		if err != nil {
			return err
		}
	}
	for name, was := range before {
		if was.Source == fromFile {
			if err := s.rt.RemoveTrigger(ctx, "", name); err != nil && !errors.Is(err, durable.ErrNotFound) {
				return err
			}
		}
		if err := s.writeFiled(ctx, name, was.version, nil); err != nil {
			return err
		}
	}
	return nil
}

// filed are the triggers that the file had, by name.
func (s *Server) filed(ctx context.Context) (map[string]filed, error) {
	all := map[string]filed{}
	const page = 500
	for f := (store.RecordFilter{Limit: page}); ; {
		records, err := s.rt.Records(ctx, filedKind, f)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			one := filed{version: r.Version}
			if r.Fault != nil || json.Unmarshal(r.Data, &one) != nil {
				one.Source = "" // nobody can say whose it is: it is not removed
			}
			all[r.Key] = one
			f.After = r.Key
		}
		if len(records) < page {
			return all, nil
		}
	}
}

// writeFiled writes the record of a trigger of the file; nil deletes it. Somebody who was faster has
// done so by hand, and is right.
func (s *Server) writeFiled(ctx context.Context, name string, version int64, now *filed) error {
	change := store.RecordChange{Kind: filedKind, Key: name, Expect: version}
	if now != nil {
		var err error
		if change.Data, err = json.Marshal(now); err != nil {
			return err
		}
	}
	if err := s.rt.Write(ctx, change); err != nil && !errors.Is(err, durable.ErrConflict) {
		return err
	}
	return nil
}

// byHand notes that a trigger is set or removed by hand, before it is.
func (s *Server) byHand(ctx context.Context, tenant, name string) error {
	if tenant != "" {
		return nil // the file has none of them
	}
	record, err := s.rt.Record(ctx, filedKind, name)
	if errors.Is(err, durable.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var was filed
	if err := json.Unmarshal(record.Data, &was); err != nil || was.Source == fromAPI {
		return nil //nolint:nilerr // one that is damaged is nobody's
	}
	was.Source = fromAPI
	return s.writeFiled(ctx, name, record.Version, &was)
}
