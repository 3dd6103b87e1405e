package workflow

import (
	"encoding/json"
	"fmt"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// canUndo notes that a node has done what can be undone.
func (w *walker) canUndo(n *node, s scope, out any) error {
	u := undoing{ID: n.ID}
	var err error
	if u.Output, err = json.Marshal(out); err != nil {
		return invalid("output", err)
	}
	if round, ok := s.vars["round"].(int64); ok {
		u.Round = int(round)
	}
	if s.item >= 0 {
		u.Index = &s.item
		if u.Item, err = json.Marshal(s.vars["item"]); err != nil {
			return invalid("item", err)
		}
	}
	w.undo = append(w.undo, u)
	return nil
}

// compensate undoes what was done, the latest first, and returns the cause with what that came to.
func (w *walker) compensate(cause error) error {
	if blocks(cause) {
		return cause
	}
	saga := durable.NewSaga(w.ctx)
	for i, u := range w.undo {
		saga.Add(u.ID, func(ctx durable.Context) error { return w.undoOne(ctx, u, fmt.Sprintf("/%d", i)) })
	}
	return saga.Compensate(cause)
}

// undoOne undoes one node, or one item of it.
func (w *walker) undoOne(ctx durable.Context, u undoing, which string) error {
	n := w.graph.nodes[u.ID]
	out, err := expr.Decode(u.Output)
	if err != nil {
		return err
	}
	s := scope{item: -1, undo: which}.with("output", out)
	if u.Index != nil {
		item, err := expr.Decode(u.Item)
		if err != nil {
			return err
		}
		s = s.with("item", item).with("index", int64(*u.Index))
		s.item = *u.Index
	}
	if u.Round > 0 {
		s = s.with("round", int64(u.Round))
	}
	if n.undo.cond != nil {
		if yes, err := n.undo.cond.True(w.eval(s)); err != nil || !yes {
			return err
		}
	}
	mark := &Mark{}
	for mark.Attempt = 1; ; mark.Attempt++ {
		if _, err = w.once(ctx, n.undo, s, mark); err == nil {
			break
		}
		wait, again := n.undo.Retry.next(mark.Attempt, err)
		if !again {
			return err
		}
		if err := durable.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	if m := w.marks[u.ID]; u.Index != nil && *u.Index < len(m.Items) {
		m.Items[*u.Index].Status = Compensated
	} else {
		m.Status = Compensated
	}
	return nil
}
