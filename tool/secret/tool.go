package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Tool returns a tool whose results, errors, questions and deltas are those of t without the
// values this redactor knows when they come.
func (r *Redactor) Tool(t tool.Tool) tool.Tool { return redacted{t, r} }

type redacted struct {
	tool   tool.Tool
	redact *Redactor
}

// Spec implements tool.Tool.
func (t redacted) Spec() tool.Spec { return t.tool.Spec() }

// Call implements tool.Tool.
func (t redacted) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	if a := durable.AttemptOf(ctx); a != nil && a.Emit != nil {
		clean := *a
		d := &deltas{redact: t.redact, emit: a.Emit, streams: map[string]*Stream{}}
		clean.Emit = d.next
		defer d.end()
		ctx = durable.WithAttempt(ctx, &clean)
	}
	result, err := t.tool.Call(ctx, args)
	if err != nil {
		return tool.Result{}, t.redact.Error(err)
	}
	result.Content = t.redact.Text(result.Content)
	result.State = t.redact.json(result.State)
	for i := range result.Asks {
		q := &result.Asks[i]
		q.Prompt, q.Schema = t.redact.Text(q.Prompt), t.redact.json(q.Schema)
	}
	return result, nil
}

// Error returns an error of the same code without the values in its text. One that has none
// is returned as it is.
func (r *Redactor) Error(err error) error {
	if err == nil {
		return nil
	}
	text := r.Text(err.Error())
	e, coded := errors.AsType[*durable.Error](err)
	switch {
	case text == err.Error() && (!coded || r.Text(e.Reason) == e.Reason):
		return err
	case coded:
		return &durable.Error{Code: e.Code, Err: errors.New(text), Reason: r.Text(e.Reason), RetryAfter: e.RetryAfter, Final: e.Final}
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s (%w)", text, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s (%w)", text, context.DeadlineExceeded)
	}
	return errors.New(text)
}

// json redacts a document. Where that leaves no JSON, it becomes a string.
func (r *Redactor) json(doc json.RawMessage) json.RawMessage {
	if len(doc) == 0 {
		return doc
	}
	text := r.Text(string(doc))
	if !json.Valid([]byte(text)) {
		quoted, err := json.Marshal(text)
		if err != nil { // a string always encodes
			return nil
		}
		return quoted
	}
	return json.RawMessage(text)
}

// deltas redacts what a tool shows while it works: texts of one kind are one stream, so that
// a value cut in two by them is found.
type deltas struct {
	redact *Redactor
	emit   func(kind string, data json.RawMessage)

	mu      sync.Mutex
	streams map[string]*Stream
	order   []string
	ended   bool
}

func (d *deltas) next(kind string, data json.RawMessage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var piece string
	if json.Unmarshal(data, &piece) != nil || d.ended {
		d.emit(kind, d.redact.json(data))
		return
	}
	s := d.streams[kind]
	if s == nil {
		s = d.redact.NewStream()
		d.streams[kind] = s
		d.order = append(d.order, kind)
	}
	d.text(kind, s.Next(piece))
}

func (d *deltas) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	for _, kind := range d.order {
		d.text(kind, d.streams[kind].End())
	}
}

func (d *deltas) text(kind, piece string) {
	if piece == "" {
		return
	}
	if data, err := json.Marshal(piece); err == nil {
		d.emit(kind, data)
	}
}
