package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
)

type forkCmd struct {
	Ref      string   `arg:"" help:"The run to fork; it is not changed."`
	At       string   `help:"The step from which on it goes another way, as orpine steps prints it." required:"" placeholder:"STEP"`
	SetInput string   `help:"Another input of the run; @FILE reads a file." placeholder:"JSON"`
	Model    string   `help:"Another model, for an agent." placeholder:"PROVIDER/NAME"`
	Result   []string `help:"Record the JSON in FILE as the output of a step; may be repeated." sep:"none" placeholder:"STEP=FILE"`
	Name     string   `help:"Name of the fork; that of the run with -fork behind it when absent."`
	Yes      bool     `help:"Do not ask before irreversible effects happen again."`
	Detach   bool     `help:"Start the fork and leave it to the next orpine wait."`
}

// Help implements kong.HelpProvider.
func (forkCmd) Help() string {
	return `A fork is a new run. What the run did before the step comes from its journal; the step and
all behind it is executed again, or recorded where --result says so. Before it starts, the
command says which effects will happen again.

A changed input or model does not change what the steps before have come to: fork at an early
step to have them executed again.

Examples:
  orpine fork @last --at 3
  orpine fork @last --at 2.0 --model openai/gpt-5-mini
  orpine fork @last --at 3 --result 3=reply.json
  orpine fork nightly --at 0 --set-input '{"text": "say it in French"}' --detach`
}

// Run forks a run and follows the fork.
func (c *forkCmd) Run(ctx context.Context, a *app) error {
	if err := goodName(c.Name); err != nil {
		return err
	}
	req, err := c.request(a)
	if err != nil {
		return err
	}
	r, id, err := a.read(ctx, c.Ref)
	if err != nil {
		return err
	}
	plan, err := c.prepare(ctx, r, id, &req)
	if err != nil {
		return closing(err, r)
	}
	c.announce(a, plan)
	if err := errors.Join(c.consent(ctx, a, plan, a.talks()), r.Close()); err != nil {
		return err
	}
	return a.branch(ctx, branching{
		from: id, id: req.ID, what: "fork of " + string(id), shown: plan.Shared + int64(plan.Copied) - 1, detach: c.Detach,
		make: func(h hands, fork durable.RunID) (durable.RunID, error) {
			req.ID = fork
			return h.Fork(ctx, id, req)
		},
	})
}

// request makes a request of the flags.
func (c *forkCmd) request(a *app) (orpine.ForkRequest, error) {
	var req orpine.ForkRequest
	var err error
	req.ID, req.Name, req.Model = orpine.NewRunID(), c.Name, c.Model
	if req.At, err = durable.ParseStepID(c.At); err != nil {
		return req, durable.Errorf(durable.CodeInvalid, "--at: %w", err)
	}
	if c.SetInput != "" {
		if req.Input, err = readValue(c.SetInput); err != nil {
			return req, fmt.Errorf("--set-input: %w", err)
		}
	}
	for _, text := range c.Result {
		step, file, ok := strings.Cut(text, "=")
		if !ok || file == "" {
			return req, durable.Errorf(durable.CodeInvalid, "--result %s: say --result STEP=FILE", text)
		}
		var result orpine.Result
		if result.Step, err = durable.ParseStepID(step); err == nil {
			result.Output, err = readValue("@" + file)
		}
		if err != nil {
			return req, fmt.Errorf("--result %s: %w", text, err)
		}
		req.Results = append(req.Results, result)
	}
	if c.Model != "" && !a.far() { // the server has keys of its own
		err = a.checkModel(c.Model)
	}
	return req, err
}

// prepare gives the fork a name and asks what it will consist of. A text is enough as the input of an agent.
func (c *forkCmd) prepare(ctx context.Context, r source, id durable.RunID, req *orpine.ForkRequest) (*orpine.ForkPlan, error) {
	run, err := r.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if req.Name == "" {
		req.Name = forkName(run.Name)
	}
	if req.Input != nil {
		var text string
		if run.Program == agent.Program && json.Unmarshal(req.Input, &text) == nil {
			if req.Input, err = json.Marshal(agent.Input{Text: text}); err != nil {
				return nil, err
			}
		}
	}
	return r.PlanFork(ctx, id, *req)
}

// forkName is the name of a fork that is given none. It is not that of its base: a name
// means the newest run with it, and is to go on meaning the base.
func forkName(base string) string {
	const suffix = "-fork"
	if base == "" || strings.HasSuffix(base, suffix) {
		return base
	}
	return base + suffix
}

