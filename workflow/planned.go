package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// PlanKind is the kind of the question whether a plan is run. Its value is a Draft.
const PlanKind = "plan"

// Defaults of [Plan].
const (
	defaultPlans     = 3
	defaultPlanNodes = 20
)

// maxEdits is how often a person may edit one plan into one that cannot be.
const maxEdits = 20

// Draft is what a planner answers: a plan, or once it has what it needs an answer.
type Draft struct {
	Answer json.RawMessage `json:"answer,omitempty"`
	Steps  []DraftStep     `json:"steps,omitempty"`
}

// DraftStep is a step of a plan.
type DraftStep struct {
	ID    string          `json:"id"`
	Needs []string        `json:"needs,omitempty"`
	Agent string          `json:"agent,omitempty"`
	Do    string          `json:"do,omitempty"` // what the agent is to do; it is told what the steps it needs came to
	Tool  string          `json:"tool,omitempty"`
	With  json.RawMessage `json:"with,omitempty"` // what the tool is called with
}

// Planned is what became of a plan.
type Planned struct {
	Draft
	Status  string          `json:"status"`            // see below
	Why     string          `json:"why,omitempty"`     // why it was not run
	Results json.RawMessage `json:"results,omitempty"` // status and output of each step
}

// The statuses of a plan.
const (
	PlanInvalid  = "invalid"
	PlanAsked    = "asked" // a person looks at it
	PlanRejected = "rejected"
	PlanRuns     = "runs"
	PlanDone     = "done" // its steps have ended, in whatever way
)

// plan has an agent make plans and runs them, until it has an answer.
func (w *walker) plan(ctx durable.Context, n *node, s scope, m *Mark) (any, error) {
	goal, err := n.prompt.String(w.eval(s))
	if err != nil {
		return nil, invalid("plan.goal", err)
	}
	p := n.Plan
	most := p.Max
	if most == 0 {
		most = defaultPlans
	}
	m.Plans = nil
	for {
		last := len(m.Plans) >= most
		draft, err := w.draft(ctx, n, goal, m.Plans, last)
		if err != nil {
			return nil, err
		}
		if len(draft.Answer) > 0 && string(draft.Answer) != "null" && len(draft.Steps) == 0 {
			return expr.Decode(draft.Answer)
		}
		if last {
			return nil, &durable.Error{Code: durable.CodeExhausted, Reason: ReasonRounds, Err: fmt.Errorf("no answer after %d plans", most), Final: true}
		}
		m.Plans = append(m.Plans, &Planned{Draft: draft, Status: PlanRuns})
		if err := w.follow(ctx, n, m, m.Plans[len(m.Plans)-1]); err != nil {
			return nil, err
		}
		if err := w.afford(); err != nil {
			return nil, err
		}
	}
}

// follow has a plan looked at and run.
func (w *walker) follow(ctx durable.Context, n *node, m *Mark, plan *Planned) error {
	d, unfit := w.drafted(n, plan.Draft)
	if unfit != nil {
		plan.Status, plan.Why = PlanInvalid, unfit.Error()
		return nil //nolint:nilerr // the planner is told
	}
	if n.Plan.Approve {
		plan.Status, m.Status = PlanAsked, Waiting
		var err error
		if d, err = w.approved(ctx, n, plan, d); err != nil || d == nil {
			return err
		}
		m.Status = Running
	}
	plan.Status = PlanRuns
	out, err := w.below(ctx, fmt.Sprintf("%s plan %d", n.ID, len(m.Plans)), d, Input{Seen: w.seen})
	if err != nil {
		if durable.CodeOf(err) == durable.CodeCanceled {
			return err
		}
		out = map[string]any{"error": err.Error()}
	}
	plan.Status = PlanDone
	plan.Results, err = json.Marshal(out)
	return err
}

// approved asks a person about a plan, and returns the one to run; nil when it was rejected.
func (w *walker) approved(ctx durable.Context, n *node, plan *Planned, d *Definition) (*Definition, error) {
	actions := []string{string(durable.Accept), string(durable.Edit), string(durable.Reject)}
	prompt := "Is this plan to be run?"
	for range maxEdits {
		value, err := json.Marshal(plan.Draft)
		if err != nil {
			return nil, err
		}
		question := ctx.Ask(durable.Interrupt{Kind: PlanKind, Prompt: prompt, Value: value, Options: actions, Schema: reviewSchema(actions), To: n.Plan.To})
		done := w.waiting(question)
		var said json.RawMessage
		err = question.Get(ctx, &said)
		done()
		if err != nil {
			return nil, err
		}
		answer, err := reviewed(said, value, actions)
		if err != nil {
			return nil, err
		}
		fields, _ := answer.(map[string]any)
		switch fields["action"] {
		case string(durable.Accept):
			return d, nil
		case string(durable.Reject):
			plan.Status, plan.Why = PlanRejected, fmt.Sprint(fields["comment"])
			return nil, nil //nolint:nilnil // it is not run
		}
		var edited Draft
		data, err := json.Marshal(fields["value"])
		if err == nil {
			err = json.Unmarshal(data, &edited)
		}
		var changed *Definition
		if err == nil {
			changed, err = w.drafted(n, edited)
		}
		if err == nil {
			plan.Draft = edited
			return changed, nil
		}
		prompt = "The edited plan cannot be run (" + err.Error() + "). Is this one to be run?"
	}
	return nil, durable.Errorf(durable.CodeExhausted, "the plan was edited %d times and could not be run", maxEdits)
}

