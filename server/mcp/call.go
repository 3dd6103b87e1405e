package mcp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

// The names in _meta that are ours.
const (
	KeyMeta    = "orpine/idempotency-key" // of a call: the same key and call again find the run that it started
	RunMeta    = "orpine/run"             // of a result: the ID of the run
	StatusMeta = "orpine/status"          // of a result: the status of the run
)

// cancelTime is how long it may take to cancel a run whose caller is gone.
const cancelTime = 10 * time.Second

// state goes to a newer client with what it is asked, and comes back with what it answers.
type state struct {
	Run durable.RunID `json:"run"`
}

// call is what a client wants of an agent.
func (d *desk) call(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(d.there, stop)()
	defer context.AfterFunc(d.s.over, stop)()
	c, err := d.client(r)
	if err != nil {
		return nil, refused(err)
	}
	run, err := d.begin(ctx, c, r)
	if err != nil {
		return failed(err), nil
	}
	f := &follower{d: d, c: c, r: r, asked: map[string]bool{}}
	if err := f.hear(ctx, run); err != nil {
		return d.resultWith(run, failed(err)), nil
	}
	ended := f.progress(ctx, run.ID)
	result, err := f.follow(ctx, run)
	ended()
	if ctx.Err() != nil {
		d.abandoned(ctx, c, run.ID)
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return d.resultWith(run, failed(err)), nil
	}
	return result, nil
}

// begin starts the run of a call, or finds the one that it is about.
func (d *desk) begin(ctx context.Context, c *client.Client, r *sdk.CallToolRequest) (durable.Run, error) {
	if r.Params.RequestState != "" {
		var s state
		if err := json.Unmarshal([]byte(r.Params.RequestState), &s); err != nil || s.Run == "" {
			return durable.Run{}, durable.Errorf(durable.CodeInvalid, "the request state is not one of this server")
		}
		run, err := c.Get(ctx, s.Run)
		if err == nil && (run.Program != agent.Program && run.Program != workflow.Program || run.Name != r.Params.Name) {
			err = durable.Errorf(durable.CodeInvalid, "the request state is of another call")
		}
		return run, err
	}
	in, err := d.request(r)
	if err != nil {
		return durable.Run{}, err
	}
	key, _ := r.Params.Meta[KeyMeta].(string)
	if key == "" {
		return c.Start(ctx, in)
	}
	return c.StartOnce(ctx, "mcp "+durable.RefOf([]byte(key)).Hash, in) // whatever it is, and however long
}

// request is what is asked for by a call: a run of an agent that is told a text, or of a workflow that
// is given the arguments.
func (d *desk) request(r *sdk.CallToolRequest) (client.StartRun, error) {
	name := r.Params.Name
	if d.isFlow(name) {
		return client.StartRun{Workflow: name, Name: name, Input: r.Params.Arguments}, nil
	}
	var args struct {
		Text string `json:"text"` // not asked for: an agent may be told nothing
	}
	dec := json.NewDecoder(bytes.NewReader(r.Params.Arguments))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&args); err != nil && len(r.Params.Arguments) > 0 {
		return client.StartRun{}, durable.Errorf(durable.CodeInvalid, `the arguments must be {"text": "what the agent is told"}`)
	}
	return client.StartRun{Agent: name, Name: name, Text: args.Text}, nil
}

