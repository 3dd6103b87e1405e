package orpine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// ruleKind is the kind of the records of decisions that stand.
const ruleKind = "rule"

// Approval is what somebody decides on a call that an agent wants to make.
type Approval struct {
	durable.Decision
	Interrupt string `json:"interrupt,omitempty"` // its ID; "" = the only open one
	By        string `json:"by,omitempty"`        // who decides
	Digest    string `json:"digest,omitempty"`    // of the call that was looked at; "" = not looked at
}

// Standing is a decision that stands.
type Standing struct {
	ID string `json:"id"`
	agent.Rule
	Tenant string    `json:"tenant,omitempty"`
	By     string    `json:"by,omitempty"`
	Run    string    `json:"run"` // in which it was made
	Time   time.Time `json:"time"`
}

// Approve decides on a call that an agent wants to make. The first decision wins. Errors:
// those of Reply.
func (r *Runtime) Approve(ctx context.Context, id durable.RunID, a Approval) error {
	if a.Always != durable.Once && a.Action != durable.Accept {
		return durable.Errorf(durable.CodeInvalid, "only what is accepted is decided for calls to come: leave out always, or accept")
	}
	value, err := json.Marshal(a.Decision)
	if err != nil {
		return err
	}
	if a.Always != durable.ThisAgent && a.Always != durable.Anybody {
		return r.Reply(ctx, id, durable.Reply{Interrupt: a.Interrupt, Value: value, By: a.By, Digest: a.Digest})
	}
	run, i, err := r.asks(ctx, id, a.Interrupt)
	if err != nil {
		return err
	}
	var wish agent.Wish
	if err := json.Unmarshal(i.Value, &wish); err != nil || i.Kind != agent.ApprovalKind {
		return durable.Errorf(durable.CodeInvalid, "question %s of run %s is no approval of a call: nothing can be accepted for good", i.ID, id)
	}
	counts, err := r.engine.Reply(ctx, id, durable.Reply{Interrupt: i.ID, Value: value, By: a.By, Digest: a.Digest})
	if err != nil || !counts || a.Action != durable.Accept {
		return err // one voice of several decides nothing for good
	}
	s := Standing{Tenant: run.Tenant, Rule: agent.Rule{Agent: wish.Agent, Tool: wish.Tool}, By: a.By, Run: string(id), Time: time.Now().UTC()}
	if a.Always == durable.Anybody {
		s.Agent = ""
	}
	key := store.KeyOf(run.Tenant, s.Agent, s.Tool)
	s.ID = durable.RefOf([]byte(key)).Hash[:16]
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return r.journal.Write(ctx, store.RecordChange{Kind: ruleKind, Key: key, Expect: store.AnyVersion, Data: data})
}

// maxRules is how many decisions that stand are listed.
const maxRules = 10_000

// Rules lists the decisions that stand for a tenant; "" = for all.
func (r *Reader) Rules(ctx context.Context, tenant string) ([]Standing, error) {
	f := store.RecordFilter{Limit: maxRules}
	if tenant != "" {
		f.Prefix = store.KeyOf(tenant) + "/"
	}
	records, err := r.store.Records(ctx, ruleKind, f)
	if err != nil {
		return nil, err
	}
	rules := make([]Standing, len(records))
	for i, record := range records {
		if err := json.Unmarshal(record.Data, &rules[i]); err != nil {
			return nil, durable.Errorf(durable.CodeInternal, "the record of rule %s is damaged: %w", record.Key, err)
		}
	}
	return rules, nil
}

// RemoveRule takes back a decision that stands. Error: not_found, also for one of another
// tenant.
func (r *Runtime) RemoveRule(ctx context.Context, tenant, id string) error {
	rules, err := r.Rules(ctx, tenant)
	if err != nil {
		return err
	}
	for _, s := range rules {
		if s.ID == id {
			key := store.KeyOf(s.Tenant, s.Agent, s.Tool)
			return r.journal.Write(ctx, store.RecordChange{Kind: ruleKind, Key: key, Expect: store.AnyVersion})
		}
	}
	return durable.Errorf(durable.CodeNotFound, "no rule %s", id)
}

