package server

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/trigger"
	"github.com/orpine-run/orpine/workflow"
)

// ownPrograms are those of the runtime itself: what they are told is not for others to say.
var ownPrograms = []string{agent.Program, agent.ThreadProgram, workflow.Program, trigger.Program, "webhook"}

// request turns what a client asks for into what the engine starts.
func (s *Server) request(ctx context.Context, in client.StartRun) (req durable.StartRequest, err error) {
	tenant, err := tenantFor(ctx, in.Tenant)
	if err != nil {
		return req, err
	}
	said := 0
	for _, is := range []bool{in.Agent != "", in.Workflow != "", in.Definition != nil, in.Program != "" && in.Program != workflow.Program} {
		if is {
			said++
		}
	}
	ofProgram := in.Program != "" || in.Workflow != ""
	switch {
	case said != 1:
		return req, durable.Errorf(durable.CodeInvalid, "say one of agent, workflow, definition and program: which of them is to run")
	case in.Definition != nil && !who(ctx).May(access.AgentsWrite):
		return req, durable.Errorf(durable.CodeDenied, "token %s may not bring an agent or a workflow with it, which could name whatever is on this machine: that takes the scope %s", who(ctx).Name, access.AgentsWrite)
	case in.Definition == nil && slices.Contains(ownPrograms, in.Program):
		return req, durable.Errorf(durable.CodeInvalid, "program %s is not started by its name: say agent or workflow, set a trigger, or start a thread", in.Program)
	case slices.Contains(s.cfg.Private, in.Program) && !who(ctx).May(access.AgentsWrite):
		return req, durable.Errorf(durable.CodeDenied, "program %s reaches files of this machine: token %s needs the scope %s to start it", in.Program, who(ctx).Name, access.AgentsWrite)
	case ofProgram && in.Text != "", !ofProgram && in.Input != nil:
		return req, durable.Errorf(durable.CodeInvalid, "an agent is told a text, a program or a workflow is given an input: say the one that fits")
	case in.Select != nil && in.Workflow == "":
		return req, durable.Errorf(durable.CodeInvalid, "select goes with a workflow by name")
	case in.Program == workflow.Program:
		req, err = comesWith(in)
	case in.Program != "":
		req = durable.StartRequest{Program: in.Program, Input: in.Input}
	case in.Definition != nil:
		var d agent.Definition
		if d, err = readAgent("", in.Definition); err == nil {
			req, err = agent.Start(d, in.Text)
		}
	default:
		req, err = s.byName(ctx, in)
	}
	req.ID, req.Name, req.Queue, req.Priority, req.Tenant = in.ID, cmp.Or(in.Name, req.Name), in.Queue, in.Priority, tenant
	return req, err
}

// byName is request for an agent or a workflow that the server knows.
func (s *Server) byName(ctx context.Context, in client.StartRun) (req durable.StartRequest, err error) {
	from, name := s.agents, in.Agent
	if in.Workflow != "" {
		from, name = s.flows, in.Workflow
	}
	a, _, err := from.Get(ctx, name, in.Version)
	if err != nil {
		return req, err
	}
	if from == s.agents && a.Program == "" {
		d, err := agent.Decode(a.Definition)
		if err != nil {
			return req, err
		}
		return agent.Start(d, in.Text)
	}
	d, err := workflow.Decode(a.Definition)
	if err != nil {
		return req, err
	}
	if from == s.agents { // one that plans: its workflow is told the text
		if in.Input, err = json.Marshal(map[string]string{"text": in.Text}); err != nil {
			return req, err
		}
	}
	return workflow.Start(d, workflow.Input{Input: in.Input, Select: in.Select})
}

// comesWith is request for a workflow that comes with it. Its input is one of workflow.Input, of which
// only what a caller may say is taken: the rest would be the results of steps that never ran.
func comesWith(in client.StartRun) (durable.StartRequest, error) {
	d, err := workflow.Decode(in.Definition)
	if err != nil {
		return durable.StartRequest{}, err
	}
	var input workflow.Input
	if err := json.Unmarshal(orNull(in.Input), &input); err != nil {
		return durable.StartRequest{}, durable.Errorf(durable.CodeInvalid, "the input of a workflow: %w", err)
	}
	return workflow.Start(d, workflow.Input{Input: input.Input, Select: input.Select})
}

func orNull(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return json.RawMessage("null")
	}
	return data
}
