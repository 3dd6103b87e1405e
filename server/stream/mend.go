package stream

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
)

// mender tells a client that comes back from a process that died what it has missed of the
// pieces of a step that ended there: they are gone, but what a model said is in the thread. Of
// other steps only that they began is told again; what they came to is in their entries. A
// client that was never here before gets no old pieces, so it misses none.
type mender struct {
	s     *Streams
	ctx   context.Context //nolint:containedctx // the life of the stream
	epoch int64           // of this process
}

// menderOf is nil for a client that begins at the beginning.
func (s *Streams) menderOf(ctx context.Context, from position) *mender {
	if from.at.Seq < 0 {
		return nil
	}
	return &mender{s: s, ctx: ctx, epoch: s.rt.Epoch()}
}

// before returns the pieces to be sent before an item: a reset, which makes void what the step
// has streamed, and all that was said in one piece each.
func (m *mender) before(item *event.Item) []*durable.Delta {
	e := item.Event
	if m == nil || e == nil || e.Kind != durable.EntryDone || e.Epoch == m.epoch {
		return nil
	}
	var said model.Message
	if e.Func == agent.ModelFunc && e.Error == nil {
		var err error
		if said, err = m.said(e); err != nil {
			m.s.log.ErrorContext(m.ctx, "what a model said cannot be told again", slog.String("run", string(e.Run)), slog.Any("error", err))
			return nil
		}
	}
	list := []*durable.Delta{{Kind: durable.DeltaReset}, {Kind: durable.DeltaBegun}}
	add := func(piece model.Delta) {
		if data, err := json.Marshal(piece); err == nil {
			list = append(list, &durable.Delta{Kind: string(piece.Kind), Data: data})
		}
	}
	if text := said.Text(); text != "" {
		add(model.Delta{Kind: model.DeltaText, Text: text})
	}
	for i, c := range said.Calls() {
		add(model.Delta{Kind: model.DeltaCall, Index: i, ID: c.ID, Name: c.Name, Args: string(c.Args)})
	}
	for i, d := range list {
		d.Run, d.Command, d.Step, d.Attempt, d.Offset = e.Run, e.Command, e.Name, e.Attempt, i
	}
	return list
}

// said is what a model call came to.
func (m *mender) said(e *durable.Event) (said model.Message, err error) {
	output := e.Output
	if e.OutputRef != nil {
		data, err := m.s.rt.Blob(m.ctx, *e.OutputRef)
		if err != nil {
			return said, err
		}
		output = data
	}
	var out struct {
		Thread memory.Head `json:"thread"`
	}
	if err := json.Unmarshal(output, &out); err != nil {
		return said, err
	}
	messages, err := m.s.rt.Messages(m.ctx, agent.Conversation{Thread: out.Thread})
	if err != nil || len(messages) == 0 {
		return said, err
	}
	return messages[len(messages)-1], nil
}
