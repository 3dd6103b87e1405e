package workflow

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/orpine-run/orpine/durable"
)

// MigrateSignal is the signal by which a run takes up another definition. Its data is the definition.
// What runs is waited for, what waits for a person, a moment or an event begins to do so again, for
// as long as is left, and then the run goes on in a new segment.
const MigrateSignal = "orpine.migrate"

// watch takes up another definition when one is sent. The returned function ends it.
func (w *walker) watch() (stop func()) {
	f := w.ctx.Go("migrate", func(ctx durable.Context) error {
		next, err := durable.Receive[json.RawMessage](ctx, MigrateSignal)
		if err != nil {
			return err
		}
		d, err := Decode(next)
		if err == nil {
			err = Compile(d)
		}
		if err != nil {
			return nil //nolint:nilerr // whoever sent it should have looked: the run keeps what it has
		}
		pinned, err := durable.Do(ctx, w.pin, next)
		if err != nil {
			return err
		}
		w.in.Definition, w.in.Pinned, w.next = next, &pinned, true
		for _, wait := range w.waits {
			wait.Cancel()
		}
		return nil
	})
	return func() {
		f.Cancel()
		_ = f.Get(w.ctx.Shield(), nil) // how it ended does not matter
	}
}

// waiting lets a wait be cut short when another definition is taken up.
func (w *walker) waiting(f durable.Future) (done func()) {
	w.waits = append(w.waits, f)
	return func() {
		w.waits = slices.DeleteFunc(w.waits, func(o durable.Future) bool { return o == f })
	}
}

// Fit says whether a run could go on by another definition.
type Fit struct {
	Status string `json:"status"` // FitOK, FitDiverges or FitRemoved
	Step   string `json:"step,omitempty"`
	Why    string `json:"why,omitempty"`
}

// String says it in a line.
func (f Fit) String() string {
	if f.Status == FitOK {
		return f.Status
	}
	return fmt.Sprintf("%s: step %s: %s", f.Status, f.Step, f.Why)
}

// The statuses of a Fit.
const (
	FitOK       = "ok"
	FitDiverges = "diverges"                // at Step
	FitRemoved  = "waits on a removed step" // Step is under way, and there is none in the other
)

// Fits holds a run against another definition. It fits if every node that is under way is there, no
// node that has ended and could be undone is gone, and none is new before one that has ended. What has
// ended keeps its result, whatever the other definition says of it.
func (p *Progress) Fits(d *Definition) (Fit, error) {
	g, problems := compile(d)
	if err := problemsError(d.Name, problems); err != nil {
		return Fit{}, err
	}
	w := p.walker
	for _, n := range w.graph.order {
		m, there := w.marks[n.ID], g.nodes[n.ID]
		switch {
		case there != nil && there.verb != n.verb && m.Status != Pending && !m.Status.Ended():
			return Fit{FitDiverges, n.ID, fmt.Sprintf("it is under way as %s, and is %s now", n.verb, there.verb)}, nil
		case there != nil:
		case m.Status != Pending && !m.Status.Ended():
			return Fit{FitRemoved, n.ID, "it is " + string(m.Status)}, nil
		case slices.ContainsFunc(w.undo, func(u undoing) bool { return u.ID == n.ID }):
			return Fit{FitDiverges, n.ID, "it has ended and could be undone, and there is no such step any more"}, nil
		}
	}
	for _, n := range g.order {
		if _, known := w.graph.nodes[n.ID]; known {
			continue
		}
		for _, o := range n.later() {
			if m := w.marks[o.ID]; m != nil && m.Status.good() {
				return Fit{FitDiverges, n.ID, fmt.Sprintf("it is new, and %s, which runs behind it, has ended", o.ID)}, nil
			}
		}
	}
	return Fit{Status: FitOK}, nil
}

// later are the nodes that run behind a node.
func (n *node) later() []*node {
	if n.body.ordered {
		return n.body.nodes[n.index+1:]
	}
	to := map[string]bool{}
	n.downstream(to)
	delete(to, n.ID)
	var list []*node
	for _, o := range n.body.nodes {
		if to[o.ID] {
			list = append(list, o)
		}
	}
	return list
}

// Definition is the one in force, which is the pinned one unless another was taken up since.
func (p *Progress) Definition() *Definition { return p.walker.graph.def }
