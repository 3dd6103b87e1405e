package event_test

import (
	"errors"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

func TestParseCursor(t *testing.T) {
	for _, c := range []struct {
		text string
		want event.Cursor
		bad  bool
	}{
		{text: "-1", want: event.After(-1)},
		{text: "0", want: event.After(0)},
		{text: "12", want: event.After(12)},
		{text: "12.3.45", want: event.Cursor{Seq: 12, Epoch: 3, Delta: 45}},
		{text: "9223372036854775807.1.1", want: event.Cursor{Seq: 1<<63 - 1, Epoch: 1, Delta: 1}},
		{text: "", bad: true},
		{text: "-2", bad: true},
		{text: "+1", bad: true},
		{text: "01", bad: true},
		{text: "1.2", bad: true},
		{text: "1.2.", bad: true},
		{text: "1.0.3", bad: true},
		{text: "1.3.0", bad: true},
		{text: "1.-3.1", bad: true},
		{text: "1.3.-1", bad: true},
		{text: "1.2.3.4", bad: true},
		{text: "1 ", bad: true},
		{text: "9223372036854775808", bad: true},
	} {
		t.Run(c.text, func(t *testing.T) {
			got, err := event.ParseCursor(c.text)
			if got != c.want || errors.Is(err, durable.ErrInvalid) != c.bad {
				t.Errorf("got %+v, error %v", got, err)
			}
			if !c.bad && got.String() != c.text {
				t.Errorf("written as %s", got)
			}
		})
	}
}

// FuzzParseCursor: what is read is written in the same way, and serves as a cursor.
func FuzzParseCursor(f *testing.F) {
	for _, text := range []string{"-1", "12", "12.3.45", "1.2", "0.0.0", "..", "9223372036854775808", "1.1.9223372036854775807"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := event.ParseCursor(text)
		if err != nil {
			if !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("error %v", err)
			}
			return
		}
		if c.String() != text {
			t.Errorf("%q is written as %q", text, c)
		}
		l := newLog(event.Config{Keep: true})
		l.commit(durable.Entry{Kind: durable.EntryStarted})
		l.delta(1, 0)
		l.commit(durable.Entry{Kind: durable.EntryEnded})
		for item, err := range l.feed.Watch(t.Context(), run, c) {
			if errors.Is(err, durable.ErrNotFound) && c.Seq > 1 {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if item.Cursor.Seq < c.Seq {
				t.Errorf("behind %s comes %s", c, item.Cursor)
			}
		}
	})
}