// abandoned cancels the run of a call that was canceled, or whose client is gone. When it is the
// server that stops, the run goes on in the next one.
func (d *desk) abandoned(ctx context.Context, c *client.Client, run durable.RunID) {
	if d.s.over.Err() != nil {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer stop()
	if err := c.Cancel(ctx, run, "the MCP client canceled the call"); err != nil && !errors.Is(err, durable.ErrConflict) {
		d.s.cfg.Log.WarnContext(ctx, "a run whose caller is gone could not be canceled", slog.String("run", string(run)), slog.Any("error", err))
	}
}

// follower follows the run of one call.
type follower struct {
	d     *desk
	c     *client.Client
	r     *sdk.CallToolRequest
	asked map[string]bool // interrupts that were put to the client during this call
}

// follow waits for the end of a run, and has the client asked what the run asks.
func (f *follower) follow(ctx context.Context, run durable.Run) (*sdk.CallToolResult, error) {
	for {
		var err error
		if run, err = f.c.Rest(ctx, run.ID); err != nil {
			return nil, err
		}
		if !run.NeedsPerson() {
			return f.d.result(run), nil
		}
		open := f.open(run)
		if len(open) == 0 || !f.mayAsk() {
			return f.d.result(run), nil
		}
		if f.newer() {
			requests := sdk.InputRequestMap{}
			for _, i := range open {
				requests[i.ID] = form(i)
			}
			text, _ := json.Marshal(state{run.ID}) // an ID marshals
			return &sdk.CallToolResult{InputRequests: requests, RequestState: string(text)}, nil
		}
		answered, err := f.ask(ctx, run.ID, open)
		if err != nil {
			return nil, err
		}
		if !answered {
			return f.d.result(run), nil
		}
	}
}

// ask has an older client ask its user; it reports whether anything was answered.
func (f *follower) ask(ctx context.Context, run durable.RunID, open []durable.Interrupt) (answered bool, err error) {
	for _, i := range open {
		f.asked[i.ID] = true
		said, err := f.r.Session.Elicit(ctx, form(i))
		if err != nil {
			return false, fmt.Errorf("ask the client: %w", err)
		}
		told, err := f.answer(ctx, run, i, said)
		if err != nil && !errors.Is(err, durable.ErrConflict) { // somebody else has answered
			return false, err
		}
		answered = answered || told || err != nil
	}
	return answered, nil
}

// open are the questions of a run that this call has not put to the client yet.
func (f *follower) open(run durable.Run) []durable.Interrupt {
	var list []durable.Interrupt
	for _, w := range run.Waits {
		if w.Kind == durable.WaitAnswer && w.Interrupt != nil && !f.asked[w.Interrupt.ID] {
			list = append(list, *w.Interrupt)
		}
	}
	return list
}

// hear takes what a newer client answers with its call.
func (f *follower) hear(ctx context.Context, run durable.Run) error {
	if len(f.r.Params.InputResponses) == 0 {
		return nil
	}
	for _, i := range f.open(run) {
		said, ok := f.r.Params.InputResponses[i.ID].(*sdk.ElicitResult)
		if !ok {
			continue
		}
		told, err := f.answer(ctx, run.ID, i, said)
		if err != nil && !errors.Is(err, durable.ErrConflict) { // somebody else has answered
			return err
		}
		if !told {
			f.asked[i.ID] = true // it does not want to: it is not asked again in this call
		}
	}
	return nil
}

// newer reports whether the client speaks a protocol in which a question ends the call.
func (f *follower) newer() bool {
	p := f.r.Session.InitializeParams()
	return p == nil || p.ProtocolVersion >= newerProtocol
}

// mayAsk reports whether the client has somebody to ask.
func (f *follower) mayAsk() bool {
	p := f.r.Session.InitializeParams()
	return p != nil && p.Capabilities != nil && p.Capabilities.Elicitation != nil
}

// progress tells the client of each step that ends, where it wants to know; ended stops that.
func (f *follower) progress(ctx context.Context, run durable.RunID) (ended func()) {
	token := f.r.Params.GetProgressToken()
	if token == nil {
		return func() {}
	}
	watch, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n := 0.0
		for item, err := range f.c.Watch(watch, run, client.Watch{Mode: "updates"}) {
			if err != nil {
				return // the result comes anyhow
			}
			if e := item.Event; e != nil && e.Kind == durable.EntryDone {
				n++
				_ = f.r.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: token, Progress: n, Message: cmp.Or(e.Name, string(e.Kind))})
			}
		}
	}()
	return func() {
		select { // what was told last is in the stream
		case <-done:
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
		stop()
		<-done
	}
}

// result is what became of a run.
func (d *desk) result(run durable.Run) *sdk.CallToolResult {
	switch run.Status {
	case durable.Succeeded:
		if run.Program == workflow.Program {
			return d.resultWith(run, made(run.Output))
		}
		answer, err := agent.AnswerOf(run)
		if err != nil {
			return d.resultWith(run, failed(err))
		}
		if answer.Value == nil {
			return d.resultWith(run, said(answer.Text))
		}
		return d.resultWith(run, value(answer.Value))
	case durable.Failed:
		if run.Error != nil {
			return d.resultWith(run, failed(run.Error))
		}
	case durable.Waiting:
		parts := []string{"The run waits for a person:"}
		for _, w := range run.Waits {
			switch {
			case w.Interrupt != nil:
				parts = append(parts, w.Interrupt.Prompt)
			case w.Kind == durable.WaitInDoubt:
				parts = append(parts, "it is not known what became of the step "+w.Name+".")
			}
		}
		return d.resultWith(run, failed(fmt.Errorf("%s It goes on once somebody has answered: orpine show %s", strings.Join(parts, " "), run.ID)))
	case durable.Queued, durable.Running, durable.Paused, durable.Canceled, durable.Killed, durable.Blocked:
	}
	return d.resultWith(run, failed(fmt.Errorf("the run is %s: %s", run.Status, cmp.Or(run.Reason, "no reason was given"))))
}

// resultWith adds to a result which run it is of.
func (d *desk) resultWith(run durable.Run, r *sdk.CallToolResult) *sdk.CallToolResult {
	r.Meta = sdk.Meta{RunMeta: run.ID, StatusMeta: run.Status}
	r.Content = append(r.Content, &sdk.ResourceLink{
		URI: cmp.Or(d.s.cfg.URL, "orpine:") + client.Version + "/runs/" + string(run.ID), Name: "run " + string(run.ID), MIMEType: "application/json",
	})
	return r
}

// made is what a workflow has come to.
func made(output json.RawMessage) *sdk.CallToolResult {
	var out workflow.Outcome
	if err := json.Unmarshal(output, &out); err != nil {
		return failed(fmt.Errorf("what the workflow has come to cannot be read: %w", err))
	}
	var text string
	if len(out.Output) == 0 || json.Unmarshal(out.Output, &text) == nil {
		return said(text)
	}
	return value(out.Output)
}

// value is a result that is no text; an object is given as one, too.
func value(v json.RawMessage) *sdk.CallToolResult {
	r := said(string(v))
	var object map[string]any
	if json.Unmarshal(v, &object) == nil && object != nil {
		r.StructuredContent = v
	}
	return r
}

func said(text string) *sdk.CallToolResult {
	return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: text}}}
}

// failed is a result that says what went wrong, for the model that called.
func failed(err error) *sdk.CallToolResult {
	r := said(err.Error())
	r.IsError = true
	return r
}
