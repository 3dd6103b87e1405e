package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/demo/cost"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

type demoCmd struct {
	Cost demoCostCmd `cmd:"" help:"Analyse a cloud bill and write a savings report."`
}

type demoCostCmd struct {
	CSV    string `help:"A bill in FOCUS 1.0 columns; a built-in one when absent." placeholder:"FILE"`
	Out    string `help:"Folder for the report." default:"./cost-report" placeholder:"DIR"`
	Model  string `help:"Model that words the proposals; the figures never come from it." default:"builtin/outline" placeholder:"PROVIDER/NAME"`
	Crash  bool   `help:"Kill the process with SIGKILL after step logs and let a second one finish."`
	Answer string `help:"What a person says to the report, given beforehand: accept, or what to change." placeholder:"TEXT"`

	DieAfter string `hidden:"" help:"Kill this process with SIGKILL once this step is recorded."`
}

// Help implements kong.HelpProvider.
func (demoCostCmd) Help() string {
	return `An agent does a real job in eight durable steps: billing, metrics, logs, hotspots, advise,
report, feedback and revise. It writes report.md, report.json and services.svg. Every figure
comes from SQL over the bill, so a model only changes the words.

Killed at any moment, it goes on with 'orpine wait @last'.

Examples:
  orpine demo cost --crash --answer accept
  orpine demo cost --csv bill.csv --out report
  orpine demo cost --answer "drop R2" --model openai/gpt-5-mini`
}

// Run runs the cost demonstration.
func (c *demoCostCmd) Run(ctx context.Context, a *app) error {
	if err := a.onlyHere("demo"); err != nil {
		return err
	}
	if err := a.checkModel(c.Model); err != nil {
		return err // before anything is written
	}
	if c.Crash {
		return c.crash(ctx, a)
	}
	request, err := c.request()
	if err != nil {
		return err
	}
	// What cannot work is told before anything is written.
	if c.CSV != "" {
		if err := a.cost.Load(ctx, request.CSV, a.loading()); err != nil {
			return err
		}
	}
	if f := writable(request.Out); f.Status == broken {
		return environmentError{fmt.Errorf("the folder of the report: %s; choose another with --out", f.Detail)}
	}
	rt, err := a.open(ctx)
	if err != nil {
		return err
	}
	if c.CSV == "" {
		if err := cost.WriteSample(request.CSV); err != nil {
			return closing(err, rt)
		}
	}
	input, err := json.Marshal(request)
	if err != nil {
		return closing(err, rt)
	}
	id := orpine.NewRunID()
	if c.DieAfter != "" {
		go dieAfter(ctx, rt.Runtime, id, c.DieAfter)
	}
	return a.drive(ctx, rt, id, "", func() error {
		return a.start(ctx, rt, durable.StartRequest{ID: id, Program: cost.Name, Name: "cost", Input: input})
	})
}

// request makes the paths absolute, so that the run can be finished from anywhere.
// Where no bill is given, the built-in one will be in the folder of the report.
func (c *demoCostCmd) request() (cost.Request, error) {
	out, err := filepath.Abs(c.Out)
	if err != nil {
		return cost.Request{}, err
	}
	r := cost.Request{Out: out, Model: c.Model, Answer: c.Answer}
	if c.CSV != "" {
		r.CSV, err = filepath.Abs(c.CSV)
		return r, err
	}
	r.CSV = filepath.Join(out, "bill.csv")
	return r, nil
}

// dieAfter kills this process, really and at once, when a step is recorded.
func dieAfter(ctx context.Context, rt *orpine.Runtime, id durable.RunID, step string) {
	for item, err := range rt.Watch(ctx, id, event.After(-1)) {
		if err != nil {
			return
		}
		if e := item.Event; e != nil && e.Kind == durable.EntryDone && e.Name == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // there is nobody left to tell
		}
	}
}

// crash shows the point: one process is killed in the middle of the job, another one
// finishes it.
func (c *demoCostCmd) crash(ctx context.Context, a *app) error {
	self, err := os.Executable()
	if err != nil {
		return environmentError{fmt.Errorf("find this program to start it again: %w", err)}
	}
	first := []string{"--data", a.flags.Data, "demo", "cost", "--out", c.Out, "--model", c.Model, "--die-after", "logs"}
	if c.CSV != "" {
		first = append(first, "--csv", c.CSV)
	}
	if c.Answer != "" {
		first = append(first, "--answer", c.Answer)
	}
	fmt.Fprintln(a.stderr, "first process:")
	died := a.spawn(ctx, self, first)
	var exit *exec.ExitError
	if !errors.As(died, &exit) {
		return fmt.Errorf("the first process was to be killed, but ended with: %w", died)
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		return &childError{exit.ExitCode()}
	}
	fmt.Fprintf(a.stderr, "process %d was killed with SIGKILL after step logs\n\nsecond process:\n", exit.Pid())
	second := []string{"--data", a.flags.Data, "-o", a.flags.Output, "wait", "@last"}
	if err := a.spawn(ctx, self, second); err != nil {
		if errors.As(err, &exit) {
			return &childError{exit.ExitCode()}
		}
		return err
	}
	return nil
}

// childError passes on the exit code of a process that has said itself what is wrong.
type childError struct{ code int }

func (e *childError) Error() string {
	return fmt.Sprintf("the process ended with exit code %d", e.code)
}

// spawn runs this program again, with our own input and output.
func (a *app) spawn(ctx context.Context, self string, args []string) error {
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // our own executable
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd.Run()
}

// loading shows how far the bill is loaded, when that takes long.
func (a *app) loading() func(cost.Progress) {
	if !a.draws() {
		return nil
	}
	return func(p cost.Progress) {
		if p.Size > 0 && p.Bytes < p.Size {
			fmt.Fprintf(a.stderr, "\r\x1b[Kloading the bill: %d rows, %d %%", p.Rows, 100*p.Bytes/p.Size)
			return
		}
		fmt.Fprint(a.stderr, "\r\x1b[K")
	}
}

// afterwards is what a program of ours still does when its run has ended.
func (a *app) afterwards(ctx context.Context, r *orpine.Reader, run durable.Run) error {
	if run.Program != cost.Name || run.Status != durable.Succeeded {
		return nil
	}
	report, err := cost.Finish(ctx, r, run)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%d steps restored from the journal, %d repeated\n", report.RestoredSteps, report.RepeatedSteps)
	return nil
}

// costText is the outcome of the demonstration for a person.
func costText(output json.RawMessage) (string, error) {
	var o cost.Outcome
	if err := json.Unmarshal(output, &o); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "billed            %s %s\n", o.TotalBilled.Round(2), o.Currency)
	fmt.Fprintf(&b, "proposals         %d\n", o.Recommendations)
	fmt.Fprintf(&b, "projected saving  %s %s a month\n", o.ProjectedSaving.Round(2), o.Currency)
	fmt.Fprintf(&b, "feedback          %s\n", o.Feedback)
	fmt.Fprintf(&b, "report            %s", filepath.Join(o.Out, cost.ReportMarkdown))
	return b.String(), nil
}
