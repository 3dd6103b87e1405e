package server

import (
	"context"
	"net/http"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/workflow"
)

// workflows registers what is asked of workflows.
func (s *Server) workflows() {
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}/progress", ID: "get-progress", Scope: access.RunsRead, Summary: "Get how far a run of a workflow has come"}, s.progressOf)
	add(s, Route{Method: http.MethodPost, Path: runsPath + "/{id}/migrate", ID: "migrate-run", Scope: access.AgentsWrite, Summary: "Have a run go on by another definition of its workflow", Body: 16 << 20}, s.migrate)
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
	return reply(workflow.Fit{Status: workflow.FitOK}, s.rt.Migrate(ctx, run.ID, in.Body.Definition))
}

type assetsRequest struct {
	Asset string `query:"asset" maxLength:"200" doc:"Only this one"`
}

func (s *Server) assets(ctx context.Context, in *assetsRequest) (*body[[]workflow.Materialization], error) {
	return reply(s.rt.Assets(ctx, who(ctx).Tenant, in.Asset))
}
