package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/workflow"
)

// Workflow is an entry of the workflows section; see package workflow for what its fields mean.
type Workflow struct {
	Description string              `json:"description,omitempty"`
	Input       json.RawMessage     `json:"input,omitempty"`
	Output      json.RawMessage     `json:"output,omitempty"`
	State       map[string]StateKey `json:"state,omitempty"`
	Budget      WorkflowBudget      `json:"budget,omitzero"`
	Concurrency int                 `json:"concurrency,omitempty"`
	FailFast    bool                `json:"fail_fast,omitempty"`
	Permissions tool.Policy         `json:"permissions,omitzero"`
	Approval    agent.Approval      `json:"approval,omitzero"`
	Steps       Steps               `json:"steps"`
}

// StateKey is an entry of the state of a Workflow.
type StateKey struct {
	Merge   workflow.Merge  `json:"merge,omitempty"`
	Initial json.RawMessage `json:"initial,omitempty"`
}

// WorkflowBudget is the budget of a Workflow.
type WorkflowBudget struct {
	Cost   float64       `json:"cost,omitempty"`
	Tokens int           `json:"tokens,omitempty"`
	Time   time.Duration `json:"time,omitempty"`
}

// Steps are steps in the order of the file; ordered where they are written as a list.
type Steps struct {
	Ordered bool   `json:"ordered,omitempty"`
	List    []Step `json:"list"`
}

