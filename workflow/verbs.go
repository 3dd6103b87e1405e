package workflow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
	"github.com/orpine-run/orpine/tool"
)

// perform does what the verb of a node says, once.
func (w *walker) perform(ctx durable.Context, n *node, s scope, m *Mark) (any, error) {
	switch n.verb {
	case VerbAgent:
		return w.agent(ctx, n, s)
	case VerbTool:
		return w.tool(ctx, n, s)
	case VerbWorkflow:
		return w.workflow(ctx, n, s)
	case VerbHuman:
		m.Status = Waiting
		return w.human(ctx, n, s, m)
	case VerbWait:
		m.Status = Waiting
		return w.wait(ctx, n, s, m)
	case VerbSet:
		return w.set(n, s)
	case VerbLoop:
		return w.loop(ctx, n, s, m)
	case VerbSwitch:
		return w.route(n, s, m)
	case VerbPlan:
		return w.plan(ctx, n, s, m)
	}
	return nil, durable.Errorf(durable.CodeInternal, "step %s has no verb", n.ID) // compile refuses it
}

// label is what the command of a node is called in the run.
func label(n *node, s scope) string {
	if s.item >= 0 {
		return fmt.Sprintf("%s[%d]", n.ID, s.item)
	}
	return n.ID
}

// agent runs an agent as a child. Its output is its value, or its text.
func (w *walker) agent(ctx durable.Context, n *node, s scope) (any, error) {
	text, err := n.prompt.String(w.eval(s))
	if err != nil {
		return nil, invalid("prompt", err)
	}
	return w.answer(ctx, label(n, s), w.graph.def.Agents[n.Agent], text)
}

// answer has an agent answer a text, as a child.
func (w *walker) answer(ctx durable.Context, name string, d agent.Definition, text string) (any, error) {
	d.Above = append(slices.Clone(w.graph.def.Hands.Above), d.Above...)
	d.Budget = w.within(d.Budget)
	definition, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode agent %s: %w", d.Name, err)
	}
	input, err := json.Marshal(agent.Input{Text: text, Seen: w.seen})
	if err != nil {
		return nil, err
	}
	child := durable.Promise[agent.Answer]{Future: ctx.Child(durable.ChildCall{Program: agent.Program, Name: name, Input: input, Definition: definition})}
	answer, err := child.Await(ctx)
	w.spent.add(Spent{Usage: answer.Usage, Cost: answer.Cost})
	w.read(answer.Seen)
	if err != nil {
		return nil, err
	}
	if answer.Value != nil {
		return expr.Decode(answer.Value)
	}
	return answer.Text, nil
}

// read takes in what was read below.
func (w *walker) read(o agent.Seen) {
	w.seen.Untrusted = w.seen.Untrusted || o.Untrusted
	w.seen.Private = w.seen.Private || o.Private
}

// within is the budget of an agent, as far as that of the workflow still allows it.
func (w *walker) within(b agent.Budget) agent.Budget {
	all := w.graph.def.Budget
	least := func(own, left float64) float64 {
		if own == 0 {
			return left
		}
		return min(own, left)
	}
	if all.Cost > 0 {
		b.Cost = least(b.Cost, all.Cost-w.spent.Cost)
	}
	if all.Tokens > 0 {
		b.Tokens = int(least(float64(b.Tokens), float64(all.Tokens-w.spent.Usage.Input-w.spent.Usage.Output)))
	}
	if all.Time > 0 {
		b.Time = time.Duration(least(float64(b.Time), float64(all.Time-durable.Now(w.ctx).Sub(w.in.Began))))
	}
	return b
}

// tool calls a tool. Its output is what that returns: JSON where it is JSON, else the text.
func (w *walker) tool(ctx durable.Context, n *node, s scope) (any, error) {
	args, err := n.with.Value(w.eval(s))
	if err != nil {
		return nil, invalid("with", err)
	}
	if len(args) == 0 {
		args = json.RawMessage("{}")
	}
	if err := w.equip(); err != nil {
		return nil, err
	}
	errand := agent.Errand{Name: label(n, s), Tool: n.Tool, Args: args, Key: w.key(n, s)}
	if n.Retry != nil {
		errand.Options.Retry.Attempts = 1 // it is the workflow that tries again
	}
	result, err := w.hands.Call(ctx, errand)
	w.read(w.hands.Seen())
	switch {
	case err != nil:
		return nil, err
	case result.Error:
		return nil, durable.Errorf(durable.CodeInternal, "%s: %s", n.Tool, tool.Clip(result.Content, maxTold))
	}
	return parse(result.Content), nil
}

