package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// node runs one node to its end, with all its attempts. The error is for what ends the whole run, such
// as a cancel; that the node failed is in its mark.
func (w *walker) node(ctx durable.Context, n *node, s scope) (*Mark, error) {
	if m := w.marks[n.ID]; m.Status.Ended() {
		return m, nil // in an earlier segment, or in the run that this one tries again
	}
	if w.chosen != nil && !w.chosen[n.ID] {
		return w.skip(n, "it was not selected"), nil
	}
	if n.cond != nil {
		yes, err := n.cond.True(w.eval(s))
		if err != nil {
			return w.fail(n, &Mark{}, invalid("if", err)), nil
		}
		if !yes {
			return w.skip(n, "its if does not hold"), nil
		}
	}
	w.busy++
	defer func() { w.busy-- }()
	was := w.marks[n.ID] // of the round before, or of the segment before
	m := &Mark{Status: Running, Started: durable.Now(ctx), Output: was.Output, value: was.value, Items: was.Items, Until: was.Until}
	w.marks[n.ID] = m
	var out any
	var err error
	if n.each != nil {
		out, err = w.each(ctx, n, s, m)
	} else {
		out, err = w.attempts(ctx, n, s, m)
	}
	m.Ended = durable.Now(ctx)
	switch {
	case w.interrupted(err):
		m.Status = Pending
		return m, errSegment
	case durable.CodeOf(err) == durable.CodeCanceled && err != nil:
		m.Status = Canceled
		w.see(n, m)
		return m, durable.ErrCanceled
	case blocks(err):
		return m, err
	case err != nil:
		return w.fail(n, m, err), nil
	}
	w.work++
	return w.succeed(n, m, out), nil
}

// interrupted reports whether something did not end because a new segment is to begin.
func (w *walker) interrupted(err error) bool {
	return w.next && err != nil && (errors.Is(err, errSegment) || durable.CodeOf(err) == durable.CodeCanceled)
}

// blocks reports whether an error is one that this build or machine has to be mended for.
func blocks(err error) bool {
	_, yes := errors.AsType[*durable.BlockError](err)
	return yes
}

func invalid(what string, err error) error {
	return &durable.Error{Code: durable.CodeInvalid, Op: what, Err: err, Final: true}
}

func (w *walker) fail(n *node, m *Mark, err error) *Mark {
	w.work++
	m.Status, m.Error, m.Next, m.Until = Failed, durable.FailureOf(err), n.OnError.Goto, time.Time{}
	m.Output, m.value = nil, nil
	w.mark(n, m)
	return m
}

func (w *walker) succeed(n *node, m *Mark, out any) *Mark {
	data, err := json.Marshal(out)
	if err != nil {
		return w.fail(n, m, invalid("output", err))
	}
	if m.Status != Cached {
		m.Status = Succeeded
	}
	m.Output, m.value, m.Until = data, out, time.Time{}
	w.mark(n, m)
	return m
}

// attempts runs a node, or one item of it, until it succeeds or is not tried again.
func (w *walker) attempts(ctx durable.Context, n *node, s scope, m *Mark) (any, error) {
	if w.next {
		return nil, errSegment
	}
	if err := w.afford(); err != nil {
		return nil, err
	}
	key, found, err := w.lookUp(ctx, n, s)
	switch {
	case err != nil:
		return nil, err
	case found != nil:
		m.Status = Cached
		return w.made(ctx, n, s, m, found.value)
	}
	for m.Attempt = 1; ; m.Attempt++ {
		out, err := w.once(ctx, n, s, m)
		if err == nil {
			out, err = shaped(n, out)
		}
		if err == nil {
			err = w.keepIt(ctx, n, key, out)
		}
		if err == nil {
			return w.made(ctx, n, s, m, out)
		}
		wait, again := n.Retry.next(m.Attempt, err)
		if !again || w.next {
			return nil, err
		}
		m.Status, m.Error, m.Until = Retrying, durable.FailureOf(err), durable.Now(ctx).Add(wait)
		if err := w.sleep(ctx, wait); err != nil {
			return nil, err
		}
		m.Status, m.Error, m.Until = Running, nil, time.Time{}
	}
}

// sleep waits, unless another definition is taken up.
func (w *walker) sleep(ctx durable.Context, d time.Duration) error {
	f := ctx.Timer(d)
	defer w.waiting(f)()
	return f.Get(ctx, nil)
}

// Defaults of [Retry].
const (
	defaultAttempts = 3
	defaultBackoff  = time.Second
	defaultMax      = time.Minute
)