// drafted makes a workflow of a plan. Error: what is wrong with the plan.
func (w *walker) drafted(n *node, draft Draft) (*Definition, error) {
	most := n.Plan.Nodes
	if most == 0 {
		most = defaultPlanNodes
	}
	switch {
	case len(draft.Steps) == 0:
		return nil, durable.Errorf(durable.CodeInvalid, "it has neither steps nor an answer")
	case len(draft.Steps) > most:
		return nil, durable.Errorf(durable.CodeInvalid, "it has %d steps, of at most %d", len(draft.Steps), most)
	}
	def := w.graph.def
	d := &Definition{Name: def.Name + "-" + n.ID, Agents: map[string]agent.Definition{}, AtOnce: def.AtOnce, Hands: def.Hands}
	d.Hands.Tools = n.Plan.Tools
	output := map[string]any{}
	for _, step := range draft.Steps {
		one := Node{ID: step.ID, Needs: step.Needs, OnError: OnError{Continue: true}, Description: step.Do}
		switch {
		case step.Agent != "":
			if !slices.Contains(n.Plan.Agents, step.Agent) {
				return nil, durable.Errorf(durable.CodeInvalid, "step %s: there is no agent %q; %s", step.ID, step.Agent, hint(step.Agent, n.Plan.Agents))
			}
			d.Agents[step.Agent] = def.Agents[step.Agent]
			one.Agent, one.Prompt = step.Agent, step.prompt()
		case step.Tool != "":
			if !slices.Contains(n.Plan.Tools, step.Tool) {
				return nil, durable.Errorf(durable.CodeInvalid, "step %s: there is no tool %q; %s", step.ID, step.Tool, hint(step.Tool, n.Plan.Tools))
			}
			one.Tool, one.With = step.Tool, step.With
		default:
			return nil, durable.Errorf(durable.CodeInvalid, "step %s names neither an agent nor a tool", step.ID)
		}
		d.Body.Nodes = append(d.Body.Nodes, one)
		at := "steps['" + step.ID + "']"
		output[step.ID] = map[string]any{"status": "${{ " + at + ".status }}", "output": "${{ " + at + ".output }}", "error": "${{ " + at + ".error }}"}
	}
	var err error
	if d.Output, err = json.Marshal(output); err != nil {
		return nil, err
	}
	return d, Compile(d)
}

// prompt is what the agent of a step is told.
func (s DraftStep) prompt() string {
	if strings.Contains(s.Do, "${{") || len(s.Needs) == 0 {
		return s.Do
	}
	var b strings.Builder
	b.WriteString(s.Do + "\n\nWhat came before:")
	for _, need := range s.Needs {
		fmt.Fprintf(&b, "\n- %s: ${{ steps['%s'].output }}", need, need)
	}
	return b.String()
}

// draft asks the planner for a plan or an answer.
func (w *walker) draft(ctx durable.Context, n *node, goal string, plans []*Planned, last bool) (Draft, error) {
	var draft Draft
	out, err := w.answer(ctx, n.ID+" planner", w.planner(n), w.brief(n, goal, plans, last))
	if err != nil {
		return draft, err
	}
	data, err := json.Marshal(out)
	if err == nil {
		err = json.Unmarshal(data, &draft)
	}
	return draft, err
}

// planner is the agent that plans: it answers with a Draft.
func (w *walker) planner(n *node) agent.Definition {
	d := w.graph.def.Agents[n.Plan.Planner]
	d.Name, d.Output = n.Plan.Planner, draftSchema()
	return d
}