// key is the idempotency key of what a node does: the same for each try, and another in each round and
// each time that a switch went back.
func (w *walker) key(n *node, s scope) string {
	var b strings.Builder
	b.WriteString(string(w.ctx.Info().Run) + "/" + label(n, s))
	for at := n; at != nil; at = at.body.in {
		backs, round := 0, 0
		if at.body.ordered && len(w.backs) > 0 {
			for _, o := range at.body.nodes {
				backs += w.backs[o.ID]
			}
		}
		if at.body.in != nil {
			round = w.rounds[at.body.in.ID]
		}
		if backs+round > 0 {
			fmt.Fprintf(&b, "/%d.%d", round, backs)
		}
	}
	return b.String() + s.undo
}

// maxTold is how much of what a tool says went wrong goes into an error, in bytes.
const maxTold = 2000

// parse is what a tool returned, as expressions see it: an object or a list where it is one.
func parse(content string) any {
	text := strings.TrimSpace(content)
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if v, err := expr.Decode(json.RawMessage(text)); err == nil && json.Valid([]byte(text)) {
			return v
		}
	}
	return strings.TrimRight(content, "\r\n")
}

// equip makes the tools of the workflow, once in a segment.
func (w *walker) equip() error {
	if w.hands != nil {
		return nil
	}
	if w.agents == nil {
		return durable.Block(durable.Errorf(durable.CodeInvalid, "this build calls no tools"))
	}
	pinned := durable.RefOf(w.ctx.Info().Definition)
	if w.in.Pinned != nil {
		pinned = *w.in.Pinned
	}
	hands, err := w.agents.Hands(w.ctx, w.graph.def.Hands, pinned)
	if err != nil {
		return err
	}
	w.hands = hands
	return nil
}

// workflow runs another workflow as a child. Its output is that of the run.
func (w *walker) workflow(ctx durable.Context, n *node, s scope) (any, error) {
	with, err := n.with.Value(w.eval(s))
	if err != nil {
		return nil, invalid("with", err)
	}
	in, again := w.in.Below[label(n, s)]
	if again {
		delete(w.in.Below, label(n, s))
	}
	in.Input, in.Seen = with, w.seen
	return w.below(ctx, label(n, s), w.graph.def.Workflows[n.Workflow], in)
}

// below runs a workflow as a child.
func (w *walker) below(ctx durable.Context, name string, d *Definition, in Input) (any, error) {
	def := *d
	if b := w.graph.def.Budget; b != (Budget{}) {
		left := w.within(agent.Budget{Cost: def.Budget.Cost, Tokens: def.Budget.Tokens, Time: def.Budget.Time})
		def.Budget = Budget{Cost: left.Cost, Tokens: left.Tokens, Time: left.Time}
	}
	definition, err := json.Marshal(&def)
	if err != nil {
		return nil, fmt.Errorf("encode workflow %s: %w", def.Name, err)
	}
	input, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	child := durable.Promise[Outcome]{Future: ctx.Child(durable.ChildCall{Program: Program, Name: name, Input: input, Definition: definition})}
	out, err := child.Await(ctx)
	w.spent.add(out.Spent)
	w.read(out.Seen)
	if err != nil {
		return nil, err
	}
	return expr.Decode(out.Output)
}

// wait waits for a moment or an event.
func (w *walker) wait(ctx durable.Context, n *node, s scope, m *Mark) (any, error) {
	if n.Wait.Event != "" {
		return w.event(ctx, n, s)
	}
	if m.Until.IsZero() { // else it is known from the segment before
		text, err := n.moment.String(w.eval(s))
		if err != nil {
			return nil, invalid("wait", err)
		}
		if m.Until, err = moment(n.Wait, text, durable.Now(ctx)); err != nil {
			return nil, invalid("wait", err)
		}
	}
	if d := m.Until.Sub(durable.Now(ctx)); d > 0 {
		return nil, w.sleep(ctx, d)
	}
	return nil, nil
}

// moment is when a wait is over.
func moment(w *Wait, text string, now time.Time) (time.Time, error) {
	if w.For != "" {
		d, ok := expr.ParseDuration(text)
		if !ok {
			return now, fmt.Errorf("%q is no duration such as 30s, 15m or 3d", text)
		}
		return now.Add(d), nil
	}
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return now, fmt.Errorf("%q is no time such as 2026-01-31T12:00:00Z", text)
	}
	return until, nil
}

// event waits for a signal that fits.
func (w *walker) event(ctx durable.Context, n *node, s scope) (any, error) {
	for {
		heard := durable.Go(ctx, "event "+n.Wait.Event, func(ctx durable.Context) (json.RawMessage, error) {
			return durable.Receive[json.RawMessage](ctx, n.Wait.Event)
		})
		done := w.waiting(heard)
		var raw json.RawMessage
		err := heard.Get(ctx, &raw)
		done()
		if err != nil {
			return nil, err
		}
		v, err := expr.Decode(raw)
		if err != nil {
			return nil, invalid("event", err)
		}
		if n.eventIf == nil {
			return v, nil
		}
		if fits, err := n.eventIf.True(w.eval(s.with("event", v))); err == nil && fits {
			return v, nil // one of which that cannot be said does not fit
		}
	}
}

