package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/server/hook"
	"github.com/orpine-run/orpine/trigger"
	"github.com/orpine-run/orpine/workflow"
)

const triggersPath = client.Version + "/triggers"

// triggers registers what is asked of triggers. To set one takes what it takes to put an agent: it
// says what is run, and with what.
func (s *Server) triggers() {
	const read, write, put = access.RunsRead, access.RunsWrite, access.AgentsWrite
	path := triggersPath + "/{name}"
	add(s, Route{Method: http.MethodGet, Path: triggersPath, ID: "list-triggers", Scope: read, Summary: "List the triggers and schedules, with what became of them"}, s.listTriggers)
	add(s, Route{Method: http.MethodGet, Path: path, ID: "get-trigger", Scope: read, Summary: "Get a trigger"}, s.getTrigger)
	add(s, Route{Method: http.MethodPut, Path: path, ID: "put-trigger", Scope: put, Summary: "Set a trigger: a new one begins, one that is there goes on by the definition", Body: 16 << 20}, s.putTrigger)
	add(s, Route{Method: http.MethodDelete, Path: path, ID: "delete-trigger", Scope: put, Summary: "Remove a trigger; what it has started goes on", Status: http.StatusNoContent}, s.deleteTrigger)
	tell(s, "pause", "Let a trigger start nothing until it is resumed", func(ctx context.Context, tenant, name, _ string, _ nothing) error {
		return s.rt.PauseTrigger(ctx, tenant, name)
	})
	tell(s, "resume", "Let a trigger go on", func(ctx context.Context, tenant, name, _ string, _ nothing) error {
		return s.rt.ResumeTrigger(ctx, tenant, name)
	})
	tell(s, "fire", "Start a run of a trigger now", s.fire)
	tell(s, "backfill", "Start what was due in a stretch of time and has no run", func(ctx context.Context, tenant, name, _ string, b trigger.Backfill) error {
		return s.rt.BackfillTrigger(ctx, tenant, name, b)
	})
	add(s, Route{Method: http.MethodPost, Path: client.Version + "/events", ID: "emit-event", Scope: write, Summary: "Tell the triggers that hear an event of it"}, s.emit)
	s.webhooksIn()
}

// TriggerRef is a request about a trigger.
type TriggerRef struct {
	Name string `path:"name" maxLength:"128"`
	OfTenant
}

// OfTenant says whose something is that has a name.
type OfTenant struct {
	Tenant string `query:"tenant" maxLength:"200" doc:"Whose; with a token of a tenant only that one"`
}

// tell registers a verb by which a trigger is told something, once under a key: the ID is the same
// when the request is sent again, and "" without a key.
func tell[T any](s *Server, verb, summary string, do func(ctx context.Context, tenant, name, id string, in T) error) {
	type request struct {
		TriggerRef
		OnceKey
		Body T
	}
	r := Route{Method: http.MethodPost, Path: triggersPath + "/{name}/" + verb, ID: verb + "-trigger", Scope: access.RunsWrite, Summary: summary}
	add(s, r, func(ctx context.Context, in *request) (*body[orpine.Trigger], error) {
		tenant, err := tenantFor(ctx, in.Tenant)
		if err != nil {
			return nil, err
		}
		id, _, err := s.once(ctx, verb+"-trigger "+in.Name, in.Key, tenant, in.Body, "")
		if err != nil {
			return nil, err
		}
		if err := do(ctx, tenant, in.Name, string(id), in.Body); err != nil {
			return nil, err
		}
		return s.trigger(ctx, tenant, in.Name)
	})
}

// trigger is the answer about one trigger. What it starts is shown to who may see the agents.
func (s *Server) trigger(ctx context.Context, tenant, name string) (*body[orpine.Trigger], error) {
	t, err := s.rt.Trigger(ctx, tenant, name)
	if !who(ctx).May(access.AgentsRead) {
		t.Definition.Start.Definition = nil
	}
	return reply(t, err)
}

