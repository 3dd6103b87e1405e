package stream

import (
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// position is how far a client has come in the stream of a run: a cursor in its own events,
// and one in those of each child whose end it has not seen. Its text is the ID of an item:
// the cursor of the run, then CHILD:CURSOR for each of those, with commas between.
type position struct {
	at       event.Cursor
	children map[durable.RunID]event.Cursor
}

// start is before the first event.
func start() position {
	return position{at: event.After(-1), children: map[durable.RunID]event.Cursor{}}
}

func (p position) String() string {
	var b strings.Builder
	b.WriteString(p.at.String())
	for _, id := range slices.Sorted(maps.Keys(p.children)) {
		b.WriteString("," + string(id) + ":" + p.children[id].String())
	}
	return b.String()
}

// maxPosition bounds the text of a position in bytes.
const maxPosition = 48 << 10

// parsePosition reads the ID of an item. Error: invalid.
func parsePosition(text string) (position, error) {
	p := start()
	wrong := func() (position, error) {
		return start(), durable.Errorf(durable.CodeInvalid, "%.100q is no cursor of a stream: send the id of the last event that arrived, or none to begin at the beginning", text)
	}
	if len(text) > maxPosition {
		return wrong()
	}
	parts := strings.Split(text, ",")
	var err error
	if p.at, err = event.ParseCursor(parts[0]); err != nil {
		return wrong()
	}
	for _, part := range parts[1:] {
		id, cursor, ok := strings.Cut(part, ":")
		at, err := event.ParseCursor(cursor)
		if !ok || id == "" || err != nil {
			return wrong()
		}
		p.children[durable.RunID(id)] = at
	}
	if p.String() != text {
		return wrong()
	}
	return p, nil
}
