package event

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// Cursor is a place in the stream of a run: behind all entries up to Seq and behind the
// deltas up to the one with the number Delta.
type Cursor struct {
	Seq   int64 // -1 = before the first entry
	Epoch int64 // in which Delta was given, from 1; 0 = no delta
	Delta int64 // numbers the deltas of a run as they arrive, from 1 and upwards; 0 = none after entry Seq
}

// After is the cursor behind the entry with a seq; -1 is the beginning.
func After(seq int64) Cursor { return Cursor{Seq: seq} }

// String is the text of a cursor: seq or seq.epoch.delta.
func (c Cursor) String() string {
	if c.Epoch == 0 || c.Delta == 0 {
		return strconv.FormatInt(c.Seq, 10)
	}
	return fmt.Sprintf("%d.%d.%d", c.Seq, c.Epoch, c.Delta)
}

// ParseCursor reads the text of a cursor. Error: invalid for what String does not write.
func ParseCursor(text string) (Cursor, error) {
	var c Cursor
	parts := strings.Split(text, ".")
	bad := len(parts) != 1 && len(parts) != 3
	for i, to := range []*int64{&c.Seq, &c.Epoch, &c.Delta} {
		if i < len(parts) {
			n, err := strconv.ParseInt(parts[i], 10, 64)
			bad = bad || err != nil
			*to = n
		}
	}
	if bad || c.Seq < -1 || c.Epoch < 0 || c.Delta < 0 || c.String() != text {
		return Cursor{}, durable.Errorf(durable.CodeInvalid, "cursor %.60q: not the seq of an entry, such as 12, or the id of a delta, such as 12.3.45 (seq.epoch.delta)", text)
	}
	return c, nil
}
