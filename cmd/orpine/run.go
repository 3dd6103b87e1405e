package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/demo/cost"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

type runCmd struct {
	File   string   `arg:"" help:"YAML file, with #NAME for one of several agents and workflows; with --server also the name of one there." placeholder:"FILE[#NAME]"`
	Input  []string `arg:"" optional:"" help:"What to say to the agent, - or nothing reads standard input; for a workflow NAME=VALUE for each field, a JSON object, @FILE or -."`
	Select []string `help:"Steps or assets of a workflow that are run; +NAME is one with all it needs, NAME+ with all that needs it." placeholder:"NAME"`
	Model  string   `help:"Use this model instead of the file's." placeholder:"PROVIDER/NAME"`
	Name   string   `help:"Name of the run; the agent's when absent."`
	Answer string   `help:"Answer the first question with this." placeholder:"TEXT"`
	Detach bool     `help:"Start the run and leave it to the next orpine wait."`
}

// Help implements kong.HelpProvider.
func (runCmd) Help() string {
	return `The run is kept in the data directory from its first moment: after a crash, a kill or
Ctrl-C, 'orpine wait @last' goes on where it stood. Progress goes to standard error; -o jsonl
prints every event and streamed piece instead. While another process drives the data directory,
the run is started and driven there.

Models: openai/NAME (OPENAI_API_KEY, OPENAI_BASE_URL), anthropic/NAME (ANTHROPIC_API_KEY), and
without a key script/FILE and builtin/outline.

Examples:
  orpine run agent.yaml "What is new?"
  orpine run agents.yaml#reviewer < diff.txt
  orpine run agent.yaml hello --model builtin/outline -o json
  orpine run shop.yaml#report month=2026-10 limit=100
  orpine run etl.yaml --select +monthly_orders month=2018-02
  orpine run --server http://127.0.0.1:7420 reviewer "Look at this."`
}

// Run starts a run of an agent and follows it.
func (c *runCmd) Run(ctx context.Context, a *app) error {
	if err := goodName(c.Name); err != nil {
		return err
	}
	if a.far() {
		return c.runFar(ctx, a)
	}
	w, err := a.work(c.File, c.Model)
	if err != nil {
		return err
	}
	req, err := w.request(c, a)
	if err != nil {
		return err
	}
	for _, name := range w.models() {
		if err := a.checkModel(name); err != nil {
			return err
		}
	}
	req.Name = cmp.Or(c.Name, req.Name)
	return a.begin(ctx, req, starting{answer: c.Answer, detach: c.Detach})
}

// starting says what becomes of a run that is started.
type starting struct {
	answer string // to its first question
	detach bool   // it is left to the next orpine wait
}

// begin starts a run here, or in the process that owns the data directory, and follows it.
func (a *app) begin(ctx context.Context, req durable.StartRequest, how starting) error {
	req.ID = orpine.NewRunID()
	if a.far() {
		far, err := a.dial()
		if err != nil {
			return err
		}
		start, err := startRun(req)
		if err != nil {
			return closing(err, far)
		}
		run, err := far.Start(ctx, start)
		if err != nil {
			return closing(err, far)
		}
		return a.begun(ctx, far, run, how)
	}
	rt, err := a.openTo(ctx, how.detach)
	if errors.Is(err, durable.ErrConflict) {
		return a.beginOther(ctx, req, how)
	}
	if err != nil {
		return err
	}
	begin := func() error {
		return a.start(ctx, rt, req)
	}
	if !how.detach {
		return a.drive(ctx, rt, req.ID, how.answer, begin)
	}
	if err := begin(); err != nil {
		return closing(err, rt)
	}
	return closing(a.printStarted(ctx, rt, req.ID), rt)
}

// begun follows a run that was started on a server.
func (a *app) begun(ctx context.Context, far remote, run durable.Run, how starting) error {
	fmt.Fprintf(a.stderr, "run %s  %s\n", run.ID, run.Name)
	if how.detach {
		return closing(a.printStarted(ctx, far, run.ID), far)
	}
	return closing(a.attend(ctx, far, run.ID, -1, how.answer), far)
}

// goodName refuses the name of a run that a reference could not mean. Error: invalid.
func goodName(name string) error {
	if strings.HasPrefix(name, "@") {
		return durable.Errorf(durable.CodeInvalid, "--name %s: names that begin with @ are references", name)
	}
	return nil
}

// runFar starts the run on the server that was named: of an agent of a file here, or of one
// that the server has.
func (c *runCmd) runFar(ctx context.Context, a *app) error {
	path, _, _ := strings.Cut(c.File, "#")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && agentName.MatchString(c.File) {
		return c.runNamed(ctx, a)
	}
	w, err := a.work(c.File, c.Model)
	if err != nil {
		return err
	}
	start, err := w.request(c, a)
	if err != nil {
		return err
	}
	start.Name = cmp.Or(c.Name, start.Name)
	return a.begin(ctx, start, starting{c.Answer, c.Detach})
}

