package journal

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// wire is the stored form of an entry. Its keys are a file format: they are added
// to, never renamed or reused. Times are microseconds since 1970.
type wire struct {
	Kind       durable.EntryKind  `json:"k"`
	Time       int64              `json:"t"`
	Command    int                `json:"c,omitempty"`
	Name       string             `json:"n,omitempty"`
	Func       string             `json:"f,omitempty"`
	Attempt    int                `json:"a,omitempty"`
	Effect     durable.Effect     `json:"e,omitempty"`
	Started    int64              `json:"s,omitempty"`
	Until      int64              `json:"u,omitempty"`
	Epoch      int64              `json:"ep,omitempty"`
	InputHash  string             `json:"ih,omitempty"`
	Child      durable.RunID      `json:"ch,omitempty"`
	Parent     durable.RunID      `json:"p,omitempty"`
	Definition string             `json:"d,omitempty"`
	By         string             `json:"by,omitempty"`
	Status     durable.Status     `json:"st,omitempty"`
	Reason     string             `json:"r,omitempty"`
	Segment    int                `json:"sg,omitempty"`
	After      int64              `json:"af,omitempty"`
	Carry      []int64            `json:"cy,omitempty"`
	Interrupt  *durable.Interrupt `json:"q,omitempty"`
	Error      *durable.Failure   `json:"x,omitempty"`
	InputRef   *durable.Ref       `json:"ir,omitempty"`
	Input      json.RawMessage    `json:"i,omitempty"`
	OutputRef  *durable.Ref       `json:"or,omitempty"`
	Output     json.RawMessage    `json:"o,omitempty"`
}

// encode writes an entry in the stored form, behind room for its form and chain. It is
// written by hand because it is on the path of every step: values are copied, not
// parsed again. A test holds it equal to what encoding/json makes of wire.
func encode(e *durable.Entry) ([]byte, error) {
	b := make([]byte, 1+chainSize, 288+len(e.Input)+len(e.Output))
	b = append(b, `{"k":"`...)
	b = append(b, e.Kind...)
	b = append(b, `","t":`...)
	b = strconv.AppendInt(b, e.Time.UnixMicro(), 10)
	b = appendInt(b, "c", int64(e.Command))
	b = appendString(b, "n", e.Name)
	b = appendString(b, "f", e.Func)
	b = appendInt(b, "a", int64(e.Attempt))
	b = appendString(b, "e", string(e.Effect))
	b = appendTime(b, "s", e.Started)
	b = appendTime(b, "u", e.Until)
	b = appendInt(b, "ep", e.Epoch)
	b = appendString(b, "ih", e.InputHash)
	b = appendString(b, "ch", string(e.Child))
	b = appendString(b, "p", string(e.Parent))
	b = appendString(b, "d", e.Definition)
	b = appendString(b, "by", e.By)
	b = appendString(b, "st", string(e.Status))
	b = appendString(b, "r", e.Reason)
	b = appendInt(b, "sg", int64(e.Segment))
	b = appendInt(b, "af", e.After)
	var err error
	if len(e.Carry) > 0 {
		b, err = appendJSON(b, "cy", e.Carry, err)
	}
	if e.Interrupt != nil {
		b, err = appendJSON(b, "q", e.Interrupt, err)
	}
	if e.Error != nil {
		b, err = appendJSON(b, "x", e.Error, err)
	}
	b, err = appendValue(b, "i", e.Input, e.InputRef, err)
	b, err = appendValue(b, "o", e.Output, e.OutputRef, err)
	return append(b, '}'), err
}

func appendKey(b []byte, key string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendInt(b []byte, key string, v int64) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), v, 10)
}

func appendTime(b []byte, key string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendInt(b, key, t.UnixMicro())
}

func appendString(b []byte, key, v string) []byte {
	if v == "" {
		return b
	}
	b = appendKey(b, key)
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(v)
			if err != nil {
				panic(fmt.Sprintf("journal: quote a string: %v", err)) // a string always marshals
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, v...)
	return append(b, '"')
}

func appendJSON(b []byte, key string, v any, before error) ([]byte, error) {
	if before != nil {
		return b, before
	}
	data, err := json.Marshal(v)
	if err != nil {
		return b, fmt.Errorf("encode entry field %q: %w", key, err)
	}
	return append(appendKey(b, key), data...), nil
}

// appendValue writes the value itself under key, or its ref under key+"r".
func appendValue(b []byte, key string, v json.RawMessage, ref *durable.Ref, before error) ([]byte, error) {
	if ref != nil {
		return appendJSON(b, key+"r", ref, before)
	}
	if len(v) == 0 || before != nil {
		return b, before
	}
	return append(appendKey(b, key), v...), nil
}

func decode(seq int64, text []byte, e *durable.Entry) error {
	var w wire
	if err := json.Unmarshal(text, &w); err != nil {
		return durable.Errorf(durable.CodeInternal, "entry %d is damaged: %w", seq, err)
	}
	*e = durable.Entry{
		Seq: seq, Kind: w.Kind, Time: fromMicros(w.Time), Command: w.Command, Name: w.Name, Func: w.Func,
		Attempt: w.Attempt, Effect: w.Effect, Started: fromMicros(w.Started), Until: fromMicros(w.Until), Epoch: w.Epoch,
		InputHash: w.InputHash, Input: w.Input, InputRef: w.InputRef, Output: w.Output, OutputRef: w.OutputRef,
		Error: w.Error, Child: w.Child, Parent: w.Parent, Definition: w.Definition, Interrupt: w.Interrupt,
		By: w.By, Status: w.Status, Reason: w.Reason, Carry: w.Carry, After: w.After, Segment: w.Segment,
	}
	return nil
}

func fromMicros(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}