func (s *Server) getTrigger(ctx context.Context, in *TriggerRef) (*body[orpine.Trigger], error) {
	tenant, err := tenantFor(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return s.trigger(ctx, tenant, in.Name)
}

func (s *Server) listTriggers(ctx context.Context, in *OfTenant) (*body[[]orpine.Trigger], error) {
	tenant, err := tenantFor(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	list, err := s.rt.Triggers(ctx, tenant)
	for i := range list {
		list[i].Definition.Start.Definition = nil // it may be long, and is not what a list is for
	}
	return reply(orEmpty(list), err)
}

type putTriggerRequest struct {
	TriggerRef
	Body json.RawMessage `contentType:"application/json"`
}

func (s *Server) putTrigger(ctx context.Context, in *putTriggerRequest) (*body[orpine.Trigger], error) {
	tenant, err := tenantFor(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	var d trigger.Definition
	if err := strictly(in.Body, "trigger.Definition", &d); err != nil {
		return nil, err
	}
	d.Name = in.Name
	if err := s.startable(ctx, &d.Start); err != nil {
		return nil, err
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	if err := s.filed.ByHand(ctx, tenant, d.Name); err != nil {
		return nil, err
	}
	if _, err := s.rt.SetTrigger(ctx, tenant, d); err != nil {
		return nil, err
	}
	return s.trigger(ctx, tenant, d.Name)
}

// startable looks at what a trigger starts. An agent or a workflow without a definition is the one
// that the server knows by the name, as it is now. Errors: invalid, not_found.
func (s *Server) startable(ctx context.Context, start *trigger.Start) error {
	switch start.Program {
	case agent.Program, workflow.Program:
	default:
		if slices.Contains(ownPrograms, start.Program) {
			return durable.Errorf(durable.CodeInvalid, "start.program: a trigger does not start %s; it starts agent, workflow or a program of your own", start.Program)
		}
		return nil
	}
	if start.Definition == nil {
		of := client.StartRun{Agent: start.Name}
		if start.Program == workflow.Program {
			of = client.StartRun{Workflow: start.Name}
		}
		return s.fill(ctx, start, of)
	}
	if start.Program == agent.Program {
		_, err := readAgent("", start.Definition)
		return err
	}
	d, err := workflow.Decode(start.Definition)
	if err != nil {
		return err
	}
	return workflow.Compile(d)
}

// fill takes the definition of what a trigger starts from what the server knows.
func (s *Server) fill(ctx context.Context, start *trigger.Start, of client.StartRun) error {
	from, name := s.agents, of.Agent
	if of.Workflow != "" {
		from, name = s.flows, of.Workflow
	}
	if name == "" {
		return durable.Errorf(durable.CodeInvalid, "start: say the definition of what is started, or the name under which the server knows it")
	}
	a, _, err := from.Get(ctx, name, "")
	if err == nil && a.Program != "" {
		err = durable.Errorf(durable.CodeInvalid, "start: agent %s runs as a workflow: give its definition with the program workflow", name)
	}
	start.Definition = a.Definition
	return err
}

func (s *Server) deleteTrigger(ctx context.Context, in *TriggerRef) (*none, error) {
	tenant, err := tenantFor(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	if err := s.filed.ByHand(ctx, tenant, in.Name); err != nil {
		return nil, err
	}
	return &none{}, s.rt.RemoveTrigger(ctx, tenant, in.Name)
}

// fire starts a run of a trigger. Who may not say what agents and workflows are made of may not do so
// by their input either, which could hold the results of steps, or the thread of somebody else.
func (s *Server) fire(ctx context.Context, tenant, name, id string, in client.Fire) error {
	f := trigger.Fire{ID: id, Input: in.Input}
	if in.Input == nil || who(ctx).May(access.AgentsWrite) {
		return s.rt.FireTrigger(ctx, tenant, name, f)
	}
	t, err := s.rt.Trigger(ctx, tenant, name)
	if err != nil {
		return err
	}
	var plain any
	switch t.Definition.Start.Program {
	case agent.Program:
		plain = &struct {
			Text string `json:"text"`
		}{}
	case workflow.Program:
		plain = &struct {
			Input  json.RawMessage `json:"input,omitempty"`
			Select []string        `json:"select,omitempty"`
		}{}
	default:
		if slices.Contains(s.cfg.Private, t.Definition.Start.Program) {
			return durable.Errorf(durable.CodeDenied, "program %s reaches files of this machine: token %s needs the scope %s to give it another input", t.Definition.Start.Program, who(ctx).Name, access.AgentsWrite)
		}
		return s.rt.FireTrigger(ctx, tenant, name, f)
	}
	dec := json.NewDecoder(bytes.NewReader(in.Input))
	dec.DisallowUnknownFields()
	if err := dec.Decode(plain); err != nil {
		return durable.Errorf(durable.CodeDenied, "the input: %w; token %s may say the text of an agent, or the input and select of a workflow: more takes the scope %s", err, who(ctx).Name, access.AgentsWrite)
	}
	if f.Input, err = json.Marshal(plain); err != nil {
		return err
	}
	return s.rt.FireTrigger(ctx, tenant, name, f)
}

type emitRequest struct {
	OfTenant
	OnceKey
	Body trigger.Occurred
}

func (s *Server) emit(ctx context.Context, in *emitRequest) (*body[client.Told], error) {
	tenant, err := tenantFor(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	e := in.Body
	if strings.HasPrefix(e.Name, hook.Event) {
		return nil, durable.Errorf(durable.CodeDenied, "event %s is that of a webhook, whose requests are signed: POST %s/NAME", e.Name, hooksPath)
	}
	id, _, err := s.once(ctx, "emit-event", in.Key, tenant, e, "")
	if err != nil {
		return nil, err
	}
	if e.ID == "" && id != "" {
		e.ID = "key/" + string(id)
	}
	told, err := s.rt.Emit(ctx, tenant, e)
	return reply(client.Told{Triggers: told}, err)
}