// Step is a step of a Workflow.
type Step struct {
	ID          string          `json:"id"`
	Description string          `json:"description,omitempty"`
	Needs       []string        `json:"needs,omitempty"`
	Join        string          `json:"join,omitempty"`
	If          string          `json:"if,omitempty"`
	ForEach     json.RawMessage `json:"for_each,omitempty"`
	Concurrency int             `json:"concurrency,omitempty"`
	Retry       *workflow.Retry `json:"retry,omitempty"`
	Timeout     time.Duration   `json:"timeout,omitempty"`
	OnError     StepError       `json:"on_error,omitzero"`
	Compensate  *Step           `json:"compensate,omitempty"`
	Cache       *workflow.Cache `json:"cache,omitempty"`
	Output      json.RawMessage `json:"output,omitempty"`
	Save        workflow.Values `json:"save,omitempty"`
	Asset       string          `json:"asset,omitempty"`
	Partition   string          `json:"partition,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	Checks      []StepCheck     `json:"checks,omitempty"`

	Agent    string            `json:"agent,omitempty"`
	Prompt   string            `json:"prompt,omitempty"`
	Tool     string            `json:"tool,omitempty"`
	With     json.RawMessage   `json:"with,omitempty"`
	Run      []string          `json:"run,omitempty"`
	Stdin    string            `json:"stdin,omitempty"`
	Env      map[string]string `json:"env,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty"`
	Sandbox  *Sandbox          `json:"sandbox,omitempty"`
	Effect   durable.Effect    `json:"effect,omitempty"`
	Workflow string            `json:"workflow,omitempty"`
	Human    *StepHuman        `json:"human,omitempty"`
	Wait     *workflow.Wait    `json:"wait,omitempty"`
	Set      workflow.Values   `json:"set,omitempty"`
	Loop     *StepLoop         `json:"loop,omitempty"`
	Switch   *StepSwitch       `json:"switch,omitempty"`
	Plan     *StepPlan         `json:"plan,omitempty"`
}

// StepError is the on_error of a Step.
type StepError struct {
	Then string `json:"then,omitempty"` // continue or fail
	Goto string `json:"goto,omitempty"`
}

// StepCheck is a check of the asset of a Step.
type StepCheck struct {
	Name  string `json:"name"`
	That  string `json:"that"`
	Warns bool   `json:"warns,omitempty"`
}

// StepHuman is the human of a Step.
type StepHuman struct {
	Ask       string          `json:"ask"`
	Show      json.RawMessage `json:"show,omitempty"`
	To        []string        `json:"to,omitempty"`
	Actions   []string        `json:"actions,omitempty"`
	Form      json.RawMessage `json:"form,omitempty"`
	Timeout   time.Duration   `json:"timeout,omitempty"`
	OnTimeout json.RawMessage `json:"on_timeout,omitempty"`
	Quorum    int             `json:"quorum,omitempty"`
}

// StepLoop is the loop of a Step.
type StepLoop struct {
	Until  string `json:"until,omitempty"`
	Max    int    `json:"max"`
	OnMax  string `json:"on_max,omitempty"` // fail or continue
	Output string `json:"output,omitempty"`
	Steps  Steps  `json:"steps"`
}

// StepSwitch is the switch of a Step.
type StepSwitch struct {
	Cases []workflow.Case `json:"cases"`
	Max   int             `json:"max,omitempty"`
}

// StepPlan is the plan of a Step.
type StepPlan struct {
	Planner string   `json:"planner"`
	Goal    string   `json:"goal"`
	Agents  []string `json:"agents,omitempty"`
	Tools   []string `json:"tools,omitempty"`
	Approve bool     `json:"approve,omitempty"`
	To      []string `json:"to,omitempty"`
	Max     int      `json:"max,omitempty"`
	Steps   int      `json:"steps,omitempty"`
}

// RunPrefix begins the names of the tools that the commands of steps are.
const RunPrefix = "run/"

// WorkflowNames returns the names of the workflows in the order of the file.
func (f *File) WorkflowNames() []string { return slices.Clone(f.workflowNames) }

// Workflow is a workflow of the file as data, with the workflows that it runs, but without what agents
// and tools need of a process: Agents are those of the file, Hands have the names of the tools. Runs are
// the tools that the commands of its steps, and of those below, are. Error: not_found.
func (f *File) Workflow(name string) (d *workflow.Definition, err error) {
	w, ok := f.Workflows[name]
	if !ok {
		return nil, durable.Errorf(durable.CodeNotFound, "%s has no workflow %q; it has %s", f.Name, name, strings.Join(f.workflowNames, ", "))
	}
	return f.definition(name, w), nil
}

// definition makes a workflow of what the file says of it. What it names and there is not is left
// out; the checks of references tell it.
func (f *File) definition(name string, w Workflow) *workflow.Definition {
	m := &maker{file: f, def: &workflow.Definition{
		Name: name, Description: w.Description, Input: w.Input, Output: w.Output,
		Budget: workflow.Budget(w.Budget), AtOnce: w.Concurrency, FailFast: w.FailFast,
		Agents: map[string]agent.Definition{}, Workflows: map[string]*workflow.Definition{},
		Hands: agent.Definition{Name: name, Permissions: w.Permissions, Approval: w.Approval},
	}}
	for key, k := range w.State {
		if m.def.State == nil {
			m.def.State = map[string]workflow.Key{}
		}
		m.def.State[key] = workflow.Key(k)
	}
	m.def.Body = m.body(w.Steps)
	slices.Sort(m.def.Hands.Tools)
	m.def.Hands.Tools = slices.Compact(m.def.Hands.Tools)
	return m.def
}

// maker makes one definition.
type maker struct {
	file *File
	def  *workflow.Definition
}

func (m *maker) body(s Steps) workflow.Body {
	b := workflow.Body{Ordered: s.Ordered}
	for _, one := range s.List {
		b.Nodes = append(b.Nodes, m.node(one))
	}
	return b
}

func (m *maker) node(s Step) workflow.Node {
	n := workflow.Node{
		ID: s.ID, Description: s.Description, Needs: s.Needs, Join: joinOf(s.Join), If: s.If, ForEach: listOf(s.ForEach), AtOnce: s.Concurrency,
		Retry: s.Retry, Timeout: s.Timeout, OnError: workflow.OnError{Continue: s.OnError.Then == "continue", Goto: s.OnError.Goto},
		Cache: s.Cache, Output: s.Output, Save: s.Save,
		Agent: s.Agent, Prompt: s.Prompt, Tool: s.Tool, With: s.With, Workflow: s.Workflow, Wait: s.Wait, Set: s.Set,
	}
	if s.Asset != "" {
		n.Asset = &workflow.Asset{Name: s.Asset, Partition: partitionOf(s.Partition), Metadata: s.Metadata}
		for _, c := range s.Checks {
			n.Asset.Checks = append(n.Asset.Checks, workflow.Test(c))
		}
	}
	if s.Compensate != nil {
		undo := *s.Compensate
		undo.ID = s.ID + "-undo"
		made := m.node(undo)
		made.ID = ""
		n.Compensate = &made
	}
	m.verb(&n, s)
	return n
}

// verb fills in what the verb of a step says, and what it names.
func (m *maker) verb(n *workflow.Node, s Step) {
	if d, ok := m.file.Agents[s.Agent]; ok {
		m.def.Agents[s.Agent] = d
	}
	if w, ok := m.file.Workflows[s.Workflow]; ok && m.def.Workflows[s.Workflow] == nil && !m.file.circles[s.Workflow] {
		m.def.Workflows[s.Workflow] = m.file.definition(s.Workflow, w)
	}
	if s.Tool != "" {
		m.def.Hands.Tools = append(m.def.Hands.Tools, s.Tool)
	}
	if len(s.Run) > 0 {
		n.Tool = RunPrefix + s.ID
		var t Tool
		t, n.With = runOf(s)
		m.def.Hands.Tools = append(m.def.Hands.Tools, n.Tool)
		if m.file.runs == nil {
			m.file.runs = map[string]map[string]Tool{}
		}
		if m.file.runs[m.def.Name] == nil {
			m.file.runs[m.def.Name] = map[string]Tool{}
		}
		m.file.runs[m.def.Name][n.Tool] = t
	}
	if h := s.Human; h != nil {
		n.Human = &workflow.Human{Ask: h.Ask, Show: h.Show, To: h.To, Actions: h.Actions, Form: h.Form, Timeout: h.Timeout, OnTimeout: h.OnTimeout, Quorum: h.Quorum}
	}
	if l := s.Loop; l != nil {
		n.Loop = &workflow.Loop{Body: m.body(l.Steps), Until: l.Until, Max: l.Max, Passes: l.OnMax == "continue", Output: l.Output}
	}
	if w := s.Switch; w != nil {
		n.Switch = &workflow.Switch{Cases: w.Cases, Max: w.Max}
	}
	if p := s.Plan; p != nil {
		n.Plan = &workflow.Plan{Planner: p.Planner, Goal: p.Goal, Agents: p.Agents, Tools: p.Tools, Approve: p.Approve, To: p.To, Max: p.Max, Nodes: p.Steps}
		for _, name := range append(slices.Clone(p.Agents), p.Planner) {
			if d, ok := m.file.Agents[name]; ok {
				m.def.Agents[name] = d
			}
		}
		m.def.Hands.Tools = append(m.def.Hands.Tools, p.Tools...)
	}
}

// joinOf reads all, any, done, first or a number.
func joinOf(text string) workflow.Join {
	var n int
	if _, err := fmt.Sscanf(text, "%d", &n); err == nil {
		return workflow.Join{Count: n}
	}
	return workflow.Join{Rule: text}
}

// listOf is an expression: the one that was written, or the list.
func listOf(v json.RawMessage) string {
	var text string
	if err := json.Unmarshal(v, &text); err == nil {
		return text
	}
	return string(v) // a list of JSON is one of CEL
}

// partitionOf is a template: the one that was written, or that of the field of the input.
func partitionOf(text string) string {
	if text == "" || strings.Contains(text, "${{") {
		return text
	}
	return "${{ input." + text + " }}"
}

// marks finds the expressions of a text.
var marks = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?s)\$\{\{.*?\}\}`) })

