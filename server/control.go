package server

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/trigger"
)

// verb registers what is done to a run and answers with what the run is then.
func verb[T any](s *Server, name, summary string, do func(ctx context.Context, run durable.Run, by string, in T) error) {
	r := Route{Method: http.MethodPost, Path: runsPath + "/{id}/" + name, ID: name + "-run", Scope: access.RunsWrite, Summary: summary, Body: 16 << 20}
	add(s, r, func(ctx context.Context, in *about[T]) (*body[durable.Run], error) {
		run, err := s.mine(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		if err := do(ctx, run, who(ctx).Name, in.Body); err != nil {
			return nil, err
		}
		return reply(s.rt.Get(ctx, run.ID))
	})
}

// ownSignal reports whether a signal is one by which the runtime itself speaks to a program of its own.
// All that a trigger hears is: it is told by its routes, which hold it against the scopes.
func ownSignal(program, name string) bool {
	switch program {
	case trigger.Program:
		return true
	case agent.Program, agent.ThreadProgram:
		return slices.Contains([]string{agent.SteerSignal, agent.BeginSignal, agent.TurnSignal}, name)
	}
	return strings.HasPrefix(name, durable.OwnSignals)
}

// nothing is the body of a verb that says nothing more.
type nothing struct{}

func (s *Server) control() {
	verb(s, "pause", "Stop a run and its children until they are resumed", func(ctx context.Context, run durable.Run, by string, _ nothing) error {
		return s.rt.PauseAs(ctx, run.ID, by)
	})
	verb(s, "resume", "Let a paused run go on, or a blocked one try again", func(ctx context.Context, run durable.Run, by string, _ nothing) error {
		return s.rt.ResumeAs(ctx, run.ID, by)
	})
	verb(s, "cancel", "Ask a run and its children to stop; their clean-up runs", func(ctx context.Context, run durable.Run, by string, in client.Reason) error {
		return s.rt.CancelAs(ctx, run.ID, in.Reason, by)
	})
	verb(s, "kill", "End a run and its children now; none of their code runs", func(ctx context.Context, run durable.Run, by string, in client.Reason) error {
		reason := in.Reason
		if reason == "" {
			reason = "killed by " + by
		}
		return s.rt.Kill(ctx, run.ID, reason)
	})
	verb(s, "steer", "Tell an agent something while it is at work", func(ctx context.Context, run durable.Run, _ string, in client.Steer) error {
		return s.rt.Steer(ctx, run.ID, in.Text)
	})
	verb(s, "send", "Send a run a signal", func(ctx context.Context, run durable.Run, _ string, in durable.Signal) error {
		if ownSignal(run.Program, in.Name) {
			return durable.Errorf(durable.CodeInvalid, "signal %s is one of the runtime itself: steer the agent, start a turn of the thread, migrate the run, or see /v1/triggers", in.Name)
		}
		return s.rt.Signal(ctx, run.ID, in)
	})
	verb(s, "resolve", "Say what became of a step in doubt", func(ctx context.Context, run durable.Run, _ string, in client.Resolve) error {
		if slices.Contains(ownPrograms, run.Program) && bytes.Contains(in.Done, []byte(`"hash"`)) && !who(ctx).May(access.AgentsWrite) {
			return durable.Errorf(durable.CodeDenied, "a result that refers to a blob takes the scope %s: write the content itself", access.AgentsWrite)
		}
		return s.rt.Resolve(ctx, run.ID, in.Step, in.Resolution)
	})
	s.branch("fork", "Start a run that goes another way from a step of a run on", (*orpine.Runtime).Fork)
	s.branch("retry", "Start a run that takes up one that did not succeed", (*orpine.Runtime).Retry)
}

type branchRequest struct {
	RunRef
	OnceKey
	Body client.Fork
}

// branch registers a verb that makes a run of a run.
func (s *Server) branch(name, summary string, do func(*orpine.Runtime, context.Context, durable.RunID, orpine.ForkRequest) (durable.RunID, error)) {
	r := Route{Method: http.MethodPost, Path: runsPath + "/{id}/" + name, ID: name + "-run", Scope: access.RunsWrite, Summary: summary, Status: http.StatusCreated, Body: 16 << 20}
	add(s, r, func(ctx context.Context, in *branchRequest) (*created[durable.Run], error) {
		run, err := s.mine(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		if run.Program == trigger.Program {
			return nil, durable.Errorf(durable.CodeInvalid, "run %s is a trigger, of which there is one under a name: set another with PUT %s/NAME", run.ID, triggersPath)
		}
		own := slices.Contains(ownPrograms, run.Program) && (in.Body.Input != nil || len(in.Body.Results) > 0)
		if (own || in.Body.Definition != nil || in.Body.Model != "") && !who(ctx).May(access.AgentsWrite) {
			return nil, durable.Errorf(durable.CodeDenied,
				"token %s may not change what a run of program %s was told: another definition, model, input or result takes the scope %s", who(ctx).Name, run.Program, access.AgentsWrite)
		}
		req, err := forkRequest(in.Body)
		if err != nil {
			return nil, err
		}
		made, again, err := s.once(ctx, name+" "+string(run.ID), in.Key, run.Tenant, in.Body, req.ID)
		if err != nil {
			return nil, err
		}
		req.ID = made
		id, err := do(s.rt, ctx, run.ID, req)
		if durable.CodeOf(err) == durable.CodeConflict && again {
			if there, gone := s.rt.Get(ctx, made); gone == nil && there.Tenant == run.Tenant {
				id, err = made, nil
			}
		}
		if err != nil {
			return nil, err
		}
		fork, err := s.rt.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		return &created[durable.Run]{Location: runsPath + "/" + string(id), Body: fork}, nil
	})
}

func forkRequest(in client.Fork) (orpine.ForkRequest, error) {
	var req orpine.ForkRequest
	req.ID, req.Name, req.Model, req.Input, req.Definition, req.From = in.ID, in.Name, in.Model, in.Input, in.Definition, in.From
	var err error
	if in.At != "" {
		if req.At, err = durable.ParseStepID(in.At); err != nil {
			return req, err
		}
	}
	for _, r := range in.Results {
		step, err := durable.ParseStepID(r.Step)
		if err != nil {
			return req, err
		}
		req.Results = append(req.Results, orpine.Result{Step: step, Output: r.Output})
	}
	return req, nil
}