// announce says what the fork takes over and what happens again.
func (c *forkCmd) announce(a *app, p *orpine.ForkPlan) {
	fmt.Fprintf(a.stderr, "fork of %s at step %s\n", p.Base, p.At)
	fmt.Fprintf(a.stderr, "  from the journal: %s\n", stepList(p.Kept))
	if len(p.Set) > 0 {
		fmt.Fprintf(a.stderr, "  recorded as given: %s\n", stepList(p.Set))
	}
	fmt.Fprintf(a.stderr, "  not taken over: %s\n", stepList(p.Behind))
	for _, n := range p.Notes {
		fmt.Fprintf(a.stderr, "  note: %s\n", n)
	}
	var mild, children []durable.Step
	for _, s := range p.Repeats() {
		switch {
		case s.Kind == durable.CommandChild:
			children = append(children, s)
		case s.Effect != durable.Irreversible:
			mild = append(mild, s)
		}
	}
	if len(mild) > 0 {
		fmt.Fprintf(a.stderr, "  effects that will repeat, with a new key: %s\n", stepList(mild))
	}
	if len(children) > 0 {
		fmt.Fprintf(a.stderr, "  children that will be started again, with all they do: %s\n", stepList(children))
	}
	if hard := irreversible(p); len(hard) > 0 {
		fmt.Fprintf(a.stderr, "  IRREVERSIBLE EFFECTS THAT WILL HAPPEN AGAIN: %s\n", stepList(hard))
	}
}

func irreversible(p *orpine.ForkPlan) []durable.Step {
	var list []durable.Step
	for _, s := range p.Repeats() {
		if s.Kind == durable.CommandStep && s.Effect == durable.Irreversible {
			list = append(list, s)
		}
	}
	return list
}

// stepList counts steps and names the first of them.
func stepList(steps []durable.Step) string {
	const most = 12
	var names []string
	for i, s := range steps {
		if i == most {
			names = append(names, "…")
			break
		}
		names = append(names, s.StepID().String()+" "+s.Name)
	}
	if len(steps) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%s (%s)", counted(len(steps), "step"), strings.Join(names, ", "))
}

// consent asks the person at the terminal about irreversible effects, if there is one.
func (c *forkCmd) consent(ctx context.Context, a *app, p *orpine.ForkPlan, talks bool) error {
	if c.Yes || !talks || len(irreversible(p)) == 0 {
		return nil
	}
	fmt.Fprintln(a.stderr, "Fork it all the same? y/N")
	answer, err := a.prompt(ctx, durable.Interrupt{})
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return durable.Errorf(durable.CodeDenied, "not forked")
	}
	return nil
}

// readValue reads one JSON value: from the text itself, or with @ before it from a file. Error:
// invalid with the place of the fault, not_found.
func readValue(text string) (json.RawMessage, error) {
	data, where := []byte(text), "the text"
	if path, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return nil, durable.Errorf(durable.CodeNotFound, "%w", err)
		}
		where = path
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	var v json.RawMessage
	err := dec.Decode(&v)
	if err == nil {
		at := dec.InputOffset()
		if _, more := dec.Token(); errors.Is(more, io.EOF) {
			return v, nil
		}
		rest := bytes.TrimLeft(data[at:], " \t\r\n")
		return nil, durable.Errorf(durable.CodeInvalid, "%s:%s: more than one JSON value", where, position(data, int64(len(data)-len(rest))))
	}
	offset := int64(len(data))
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = max(0, s.Offset-1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err, offset = errors.New("it ends in the middle of a JSON value"), int64(len(data))
	}
	return nil, durable.Errorf(durable.CodeInvalid, "%s:%s: %w", where, position(data, offset), err)
}

// position is a place in a text as line:column, both from 1.
func position(data []byte, offset int64) string {
	before := data[:min(offset, int64(len(data)))]
	return fmt.Sprintf("%d:%d", bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n'))
}

// origin says in a few words where a fork comes from.
func origin(ctx context.Context, r journals, id durable.RunID) (string, error) {
	const page = 500
	text := ""
	for after := int64(-1); ; {
		entries, err := r.Entries(ctx, id, after, page)
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			after = e.Seq
			if e.Kind == durable.EntryForked {
				text = e.Reason
			}
		}
		if len(entries) < page {
			return text, nil
		}
	}
}