// draftSchema is the JSON Schema of a Draft.
func draftSchema() json.RawMessage {
	return json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{` +
		`"answer":{"description":"the answer to the goal, once there is nothing left to do; no steps then"},` +
		`"steps":{"type":"array","items":{"type":"object","additionalProperties":false,"required":["id"],"properties":{` +
		`"id":{"type":"string","description":"letters, digits and _"},"needs":{"type":"array","items":{"type":"string"},"description":"ids of the steps that must end before it; the others run at the same time"},` +
		`"agent":{"type":"string"},"do":{"type":"string","description":"what the agent is to do"},"tool":{"type":"string"},"with":{"type":"object","description":"what the tool is called with"}}}}}}`)
}

// brief is what the planner is told.
func (w *walker) brief(n *node, goal string, plans []*Planned, last bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Goal: %s\n\nMake a plan: steps that are run for you, each by an agent or a tool, at the same time where none needs the other. Or answer, once you can.\n", goal)
	if len(n.Plan.Agents) > 0 {
		b.WriteString("\nAgents:\n")
		for _, name := range n.Plan.Agents {
			fmt.Fprintf(&b, "- %s: %s\n", name, w.graph.def.Agents[name].Description)
		}
	}
	if len(n.Plan.Tools) > 0 {
		b.WriteString("\nTools:\n")
		for _, name := range n.Plan.Tools {
			fmt.Fprintf(&b, "- %s\n", name)
		}
	}
	for i, p := range plans {
		steps, _ := json.Marshal(p.Steps) // they were read from JSON
		fmt.Fprintf(&b, "\nPlan %d: %s\n", i+1, steps)
		switch p.Status {
		case PlanDone:
			fmt.Fprintf(&b, "It came to: %s\n", p.Results)
		default:
			fmt.Fprintf(&b, "It was not run: it is %s (%s)\n", p.Status, p.Why)
		}
	}
	if last {
		b.WriteString("\nThere are no more plans: answer with what there is.\n")
	}
	return b.String()
}

// PlanExecute is the workflow of an agent that plans: it makes a graph of steps for other agents and
// tools, which is run, and answers from what they came to. The input has a text.
func PlanExecute(d agent.Definition, p Plan, workers map[string]agent.Definition) *Definition {
	p.Planner, p.Goal = d.Name, "${{ input.text }}"
	all := maps.Clone(workers)
	if all == nil {
		all = map[string]agent.Definition{}
	}
	planner := d
	planner.Tools, planner.Agents = nil, nil // its plans are its hands
	all[d.Name] = planner
	return &Definition{
		Name: d.Name, Description: d.Description, Input: textSchema(), Agents: all, Hands: handsOf(d, p.Tools),
		Budget: Budget{Cost: d.Budget.Cost, Tokens: d.Budget.Tokens, Time: d.Budget.Time},
		Body:   Body{Ordered: true, Nodes: []Node{{ID: "plan", Plan: &p}}},
	}
}

// Reflect is the workflow of an agent whose answers a judge looks at: it answers again, with what the
// judge says, until that accepts, at most max times. The input has a text.
func Reflect(d, judge agent.Definition, most int) *Definition {
	judge.Output = json.RawMessage(`{"type":"object","required":["accept","feedback"],"additionalProperties":false,"properties":{"accept":{"type":"boolean"},"feedback":{"type":"string"}}}`)
	judge.Tools, judge.Agents = nil, nil
	if judge.Name == d.Name {
		judge.Name += "-judge"
	}
	if most == 0 {
		most = defaultPlans
	}
	return &Definition{
		Name: d.Name, Description: d.Description, Input: textSchema(),
		Agents: map[string]agent.Definition{d.Name: d, judge.Name: judge},
		Budget: Budget{Cost: d.Budget.Cost, Tokens: d.Budget.Tokens, Time: d.Budget.Time},
		Body: Body{Ordered: true, Nodes: []Node{{ID: "reflect", Loop: &Loop{
			Max: most, Passes: true, Until: "steps.judge.output.accept", Output: "steps.answer.output",
			Body: Body{Ordered: true, Nodes: []Node{
				{ID: "answer", Agent: d.Name, Prompt: "${{ input.text }}${{ round > 1 ? '\\n\\nYour answer before:\\n' + string(steps.answer.output) + '\\n\\nWhat was said about it:\\n' + steps.judge.output.feedback : '' }}"},
				{ID: "judge", Agent: judge.Name, Prompt: "Judge this answer. Accept it, or say what is to be done better.\n\nThe question:\n${{ input.text }}\n\nThe answer:\n${{ steps.answer.output }}"},
			}},
		}}}},
	}
}

func textSchema() json.RawMessage {
	return json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}`)
}

// handsOf are the hands of an agent for some of its tools.
func handsOf(d agent.Definition, tools []string) agent.Definition {
	return agent.Definition{Name: d.Name, Tools: tools, Declared: d.Declared, Permissions: d.Permissions, Above: d.Above, Approval: d.Approval}
}