// runNamed starts a run of an agent or a workflow that the server has.
func (c *runCmd) runNamed(ctx context.Context, a *app) error {
	if c.Model != "" {
		return durable.Errorf(durable.CodeInvalid, "--model goes with a file: %s is the server's, and so is its model", c.File)
	}
	far, err := a.dial()
	if err != nil {
		return err
	}
	req, err := c.named(ctx, a, far)
	if err != nil {
		return closing(err, far)
	}
	run, err := far.Start(ctx, req)
	if errors.Is(err, durable.ErrNotFound) {
		err = durable.Errorf(durable.CodeNotFound, "there is no file %s here, and the server has %w", c.File, err)
	}
	if err != nil {
		return closing(err, far)
	}
	return a.begun(ctx, far, run, starting{c.Answer, c.Detach})
}

// named asks for a run of what the server has under a name: a workflow, or else an agent. Who may not
// look at workflows means an agent.
func (c *runCmd) named(ctx context.Context, a *app, far remote) (req client.StartRun, err error) {
	req.Name = c.Name
	flow, err := far.Workflow(ctx, c.File, "")
	if err != nil {
		req.Agent = c.File
		req.Text, err = c.input(a)
		return req, err
	}
	d, err := workflow.Decode(flow.Definition)
	if err != nil {
		return req, err
	}
	req.Workflow, req.Select = c.File, c.Select
	req.Input, err = inputOf(a, c.Input, d.Input)
	return req, err
}

// agentName is how agents and workflows of a server are called.
var agentName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// beginOther starts a run in the process that owns the data directory, and looks on.
func (a *app) beginOther(ctx context.Context, req durable.StartRequest, how starting) error {
	start, err := startRun(req)
	if err != nil {
		return err
	}
	door, err := a.knock()
	if err != nil {
		return err
	}
	run, err := door.Start(ctx, start)
	if err = closing(err, door); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "run %s  %s, driven by another process\n", run.ID, run.Name)
	r, _, err := a.readHere(ctx, string(run.ID))
	if err != nil {
		return err
	}
	if how.detach {
		return closing(a.printStarted(ctx, r, run.ID), r)
	}
	return closing(a.lookOn(ctx, r, run.ID, how.answer), r)
}

// start starts a run and says so.
func (a *app) start(ctx context.Context, rt *owned, req durable.StartRequest) error {
	id, err := rt.Start(ctx, req)
	if err == nil {
		fmt.Fprintf(a.stderr, "run %s  %s\n", id, req.Name)
	}
	return err
}

// definition reads the agent that FILE[#NAME] names.
func (a *app) definition(ref, modelName string) (agent.Definition, error) {
	w, err := a.work(ref, modelName)
	if err == nil && w.flow != nil {
		err = durable.Errorf(durable.CodeInvalid, "%s is a workflow: name an agent", ref)
	}
	return w.agent, err
}

// input is what the agent is told: the arguments, or standard input.
func (c *runCmd) input(a *app) (string, error) {
	if len(c.Input) > 0 && (len(c.Input) > 1 || c.Input[0] != "-") {
		return strings.Join(c.Input, " "), nil
	}
	if terminal(a.stdin) && len(c.Input) == 0 {
		return "", durable.Errorf(durable.CodeInvalid, "say something to the agent: orpine run %s TEXT", c.File)
	}
	data, err := io.ReadAll(a.stdin)
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", durable.Errorf(durable.CodeInvalid, "standard input is empty; say something to the agent: orpine run %s TEXT", c.File)
	}
	return text, nil
}

// printStarted prints a run that is left to others: its ID, or all of it in the other formats.
func (a *app) printStarted(ctx context.Context, rt runs, id durable.RunID) error {
	run, err := rt.Get(ctx, id)
	if err != nil {
		return err
	}
	return a.print(listing{single: true, rows: [][]string{{string(id)}}, names: []string{string(id)}, values: []any{run}})
}

// printOutput prints the answer of a run that succeeded.
func (a *app) printOutput(r durable.Run) error {
	l := listing{single: true, names: []string{string(r.ID)}, values: []any{r}}
	if a.flags.Output != "table" && a.flags.Output != "wide" {
		return a.print(l)
	}
	text, err := outputText(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, text)
	return err
}

// outputText is what a person reads of an output.
func outputText(r durable.Run) (string, error) {
	switch r.Program {
	case agent.Program:
		answer, err := agent.AnswerOf(r)
		if answer.Value != nil {
			return string(answer.Value), err
		}
		return answer.Text, err
	case cost.Name:
		return costText(r.Output)
	case workflow.Program:
		return workflowText(r)
	}
	return jsonText(r.Output)
}

// workflowText is what a person reads of the output of a workflow.
func workflowText(r durable.Run) (string, error) {
	var out workflow.Outcome
	if err := json.Unmarshal(r.Output, &out); err != nil {
		return "", err
	}
	if len(out.Output) == 0 {
		return "", nil
	}
	return jsonText(out.Output)
}

// jsonText is a text of JSON as it is, and other JSON as JSON.
func jsonText(data json.RawMessage) (string, error) {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return "", err
	}
	if text, ok := v.(string); ok {
		return text, nil
	}
	return string(data), nil
}
