package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/store"
)

// definitionKind is the kind of the records that hold the content of a version, by its hash.
const definitionKind = "definition"

// Where what is in a catalog has come from.
const (
	fromFile = "file" // the server's file
	fromAPI  = "api"
)

// maxVersions is how many versions of a definition are kept in reach.
const maxVersions = 100

// catalog keeps the definitions that a server knows by name, the same for all tenants: from its file,
// or put there by the API. Each change is a version that can be gone back to; a run pins what it
// started with.
type catalog struct {
	rt   *orpine.Runtime
	noun string // what one is called, which is also the kind of its record: agent or workflow
}

// edition is a version of what is in a catalog.
type edition struct {
	program    string // of its runs, where it is not that of the catalog
	definition json.RawMessage
}

// named is the record of a name.
type named struct {
	Source   string            `json:"source"`
	Versions []string          `json:"versions"`           // hashes, the current one first
	File     string            `json:"file,omitempty"`     // hash of the one that the server's file had last
	Programs map[string]string `json:"programs,omitempty"` // by hash, of versions whose program is not that of the catalog
}

// of reads the record of a name.
func (c *catalog) of(record store.Record) (named, error) {
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
func (c *catalog) record(ctx context.Context, name string) (store.Record, error) {
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

// get finds a version of what has a name, by the beginning of its hash, "" = the current one; and the
// version of the record. Error: not_found.
func (c *catalog) get(ctx context.Context, name, version string) (client.Agent, int64, error) {
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

// list is all that is in the catalog, by name and without what is in it.
func (c *catalog) list(ctx context.Context) ([]client.Agent, error) {
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

// put makes an edition the current version of a name. With expect the record must have that version
// still. Error: conflict.
func (c *catalog) put(ctx context.Context, name, source string, e edition, expect int64) error {
	record, err := c.rt.Record(ctx, c.noun, name)
	if err != nil && !errors.Is(err, durable.ErrNotFound) {
		return err
	}
	if expect >= 0 && record.Version != expect {
		return problemWith(http.StatusPreconditionFailed, durable.CodeConflict, "%s %s has been changed: its ETag is %s now; look at it again", c.noun, name, etag(record.Version))
	}
	var n named
	if record.Version > 0 {
		if n, err = c.of(record); err != nil {
			return err
		}
	}
	hash := durable.RefOf(e.definition).Hash
	if len(n.Versions) > 0 && (n.Versions[0] == hash && n.Source == source || source == fromFile && n.File == hash) {
		return nil // a file that has not changed since takes nothing back that was done by hand
	}
	data, err := json.Marshal(n.with(hash, source, e.program))
	if err != nil {
		return err
	}
	return c.rt.Write(ctx,
		store.RecordChange{Kind: definitionKind, Key: hash, Expect: store.AnyVersion, Data: e.definition},
		store.RecordChange{Kind: c.noun, Key: name, Expect: record.Version, Data: data},
	)
}

// with is the record once another version is the current one.
func (n named) with(hash, source, program string) named {
	if source == fromFile {
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

// An examiner reads a definition as strictly as a file is read, and returns it in its canonical form.
// Error: invalid.
type examiner func(name string, definition json.RawMessage) (json.RawMessage, error)

type namedRequest struct {
	Name    string `path:"name" maxLength:"200"`
	Version string `query:"version" maxLength:"64" doc:"The beginning of the hash of a version; default the current one"`
}

type namedReply struct {
	ETag string `header:"ETag"`
	Body client.Agent
}

type namedPut struct {
	Name    string          `path:"name" maxLength:"200" pattern:"^[A-Za-z][A-Za-z0-9_-]*$"`
	IfMatch string          `header:"If-Match" doc:"The ETag of what is changed; refused if it is another by now"`
	Body    json.RawMessage `contentType:"application/json"`
}

type rollbackRequest struct {
	Name string `path:"name" maxLength:"200"`
	Body client.Rollback
}

// serveCatalog registers the routes of a catalog; one is what is in it, with its article.
func (s *Server) serveCatalog(c *catalog, one string, examine examiner) {
	const read, write = access.AgentsRead, access.AgentsWrite
	all := client.Version + "/" + c.noun + "s"
	get := func(ctx context.Context, name, version string) (*namedReply, error) {
		a, at, err := c.get(ctx, name, version)
		return &namedReply{etag(at), a}, err
	}
	add(s, Route{Method: http.MethodGet, Path: all, ID: "list-" + c.noun + "s", Scope: read, Summary: "List the " + c.noun + "s of the server"},
		func(ctx context.Context, _ *nothing) (*body[[]client.Agent], error) { return reply(c.list(ctx)) })
	add(s, Route{Method: http.MethodGet, Path: all + "/{name}", ID: "get-" + c.noun, Scope: read, Summary: "Get " + one + " with its definition"},
		func(ctx context.Context, in *namedRequest) (*namedReply, error) { return get(ctx, in.Name, in.Version) })
	add(s, Route{Method: http.MethodPut, Path: all + "/{name}", ID: "put-" + c.noun, Scope: write, Summary: "Make a definition the current version of " + one},
		func(ctx context.Context, in *namedPut) (*namedReply, error) {
			definition, err := examine(in.Name, in.Body)
			if err != nil {
				return nil, err
			}
			expect, err := expected(in.IfMatch)
			if err != nil {
				return nil, err
			}
			if err := c.put(ctx, in.Name, fromAPI, edition{definition: definition}, expect); err != nil {
				return nil, err
			}
			return get(ctx, in.Name, "")
		})
	add(s, Route{Method: http.MethodDelete, Path: all + "/{name}", ID: "delete-" + c.noun, Scope: write, Summary: "Forget " + one + "; its runs go on", Status: http.StatusNoContent},
		func(ctx context.Context, in *namedRequest) (*none, error) {
			record, err := c.record(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			return &none{}, c.rt.Write(ctx, store.RecordChange{Kind: c.noun, Key: in.Name, Expect: record.Version})
		})
	add(s, Route{Method: http.MethodPost, Path: all + "/{name}/rollback", ID: "rollback-" + c.noun, Scope: write, Summary: "Make an earlier version of " + one + " the current one"},
		func(ctx context.Context, in *rollbackRequest) (*namedReply, error) {
			a, _, err := c.get(ctx, in.Name, in.Body.Hash)
			if err != nil {
				return nil, err
			}
			if err := c.put(ctx, in.Name, fromAPI, edition{a.Program, a.Definition}, -1); err != nil {
				return nil, err
			}
			return get(ctx, in.Name, "")
		})
}
