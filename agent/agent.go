package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/tool"
)

// Program is the name of the agent program.
const Program = "agent"

// The reasons for which an agent stops; all but Done and Canceled are the Reason of
// the run's failure.
const (
	StopDone     = "done"
	StopMaxTurns = "max_turns" // Budget.Turns is used up
	StopBudget   = "budget"    // tokens, money or time are used up
	StopLoop     = "loop"      // the same call again and again
	StopOutput   = "output"    // no answer that matches the schema after the repairs
	StopRefused  = "refused"   // the model declined
	StopLength   = "length"    // the model ran into its own limit
	StopCanceled = "canceled"  // somebody canceled the run
	StopError    = "error"     // a model call failed for good
)

// ModelFunc is the name of the step function of model calls. Its output has their usage.
const ModelFunc = "agent.model"

// Bounds that a definition cannot change.
const (
	defaultTurns = 50
	maxRepairs   = 2  // answers that miss the schema and are sent back
	maxSame      = 3  // identical calls in a row: the third is not made
	segmentTurns = 16 // turns before the run continues in a new segment
)

// Config says where an agent's models and tools come from.
type Config struct {
	Providers map[string]model.Provider // by the name before the slash
	Tools     []tool.Tool               // what every definition may name
	Makers    map[string]tool.Maker     // of declared tools, by kind

	// Rules says whether a decision that stands accepts a call of a run; nil = there are none.
	Rules func(ctx context.Context, run durable.RunID, r Rule) (bool, error)
	// Send delivers a signal to a run, with conflict if it has ended and unavailable if it is
	// blocked; nil = it cannot, and a thread takes no second turn while one is under way.
	Send func(ctx context.Context, run durable.RunID, s durable.Signal) error
}

// Input is what a run of the program starts with.
type Input struct {
	Text string `json:"text"`

	Thread  memory.Head      `json:"thread,omitzero"`   // the conversation it goes on with
	Pending []memory.Message `json:"pending,omitempty"` // said in it, and not in the thread yet
	Wait    bool             `json:"wait,omitempty"`    // the thread comes with a signal: see BeginSignal
}

// Answer is the output of a run. One that failed or was canceled has one too: how far it
// came.
type Answer struct {
	Text   string          `json:"text,omitempty"`  // without an output schema
	Value  json.RawMessage `json:"value,omitempty"` // with one
	Stop   string          `json:"stop"`            // StopDone, or why it did not come to that
	Turns  int             `json:"turns"`           // model calls that ended
	Usage  model.Usage     `json:"usage"`           // of all of them
	Cost   float64         `json:"cost,omitempty"`  // by the definition's price
	Thread memory.Head     `json:"thread"`          // the conversation

	Pending []memory.Message `json:"pending,omitempty"` // what would have been said next
}

// New makes the programs: the one that runs every agent, and the one of threads. They are
// registered with an engine once. Error: invalid when two tools share a name or one cannot be.
func New(cfg Config) ([]durable.Program, error) {
	if _, err := tool.NewRegistry(cfg.Tools...); err != nil {
		return nil, err
	}
	box := &toolbox{tools: cfg.Tools, makers: cfg.Makers, made: map[string]*tool.Registry{}}
	s := &steps{providers: cfg.Providers, box: box, models: map[string]model.Model{}, rules: cfg.Rules}
	a := &program{box: box}
	a.model = durable.NewFunc(ModelFunc, durable.StepOptions{
		Effect: durable.Read, Timeout: 10 * time.Minute, Retry: durable.Retry{Attempts: 6, Backoff: 500 * time.Millisecond, Max: time.Minute},
	}, s.model)
	a.tool = durable.NewFunc("agent.tool", durable.StepOptions{Effect: durable.Irreversible}, s.tool)
	// It asks whose run it is, so it must not begin before the run is durable, as a Read may.
	a.rule = durable.NewFunc("agent.rules", durable.StepOptions{Effect: durable.Idempotent}, s.rule)
	return []durable.Program{a, newThread(cfg, &s.threads)}, nil
}

