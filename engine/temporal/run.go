package temporal

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	sdk "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/orpine-run/orpine/durable"
)

// The names by which a run is spoken to; signals carry the names of their inboxes.
const (
	answerName = "orpine.answer" // update: an answer to a question
	viewName   = "orpine.view"   // query: what the run waits for
	memoKey    = "orpine"        // memo: what is known of the run from its start
)

// opening is what a segment begins with.
type opening struct {
	Input      value         `json:"input"`
	Definition value         `json:"definition,omitzero"`
	Parent     durable.RunID `json:"parent,omitempty"`
	Tenant     string        `json:"tenant,omitempty"`
	Segment    int           `json:"segment,omitempty"`
	Carry      []letter      `json:"carry,omitempty"`
}

// memo is kept beside the run, through all its segments.
type memo struct {
	Name       string        `json:"name,omitempty"`
	Parent     durable.RunID `json:"parent,omitempty"`
	Tenant     string        `json:"tenant,omitempty"`
	Command    int           `json:"command,omitempty"`
	Created    time.Time     `json:"created,omitzero"`
	Definition string        `json:"definition,omitempty"`
}

// view is what a run in motion says of itself.
type view struct {
	Busy    bool           `json:"busy,omitempty"` // steps are on their way
	Waits   []durable.Wait `json:"waits,omitempty"`
	Blocked string         `json:"blocked,omitempty"` // what a step lacks
}

// run is one segment in a worker's memory. Only its own coroutines touch it, of
// which one runs at a time.
type run struct {
	e         *Engine
	info      durable.Info
	commands  int
	open      []pending // commands, oldest first; those that are done go at the next look
	questions []*question
	inboxes   map[string]*inbox
	births    []workflow.Future
	firm      []*result      // irreversible steps
	blocked   map[int]string // steps that lack something, by command
}

type pending struct {
	wait   durable.Wait
	future durable.Future
}

// question is an Ask that was put.
type question struct {
	result
	interrupt durable.Interrupt
	scope     *scope
}

// Ready closes a question that a cancel overtook.
func (q *question) Ready() bool {
	if q.scope.wc.Err() != nil {
		q.settle(value{}, durable.FailureOf(durable.ErrCanceled))
	}
	return q.done
}

func (q *question) Get(ctx durable.Context, out any) error {
	if err := own(ctx).wait(q.Ready); err != nil {
		return err
	}
	return q.result.Get(ctx, out)
}

// execute makes the workflow of a program: one segment of a run.
func (e *Engine) execute(p durable.Program) func(workflow.Context, opening) (value, error) {
	return func(wc workflow.Context, o opening) (value, error) {
		r := &run{e: e, inboxes: map[string]*inbox{}, blocked: map[int]string{}}
		r.info = durable.Info{
			Run: durable.RunID(workflow.GetInfo(wc).WorkflowExecution.ID), Program: p.Name(), Parent: o.Parent, Tenant: o.Tenant,
			Segment: o.Segment, Definition: must(e.values().unpack, o.Definition),
		}
		for _, l := range o.Carry {
			b := r.inbox(wc, l.Inbox)
			b.carried = append(b.carried, l.Data)
		}
		if err := r.listen(wc); err != nil {
			return value{}, err
		}
		output, err := p.Run(&scope{r: r, wc: wc}, must(e.values().unpack, o.Input))
		return r.end(wc, p, o, output, err)
	}
}

