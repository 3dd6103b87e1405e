package temporal

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"github.com/orpine-run/orpine/durable"
)

var _ durable.Context = (*scope)(nil)

// scope is the durable.Context of one coroutine: a workflow.Context, which is either
// canceled with the run or, under Shield, cut off from that.
type scope struct {
	r  *run
	wc workflow.Context
}

// issue gives a command its number, unless the run was canceled or the command
// cannot be recorded: then it never happens.
func (s *scope) issue(kind durable.CommandKind, name string, input json.RawMessage) (int, error) {
	switch {
	case s.wc.Err() != nil:
		return 0, durable.ErrCanceled
	case !utf8.ValidString(name):
		return 0, durable.Errorf(durable.CodeInvalid, "the name %q of a %s is not UTF-8", name, kind)
	case len(input) > 0 && !json.Valid(input):
		return 0, durable.Errorf(durable.CodeInvalid, "the input of %s %s is not JSON", kind, name)
	}
	n := s.r.commands
	s.r.commands++
	return n, nil
}

// track remembers what a command waits for, for those who ask from outside.
func (s *scope) track(f durable.Future, w durable.Wait) durable.Future {
	s.r.open = append(s.r.open, pending{wait: w, future: f})
	return f
}

// wait blocks the coroutine until ready; a cancel ends it unless it is shielded.
func (s *scope) wait(ready func() bool, on ...*inbox) error {
	for _, b := range on {
		b.waiting++
		defer func() { b.waiting-- }()
	}
	if workflow.Await(s.wc, ready) != nil {
		return durable.ErrCanceled
	}
	return nil
}

func (s *scope) Info() durable.Info {
	info := s.r.info
	info.Now = workflow.Now(s.wc).UTC()
	return info
}

func (s *scope) Step(call durable.StepCall) durable.Future {
	call.Name = cmp.Or(call.Name, call.Func)
	n, err := s.issue(durable.CommandStep, call.Name, call.Input)
	if err != nil {
		return refused(err)
	}
	return s.track(s.start(n, call), durable.Wait{Command: n, Name: call.Name})
}

func (s *scope) Timer(d time.Duration) durable.Future {
	n, err := s.issue(durable.CommandTimer, "timer", nil)
	if err != nil {
		return refused(err)
	}
	wc, cancel := workflow.WithCancel(s.wc)
	f := &peer{what: "timer", f: workflow.NewTimer(wc, d), cancel: cancel}
	return s.track(f, durable.Wait{Kind: durable.WaitTimer, Command: n, Name: "timer", Until: workflow.Now(s.wc).Add(d).UTC()})
}

func (s *scope) Child(call durable.ChildCall) durable.Future {
	call.Name = cmp.Or(call.Name, call.Program)
	n, err := s.issue(durable.CommandChild, call.Name, call.Input)
	if err == nil && s.r.e.programs[call.Program] == nil {
		err = durable.FailureOf(durable.Errorf(durable.CodeInvalid, "no program %q", call.Program))
	}
	if err != nil {
		return refused(err)
	}
	wc, policy := s.wc, enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL
	if call.Abandon {
		wc, _ = workflow.NewDisconnectedContext(wc)
		policy = enumspb.PARENT_CLOSE_POLICY_ABANDON
	}
	wc, cancel := workflow.WithCancel(wc)
	now := workflow.Now(wc).UTC()
	id := cmp.Or(call.ID, newRunID(now, childTail(s.r.info.Run, s.r.info.Segment, n)))
	m := memo{Name: call.Name, Parent: s.r.info.Run, Tenant: s.r.info.Tenant, Command: n, Created: now, Definition: hashOf(call.Definition)}
	wc = workflow.WithChildOptions(wc, workflow.ChildWorkflowOptions{
		WorkflowID: string(id), WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		ParentClosePolicy: policy, WaitForCancellation: true, Memo: map[string]any{memoKey: m},
	})
	f := workflow.ExecuteChildWorkflow(wc, call.Program, opening{
		Input: must(s.r.e.values().pack, call.Input), Definition: must(s.r.e.values().pin, call.Definition), Parent: s.r.info.Run, Tenant: s.r.info.Tenant,
	})
	s.r.births = append(s.r.births, f.GetChildWorkflowExecution())
	return s.track(&peer{what: call.Name, f: f, out: true, cancel: cancel}, durable.Wait{Kind: durable.WaitChild, Command: n, Name: call.Name, Child: id})
}

func (s *scope) Inbox(name string) durable.Inbox { return s.r.inbox(s.wc, name) }

func (s *scope) Ask(i durable.Interrupt) durable.Future {
	i.Kind = cmp.Or(i.Kind, "question")
	n, err := s.issue(durable.CommandAsk, cmp.Or(i.ID, i.Kind), i.Value)
	if err != nil {
		return refused(err)
	}
	if i.Quorum > 1 || len(i.Escalate) > 0 {
		return refused(durable.FailureOf(durable.Errorf(durable.CodeInvalid, "question %s: a quorum and escalation are the embedded engine's", i.Prompt)))
	}
	i.ID = cmp.Or(i.ID, fmt.Sprintf("%d.%d", s.r.info.Segment, n))
	q := &question{result: result{what: i.ID}, interrupt: i, scope: s}
	s.r.questions = append(s.r.questions, q)
	w := durable.Wait{Kind: durable.WaitAnswer, Command: n, Name: i.ID, Interrupt: &q.interrupt}
	if i.Within > 0 {
		w.Until = workflow.Now(s.wc).Add(i.Within).UTC()
		s.expire(q)
	}
	return s.track(q, w)
}

// expire answers a question with its default when its time is up.
func (s *scope) expire(q *question) {
	i := q.interrupt
	var wc workflow.Context
	wc, q.cancel = workflow.WithCancel(s.wc)
	workflow.GoNamed(wc, "until "+i.ID, func(wc workflow.Context) {
		if workflow.Sleep(wc, i.Within) != nil || q.done {
			return
		}
		if len(i.Default) > 0 {
			q.settle(must(s.r.e.values().pack, i.Default), nil)
			return
		}
		q.settle(value{}, &durable.Failure{
			Code: durable.CodeExhausted, Reason: "unanswered", Message: fmt.Sprintf("question %s: nobody answered within %s", i.ID, i.Within),
		})
	})
}

func (s *scope) Select(list ...durable.Ready) int {
	got := -1
	var on []*inbox
	for _, r := range list {
		if b, ok := r.(*inbox); ok {
			on = append(on, b)
		}
	}
	err := s.wait(func() bool {
		for i, r := range list {
			if r.Ready() {
				got = i
				return true
			}
		}
		return false
	}, on...)
	if err != nil {
		return -1
	}
	return got
}

func (s *scope) Go(name string, fn func(durable.Context) error) durable.Future {
	wc, cancel := workflow.WithCancel(s.wc)
	res := &routine{result{what: name, cancel: cancel}}
	workflow.GoNamed(wc, name, func(wc workflow.Context) {
		res.err = fn(&scope{r: s.r, wc: wc})
		res.done = true
	})
	return res
}

func (s *scope) Shield() durable.Context {
	wc, _ := workflow.NewDisconnectedContext(s.wc)
	return &scope{r: s.r, wc: wc}
}