// Start asks for a run of an agent.
func Start(d Definition, text string) (durable.StartRequest, error) {
	definition, input, err := encode(d, text)
	return durable.StartRequest{Program: Program, Name: d.Name, Input: input, Definition: definition}, err
}

// Call asks for a run of an agent as a child.
func Call(d Definition, text string) (durable.ChildCall, error) {
	definition, input, err := encode(d, text)
	return durable.ChildCall{Program: Program, Name: d.Name, Input: input, Definition: definition}, err
}

func encode(d Definition, text string) (definition, input json.RawMessage, err error) {
	if definition, err = json.Marshal(d); err != nil {
		return nil, nil, fmt.Errorf("encode agent %s: %w", d.Name, err)
	}
	input, err = json.Marshal(Input{Text: text})
	return definition, input, err
}

type program struct {
	box   *toolbox
	model durable.Func[modelInput, modelOutput]
	tool  durable.Func[toolInput, toolOutput]
	rule  durable.Func[Rule, bool]
}

func (p *program) Name() string { return Program }

func (p *program) Steps() []durable.StepFunc {
	return []durable.StepFunc{p.model.StepFunc, p.tool.StepFunc, p.rule.StepFunc}
}

// state is what one segment hands to the next.
type state struct {
	Input               // of the run; only the first segment has its Text. Thread and Pending go from segment to segment
	Turns   int         `json:"turns,omitempty"`
	Usage   model.Usage `json:"usage,omitzero"`
	Repairs int         `json:"repairs,omitempty"`
	Last    string      `json:"last,omitempty"` // digest of the calls of the last turn
	Same    int         `json:"same,omitempty"` // how often in a row they were the same
	Began   time.Time   `json:"began,omitzero"`
	Rules   []string    `json:"rules,omitempty"` // the tools whose calls a person has accepted for this run
	Notes   []string    `json:"notes,omitempty"` // to be told to the model behind the results of a turn
}

// Run implements durable.Program.
func (p *program) Run(ctx durable.Context, input json.RawMessage) (json.RawMessage, error) {
	var s state
	if err := json.Unmarshal(input, &s); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "input of an agent: %w", err)
	}
	info := ctx.Info()
	d, err := Decode(info.Definition)
	if err != nil {
		return nil, err
	}
	ref := durable.RefOf(info.Definition)
	tools, err := p.box.of(d, ref.Hash)
	if err != nil {
		return nil, durable.Block(err)
	}
	l := &loop{program: p, ctx: ctx, definition: d, ref: ref, tools: tools, state: s}
	answer, err := l.run()
	switch {
	case answer != nil:
	case l.Wait:
		return nil, err // it never began
	default:
		answer = l.sofar(err)
	}
	data, unfit := json.Marshal(answer)
	return data, cmp.Or(err, unfit)
}

// begin makes the first segment of what the run starts with.
func (l *loop) begin() error {
	if !l.Began.IsZero() {
		return nil
	}
	if l.Wait {
		var before Input
		if err := l.ctx.Inbox(BeginSignal).Receive(l.ctx, &before); err != nil {
			return err
		}
		l.Thread, l.Pending, l.Wait = before.Thread, before.Pending, false
	}
	l.Began = l.ctx.Info().Now
	l.say(l.Text)
	l.Text = ""
	return nil
}

// say has a text told to the model with the next call.
func (l *loop) say(text string) {
	l.Pending = append(l.Pending, memory.Message{Message: model.Text(model.User, text)})
}

// heed takes in what somebody said to the agent while it was at work; true when there was
// something.
func (l *loop) heed() (bool, error) {
	inbox := l.ctx.Inbox(SteerSignal)
	heard := false
	for inbox.Ready() {
		var text string
		if err := inbox.Receive(l.ctx, &text); err != nil {
			return heard, err
		}
		l.say(text)
		heard = true
	}
	return heard, nil
}

