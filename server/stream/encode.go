package stream

import (
	"bytes"
	"encoding/json"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// wants reports whether an item is of the mode of the stream.
func (o *sink) wants(item *event.Item) bool {
	if item.Delta != nil {
		return o.mode == modeEvents || o.mode == modeMessages
	}
	e := item.Event
	ends := e.Kind == durable.EntryDone || e.Kind == durable.EntryAnswered || e.Kind == durable.EntryFired || e.Kind == durable.EntryChildDone
	switch {
	case o.mode == modeEvents, e.Kind == durable.EntryEnded:
		return true
	case o.mode == modeUpdates:
		return ends
	case o.mode == modeMessages:
		return e.Kind == durable.EntryDone && e.Func == agent.ModelFunc
	}
	return ends && (len(e.Output) > 0 || e.OutputRef != nil)
}

// encodeItem is an item as it is sent, the same for all clients without children; the others
// have another line with the id.
func encodeItem(item *event.Item) []byte {
	id := "id: " + item.Cursor.String()
	if item.Delta != nil {
		return append([]byte(id), encode("delta", item.Delta)...)
	}
	return append([]byte(id), encode("event", item.Event)...)
}

// encode is what is sent of an event or a delta, behind its id.
func encode(kind string, v any) []byte {
	var b bytes.Buffer
	b.WriteString("\nevent: " + kind + "\ndata: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // ends the line; JSON has no other
		return []byte("\nevent: damaged\ndata: {}\n\n")
	}
	b.WriteByte('\n')
	return b.Bytes()
}
