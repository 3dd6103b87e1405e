package agent

import (
	"encoding/json"
	"errors"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// redacted is an attempt of which watchers see nothing that they may not see.
func (s *steps) redacted(a *durable.Attempt) *durable.Attempt {
	if s.redact == nil || a.Emit == nil {
		return a
	}
	b := *a
	b.Emit = func(kind string, data json.RawMessage) {
		if clean := json.RawMessage(s.redact(string(data))); json.Valid(clean) {
			a.Emit(kind, clean)
		}
	}
	return &b
}

// clean takes out of a result, or an error, what nobody may see.
func (s *steps) clean(r tool.Result, err error) (tool.Result, error) {
	if s.redact == nil {
		return r, err
	}
	r.Content = s.redact(r.Content)
	for i := range r.Asks {
		q := &r.Asks[i]
		q.Prompt = s.redact(q.Prompt)
		for k := range q.Options {
			q.Options[k] = s.redact(q.Options[k])
		}
		if clean := json.RawMessage(s.redact(string(q.Schema))); len(clean) == 0 || json.Valid(clean) {
			q.Schema = clean
		}
	}
	if err == nil {
		return r, nil
	}
	text := s.redact(err.Error())
	if text == err.Error() {
		return r, err
	}
	if _, ok := errors.AsType[*durable.BlockError](err); ok {
		return r, durable.Block(errors.New(text))
	}
	if _, ok := errors.AsType[*durable.DoubtError](err); ok {
		return r, durable.InDoubt(errors.New(text))
	}
	e := &durable.Error{Code: durable.CodeOf(err), Err: errors.New(text)}
	if was, ok := errors.AsType[*durable.Error](err); ok {
		e.Reason, e.RetryAfter, e.Final = was.Reason, was.RetryAfter, was.Final
	}
	return r, e
}
