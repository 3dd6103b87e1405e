package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// walker is one segment of a run.
type walker struct {
	*Walks
	ctx   durable.Context // of the program itself
	graph *graph
	in    Input

	chosen map[string]bool // the nodes that were selected; nil = all
	vars   map[string]any  // what all expressions see
	steps  map[string]any  // of vars
	marks  map[string]*Mark
	rounds map[string]int
	backs  map[string]int
	state  *shared
	undo   []undoing
	hands  *agent.Hands // nil until a tool is called
	seen   agent.Seen
	spent  Spent
	busy   int              // nodes that run, with the loops they stand in
	work   int              // nodes that have ended in this segment
	ended  int              // and before it
	next   bool             // a new segment is to begin
	waits  []durable.Future // that another definition cuts short
}

// scope is what a node sees beyond what all see.
type scope struct {
	vars map[string]any // item, index, round, output, event
	item int            // of a for_each; -1 = there is none
	undo string         // tells one compensation from another; "" = it is none
}

func (s scope) with(name string, v any) scope {
	more := maps.Clone(s.vars)
	if more == nil {
		more = map[string]any{}
	}
	more[name] = v
	s.vars = more
	return s
}

// eval is what an expression of a scope sees.
func (w *walker) eval(s scope) map[string]any {
	if len(s.vars) == 0 {
		return w.vars
	}
	all := maps.Clone(w.vars)
	maps.Copy(all, s.vars)
	return all
}

// errSegment travels up from where a new segment is to begin.
var errSegment = errors.New("a new segment begins")

// walk goes through the workflow to its end, or undoes what was done.
func (w *walker) walk() (json.RawMessage, error) {
	stop := w.watch()
	err := w.body(w.ctx, w.graph.body, scope{item: -1})
	stop()
	switch {
	case w.next:
		return nil, errSegment
	case err == nil:
		var out json.RawMessage
		if out, err = w.output(); err == nil {
			return out, nil
		}
	}
	return nil, w.compensate(err)
}

// output computes the output of the workflow.
func (w *walker) output() (json.RawMessage, error) {
	if w.graph.output != nil {
		out, err := w.graph.output.Value(w.vars)
		if err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "output of workflow %s: %w", w.graph.def.Name, err)
		}
		return out, nil
	}
	if n := w.graph.body.maker(); n != nil {
		return w.marks[n.ID].Output, nil
	}
	return nil, nil
}

// maker is the last node of a body that makes something; nil when there is none.
func (b *body) maker() *node {
	for _, n := range slices.Backward(b.nodes) {
		switch n.verb {
		case VerbWait, VerbSwitch, VerbSet, VerbHuman:
		default:
			return n
		}
	}
	return nil
}

// mark sets where a node is, for expressions too. A dash of its ID is _ there.
func (w *walker) mark(n *node, m *Mark) {
	w.marks[n.ID] = m
	w.see(n, m)
}

// see tells expressions of a mark.
func (w *walker) see(n *node, m *Mark) {
	view := map[string]any{"status": string(m.Status), "output": expr.Nothing, "error": expr.Nothing}
	if m.value == nil && len(m.Output) > 0 {
		m.value, _ = expr.Decode(m.Output) // it was made by json.Marshal
	}
	if m.Status.good() || m.Status == Compensated || m.Status == Pending && m.Output != nil {
		view["output"] = m.value
	}
	if m.Error != nil {
		view["error"] = map[string]any{"code": string(m.Error.Code), "reason": m.Error.Reason, "message": m.Error.Message}
	}
	w.steps[n.ID] = view
	if strings.Contains(n.ID, "-") {
		w.steps[strings.ReplaceAll(n.ID, "-", "_")] = view
	}
}

// segmentWork is how many nodes end in a segment, at least, before the next one begins, as soon as
// nothing is under way: only the last segment is replayed when a run comes back to memory. As all that has
// ended is written down then, it is also half of that, so that not more is written than there is.
const segmentWork = 100

// pause begins a new segment where there is cause to, and nothing is under way but the loops that
// the caller stands in.
func (w *walker) pause(b *body) error {
	if w.next {
		return errSegment // a new definition is taken up
	}
	depth := 0
	for n := b.in; n != nil; n = n.body.in {
		depth++
	}
	if w.work < max(segmentWork, w.ended/2) || w.busy > depth {
		return nil
	}
	w.next = true
	return errSegment
}

// goOn begins a new segment with what there is.
func (w *walker) goOn() error {
	memo := Memo{Results: map[string]*Mark{}, Rounds: w.rounds, Backs: w.backs, Undo: w.undo, Spent: w.spent, Began: w.in.Began, Below: w.in.Below}
	for id, m := range w.marks { //orpine:ordered it becomes a map again
		if m.Status.Ended() || m.Output != nil || len(m.Items) > 0 || !m.Until.IsZero() {
			memo.Results[id] = m
		}
	}
	var err error
	if memo.State, err = w.state.snapshot(); err != nil {
		return err
	}
	memo.Wrote = w.state.wroteBy()
	data, err := json.Marshal(Input{Input: w.in.Input, Select: w.in.Select, Again: w.in.Again, Seen: w.seen, Definition: w.in.Definition, Pinned: w.in.Pinned, Memo: memo})
	if err != nil {
		return fmt.Errorf("encode the state of a workflow: %w", err)
	}
	return durable.Continue(data)
}
