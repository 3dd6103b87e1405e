package event_test

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// A client is cut in the middle of an answer and goes on behind the last piece it has got.
func ExampleFeed_Watch() {
	l := newLog(event.Config{Keep: true})
	l.commit(durable.Entry{Kind: durable.EntryStarted})
	for n := range 3 {
		l.emit(durable.Delta{Command: 1, Attempt: 1, Offset: n, Kind: "text"})
	}
	l.commit(durable.Entry{Kind: durable.EntryDone, Command: 1})
	l.commit(durable.Entry{Kind: durable.EntryEnded})
	after, err := event.ParseCursor("0.1.2") // the id of what it has got last
	if err != nil {
		fmt.Println(err)
		return
	}
	for item, err := range l.feed.Watch(context.Background(), run, after) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("id:", item.Cursor)
	}
	// Output:
	// id: 0.1.3
	// id: 1
	// id: 2
}