// asks finds an open question of a run.
func (r *Runtime) asks(ctx context.Context, id durable.RunID, interrupt string) (durable.Run, durable.Interrupt, error) {
	run, err := r.Get(ctx, id)
	if err != nil {
		return run, durable.Interrupt{}, err
	}
	var open []durable.Interrupt
	for _, w := range run.Waits {
		if w.Kind == durable.WaitAnswer && (interrupt == "" || w.Interrupt.ID == interrupt) {
			open = append(open, *w.Interrupt)
		}
	}
	for _, a := range r.engine.Asking() {
		if a.Run.ID == id && len(run.Waits) == 0 && (interrupt == "" || a.Interrupt.ID == interrupt) {
			open = append(open, a.Interrupt)
		}
	}
	switch {
	case len(open) == 1:
		return run, open[0], nil
	case len(open) > 1:
		return run, durable.Interrupt{}, durable.Errorf(durable.CodeConflict, "run %s asks %d questions: name the one you mean", id, len(open))
	}
	return run, durable.Interrupt{}, durable.Errorf(durable.CodeNotFound, "run %s waits for no such answer", id)
}

// Question is an interrupt that waits for an answer.
type Question struct {
	Run    durable.RunID `json:"run"`
	Name   string        `json:"name,omitempty"` // of the run
	Tenant string        `json:"tenant,omitempty"`
	Since  time.Time     `json:"since"`          // when the run came to wait
	Until  time.Time     `json:"until,omitzero"` // when its default counts
	durable.Interrupt
}

// Questions lists what waits for a person in the runs that match: those that stand still,
// newest first, and behind them those in which something else is still under way.
func (r *Runtime) Questions(ctx context.Context, f durable.Filter) ([]Question, error) {
	all, err := r.Reader.Questions(ctx, f)
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for _, q := range all {
		listed[string(q.Run)+" "+q.ID] = true
	}
	for _, a := range r.engine.Asking() {
		if (f.Tenant == "" || f.Tenant == a.Run.Tenant) && !listed[string(a.Run.ID)+" "+a.Interrupt.ID] {
			all = append(all, Question{Run: a.Run.ID, Name: a.Run.Name, Tenant: a.Run.Tenant, Since: a.Since, Until: a.Until, Interrupt: a.Interrupt})
		}
	}
	return all, nil
}

// Questions lists what waits for a person in the runs that match and stand still, newest
// first.
func (r *Reader) Questions(ctx context.Context, f durable.Filter) ([]Question, error) {
	f.Statuses = []durable.Status{durable.Waiting, durable.Paused}
	var all []Question
	for run, err := range r.runs(ctx, f) {
		if err != nil {
			return nil, err
		}
		if run.Status == durable.Paused { // its row does not say what it waited for
			open, err := r.open(ctx, run)
			if err != nil {
				return nil, err
			}
			all = append(all, open...)
		}
		for _, w := range run.Waits {
			if w.Kind == durable.WaitAnswer {
				all = append(all, Question{Run: run.ID, Name: run.Name, Tenant: run.Tenant, Since: run.Updated, Until: w.Until, Interrupt: *w.Interrupt})
			}
		}
	}
	return all, nil
}

// open lists the questions of a run that its journal has no answer to.
func (r *Reader) open(ctx context.Context, run store.Run) ([]Question, error) {
	steps, err := r.Steps(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	var list []Question
	for _, s := range steps {
		if s.Kind != durable.CommandAsk || s.Status != durable.StepWaiting || s.Segment != run.Segment {
			continue
		}
		q := Question{Run: run.ID, Name: run.Name, Tenant: run.Tenant, Since: s.Started}
		if err := json.Unmarshal(s.In, &q.Interrupt); err != nil {
			return nil, durable.Errorf(durable.CodeInternal, "question %s of run %s: %w", s.Name, run.ID, err)
		}
		if q.Within > 0 {
			q.Until = s.Started.Add(q.Within)
		}
		list = append(list, q)
	}
	return list, nil
}