// set writes to the state. Its output is what was written.
func (w *walker) set(n *node, s scope) (any, error) {
	out := map[string]any{}
	for _, e := range n.set {
		v, err := e.value.Any(w.eval(s))
		if err != nil {
			return nil, invalid("set "+e.key, err)
		}
		if err := w.state.write(writer{node: n, item: s.item}, e.key, v); err != nil {
			return nil, err
		}
		out[e.key] = v
	}
	return out, nil
}

// route finds the case that holds.
func (w *walker) route(n *node, s scope, m *Mark) (any, error) {
	for i, c := range n.Switch.Cases {
		if n.cases[i] != nil {
			holds, err := n.cases[i].True(w.eval(s))
			if err != nil {
				return nil, invalid(fmt.Sprintf("switch[%d].if", i), err)
			}
			if !holds {
				continue
			}
		}
		m.Next = c.Goto
		return c.Goto, nil
	}
	return nil, nil
}

// loop runs its body until its condition holds.
func (w *walker) loop(ctx durable.Context, n *node, s scope, m *Mark) (any, error) {
	for {
		m.Round = w.rounds[n.ID] + 1
		inner := s.with("round", int64(m.Round))
		if err := w.body(ctx, n.inner, inner); err != nil {
			return nil, err
		}
		out, err := w.roundOutput(n, inner)
		if err != nil {
			return nil, err
		}
		if n.until != nil {
			done, err := n.until.True(w.eval(inner))
			if err != nil {
				return nil, invalid("until", err)
			}
			if done {
				return out, nil
			}
		}
		w.rounds[n.ID]++
		if w.rounds[n.ID] >= n.Loop.Max {
			if n.Loop.Passes || n.until == nil {
				return out, nil
			}
			return nil, &durable.Error{Code: durable.CodeExhausted, Reason: ReasonRounds, Err: fmt.Errorf("%d rounds, and its until does not hold", n.Loop.Max), Final: true}
		}
		if err := w.afford(); err != nil {
			return nil, err
		}
		for _, o := range n.inner.nodes {
			w.again(o)
		}
		w.work++
	}
}

func (w *walker) roundOutput(n *node, s scope) (any, error) {
	if n.out != nil {
		v, err := n.out.JSON(w.eval(s))
		if err != nil {
			return nil, invalid("output of the loop", err)
		}
		return v, nil
	}
	if made := n.inner.maker(); made != nil {
		return w.marks[made.ID].value, nil
	}
	return w.marks[n.inner.nodes[len(n.inner.nodes)-1].ID].value, nil
}

// each runs a node for every item of its list.
func (w *walker) each(ctx durable.Context, n *node, s scope, m *Mark) (any, error) {
	v, err := n.each.JSON(w.eval(s))
	if err != nil {
		return nil, invalid("for_each", err)
	}
	items, ok := v.([]any)
	switch {
	case !ok && v != nil:
		return nil, invalid("for_each", fmt.Errorf("%s is not a list", expr.Kind(v)))
	case len(items) > maxItems:
		return nil, invalid("for_each", fmt.Errorf("the list has %d items, of at most %d: take it in parts", len(items), maxItems))
	}
	before := m.Items
	m.Items = make([]*Mark, len(items))
	for i := range m.Items {
		m.Items[i] = &Mark{Status: Pending}
		switch {
		case i >= len(before):
		case before[i].Status.good():
			m.Items[i] = before[i]
		case before[i].Status == Pending: // another definition was taken up while it waited
			m.Items[i].Until = before[i].Until
		}
	}
	results, err := durable.Each(ctx, items, n.AtOnce, func(ctx durable.Context, i int, item any) (any, error) {
		return w.item(ctx, n, s, m.Items[i], i, item)
	})
	if w.next && slices.ContainsFunc(m.Items, func(item *Mark) bool { return !item.Status.Ended() }) {
		return nil, errSegment
	}
	return results, err
}

// item runs a node for one item.
func (w *walker) item(ctx durable.Context, n *node, s scope, m *Mark, i int, item any) (any, error) {
	if m.Status.good() {
		return expr.Decode(m.Output)
	}
	s = s.with("item", item).with("index", int64(i))
	s.item = i
	m.Status, m.Started = Running, durable.Now(ctx)
	out, err := w.attempts(ctx, n, s, m)
	if w.interrupted(err) {
		m.Status = Pending
		return nil, errSegment
	}
	m.Ended, m.Until = durable.Now(ctx), time.Time{}
	switch {
	case err != nil && durable.CodeOf(err) == durable.CodeCanceled:
		m.Status = Canceled
	case err != nil:
		m.Status, m.Error = Failed, durable.FailureOf(err)
	default:
		if m.Status != Cached {
			m.Status = Succeeded
		}
		if m.Output, err = json.Marshal(out); err != nil {
			return nil, invalid("output", err)
		}
	}
	return out, err
}
