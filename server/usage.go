package server

import (
	"context"
	"encoding/json"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

// usage adds up what a run and its children have used by now: agents say it with their
// answers, and those that are at work with each model call.
func (s *Server) usage(ctx context.Context, run durable.Run, u *client.Usage, left *int) error {
	if *left--; *left < 0 {
		return durable.Errorf(durable.CodeExhausted, "the run has more than %d children: ask for the usage of those", maxNodes)
	}
	if run.Program == agent.Program {
		if err := s.ofAgent(ctx, run, u); err != nil {
			return err
		}
	}
	children, err := s.rt.List(ctx, durable.Filter{Parent: run.ID, Oldest: true, Limit: maxNodes})
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := s.usage(ctx, c, u, left); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) ofAgent(ctx context.Context, run durable.Run, u *client.Usage) error {
	whole, err := s.rt.Get(ctx, run.ID) // a list has no outputs
	if err != nil {
		return err
	}
	var a agent.Answer
	if len(whole.Output) > 0 && json.Unmarshal(whole.Output, &a) == nil {
		u.Usage, u.Calls, u.Cost = u.Add(a.Usage), u.Calls+a.Turns, u.Cost+a.Cost
		return nil
	}
	calls, used, err := s.rt.AgentUsage(ctx, run.ID)
	u.Usage, u.Calls = u.Add(used), u.Calls+calls
	return err
}