// next says how long to wait after an attempt, and whether to try again at all.
func (r *Retry) next(attempt int, err error) (time.Duration, bool) {
	if r == nil || final(err) {
		return 0, false
	}
	if len(r.Waits) > 0 {
		if attempt > len(r.Waits) {
			return 0, false
		}
		return r.Waits[attempt-1], true
	}
	attempts, wait, most := r.Attempts, r.Backoff, r.Max
	if attempts == 0 {
		attempts = defaultAttempts
	}
	if wait == 0 {
		wait = defaultBackoff
	}
	if most == 0 {
		most = defaultMax
	}
	if attempt >= attempts {
		return 0, false
	}
	for range attempt - 1 {
		wait = min(2*wait, most)
	}
	return min(wait, most), true
}

func final(err error) bool {
	switch durable.CodeOf(err) {
	case durable.CodeInvalid, durable.CodeDenied, durable.CodeCanceled:
		return true
	case durable.CodeNotFound, durable.CodeConflict, durable.CodeExhausted, durable.CodeUnavailable, durable.CodeInternal:
	}
	return blocks(err)
}

// once makes one attempt, within the time that it has.
func (w *walker) once(ctx durable.Context, n *node, s scope, m *Mark) (any, error) {
	if n.Timeout == 0 {
		return w.perform(ctx, n, s, m)
	}
	attempt := durable.Go(ctx, "try "+n.ID, func(ctx durable.Context) (any, error) { return w.perform(ctx, n, s, m) })
	timer := ctx.Timer(n.Timeout)
	switch ctx.Select(attempt, timer) {
	case 0:
		timer.Cancel()
		var out any
		err := attempt.Get(ctx, &out)
		return out, err
	case 1:
		attempt.Cancel()
		_ = attempt.Get(ctx.Shield(), nil) // that it was canceled is our doing
		return nil, &durable.Error{Code: durable.CodeExhausted, Reason: ReasonTimeout, Err: fmt.Errorf("it took longer than %s", n.Timeout)}
	}
	_ = attempt.Get(ctx.Shield(), nil)
	return nil, durable.ErrCanceled
}

// shaped holds an output against the schema of the node; where that is no text, a text of JSON is read.
func shaped(n *node, out any) (any, error) {
	if len(n.Output) == 0 {
		return out, nil
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil, invalid("output", err)
	}
	if text, ok := out.(string); ok {
		if want := expr.ShapeOf(n.Output); want == nil || want.Kind != "string" {
			data = json.RawMessage(text)
		}
	}
	v, err := accept(n.Output, data)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInternal, "the output does not match its schema: %w", err)
	}
	return v, nil
}

// made does what follows from an output: it is held against the checks of the asset and recorded, is
// written to the state, and can be undone.
func (w *walker) made(ctx durable.Context, n *node, s scope, m *Mark, out any) (any, error) {
	if n.Compensate != nil {
		if err := w.canUndo(n, s, out); err != nil {
			return nil, err
		}
	}
	if n.Asset != nil && m.Status != Cached {
		if err := w.materialize(ctx, n, s, m, out); err != nil {
			return nil, err
		}
	}
	return out, w.save(n, s.with("output", out))
}

// save writes to the state.
func (w *walker) save(n *node, s scope) error {
	for _, e := range n.save {
		v, err := e.value.Any(w.eval(s))
		if err != nil {
			return invalid("save "+e.key, err)
		}
		if err := w.state.write(writer{node: n, item: s.item}, e.key, v); err != nil {
			return err
		}
	}
	return nil
}

// afford checks the budget before something is begun.
func (w *walker) afford() error {
	b := w.graph.def.Budget
	used := w.spent.Usage.Input + w.spent.Usage.Output
	passed := durable.Now(w.ctx).Sub(w.in.Began)
	var text string
	switch {
	case b.Cost > 0 && w.spent.Cost >= b.Cost:
		text = fmt.Sprintf("%.4f of %.4f is spent; raise budget.cost", w.spent.Cost, b.Cost)
	case b.Tokens > 0 && used >= b.Tokens:
		text = fmt.Sprintf("%d of %d tokens are used; raise budget.tokens", used, b.Tokens)
	case b.Time > 0 && passed >= b.Time:
		text = fmt.Sprintf("%s of %s have passed; raise budget.time", passed.Round(time.Millisecond), b.Time)
	default:
		return nil
	}
	return &durable.Error{Code: durable.CodeExhausted, Reason: ReasonBudget, Err: errors.New(text), Final: true}
}