// sofar is the answer of an agent that did not come to one.
func (l *loop) sofar(err error) *Answer {
	stop := StopError
	if e, ok := errors.AsType[*durable.Error](err); ok && e.Reason != "" {
		stop = e.Reason
	} else if durable.CodeOf(err) == durable.CodeCanceled {
		stop = StopCanceled
	}
	return &Answer{Stop: stop, Turns: l.Turns, Usage: l.Usage, Cost: l.cost(), Thread: l.Thread, Pending: l.Pending}
}

// loop is one segment of a run.
type loop struct {
	*program
	state
	ctx        durable.Context
	definition Definition
	ref        durable.Ref    // of the definition
	tools      *tool.Registry // those the definition names
}

func (l *loop) run() (*Answer, error) {
	if err := l.begin(); err != nil {
		return nil, err
	}
	for turn := 0; ; turn++ {
		if turn == segmentTurns {
			next, err := json.Marshal(l.state)
			if err != nil {
				return nil, err
			}
			return nil, durable.Continue(next)
		}
		reply, err := l.think()
		if err != nil {
			return nil, err
		}
		if len(reply.Calls) > 0 {
			if err := l.call(reply.Calls); err != nil {
				return nil, err
			}
			continue
		}
		if heard, err := l.heed(); heard || err != nil {
			if err != nil {
				return nil, err
			}
			continue // it has more to answer
		}
		answer, err := l.answer(reply)
		if answer != nil || err != nil {
			return answer, err
		}
	}
}

// think makes a model call, if that can be afforded, with all that is to be said by then.
func (l *loop) think() (modelOutput, error) {
	if err := l.afford(); err != nil {
		return modelOutput{}, err
	}
	if _, err := l.heed(); err != nil {
		return modelOutput{}, err
	}
	call := l.model
	call.Options.Limit = "model:" + l.definition.Model
	reply, err := durable.StartAs(l.ctx, "model", call, modelInput{Definition: l.ref, Thread: l.Thread, Say: l.Pending}).Await(l.ctx)
	if err != nil {
		return reply, err
	}
	l.Turns++
	l.Usage = l.Usage.Add(reply.Usage)
	l.Thread, l.Pending = reply.Thread, nil
	return reply, nil
}

// answer ends the run, or sends an answer back that does not match the schema.
func (l *loop) answer(reply modelOutput) (*Answer, error) {
	switch {
	case reply.Stop == model.StopRefusal:
		return nil, l.stop(durable.CodeDenied, StopRefused, "the model declined: %s", reply.Text)
	case reply.Problem == "" && reply.Stop == model.StopLength:
		return nil, l.stop(durable.CodeExhausted, StopLength, "the model stopped in the middle of its answer; raise max_tokens")
	case reply.Problem == "":
		return &Answer{
			Text: reply.Text, Value: reply.Value, Stop: StopDone, Turns: l.Turns, Usage: l.Usage, Cost: l.cost(), Thread: l.Thread,
		}, nil
	case l.Repairs == maxRepairs:
		return nil, l.stop(durable.CodeInvalid, StopOutput, "no answer that matches the output schema after %d repairs: %s", maxRepairs, reply.Problem)
	}
	l.Repairs++
	text := "Your answer does not match the required JSON Schema: " + reply.Problem + "\nAnswer again with JSON only."
	l.Pending = []memory.Message{{Message: model.Text(model.User, text)}}
	return nil, nil
}

// call runs the tools a reply asks for, all at once, and keeps their results in the
// order of the calls. A call that a person has to decide on holds up no other.
func (l *loop) call(calls []model.ToolCall) error {
	if err := l.guard(calls); err != nil {
		for _, c := range calls { // a thread that is gone on with has no call without a result
			l.told(c, toolOutput{Content: "the call was not made: " + err.Error(), Error: true})
		}
		return err
	}
	outs := make([]toolOutput, len(calls))
	ends := make([]func() error, len(calls))
	for i, c := range calls {
		ends[i] = l.made(c, &outs[i])
	}
	var stopped error
	for i, c := range calls {
		if err := ends[i](); err != nil {
			outs[i] = toolOutput{Content: "the call failed: " + err.Error(), Error: true}
			if durable.CodeOf(err) == durable.CodeCanceled {
				outs[i].Content, stopped = "the call was not made, or not waited for: the run was canceled", err
			}
		}
		l.told(c, outs[i])
	}
	for _, note := range l.Notes {
		l.say(note)
	}
	l.Notes = nil
	return stopped
}

