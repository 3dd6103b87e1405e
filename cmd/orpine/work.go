package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

// work is what FILE[#NAME] names: an agent, or a workflow.
type work struct {
	agent agent.Definition
	flow  *workflow.Definition // nil = it is an agent
	text  bool                 // the workflow is that of an agent, and is told a text
}

// work reads what FILE[#NAME] names. With a model that is used in place of those of the file.
func (a *app) work(ref, modelName string) (work, error) {
	path, name, named := strings.Cut(ref, "#")
	f, err := config.Load(path, a.env)
	if err != nil {
		return work{}, err
	}
	if !named {
		if name, err = onlyOne(f, path); err != nil {
			return work{}, err
		}
	}
	return a.workOf(f, path, name, modelName)
}

// workOf is what a name means in a file.
func (a *app) workOf(f *config.File, path, name, modelName string) (work, error) {
	gear, err := a.outfit()
	if err != nil {
		return work{}, err
	}
	if slices.Contains(f.WorkflowNames(), name) {
		d, err := gear.Workflow(f, name)
		if err != nil {
			return work{}, err
		}
		useModel(d, modelName)
		return work{flow: d}, nil
	}
	if !slices.Contains(f.AgentNames(), name) {
		what := "agent"
		if len(f.Workflows) > 0 {
			what = "agent or workflow"
		}
		return work{}, durable.Errorf(durable.CodeNotFound, "%s has no %s %q; it has %s", path, what, name, strings.Join(runnable(f), ", "))
	}
	flow, err := gear.Planned(f, name)
	if flow != nil || err != nil {
		useModel(flow, modelName)
		return work{flow: flow, text: true}, err
	}
	d, err := gear.Definition(f, name)
	if modelName != "" {
		d.Model = modelName
	}
	return work{agent: d}, err
}

// onlyOne is what a file means that is named alone: its only workflow, or where it has none its
// only agent.
func onlyOne(f *config.File, path string) (string, error) {
	names := f.WorkflowNames()
	if len(names) == 0 {
		names = f.AgentNames()
	}
	if len(names) == 1 {
		return names[0], nil
	}
	what := counted(len(f.Agents), "agent")
	if n := len(f.Workflows); n > 0 {
		what = counted(n, "workflow") + " and " + what
	}
	return "", durable.Errorf(durable.CodeInvalid, "%s has %s; name one: %s#%s", path, what, path, strings.Join(runnable(f), ", #"))
}

// runnable are the names of what a file has that can be run.
func runnable(f *config.File) []string { return append(f.WorkflowNames(), f.AgentNames()...) }

// useModel has all agents of a workflow use a model.
func useModel(d *workflow.Definition, name string) {
	if name == "" || d == nil {
		return
	}
	for who, one := range d.Agents {
		one.Model = name
		d.Agents[who] = one
	}
	for _, below := range d.Workflows {
		useModel(below, name)
	}
}

// models are those that the work needs.
func (w work) models() []string {
	if w.flow == nil {
		return []string{w.agent.Model}
	}
	var list []string
	for _, one := range w.flow.Agents {
		list = append(list, one.Model)
	}
	for _, below := range w.flow.Workflows {
		list = append(list, work{flow: below}.models()...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// request asks for a run of the work on what was given.
func (w work) request(c *runCmd, a *app) (durable.StartRequest, error) {
	if w.flow == nil {
		if len(c.Select) > 0 {
			return durable.StartRequest{}, durable.Errorf(durable.CodeInvalid, "--select goes with workflows, and %s is an agent", w.agent.Name)
		}
		text, err := c.input(a)
		if err != nil {
			return durable.StartRequest{}, err
		}
		return agent.Start(w.agent, text)
	}
	in := workflow.Input{Select: c.Select}
	var err error
	if w.text {
		text, err := c.input(a)
		if err != nil {
			return durable.StartRequest{}, err
		}
		if in.Input, err = json.Marshal(map[string]string{"text": text}); err != nil {
			return durable.StartRequest{}, err
		}
		return workflow.Start(w.flow, in)
	}
	if in.Input, err = inputOf(a, c.Input, w.flow.Input); err != nil {
		return durable.StartRequest{}, err
	}
	return workflow.Start(w.flow, in)
}

// startRun is a request as a server takes it.
func startRun(req durable.StartRequest) (client.StartRun, error) {
	s := client.StartRun{ID: req.ID, Definition: req.Definition, Name: req.Name}
	if req.Program == workflow.Program {
		s.Program, s.Input = req.Program, req.Input
		return s, nil
	}
	var in agent.Input
	err := json.Unmarshal(req.Input, &in)
	s.Text = in.Text
	return s, err
}

// inputOf reads the input of a workflow: one JSON object, @FILE or - for standard input, or
// NAME=VALUE for each field. A value is JSON where the field is no text and it can be read as such.
func inputOf(a *app, args []string, schema json.RawMessage) (json.RawMessage, error) {
	if len(args) == 1 && !strings.Contains(strings.SplitN(args[0], "{", 2)[0], "=") {
		return wholeInput(a, args[0])
	}
	var known struct {
		Properties map[string]struct {
			Type any `json:"type"`
		} `json:"properties"`
	}
	_ = json.Unmarshal(schema, &known) // one that names no fields takes all
	fields := map[string]json.RawMessage{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, durable.Errorf(durable.CodeInvalid, "input %q: write NAME=VALUE for each field, or one JSON object, @FILE or -", arg)
		}
		if raw := json.RawMessage(value); known.Properties[name].Type != "string" && json.Valid(raw) {
			fields[name] = raw
			continue
		}
		quoted, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		fields[name] = quoted
	}
	return json.Marshal(fields)
}

func wholeInput(a *app, arg string) (json.RawMessage, error) {
	if arg != "-" {
		return readValue(arg)
	}
	data, err := io.ReadAll(a.stdin)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if !json.Valid(bytes.TrimSpace(data)) {
		return nil, durable.Errorf(durable.CodeInvalid, "standard input is not JSON")
	}
	return bytes.TrimSpace(data), nil
}
