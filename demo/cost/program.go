package cost

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Name is the name of the program.
const Name = "cost"

// Files are the names of what the program writes into Request.Out.
const (
	ReportJSON     = "report.json"
	ReportMarkdown = "report.md"
	LedgerFile     = "ledger.jsonl" // which process ran which step: a second witness beside the journal
)

// Request is the input of a run.
type Request struct {
	CSV   string `json:"csv"`   // absolute path of the bill
	Out   string `json:"out"`   // absolute path of the folder for the report
	Model string `json:"model"` // provider/name of the model that words the proposals

	// Answer is what a person has said to the report beforehand; empty = they are
	// asked. It is part of the run, so it is not lost with the process that was told.
	Answer string `json:"answer,omitempty"`
}

// Outcome is the output of a run.
type Outcome struct {
	Out             string      `json:"out"`
	Currency        string      `json:"currency"`
	TotalBilled     Decimal     `json:"total_billed"`
	Recommendations int         `json:"recommendations"`
	ProjectedSaving Decimal     `json:"projected_saving"`
	Feedback        string      `json:"feedback"`
	Report          durable.Ref `json:"report"` // the report as JSON, a blob of the run
}

// Demo is the demonstration: a program and the tool its agent is given. One Demo
// serves one process; it keeps loaded bills for as long as that lives.
type Demo struct {
	bills *bills
}

// New makes the demonstration.
func New() *Demo { return &Demo{bills: &bills{open: map[string]*Bill{}}} }

// Program is the cost agent: it loads a bill, measures it, looks for what stands out,
// lets an agent word proposals, writes a report, asks a person, and revises it.
func (d *Demo) Program() durable.Program {
	s := newSteps(d.bills)
	p := &program{steps: s}
	return durable.NewProgram(Name, p.run,
		s.billing.StepFunc, s.metrics.StepFunc, s.logs.StepFunc, s.hotspots.StepFunc, s.report.StepFunc, s.feedback.StepFunc, s.revise.StepFunc)
}

// Load loads a bill before a run is started, so that what is wrong with it is told at
// once; the run uses what was loaded. progress may be nil.
func (d *Demo) Load(ctx context.Context, csv string, progress func(Progress)) error {
	_, err := d.bills.load(ctx, csv, progress)
	return err
}

// WriteSample writes the built-in bill to a file.
func WriteSample(path string) error { return writeFile(path, Sample()) }

// ToolKind is the kind of the declared tool that asks a bill.
const ToolKind = "cost.bill"

// Maker makes the agent's sql tool over a bill.
func (d *Demo) Maker() tool.Maker { return d.bills.tool }

type program struct{ steps *steps }

func (p *program) run(ctx durable.Context, in Request) (Outcome, error) {
	var none Outcome
	info, err := durable.Do(ctx, p.steps.billing, in)
	if err != nil {
		return none, err
	}
	source := Source{CSV: in.CSV, Out: in.Out, SHA256: info.SHA256}
	found := Findings{Source: source, Info: info}
	if found.Metrics, err = durable.Do(ctx, p.steps.metrics, source); err != nil {
		return none, err
	}
	if found.Logs, err = durable.Do(ctx, p.steps.logs, source); err != nil {
		return none, err
	}
	if found.Hotspots, err = durable.Do(ctx, p.steps.hotspots, source); err != nil {
		return none, err
	}
	words, err := advise(ctx, in, source, found.Hotspots.Prompt)
	if err != nil {
		return none, err
	}
	draft := Draft{Findings: found, Request: in, Words: words, Iteration: 1}
	first, err := durable.Do(ctx, p.steps.report, draft)
	if err != nil {
		return none, err
	}
	feedback, err := p.ask(ctx, in, first)
	if err != nil {
		return none, err
	}
	if !Accepts(feedback) {
		prompt := found.Hotspots.Prompt + "\n\nA person has read the first version and says:\n> " +
			strings.ReplaceAll(feedback, "\n", "\n> ") + "\nWord the proposals again with that in mind. Which of them stay is decided elsewhere."
		if words, err = advise(ctx, in, source, prompt); err != nil {
			return none, err
		}
	}
	draft.Words, draft.Iteration, draft.Feedback = words, 2, feedback
	return durable.Do(ctx, p.steps.revise, draft)
}

// advise lets an agent word the proposals. Its figures are not used.
func advise(ctx durable.Context, in Request, source Source, prompt string) (json.RawMessage, error) {
	config, err := json.Marshal(source)
	if err != nil {
		return nil, err
	}
	call, err := agent.Call(agent.Definition{
		Name: "advise", Model: in.Model, Output: OutputSchema(), Tools: []string{"sql"},
		Declared:     []tool.Declaration{{Name: "sql", Kind: ToolKind, Config: config}},
		Instructions: "You are a FinOps analyst. You word proposals; you do not calculate and you invent no figures.",
		Budget:       agent.Budget{Turns: 12},
	}, prompt)
	if err != nil {
		return nil, err
	}
	var answer agent.Answer
	if err := ctx.Child(call).Get(ctx, &answer); err != nil {
		return nil, err
	}
	return answer.Value, nil
}

// ask waits for a person to read the report, unless they have spoken beforehand.
func (p *program) ask(ctx durable.Context, in Request, first Outcome) (string, error) {
	if in.Answer != "" {
		return durable.Do(ctx, p.steps.feedback, in)
	}
	var answer any
	err := ctx.Ask(durable.Interrupt{
		ID: "feedback",
		Prompt: fmt.Sprintf("The report with %d proposals (%s %s a month) is in %s. Accept it, or say what to change, such as \"drop R2\".",
			first.Recommendations, first.ProjectedSaving.Round(2), first.Currency, filepath.Join(in.Out, ReportMarkdown)),
		Options: []string{"accept"},
	}).Get(ctx, &answer)
	if err != nil {
		return "", err
	}
	if text, ok := answer.(string); ok {
		return text, nil
	}
	data, err := json.Marshal(answer)
	return string(data), err
}