// told has the result of a call told to the model with the next one.
func (l *loop) told(c model.ToolCall, out toolOutput) {
	result := model.ToolResult{CallID: c.ID, Name: c.Name, Content: out.Content, Error: out.Error}
	l.Pending = append(l.Pending, memory.Message{
		Message: model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &result}}}, Content: out.Ref,
	})
}

// made begins to make a call, as the policy says, and returns how to wait for its result.
func (l *loop) made(c model.ToolCall, out *toolOutput) func() error {
	verdict, rule := l.definition.Permissions.Verdict(c.Name)
	spec, known := l.tools.Spec(c.Name)
	switch {
	case known && verdict == tool.Deny:
		*out = toolOutput{Content: fmt.Sprintf("%s may not be called (%s)", c.Name, rule), Error: true}
		return func() error { return nil }
	case known && verdict == tool.Ask:
		checked, refusal := l.tools.Check(tool.Call{Name: c.Name, Args: c.Args, Malformed: c.Malformed})
		if refusal != nil { // nobody is asked about what cannot be done
			*out = toolOutput{Content: refusal.Content, Error: true}
			return func() error { return nil }
		}
		c.Args = checked.Args
		f := l.approve(c, spec, out)
		return func() error { return f.Get(l.ctx, nil) }
	}
	f := l.invoke(l.ctx, c)
	return func() (err error) {
		*out, err = f.Await(l.ctx)
		return err
	}
}

// invoke makes a call.
func (l *loop) invoke(ctx durable.Context, c model.ToolCall) durable.Promise[toolOutput] {
	options := durable.StepOptions{Effect: durable.Read} // an unknown tool is only refused
	if spec, ok := l.tools.Spec(c.Name); ok {
		options = spec.Options
	}
	if options.Limit == "" {
		options.Limit = "tool:" + c.Name
	}
	input, err := json.Marshal(toolInput{Definition: l.ref, Call: c})
	if err != nil {
		panic(fmt.Sprintf("agent: a call of %s does not marshal: %v", c.Name, err)) // its arguments are JSON
	}
	return durable.Promise[toolOutput]{Future: ctx.Step(durable.StepCall{Func: l.tool.Name, Name: c.Name, Input: input, Options: options})}
}

// guard stops an agent that makes the same calls again and again.
func (l *loop) guard(calls []model.ToolCall) error {
	var b strings.Builder
	for _, c := range calls {
		fmt.Fprintf(&b, "%s(%s%s)\n", c.Name, canonical(c.Args), c.Malformed)
	}
	digest := durable.RefOf([]byte(b.String())).Hash[:16]
	if digest != l.Last {
		l.Last, l.Same = digest, 0
	}
	l.Same++
	if l.Same >= maxSame {
		return l.stop(durable.CodeExhausted, StopLoop, "the model asked for the same calls %d times in a row: %s", l.Same, strings.TrimSpace(b.String()))
	}
	return nil
}

// canonical is the same for arguments that mean the same.
func canonical(args json.RawMessage) string {
	var v any
	if err := json.Unmarshal(args, &v); err != nil {
		return string(args)
	}
	data, err := json.Marshal(v) // sorts the keys of maps
	if err != nil {
		return string(args)
	}
	return string(data)
}

// AnswerOf reads the answer of a finished run. The error is the run's own when it
// did not succeed.
func AnswerOf(run durable.Run) (Answer, error) {
	var a Answer
	if run.Status != durable.Succeeded {
		if run.Error != nil {
			return a, fmt.Errorf("run %s %s: %w", run.ID, run.Status, run.Error)
		}
		return a, durable.Errorf(durable.CodeInternal, "run %s is %s: %s", run.ID, run.Status, run.Reason)
	}
	if err := json.Unmarshal(run.Output, &a); err != nil {
		return a, fmt.Errorf("read the answer of run %s: %w", run.ID, err)
	}
	return a, nil
}
