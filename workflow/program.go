package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// Program is the name of the workflow program.
const Program = "workflow"

// The reasons for which a run fails, besides those of its nodes.
const (
	ReasonBudget  = "budget"  // what Budget bounds is used up
	ReasonTimeout = "timeout" // a node took longer than its Timeout
	ReasonRounds  = "rounds"  // a loop or a switch did not come to an end
	ReasonCheck   = "check"   // a check of an asset is not met
)

// Config says what workflows reach the world by, besides agents. Its functions run in steps. A nil
// one is left out.
type Config struct {
	Agents *agent.Set
	// Kept returns the output that was kept under a key, not_found where there is none.
	Kept func(ctx context.Context, run durable.RunID, key string) (Kept, error)
	// Keep keeps an output.
	Keep func(ctx context.Context, run durable.RunID, key string, k Kept) error
	// Record records that an asset was made.
	Record func(ctx context.Context, m Materialization) error
}

// New makes the program that walks every workflow. It is registered with an engine once.
func New(cfg Config) *Walks {
	p := &Walks{agents: cfg.Agents, graphs: &graphs{made: map[string]*graph{}}}
	p.steps(cfg)
	return p
}

// Walks is the workflow program.
type Walks struct {
	agents   *agent.Set
	graphs   *graphs
	observer func(*Progress) // is told of a run when it begins a segment; nil = nobody is

	kept   durable.Func[keptInput, keptOutput]
	keep   durable.Func[keepInput, bool]
	record durable.Func[Materialization, bool]
	pin    durable.Func[json.RawMessage, durable.Ref]
}

var _ durable.Program = (*Walks)(nil)

// Name implements durable.Program.
func (p *Walks) Name() string { return Program }

// Steps implements durable.Program.
func (p *Walks) Steps() []durable.StepFunc {
	return []durable.StepFunc{p.kept.StepFunc, p.keep.StepFunc, p.record.StepFunc, p.pin.StepFunc}
}

// Observed is the program for a replay: fn is told of the progress of each segment when it begins,
// and reads it when the replay has ended.
func (p *Walks) Observed(fn func(*Progress)) durable.Program {
	q := *p
	q.observer = fn
	return &q
}

// Keeping is the program with the functions of cfg in place of its own, but for Agents: a test keeps
// elsewhere what it keeps.
func (p *Walks) Keeping(cfg Config) *Walks {
	q := *p
	q.steps(cfg)
	return &q
}

// Start asks for a run of a workflow. Error: invalid for a definition that cannot be walked, or an
// input that its schema does not take.
func Start(d *Definition, in Input) (durable.StartRequest, error) {
	if err := Compile(d); err != nil {
		return durable.StartRequest{}, err
	}
	if _, err := accept(d.Input, in.Input); err != nil {
		return durable.StartRequest{}, &durable.Error{Code: durable.CodeInvalid, Op: "input of workflow " + d.Name, Err: err}
	}
	definition, err := json.Marshal(d)
	if err != nil {
		return durable.StartRequest{}, err
	}
	input, err := json.Marshal(in)
	return durable.StartRequest{Program: Program, Name: d.Name, Input: input, Definition: definition}, err
}

// Decode reads a pinned definition. Error: invalid.
func Decode(definition json.RawMessage) (*Definition, error) {
	var d Definition
	if err := json.Unmarshal(definition, &d); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "definition of a workflow: %w", err)
	}
	return &d, nil
}

// graphs keeps what was compiled: a run that comes back to memory walks the same.
type graphs struct {
	mu   sync.Mutex
	made map[string]*graph // by the hash of the definition
}

// graphsMax is how many are kept.
const graphsMax = 256

// of compiles a definition, or finds what was made of it.
//
//orpine:allow the same definition gives the same graph, whoever comes first
func (g *graphs) of(definition json.RawMessage) (*graph, error) {
	hash := durable.RefOf(definition).Hash
	g.mu.Lock()
	defer g.mu.Unlock()
	if made, ok := g.made[hash]; ok {
		return made, nil
	}
	d, err := Decode(definition)
	if err != nil {
		return nil, err
	}
	made, problems := compile(d)
	if err := problemsError(d.Name, problems); err != nil {
		return nil, err
	}
	if len(g.made) >= graphsMax {
		clear(g.made) // whoever needs one makes it again
	}
	g.made[hash] = made
	return made, nil
}

// Run implements durable.Program.
func (p *Walks) Run(ctx durable.Context, input json.RawMessage) (json.RawMessage, error) {
	w, err := p.walker(ctx, input)
	if err != nil {
		return nil, err
	}
	out, err := w.walk()
	if w.next {
		return nil, w.goOn()
	}
	data, unfit := json.Marshal(Outcome{Output: out, Spent: w.spent, Seen: w.seen})
	return data, errors.Join(err, unfit)
}

// walker makes the walk of one segment.
func (p *Walks) walker(ctx durable.Context, input json.RawMessage) (*walker, error) {
	info := ctx.Info()
	w := &walker{Walks: p, ctx: ctx}
	if err := json.Unmarshal(input, &w.in); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "input of a workflow: %w", err)
	}
	definition := info.Definition
	if w.in.Definition != nil {
		definition = w.in.Definition
	}
	g, err := p.graphs.of(definition)
	if err != nil {
		return nil, err
	}
	w.graph = g
	if w.in.Began.IsZero() {
		w.in.Began = info.Now
	}
	in, err := accept(g.def.Input, w.in.Input)
	if err != nil {
		return nil, &durable.Error{Code: durable.CodeInvalid, Op: "input of workflow " + g.def.Name, Err: err}
	}
	if w.chosen, err = choose(g, w.in.Select); err != nil {
		return nil, err
	}
	if w.state, err = newShared(g.def.State, w.in.State); err != nil {
		return nil, err
	}
	w.state.remember(w.in.Wrote, g)
	w.begin(in)
	if p.observer != nil {
		p.observer(&Progress{walker: w})
	}
	return w, nil
}

// begin sets up what expressions see, and takes up the memo.
func (w *walker) begin(input any) {
	w.seen, w.spent, w.undo = w.in.Seen, w.in.Spent, w.in.Undo
	w.marks, w.steps = map[string]*Mark{}, map[string]any{}
	w.rounds, w.backs = w.in.Rounds, w.in.Backs
	if w.rounds == nil {
		w.rounds = map[string]int{}
	}
	if w.backs == nil {
		w.backs = map[string]int{}
	}
	info := w.ctx.Info()
	w.vars = map[string]any{
		"input": input, "steps": w.steps, "state": w.state.values,
		"run": map[string]any{"id": string(info.Run), "workflow": w.graph.def.Name, "tenant": info.Tenant, "started": w.in.Began.UTC().Format(timeForm)},
	}
	w.ended = len(w.in.Results)
	for _, n := range w.graph.order {
		m := w.in.Results[n.ID]
		if m == nil {
			m = &Mark{Status: Pending}
		}
		w.mark(n, m)
	}
}

// timeForm is how expressions see times: RFC 3339 with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// accept holds a value against a schema and fills in its defaults; nil takes anything.
func accept(schema, value json.RawMessage) (any, error) {
	v, err := expr.Decode(value)
	if err != nil || len(schema) == 0 {
		return v, err
	}
	if v == nil {
		v = map[string]any{}
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, err
	}
	resolved, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		return nil, err
	}
	if object, ok := v.(map[string]any); ok {
		if err := resolved.ApplyDefaults(&object); err != nil {
			return nil, err
		}
		v = object
	}
	if err := resolved.Validate(v); err != nil {
		return nil, err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return expr.Decode(data) // defaults have numbers of their own kind
}
