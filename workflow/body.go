package workflow

import (
	"errors"
	"fmt"
	"slices"

	"github.com/orpine-run/orpine/durable"
)

// body runs some nodes. The error is that of the first node that failed for good.
func (w *walker) body(ctx durable.Context, b *body, s scope) error {
	if b.ordered {
		return w.inOrder(ctx, b, s)
	}
	r := &race{walker: w, body: b, left: make([]int, len(b.nodes)), good: make([]int, len(b.nodes)), begun: make([]bool, len(b.nodes)), called: map[int]bool{}}
	return r.run(ctx, s)
}

// inOrder runs nodes one after the other, as far as no goto says otherwise.
func (w *walker) inOrder(ctx durable.Context, b *body, s scope) error {
	for at := 0; at < len(b.nodes); {
		n := b.nodes[at]
		if w.marks[n.ID].Status == Pending {
			if err := w.pause(b); err != nil {
				return err
			}
		}
		m, err := w.node(ctx, n, s)
		if err != nil {
			return err
		}
		switch {
		case m.Next == GotoEnd:
			w.skipFrom(b, at+1, len(b.nodes), "the steps ended with "+n.ID)
			return nil
		case m.Next != "":
			to := slices.IndexFunc(b.nodes, func(o *node) bool { return o.ID == m.Next })
			if to > at {
				w.skipFrom(b, at+1, to, n.ID+" went on with "+m.Next)
			} else if err := w.back(b, to, at); err != nil {
				return err
			}
			at = to
		case m.Status == Failed && !n.OnError.Continue:
			return failure(n, m)
		default:
			at++
		}
	}
	return nil
}

// back lets an ordered body go back from a node to one before it.
func (w *walker) back(b *body, to, from int) error {
	n := b.nodes[from]
	most := defaultBacks
	if n.Switch != nil && n.Switch.Max > 0 {
		most = n.Switch.Max
	}
	if w.backs[n.ID] >= most {
		return &durable.Error{Code: durable.CodeExhausted, Reason: ReasonRounds, Err: fmt.Errorf("step %s went back %d times, which is its max", n.ID, most)}
	}
	w.backs[n.ID]++
	for _, o := range b.nodes[to : from+1] {
		w.again(o)
	}
	return nil
}

// again forgets that a node has run, but not what it came to: that is what others see until it has
// run once more.
func (w *walker) again(n *node) {
	old := w.marks[n.ID]
	w.mark(n, &Mark{Status: Pending, Output: old.Output, value: old.value})
	if n.inner != nil {
		delete(w.rounds, n.ID)
		for _, o := range n.inner.nodes {
			w.again(o)
		}
	}
}

func (w *walker) skipFrom(b *body, from, to int, why string) {
	for _, n := range b.nodes[from:to] {
		if !w.marks[n.ID].Status.Ended() {
			w.skip(n, why)
		}
	}
}

func (w *walker) skip(n *node, why string) *Mark {
	m := &Mark{Status: Skipped, Reason: why}
	w.mark(n, m)
	if n.inner != nil {
		w.skipFrom(n.inner, 0, len(n.inner.nodes), why)
	}
	return m
}

// failure is the error of a node that failed for good.
func failure(n *node, m *Mark) error {
	return &durable.Error{Code: m.Error.Code, Reason: m.Error.Reason, Op: "step " + n.ID, Err: errors.New(m.Error.Message)}
}

// race runs the nodes of a graph, each as soon as what it needs is there.
type race struct {
	*walker
	body    *body
	left    []int        // of what a node needs: how many have not ended
	good    []int        // of what a node needs: how many have come to something
	called  map[int]bool // nodes that a goto went on with
	begun   []bool
	ready   []int    // begun, and waiting for room
	running []runner // in the order in which they began
	failed  []*node
}

type runner struct {
	node   *node
	future durable.Future
	lost   bool // it was canceled because another one won
}

func (r *race) run(ctx durable.Context, s scope) error {
	for i, n := range r.body.nodes {
		if r.left[i] = len(n.needs); r.left[i] == 0 {
			r.begun[i], r.ready = true, append(r.ready, i)
		}
	}
	for len(r.ready) > 0 || len(r.running) > 0 {
		if err := r.launch(ctx, s); err != nil {
			return err
		}
		if len(r.running) == 0 {
			if r.next {
				return errSegment
			}
			continue
		}
		i := ctx.Select(r.waits()...)
		if i < 0 {
			r.await(ctx)
			return durable.ErrCanceled
		}
		ended := r.running[i]
		r.running = slices.Delete(r.running, i, i+1)
		err := ended.future.Get(ctx, nil)
		switch {
		case err != nil && r.next:
			continue // what else runs is waited for
		case err != nil && !ended.lost:
			r.halt(ctx)
			return err
		}
		r.over(ended.node)
		if len(r.failed) > 0 && r.graph.def.FailFast {
			r.halt(ctx)
			break
		}
	}
	if r.next {
		return errSegment
	}
	if len(r.failed) > 0 {
		slices.SortFunc(r.failed, func(a, b *node) int { return a.index - b.index })
		return failure(r.failed[0], r.marks[r.failed[0].ID])
	}
	return nil
}

