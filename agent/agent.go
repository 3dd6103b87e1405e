package agent

import (
	"encoding/json"
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
)

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
}

// Input is what a run of the program starts with.
type Input struct {
	Text string `json:"text"`
}

// Answer is the output of a run.
type Answer struct {
	Text   string          `json:"text,omitempty"`  // without an output schema
	Value  json.RawMessage `json:"value,omitempty"` // with one
	Stop   string          `json:"stop"`            // StopDone
	Turns  int             `json:"turns"`           // model calls that ended
	Usage  model.Usage     `json:"usage"`           // of all of them
	Cost   float64         `json:"cost,omitempty"`  // by the definition's price
	Thread memory.Head     `json:"thread"`          // the conversation
}

// New makes the program. It is registered with an engine once and runs every agent.
// Error: invalid when two tools share a name or one cannot be.
func New(cfg Config) (durable.Program, error) {
	if _, err := tool.NewRegistry(cfg.Tools...); err != nil {
		return nil, err
	}
	box := &toolbox{tools: cfg.Tools, makers: cfg.Makers, made: map[string]*tool.Registry{}}
	s := &steps{providers: cfg.Providers, box: box, models: map[string]model.Model{}}
	a := &program{box: box}
	a.model = durable.NewFunc("agent.model", durable.StepOptions{
		Effect: durable.Read, Timeout: 10 * time.Minute, Retry: durable.Retry{Attempts: 6, Backoff: 500 * time.Millisecond, Max: time.Minute},
	}, s.model)
	a.tool = durable.NewFunc("agent.tool", durable.StepOptions{Effect: durable.Irreversible}, s.tool)
	return a, nil
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
}

func (p *program) Name() string { return Program }

func (p *program) Steps() []durable.StepFunc {
	return []durable.StepFunc{p.model.StepFunc, p.tool.StepFunc}
}

// state is what one segment hands to the next.
type state struct {
	Input                    // of the run; only the first segment has it
	Thread  memory.Head      `json:"thread,omitzero"`
	Pending []memory.Message `json:"pending,omitempty"` // to be said with the next model call
	Turns   int              `json:"turns,omitempty"`
	Usage   model.Usage      `json:"usage,omitzero"`
	Repairs int              `json:"repairs,omitempty"`
	Last    string           `json:"last,omitempty"` // digest of the calls of the last turn
	Same    int              `json:"same,omitempty"` // how often in a row they were the same
	Began   time.Time        `json:"began,omitzero"`
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
	if s.Turns == 0 && s.Thread.Messages == 0 {
		s.Began = info.Now
		s.Pending = []memory.Message{{Message: model.Text(model.User, s.Text)}}
		s.Text = ""
	}
	ref := durable.RefOf(info.Definition)
	tools, err := p.box.of(d, ref.Hash)
	if err != nil {
		return nil, durable.Block(err)
	}
	l := &loop{program: p, ctx: ctx, definition: d, ref: ref, tools: tools, state: s}
	answer, err := l.run()
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer)
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
	for turn := 0; ; turn++ {
		if turn == segmentTurns {
			next, err := json.Marshal(l.state)
			if err != nil {
				return nil, err
			}
			return nil, durable.Continue(next)
		}
		if err := l.afford(); err != nil {
			return nil, err
		}
		call := l.model
		call.Options.Limit = "model:" + l.definition.Model
		reply, err := durable.StartAs(l.ctx, "model", call, modelInput{Definition: l.ref, Thread: l.Thread, Say: l.Pending}).Await(l.ctx)
		if err != nil {
			return nil, err
		}
		l.Turns++
		l.Usage = l.Usage.Add(reply.Usage)
		l.Thread, l.Pending = reply.Thread, nil
		if len(reply.Calls) > 0 {
			if err := l.call(reply.Calls); err != nil {
				return nil, err
			}
			continue
		}
		answer, err := l.answer(reply)
		if answer != nil || err != nil {
			return answer, err
		}
	}
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
// order of the calls.
func (l *loop) call(calls []model.ToolCall) error {
	if err := l.guard(calls); err != nil {
		return err
	}
	results := make([]durable.Promise[toolOutput], len(calls))
	for i, c := range calls {
		options := durable.StepOptions{Effect: durable.Read} // an unknown tool is only refused
		if spec, ok := l.tools.Spec(c.Name); ok {
			options = spec.Options
		}
		if options.Limit == "" {
			options.Limit = "tool:" + c.Name
		}
		input, err := json.Marshal(toolInput{Definition: l.ref, Call: c})
		if err != nil {
			return err
		}
		results[i] = durable.Promise[toolOutput]{Future: l.ctx.Step(durable.StepCall{Func: l.tool.Name, Name: c.Name, Input: input, Options: options})}
	}
	for i, c := range calls {
		out, err := results[i].Await(l.ctx)
		if err != nil {
			if durable.CodeOf(err) == durable.CodeCanceled {
				return err
			}
			out = toolOutput{Content: "the call failed: " + err.Error(), Error: true}
		}
		result := model.ToolResult{CallID: c.ID, Name: c.Name, Content: out.Content, Error: out.Error}
		l.Pending = append(l.Pending, memory.Message{
			Message: model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &result}}}, Content: out.Ref,
		})
	}
	return nil
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
