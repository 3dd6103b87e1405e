package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/server/catalog"
	"github.com/orpine-run/orpine/suggest"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/trigger"
	"github.com/orpine-run/orpine/workflow"
)

// The nouns of the catalogs, which are also the kinds of their records.
const (
	agentNoun    = "agent"
	workflowNoun = "workflow"
)

// definitions registers what is known by name.
func (s *Server) definitions() {
	s.serveCatalog(s.agents, "an agent", s.examineAgent)
	s.serveCatalog(s.flows, "a workflow", s.examineWorkflow)
	add(s, Route{Method: http.MethodGet, Path: client.Version + "/tools", ID: "list-tools", Scope: access.ToolsRead, Summary: "List the tools that agents may be given"},
		func(context.Context, *nothing) (*body[[]client.Tool], error) { return reply(orEmpty(s.cfg.Tools), nil) })
}

// strictly reads a definition in which every field is known. Error: invalid.
func strictly(definition json.RawMessage, of string, into any) error {
	dec := json.NewDecoder(bytes.NewReader(definition))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return durable.Errorf(durable.CodeInvalid, "the definition: %w; its fields are those of %s", err, of)
	}
	return nil
}

// readAgent reads the definition of an agent; a name is given to it. Error: invalid.
func readAgent(name string, definition json.RawMessage) (agent.Definition, error) {
	var d agent.Definition
	if err := strictly(definition, "an agent in docs/config.md", &d); err != nil {
		return d, err
	}
	if name != "" {
		d.Name = name
	}
	if d.Name == "" || !strings.Contains(d.Model, "/") {
		return d, durable.Errorf(durable.CodeInvalid, "the definition needs a name and a model, as provider/name")
	}
	return d, d.Permissions.Check()
}

func (s *Server) examineAgent(name string, definition json.RawMessage) (json.RawMessage, error) {
	d, err := readAgent(name, definition)
	if err == nil {
		err = s.hasTools(d)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(d)
}

// examineWorkflow says all that is wrong with a workflow, as orpine check does.
func (s *Server) examineWorkflow(name string, definition json.RawMessage) (json.RawMessage, error) {
	d := &workflow.Definition{}
	if err := strictly(definition, "workflow.Definition", d); err != nil {
		return nil, err
	}
	d.Name = name
	if problems := workflow.Check(d); len(problems) > 0 {
		p := problemWith(http.StatusBadRequest, durable.CodeInvalid, "workflow %s: %s: %s", name, problems[0].Path, problems[0].Message)
		for _, one := range problems {
			p.Errors = append(p.Errors, client.Fault{Message: one.Message, Location: one.Path, Hint: one.Hint})
		}
		return nil, p
	}
	if err := s.haveTools(d); err != nil {
		return nil, err
	}
	return json.Marshal(d)
}

// haveTools is hasTools for all that a workflow runs.
func (s *Server) haveTools(d *workflow.Definition) error {
	for _, one := range d.Agents {
		if err := s.hasTools(one); err != nil {
			return err
		}
	}
	for _, below := range d.Workflows {
		if err := s.haveTools(below); err != nil {
			return err
		}
	}
	return s.hasTools(d.Hands)
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

// File is what the server's file makes known.
type File struct {
	Agents    map[string]agent.Definition
	Planned   map[string]*workflow.Definition // agents that run as workflows, by name
	Workflows map[string]*workflow.Definition
	Triggers  []trigger.Definition
}

// Load makes known what a file has. Agents and workflows that an earlier file had and this one has
// not stay as they are, for whoever uses them; triggers are removed, unless somebody has set them since.
// It may be done again at any time, also where it was cut off in the middle. Error: unavailable.
func (s *Server) Load(ctx context.Context, f File) error {
	for name, d := range f.Agents {
		d.Name = cmp.Or(d.Name, name)
		if err := s.loaded(ctx, s.agents, name, "", d); err != nil {
			return err
		}
	}
	for name, d := range f.Planned {
		if err := s.loaded(ctx, s.agents, name, workflow.Program, d); err != nil {
			return err
		}
	}
	for name, d := range f.Workflows {
		if err := s.loaded(ctx, s.flows, name, "", d); err != nil {
			return err
		}
	}
	return s.filed.Load(ctx, f.Triggers)
}

func (s *Server) loaded(ctx context.Context, known *catalog.Catalog, name, program string, d any) error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return known.Put(ctx, name, catalog.FromFile, catalog.Edition{Program: program, Definition: data}, -1)
}
