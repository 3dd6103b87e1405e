package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
)

func (s *Server) interrupts() {
	const read, write = access.ApprovalsRead, access.ApprovalsWrite
	add(s, Route{Method: http.MethodGet, Path: client.Version + "/approvals", ID: "list-approvals", Scope: read, Summary: "List what waits for a person"}, s.questions)
	add(s, Route{Method: http.MethodPost, Path: runsPath + "/{id}/answer", ID: "answer-run", Scope: write, Summary: "Answer a question; the first answer counts", Body: 16 << 20},
		func(ctx context.Context, in *about[client.Answer]) (*body[durable.Run], error) {
			run, err := s.mine(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			a := durable.Reply{Interrupt: in.Body.Interrupt, Value: in.Body.Value, Digest: in.Body.Digest, By: by(ctx, in.Body.By)}
			if err := s.rt.Reply(ctx, run.ID, a); err != nil {
				return nil, err
			}
			return reply(s.rt.Get(ctx, run.ID))
		})
	add(s, Route{Method: http.MethodPost, Path: runsPath + "/{id}/approve", ID: "approve-run", Scope: write, Summary: "Decide on a call that an agent wants to make", Body: 16 << 20},
		func(ctx context.Context, in *about[client.Approve]) (*body[durable.Run], error) {
			run, err := s.mine(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			a := orpine.Approval{Decision: in.Body.Decision, Interrupt: in.Body.Interrupt, Digest: in.Body.Digest, By: by(ctx, in.Body.By)}
			if err := s.rt.Approve(ctx, run.ID, a); err != nil {
				return nil, err
			}
			return reply(s.rt.Get(ctx, run.ID))
		})
	add(s, Route{Method: http.MethodGet, Path: client.Version + "/rules", ID: "list-rules", Scope: read, Summary: "List the decisions that stand"}, s.listRules)
	add(s, Route{Method: http.MethodDelete, Path: client.Version + "/rules/{id}", ID: "delete-rule", Scope: write, Summary: "Take back a decision that stands", Status: http.StatusNoContent}, s.deleteRule)
}

// by is who says something: whom the token names, or, where there is none, whoever it says.
func by(ctx context.Context, said string) string {
	if id := who(ctx); id.ID != "" || said == "" {
		return id.Name
	}
	return said
}

type questionsRequest struct {
	To string `query:"to" doc:"Only those put to this name, or to nobody by name"`
}

func (s *Server) questions(ctx context.Context, in *questionsRequest) (*body[[]client.Question], error) {
	found, err := s.rt.Questions(ctx, durable.Filter{Tenant: who(ctx).Tenant})
	list := []client.Question{}
	for _, q := range found {
		if in.To == "" || len(q.To) == 0 || slices.Contains(q.To, in.To) {
			list = append(list, client.Question(q))
		}
	}
	return reply(list, err)
}

func (s *Server) listRules(ctx context.Context, _ *nothing) (*body[[]orpine.Standing], error) {
	rules, err := s.rt.Rules(ctx, who(ctx).Tenant)
	return reply(orEmpty(rules), err)
}

func (s *Server) deleteRule(ctx context.Context, in *item) (*none, error) {
	return &none{}, s.rt.RemoveRule(ctx, who(ctx).Tenant, in.ID)
}
