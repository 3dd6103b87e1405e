package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// definitionKind is the kind of the records that hold the content of a version, by its hash.
const definitionKind = "definition"

// Where what is in a catalog has come from.
const (
	FromFile = "file" // the server's file
	FromAPI  = "api"  // somebody has put it there
)

// maxVersions is how many versions of a definition are kept in reach.
const maxVersions = 100

// Catalog keeps the definitions that a server knows by name, the same for all tenants: from its file,
// or put there by the API. Each change is a version that can be gone back to; a run pins what it
// started with.
type Catalog struct {
	rt   *orpine.Runtime
	noun string
}

// New makes a catalog. The noun is what is in it, such as agent; it is also the kind of its records.
func New(rt *orpine.Runtime, noun string) *Catalog { return &Catalog{rt, noun} }

// Noun is what is in it.
func (c *Catalog) Noun() string { return c.noun }

// Changed says that what a name stands for was changed since somebody looked at it. It is a conflict.
type Changed struct { //nolint:errname // what has happened, as the name says
	What    string
	Version int64 // of the record, by now
}

// Error implements error.
func (c *Changed) Error() string { return fmt.Sprintf("%s has been changed: look at it again", c.What) }

// Is makes it a conflict.
func (*Changed) Is(target error) bool { return target == durable.ErrConflict }

// Edition is a version of what is in a catalog.
type Edition struct {
	Program    string // of its runs; "" = that of all in the catalog
	Definition json.RawMessage
}

// named is the record of a name.
type named struct {
	Source   string            `json:"source"`
	Versions []string          `json:"versions"`           // hashes, the current one first
	File     string            `json:"file,omitempty"`     // hash of the one that the server's file had last
	Programs map[string]string `json:"programs,omitempty"` // by hash, of versions whose program is not that of the catalog
}

// of reads the record of a name.
func (c *Catalog) of(record store.Record) (named, error) {
	var n named
	err := cmp.Or(record.Fault, json.Unmarshal(record.Data, &n))
	if err == nil && len(n.Versions) == 0 {
		err = errors.New("it has no version")
	}
	if err != nil {
		err = durable.Errorf(durable.CodeInternal, "the record of %s %s is damaged: %w", c.noun, record.Key, err)
	}
	return n, err
}

// record finds the record of a name. Error: not_found.
func (c *Catalog) record(ctx context.Context, name string) (store.Record, error) {
	record, err := c.rt.Record(ctx, c.noun, name)
	if errors.Is(err, durable.ErrNotFound) {
		err = durable.Errorf(durable.CodeNotFound, "no %s %q; GET %s/%ss lists all", c.noun, name, client.Version, c.noun)
	}
	return record, err
}

// shown is what is said of a record at one of its versions.
func shown(record store.Record, n named, hash string) client.Agent {
	return client.Agent{
		Name: record.Key, Program: n.Programs[hash], Hash: hash, Source: n.Source, Updated: record.Updated, Versions: n.Versions,
	}
}

// Get finds a version of what has a name, by the beginning of its hash, "" = the current one; and the
// version of the record. Error: not_found.
func (c *Catalog) Get(ctx context.Context, name, version string) (client.Agent, int64, error) {
	record, err := c.record(ctx, name)
	if err != nil {
		return client.Agent{}, 0, err
	}
	n, err := c.of(record)
	if err != nil {
		return client.Agent{}, 0, err
	}
	i := slices.IndexFunc(n.Versions, func(hash string) bool { return strings.HasPrefix(hash, version) })
	if i < 0 {
		return client.Agent{}, 0, durable.Errorf(durable.CodeNotFound, "%s %s has no version %s", c.noun, name, version)
	}
	a := shown(record, n, n.Versions[i])
	content, err := c.rt.Record(ctx, definitionKind, a.Hash)
	a.Definition = content.Data
	return a, record.Version, err
}

// List is all that is in the catalog, by name and without what is in it.
func (c *Catalog) List(ctx context.Context) ([]client.Agent, error) {
	list := []client.Agent{}
	const page = 500
	for f := (store.RecordFilter{Limit: page}); ; {
		records, err := c.rt.Records(ctx, c.noun, f)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			n, err := c.of(r)
			if err != nil {
				return nil, err
			}
			a := shown(r, n, n.Versions[0])
			a.Versions = nil
			list = append(list, a)
			f.After = r.Key
		}
		if len(records) < page {
			return list, nil
		}
	}
}

// Put makes an edition the current version of a name. With expect the record must have that version
// still. Error: conflict.
func (c *Catalog) Put(ctx context.Context, name, source string, e Edition, expect int64) error {
	record, err := c.rt.Record(ctx, c.noun, name)
	if err != nil && !errors.Is(err, durable.ErrNotFound) {
		return err
	}
	if expect >= 0 && record.Version != expect {
		return &Changed{c.noun + " " + name, record.Version}
	}
	var n named
	if record.Version > 0 {
		if n, err = c.of(record); err != nil {
			return err
		}
	}
	hash := durable.RefOf(e.Definition).Hash
	if len(n.Versions) > 0 && (n.Versions[0] == hash && n.Source == source || source == FromFile && n.File == hash) {
		return nil // a file that has not changed since takes nothing back that was done by hand
	}
	data, err := json.Marshal(n.with(hash, source, e.Program))
	if err != nil {
		return err
	}
	return c.rt.Write(ctx,
		store.RecordChange{Kind: definitionKind, Key: hash, Expect: store.AnyVersion, Data: e.Definition},
		store.RecordChange{Kind: c.noun, Key: name, Expect: record.Version, Data: data},
	)
}

// with is the record once another version is the current one.
func (n named) with(hash, source, program string) named {
	if source == FromFile {
		n.File = hash
	}
	n.Source = source
	n.Versions = slices.DeleteFunc(n.Versions, func(v string) bool { return v == hash })
	n.Versions = append([]string{hash}, n.Versions...)
	n.Versions = n.Versions[:min(len(n.Versions), maxVersions)]
	programs := map[string]string{}
	for _, v := range n.Versions {
		if of := n.Programs[v]; of != "" && v != hash {
			programs[v] = of
		}
	}
	if program != "" {
		programs[hash] = program
	}
	n.Programs = programs
	return n
}

// Remove forgets a name. Error: not_found.
func (c *Catalog) Remove(ctx context.Context, name string) error {
	record, err := c.record(ctx, name)
	if err != nil {
		return err
	}
	return c.rt.Write(ctx, store.RecordChange{Kind: c.noun, Key: name, Expect: record.Version})
}
