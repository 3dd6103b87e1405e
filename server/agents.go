package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/suggest"
	"github.com/orpine-run/orpine/tool"
)

// The kinds of records of agents: one that names the versions, and one for the content of
// each, by its hash.
const (
	agentKind      = "agent"
	definitionKind = "definition"
)

// fromFile is the source of the agents that the server's file has.
const fromFile = "file"

// maxVersions is how many versions of an agent are kept in reach.
const maxVersions = 100

// agents are those that a server knows by name, the same for all tenants: from its file, or put
// there by the API. Each change is a version that can be gone back to; a run pins what it started
// with.
type agents struct{ rt *orpine.Runtime }

// named is the record of an agent, under its name.
type named struct {
	Source   string   `json:"source"`
	Versions []string `json:"versions"`       // hashes, the current one first
	File     string   `json:"file,omitempty"` // hash of the one that the server's file had last
}

// get finds an agent, and the version of its record.
func (a *agents) get(ctx context.Context, name string) (client.Agent, int64, error) {
	record, err := a.rt.Record(ctx, agentKind, name)
	if errors.Is(err, durable.ErrNotFound) {
		err = noAgent(name)
	}
	if err != nil {
		return client.Agent{}, 0, err
	}
	out, err := agentOf(record)
	return out, record.Version, err
}

func noAgent(name string) error {
	return durable.Errorf(durable.CodeNotFound, "no agent %q; GET %s/agents lists all", name, client.Version)
}

func damaged(name string, err error) error {
	return durable.Errorf(durable.CodeInternal, "the record of agent %s is damaged: %w", name, err)
}

// agentOf reads the record of an agent.
func agentOf(record store.Record) (client.Agent, error) {
	var n named
	err := cmp.Or(record.Fault, json.Unmarshal(record.Data, &n))
	if err == nil && len(n.Versions) == 0 {
		err = errors.New("it has no version")
	}
	if err != nil {
		return client.Agent{}, damaged(record.Key, err)
	}
	return client.Agent{Name: record.Key, Hash: n.Versions[0], Source: n.Source, Updated: record.Updated, Versions: n.Versions}, nil
}

// content reads a version.
func (a *agents) content(ctx context.Context, hash string) (json.RawMessage, error) {
	record, err := a.rt.Record(ctx, definitionKind, hash)
	return record.Data, err
}

// put makes a definition the current version of an agent. With expect the record must have
// that version still. Errors: invalid, conflict.
func (a *agents) put(ctx context.Context, name, source string, definition json.RawMessage, expect int64) error {
	record, err := a.rt.Record(ctx, agentKind, name)
	if err != nil && !errors.Is(err, durable.ErrNotFound) {
		return err
	}
	if expect >= 0 && record.Version != expect {
		return problemWith(http.StatusPreconditionFailed, durable.CodeConflict, "agent %s has been changed: its ETag is %s now; look at it again", name, etag(record.Version))
	}
	var n named
	if record.Version > 0 {
		if err := json.Unmarshal(record.Data, &n); err != nil {
			return damaged(name, err)
		}
	}
	hash := durable.RefOf(definition).Hash
	if len(n.Versions) > 0 && (n.Versions[0] == hash && n.Source == source || source == fromFile && n.File == hash) {
		return nil // a file that has not changed since takes nothing back that was done by hand
	}
	if source == fromFile {
		n.File = hash
	}
	n.Source = source
	n.Versions = slices.DeleteFunc(n.Versions, func(v string) bool { return v == hash })
	n.Versions = append([]string{hash}, n.Versions...)
	n.Versions = n.Versions[:min(len(n.Versions), maxVersions)]
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return a.rt.Write(ctx,
		store.RecordChange{Kind: definitionKind, Key: hash, Expect: store.AnyVersion, Data: definition},
		store.RecordChange{Kind: agentKind, Key: name, Expect: record.Version, Data: data},
	)
}

// checked reads a definition as strictly as a file is read. Error: invalid.
func checked(name string, definition json.RawMessage) (agent.Definition, json.RawMessage, error) {
	var d agent.Definition
	dec := json.NewDecoder(bytes.NewReader(definition))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return d, nil, durable.Errorf(durable.CodeInvalid, "the definition: %w; its fields are those of an agent in docs/config.md", err)
	}
	if name != "" {
		d.Name = name
	}
	if d.Name == "" || !strings.Contains(d.Model, "/") {
		return d, nil, durable.Errorf(durable.CodeInvalid, "the definition needs a name and a model, as provider/name")
	}
	if err := d.Permissions.Check(); err != nil {
		return d, nil, err
	}
	canonical, err := json.Marshal(d)
	return d, canonical, err
}

// Load makes the agents of a file known. Those that an earlier file had and this one has not
// stay as they are, for whoever uses them. Error: unavailable.
func (s *Server) Load(ctx context.Context, definitions map[string]agent.Definition) error {
	for name, d := range definitions {
		d.Name = cmp.Or(d.Name, name)
		data, err := json.Marshal(d)
		if err != nil {
			return err
		}
		if err := s.agents.put(ctx, name, fromFile, data, -1); err != nil {
			return err
		}
	}
	return nil
}

// definition is the agent that a request to start a run means.
func (s *Server) definition(ctx context.Context, in client.StartRun) (agent.Definition, error) {
	if in.Definition != nil {
		d, _, err := checked("", in.Definition)
		return d, err
	}
	a, _, err := s.agents.get(ctx, in.Agent)
	if err != nil {
		return agent.Definition{}, err
	}
	hash, err := versionOf(a, cmp.Or(in.Version, a.Hash))
	if err != nil {
		return agent.Definition{}, err
	}
	data, err := s.agents.content(ctx, hash)
	if err != nil {
		return agent.Definition{}, err
	}
	return agent.Decode(data)
}

