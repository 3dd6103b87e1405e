package server

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/workflow"
)

// workflows registers what is asked of the runs of workflows.
func (s *Server) workflows() {
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}/progress", ID: "get-progress", Scope: access.RunsRead, Summary: "Get how far a run of a workflow has come"}, s.progressOf)
	add(s, Route{Method: http.MethodPost, Path: runsPath + "/{id}/migrate", ID: "migrate-run", Scope: access.AgentsWrite, Summary: "Have a run go on by another definition of its workflow", Body: 16 << 20}, s.migrate)
	add(s, Route{Method: http.MethodGet, Path: client.Version + "/workflows/{name}/graph", ID: "graph-workflow", Scope: access.AgentsRead, Summary: "Get the steps of a workflow, and what each of them needs"}, s.graph)
	add(s, Route{Method: http.MethodGet, Path: client.Version + "/assets", ID: "list-assets", Scope: access.RunsRead, Summary: "List the newest of what the steps of workflows have made, each partition by itself"}, s.assets)
}

// errNoProgress is for a process that has no programs of its own to replay with.
var errNoProgress = durable.Errorf(durable.CodeUnavailable, "this process replays nothing; orpine serve does, and orpine show on the data directory")

func (s *Server) progressOf(ctx context.Context, in *RunRef) (*body[workflow.View], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if s.cfg.Fresh == nil {
		return nil, errNoProgress
	}
	return reply(s.rt.Progress(ctx, s.cfg.Fresh(), run.ID))
}

func (s *Server) migrate(ctx context.Context, in *about[client.Migrate]) (*body[workflow.Fit], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	to := in.Body
	if (to.Definition == nil) == (to.Workflow == "") || to.Workflow == "" && to.Version != "" {
		return nil, durable.Errorf(durable.CodeInvalid, "say a definition, or the name of a workflow and perhaps a version of it")
	}
	if to.Workflow != "" {
		a, err := s.flow(ctx, to.Workflow, to.Version)
		if err != nil {
			return nil, err
		}
		to.Definition = a.Definition
	}
	return reply(workflow.Fit{Status: workflow.FitOK}, s.rt.Migrate(ctx, run.ID, to.Definition))
}

// flow finds the workflow of a name, which may be that of an agent. Error: not_found.
func (s *Server) flow(ctx context.Context, name, version string) (client.Workflow, error) {
	w, _, err := s.flows.Get(ctx, name, version)
	if errors.Is(err, durable.ErrNotFound) {
		if a, _, other := s.agents.Get(ctx, name, version); other == nil && a.Program == workflow.Program {
			return a, nil
		}
	}
	return w, err
}

// now is the workflow that there is now under a name.
func (s *Server) now(ctx context.Context, name string) (*workflow.Definition, error) {
	w, err := s.flow(ctx, name, "")
	if err != nil {
		return nil, err
	}
	return workflow.Decode(w.Definition)
}

// graph is what a run of a workflow would walk, as the progress of a run that has not begun.
func (s *Server) graph(ctx context.Context, in *namedRequest) (*body[workflow.View], error) {
	a, err := s.flow(ctx, in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	d, err := workflow.Decode(a.Definition)
	if err != nil {
		return nil, err
	}
	return reply(workflow.Draw(d))
}

type assetsRequest struct {
	Asset     string `query:"asset" maxLength:"200" doc:"Only this one"`
	Partition string `query:"partition" maxLength:"200" doc:"Only this part of each"`
}

// assets lists what was made, with the run and the step that made it and the assets it was made of.
func (s *Server) assets(ctx context.Context, in *assetsRequest) (*body[[]workflow.Materialization], error) {
	list, err := s.rt.Assets(ctx, who(ctx).Tenant, in.Asset)
	if in.Partition != "" {
		list = slices.DeleteFunc(list, func(m workflow.Materialization) bool { return m.Partition != in.Partition })
	}
	return reply(list, err)
}