// launch begins what is ready, as many as may run at once.
func (r *race) launch(ctx durable.Context, s scope) error {
	for len(r.ready) > 0 && (r.graph.def.AtOnce == 0 || len(r.running) < r.graph.def.AtOnce) {
		n := r.body.nodes[r.ready[0]]
		if m := r.marks[n.ID]; m.Status.Ended() { // before this segment
			r.ready = r.ready[1:]
			r.over(n)
			continue
		}
		if r.next {
			return nil // nothing is begun any more
		}
		if len(r.running) == 0 {
			if err := r.pause(r.body); err != nil {
				return err
			}
		}
		r.ready = r.ready[1:]
		r.running = append(r.running, runner{node: n, future: ctx.Go(n.ID, func(ctx durable.Context) error {
			_, err := r.node(ctx, n, s)
			return err
		})})
	}
	return nil
}

func (r *race) waits() []durable.Ready {
	list := make([]durable.Ready, len(r.running))
	for i, one := range r.running {
		list[i] = one.future
	}
	return list
}

// halt cancels what runs and waits for it to end.
func (r *race) halt(ctx durable.Context) {
	for _, one := range r.running {
		one.future.Cancel()
	}
	r.await(ctx)
}

// await waits for what runs and was canceled.
func (r *race) await(ctx durable.Context) {
	for _, one := range r.running {
		_ = one.future.Get(ctx.Shield(), nil) // how it ended is in its mark
	}
	r.running = nil
}

// over counts a node that has ended, and finds which others can begin because of it.
func (r *race) over(n *node) {
	m := r.marks[n.ID]
	good := m.Status.good() || m.Status == Failed && n.OnError.Continue
	if m.Status == Failed && !n.OnError.Continue && m.Next == "" {
		r.failed = append(r.failed, n)
	}
	for _, i := range n.feeds {
		o := r.body.nodes[i]
		r.left[i]--
		if good || m.Next == o.ID {
			r.good[i]++
		}
		if m.Next == o.ID {
			r.called[i] = true
		}
		if r.begun[i] {
			continue
		}
		switch ready, why := r.decide(i); {
		case ready:
			r.begun[i], r.ready = true, append(r.ready, i)
			if o.Join.Rule == JoinFirst && o.Join.Count == 0 {
				r.lose(o)
			}
		case why != "":
			r.begun[i] = true
			if !r.marks[o.ID].Status.Ended() {
				r.skip(o, why)
			}
			r.over(o)
		}
	}
}

// decide says whether a node can begin, or why it never will; "" = not yet.
func (r *race) decide(i int) (ready bool, why string) {
	n := r.body.nodes[i]
	left, good, all := r.left[i], r.good[i], len(n.needs)
	if n.called {
		switch {
		case left > 0:
			return false, ""
		case r.called[i]:
			return true, ""
		}
		return false, "no step went on with it"
	}
	want := all
	switch {
	case n.Join.Count > 0:
		want = n.Join.Count
	case n.Join.Rule == JoinAny, n.Join.Rule == JoinFirst:
		want = 1
	case n.Join.Rule == JoinDone:
		return left == 0, ""
	}
	switch {
	case good >= want:
		return true, ""
	case good+left < want && (left == 0 || want == all):
		return false, r.lacking(n)
	case good+left < want:
		return false, fmt.Sprintf("only %d of the %d steps it needs can still succeed", good+left, want)
	}
	return false, ""
}

// lacking says which of the steps that a node needs came to nothing.
func (r *race) lacking(n *node) string {
	for _, i := range n.needs {
		o := r.body.nodes[i]
		if m := r.marks[o.ID]; m.Status.Ended() && !m.Status.good() {
			return fmt.Sprintf("%s is %s", o.ID, m.Status)
		}
	}
	return "what it needs came to nothing"
}

// lose cancels what the winner of a race beats.
func (r *race) lose(winner *node) {
	for i, one := range r.running {
		if slices.Contains(winner.needs, one.node.index) {
			r.running[i].lost = true
			one.future.Cancel()
		}
	}
}