// versionOf finds a version of an agent by the beginning of its hash.
func versionOf(a client.Agent, hash string) (string, error) {
	for _, v := range a.Versions {
		if strings.HasPrefix(v, hash) {
			return v, nil
		}
	}
	return "", durable.Errorf(durable.CodeNotFound, "agent %s has no version %s", a.Name, hash)
}

func (s *Server) definitions() {
	const read, write = access.AgentsRead, access.AgentsWrite
	path := client.Version + "/agents"
	add(s, Route{Method: http.MethodGet, Path: path, ID: "list-agents", Scope: read, Summary: "List the agents of the server"}, s.listAgents)
	add(s, Route{Method: http.MethodGet, Path: path + "/{name}", ID: "get-agent", Scope: read, Summary: "Get an agent with its definition"}, s.getAgent)
	add(s, Route{Method: http.MethodPut, Path: path + "/{name}", ID: "put-agent", Scope: write, Summary: "Make a definition the current version of an agent"}, s.putAgent)
	add(s, Route{Method: http.MethodDelete, Path: path + "/{name}", ID: "delete-agent", Scope: write, Summary: "Forget an agent; its runs go on", Status: http.StatusNoContent}, s.deleteAgent)
	add(s, Route{Method: http.MethodPost, Path: path + "/{name}/rollback", ID: "rollback-agent", Scope: write, Summary: "Make an earlier version of an agent the current one"}, s.rollbackAgent)
	add(s, Route{Method: http.MethodGet, Path: client.Version + "/tools", ID: "list-tools", Scope: access.ToolsRead, Summary: "List the tools that agents may be given"},
		func(context.Context, *nothing) (*body[[]client.Tool], error) { return reply(orEmpty(s.cfg.Tools), nil) })
}

type agentRequest struct {
	Name    string `path:"name" maxLength:"200"`
	Version string `query:"version" maxLength:"64" doc:"The beginning of the hash of a version; default the current one"`
}

type agentReply struct {
	ETag string `header:"ETag"`
	Body client.Agent
}

func (s *Server) getAgent(ctx context.Context, in *agentRequest) (*agentReply, error) {
	a, version, err := s.agents.get(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if a.Hash, err = versionOf(a, cmp.Or(in.Version, a.Hash)); err != nil {
		return nil, err
	}
	a.Definition, err = s.agents.content(ctx, a.Hash)
	return &agentReply{etag(version), a}, err
}

type putAgentRequest struct {
	Name    string          `path:"name" maxLength:"200" pattern:"^[A-Za-z][A-Za-z0-9_-]*$"`
	IfMatch string          `header:"If-Match" doc:"The ETag of the agent that is changed; refused if it is another by now"`
	Body    json.RawMessage `contentType:"application/json"`
}

func (s *Server) putAgent(ctx context.Context, in *putAgentRequest) (*agentReply, error) {
	d, definition, err := checked(in.Name, in.Body)
	if err == nil {
		err = s.hasTools(d)
	}
	if err != nil {
		return nil, err
	}
	expect, err := expected(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.agents.put(ctx, in.Name, "api", definition, expect); err != nil {
		return nil, err
	}
	return s.getAgent(ctx, &agentRequest{Name: in.Name})
}

// hasTools refuses an agent that names a tool that there is not, where it is known what there is.
func (s *Server) hasTools(d agent.Definition) error {
	var names []string
	for _, t := range s.cfg.Tools {
		names = append(names, t.Name)
	}
	for _, t := range d.Declared {
		names = append(names, t.Name)
	}
	for _, pattern := range d.Tools {
		matches := func(name string) bool { return tool.Matches(pattern, name) }
		if len(s.cfg.Tools) > 0 && !slices.ContainsFunc(names, matches) {
			return durable.Errorf(durable.CodeInvalid, "no tool matches %q; %s", pattern, suggest.Name(pattern, names, "there are"))
		}
	}
	return nil
}

func (s *Server) listAgents(ctx context.Context, _ *nothing) (*body[[]client.Agent], error) {
	list := []client.Agent{}
	const page = 500
	for f := (store.RecordFilter{Limit: page}); ; {
		records, err := s.rt.Records(ctx, agentKind, f)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			a, err := agentOf(r)
			if err != nil {
				return nil, err
			}
			a.Versions = nil
			list = append(list, a)
			f.After = r.Key
		}
		if len(records) < page {
			return reply(list, nil)
		}
	}
}

func (s *Server) deleteAgent(ctx context.Context, in *agentRequest) (*none, error) {
	record, err := s.rt.Record(ctx, agentKind, in.Name)
	if errors.Is(err, durable.ErrNotFound) {
		return nil, noAgent(in.Name)
	}
	if err != nil {
		return nil, err
	}
	return &none{}, s.rt.Write(ctx, store.RecordChange{Kind: agentKind, Key: in.Name, Expect: record.Version})
}

type rollbackRequest struct {
	Name string `path:"name" maxLength:"200"`
	Body client.Rollback
}

func (s *Server) rollbackAgent(ctx context.Context, in *rollbackRequest) (*agentReply, error) {
	a, _, err := s.agents.get(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	hash, err := versionOf(a, in.Body.Hash)
	if err != nil {
		return nil, err
	}
	definition, err := s.agents.content(ctx, hash)
	if err != nil {
		return nil, err
	}
	if err := s.agents.put(ctx, in.Name, "api", definition, -1); err != nil {
		return nil, err
	}
	return s.getAgent(ctx, &agentRequest{Name: in.Name})
}
