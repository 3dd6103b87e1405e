package orpinetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// Signal sends a signal. Errors: those of durable.Engine.
func (e *Env) Signal(id durable.RunID, name string, data any) error {
	e.t.Helper()
	s := durable.Signal{Name: name, Data: e.encode(data)}
	sent := func(entry *durable.Entry) bool { return entry.Kind == durable.EntrySignal && entry.Name == name }
	return e.once(id, sent, func(l *life) error { return l.engine.Signal(context.Background(), id, s) })
}

// Answer answers the question with this ID, with an empty one the only open question, once the
// run waits for it. Errors: those of durable.Engine.
func (e *Env) Answer(id durable.RunID, question string, answer any) error {
	e.t.Helper()
	e.Settle(id)
	value := e.encode(answer)
	given := func(entry *durable.Entry) bool {
		return entry.Kind == durable.EntryAnswered && (question == "" || entry.Name == question)
	}
	return e.once(id, given, func(l *life) error { return l.engine.Answer(context.Background(), id, question, value) })
}

// Cancel asks a run to stop. Errors: those of durable.Engine.
func (e *Env) Cancel(id durable.RunID, reason string) error {
	asked := func(entry *durable.Entry) bool { return entry.Kind == durable.EntryCancel }
	return e.once(id, asked, func(l *life) error { return l.engine.Cancel(context.Background(), id, reason) })
}

// Resolve ends the doubt about a step. Errors: those of the engine.
func (e *Env) Resolve(id durable.RunID, command int, r durable.Resolution) error {
	return e.do(func(l *life) error { return l.engine.Resolve(context.Background(), id, command, r) })
}

// Calls is how often a step function was called, further attempts included.
func (e *Env) Calls(step string) int { return e.calls.of(step, "") }

// Effects names the step functions whose calls succeeded, in that order, those under one idempotency
// key once and without those that only read: what a world that heeds keys has seen.
func (e *Env) Effects() []string {
	e.t.Helper()
	known, reads := map[string]bool{}, map[string]bool{}
	for _, r := range e.list() {
		known[string(r.ID)] = true
		for _, s := range e.Steps(r.ID) {
			if s.Effect == durable.Read {
				reads[fmt.Sprintf("%s/%d/%d", r.ID, s.Segment, s.Command)] = true
			}
		}
	}
	return e.calls.effects(func(key string) bool {
		run, _, _ := strings.Cut(key, "/")
		return reads[key] || !known[run] // only what reads begins before its run is durable
	})
}

// Steps are the steps of a run as its journal tells them.
func (e *Env) Steps(id durable.RunID) []durable.Step {
	e.t.Helper()
	_, steps := e.journal(id)
	return steps
}

// Output is the output of a run as a value; the test ends if it has none of that type.
func Output[T any](e *Env, r durable.Run) T {
	e.t.Helper()
	var v T
	if r.Status != durable.Succeeded {
		e.t.Fatalf("run %s is %s: %s %v", r.ID, r.Status, r.Reason, r.Error)
	}
	e.must("output of run "+string(r.ID), json.Unmarshal(r.Output, &v))
	return v
}