// end turns what a program returned into what Temporal is told.
func (r *run) end(wc workflow.Context, p durable.Program, o opening, output json.RawMessage, err error) (value, error) {
	if b, ok := errors.AsType[*durable.BlockError](err); ok {
		panic(b.Error()) // fails this turn only: Temporal tries again until a worker has what is missing
	}
	firm, _ := workflow.NewDisconnectedContext(wc)
	for _, born := range r.births {
		_ = born.Get(firm, nil) // a child that was not begun when its parent ends would never be
	}
	if err := workflow.Await(firm, r.calm); err != nil {
		return value{}, err
	}
	canceled := wc.Err() != nil
	if next, ok := errors.AsType[*durable.ContinueError](err); ok && !canceled {
		if len(next.State) > 0 && !json.Valid(next.State) {
			panic(fmt.Sprintf("the state that program %s continues with is not JSON", p.Name()))
		}
		return value{}, workflow.NewContinueAsNewError(wc, p.Name(), opening{
			Input: must(r.e.values().pack, next.State), Definition: o.Definition, Parent: o.Parent, Tenant: o.Tenant, Segment: o.Segment + 1, Carry: r.unreceived(wc),
		})
	}
	if err == nil && len(output) > 0 && !json.Valid(output) {
		err = durable.Errorf(durable.CodeInvalid, "the output of program %s is not JSON", p.Name())
	}
	switch {
	case err == nil:
		return must(r.e.values().pack, output), nil
	case canceled && durable.CodeOf(err) == durable.CodeCanceled:
		return value{}, sdk.NewCanceledError(*durable.FailureOf(err))
	}
	return value{}, final(err)
}

// calm reports whether no irreversible step is under way: a run does not end before.
func (r *run) calm() bool {
	r.firm = slices.DeleteFunc(r.firm, func(f *result) bool { return f.over })
	return len(r.firm) == 0
}

// listen makes the run answer to those outside.
func (r *run) listen(wc workflow.Context) error {
	if err := workflow.SetQueryHandler(wc, viewName, func() (view, error) { return r.view(), nil }); err != nil {
		return err
	}
	check := func(id string, _ value) error {
		_, err := r.question(id)
		if err != nil {
			return final(err)
		}
		return nil
	}
	answer := func(_ workflow.Context, id string, v value) error {
		q, err := r.question(id)
		if err != nil {
			return final(err) // another answer came between the check and here
		}
		q.settle(v, nil)
		return nil
	}
	return workflow.SetUpdateHandlerWithOptions(wc, answerName, answer, workflow.UpdateHandlerOptions{Validator: check})
}

// question finds the open question with this ID, or with an empty one the only one.
func (r *run) question(id string) (*question, error) {
	var open []string
	var only *question
	for _, q := range r.questions {
		switch done := q.Ready(); {
		case q.interrupt.ID == id && done:
			return nil, durable.Errorf(durable.CodeConflict, "question %s of run %s was answered before", id, r.info.Run)
		case q.interrupt.ID == id:
			return q, nil
		case !done:
			open, only = append(open, q.interrupt.ID), q
		}
	}
	switch {
	case id != "":
		return nil, durable.Errorf(durable.CodeNotFound, "run %s has no question %s; open: %s", r.info.Run, id, strings.Join(open, ", "))
	case len(open) == 1:
		return only, nil
	}
	return nil, durable.Errorf(durable.CodeConflict, "run %s has %d open questions (%s), name the one you mean", r.info.Run, len(open), strings.Join(open, ", "))
}

func (r *run) view() view {
	var v view
	r.open = slices.DeleteFunc(r.open, func(p pending) bool { return p.future.Ready() })
	for _, p := range r.open {
		if p.wait.Kind == "" {
			v.Busy = true
			continue
		}
		v.Waits = append(v.Waits, p.wait)
	}
	for name, b := range r.inboxes {
		if b.waiting > 0 && !strings.HasPrefix(name, durable.OwnSignals) {
			v.Waits = append(v.Waits, durable.Wait{Kind: durable.WaitSignal, Name: name})
		}
	}
	slices.SortFunc(v.Waits, func(a, b durable.Wait) int {
		return cmp.Or(cmp.Compare(a.Command, b.Command), cmp.Compare(a.Name, b.Name))
	})
	for _, reason := range r.blocked {
		v.Blocked = max(v.Blocked, reason)
	}
	return v
}

// hashOf names a definition as its blob does, "" where there is none.
func hashOf(definition []byte) string {
	if definition == nil {
		return ""
	}
	return durable.RefOf(definition).Hash
}
