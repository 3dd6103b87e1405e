package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// FindFunc is the name of the step function that asks sources for their tools. Its output is a
// Finds.
const FindFunc = "agent.tools"

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
	Sources   map[string]tool.Source    // of declarations that stand for several tools, by kind
	// Redact takes out of a text what no model, journal or watcher may see; nil = nothing is.
	Redact func(string) string

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
	Seen    Seen             `json:"seen,omitzero"`     // what was read in the conversation before
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
	Seen    Seen             `json:"seen,omitzero"`     // what kinds of things were read
}

// New makes the programs: the one that runs every agent, and the one of threads. They are
// registered with an engine once. Error: invalid when two tools share a name or one cannot be.
func New(cfg Config) ([]durable.Program, error) {
	s, err := NewSet(cfg)
	if err != nil {
		return nil, err
	}
	return s.Programs(), nil
}

// Set is the programs of agents, and what lets other programs call tools as they do.
type Set struct {
	agent  *program
	thread durable.Program
}

// Programs are those of New.
func (s *Set) Programs() []durable.Program { return []durable.Program{s.agent, s.thread} }

// NewSet is New for who wants [Set.Hands] too.
func NewSet(cfg Config) (*Set, error) {
	if _, err := tool.NewRegistry(cfg.Tools...); err != nil {
		return nil, err
	}
	box := &toolbox{tools: cfg.Tools, makers: cfg.Makers, sources: cfg.Sources, made: map[string]*kit{}}
	s := &steps{providers: cfg.Providers, box: box, models: map[string]model.Model{}, rules: cfg.Rules, redact: cfg.Redact}
	a := &program{box: box}
	a.model = durable.NewFunc(ModelFunc, durable.StepOptions{
		Effect: durable.Read, Timeout: 10 * time.Minute, Retry: durable.Retry{Attempts: 6, Backoff: 500 * time.Millisecond, Max: time.Minute},
	}, s.model)
	a.tool = durable.NewFunc("agent.tool", durable.StepOptions{Effect: durable.Irreversible}, s.tool)
	a.find = durable.NewFunc(FindFunc, durable.StepOptions{Effect: durable.Read, Timeout: time.Minute}, s.find)
	// It asks whose run it is, so it must not begin before the run is durable, as a Read may.
	a.rule = durable.NewFunc("agent.rules", durable.StepOptions{Effect: durable.Idempotent}, s.rule)
	return &Set{agent: a, thread: newThread(cfg, &s.threads)}, nil
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
	find  durable.Func[findInput, Finds]
}

func (p *program) Name() string { return Program }

func (p *program) Steps() []durable.StepFunc {
	return []durable.StepFunc{p.model.StepFunc, p.tool.StepFunc, p.rule.StepFunc, p.find.StepFunc}
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
	Found   []string    `json:"found,omitempty"` // tools that the model has looked up, and is told of from then on
	Below   spending    `json:"below,omitzero"`  // what the agents that it put something to have used
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
	l := &loop{program: p, ctx: ctx, definition: d, ref: durable.RefOf(info.Definition), state: s}
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
		l.Seen.add(before.Seen)
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
	return &Answer{Stop: stop, Turns: l.Turns, Usage: l.used(), Cost: l.cost(), Thread: l.Thread, Pending: l.Pending, Seen: l.Seen}
}

// loop is one segment of a run.
type loop struct {
	*program
	state
	ctx        durable.Context
	definition Definition
	ref        durable.Ref // of the definition
	tools      *kit        // those the definition names
	finds      *Finds      // what its sources were found to have; nil = it has none

	hands  bool                // the definition stands under hands in the one that is pinned
	label  string              // of steps; "" = the name of the tool
	orders durable.StepOptions // over those of the tool
	key    string              // of the effect; "" = that of the step
}

func (l *loop) run() (*Answer, error) {
	if err := l.equip(); err != nil {
		return nil, err
	}
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
	reply, err := durable.StartAs(l.ctx, "model", call, modelInput{Definition: l.ref, Thread: l.Thread, Say: l.Pending, Finds: l.finds.ref(), Found: l.Found}).Await(l.ctx)
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
			Text: reply.Text, Value: reply.Value, Stop: StopDone, Turns: l.Turns, Usage: l.used(), Cost: l.cost(), Thread: l.Thread, Seen: l.Seen,
		}, nil
	case l.Repairs == maxRepairs:
		return nil, l.stop(durable.CodeInvalid, StopOutput, "no answer that matches the output schema after %d repairs: %s", maxRepairs, reply.Problem)
	}
	l.Repairs++
	text := "Your answer does not match the required JSON Schema: " + reply.Problem + "\nAnswer again with JSON only."
	l.Pending = []memory.Message{{Message: model.Text(model.User, text)}}
	return nil, nil
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
