package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/server/catalog"
)

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
func (s *Server) serveCatalog(known *catalog.Catalog, one string, examine examiner) {
	const read, write = access.AgentsRead, access.AgentsWrite
	noun := known.Noun()
	all := client.Version + "/" + noun + "s"
	get := func(ctx context.Context, name, version string) (*namedReply, error) {
		a, at, err := known.Get(ctx, name, version)
		return &namedReply{etag(at), a}, err
	}
	add(s, Route{Method: http.MethodGet, Path: all, ID: "list-" + noun + "s", Scope: read, Summary: "List the " + noun + "s of the server"},
		func(ctx context.Context, _ *nothing) (*body[[]client.Agent], error) { return reply(known.List(ctx)) })
	add(s, Route{Method: http.MethodGet, Path: all + "/{name}", ID: "get-" + noun, Scope: read, Summary: "Get " + one + " with its definition"},
		func(ctx context.Context, in *namedRequest) (*namedReply, error) { return get(ctx, in.Name, in.Version) })
	add(s, Route{Method: http.MethodPut, Path: all + "/{name}", ID: "put-" + noun, Scope: write, Summary: "Make a definition the current version of " + one},
		func(ctx context.Context, in *namedPut) (*namedReply, error) {
			definition, err := examine(in.Name, in.Body)
			if err != nil {
				return nil, err
			}
			expect, err := expected(in.IfMatch)
			if err != nil {
				return nil, err
			}
			if err := known.Put(ctx, in.Name, catalog.FromAPI, catalog.Edition{Definition: definition}, expect); err != nil {
				return nil, err
			}
			return get(ctx, in.Name, "")
		})
	add(s, Route{Method: http.MethodDelete, Path: all + "/{name}", ID: "delete-" + noun, Scope: write, Summary: "Forget " + one + "; its runs go on", Status: http.StatusNoContent},
		func(ctx context.Context, in *namedRequest) (*none, error) {
			return &none{}, known.Remove(ctx, in.Name)
		})
	add(s, Route{Method: http.MethodPost, Path: all + "/{name}/rollback", ID: "rollback-" + noun, Scope: write, Summary: "Make an earlier version of " + one + " the current one"},
		func(ctx context.Context, in *rollbackRequest) (*namedReply, error) {
			a, _, err := known.Get(ctx, in.Name, in.Body.Hash)
			if err != nil {
				return nil, err
			}
			if err := known.Put(ctx, in.Name, catalog.FromAPI, catalog.Edition{Program: a.Program, Definition: a.Definition}, -1); err != nil {
				return nil, err
			}
			return get(ctx, in.Name, "")
		})
}