// runOf is the command of a step as a tool. Each expression in it becomes an argument of the call, so
// that what it comes to is one argument of the command, whatever is in it.
func runOf(s Step) (t Tool, with json.RawMessage) {
	args := map[string]string{}
	place := func(text string) string {
		return marks().ReplaceAllStringFunc(text, func(expression string) string {
			name := fmt.Sprintf("x%d", len(args))
			args[name] = expression
			return "${args." + name + "}"
		})
	}
	t = Tool{
		Name: RunPrefix + s.ID, Description: s.Description, Env: s.Env, Secrets: s.Secrets, Sandbox: s.Sandbox, Effect: s.Effect, Stdin: place(s.Stdin),
		MaxOutput: maxStepOutput,
	}
	for _, word := range s.Run {
		t.Run = append(t.Run, place(word))
	}
	properties := map[string]any{}
	for name := range args {
		properties[name] = map[string]any{}
	}
	t.Input, _ = json.Marshal(map[string]any{"type": "object", "properties": properties}) // plain values marshal
	with, _ = json.Marshal(args)
	return t, with
}

// maxStepOutput is how much of the output of a command a step takes, in bytes: 4 MB.
const maxStepOutput = 4 << 20

// Runs are the tools that the commands of the steps of a workflow are, by name.
func (f *File) Runs(name string) map[string]Tool { return f.runs[name] }
