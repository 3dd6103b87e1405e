package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// A store commits changes and tells when they are on the disk. Programs do not use it
// themselves: the engine does, through the journal.
func Example() {
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir, Owner: "example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Close() }()

	now := time.Now()
	run := &store.Run{ID: "r1", Program: "p", Created: now, State: store.State{Status: durable.Running, Updated: now}}
	done := make(chan error, 1)
	s.Commit([]*store.Change{{Run: run.ID, Create: run, Entries: []*store.Entry{{Seq: 0, Body: []byte("first")}, {Seq: 1, Body: []byte("second")}}}},
		func(err error) { done <- err })
	if err := <-done; err != nil {
		fmt.Println(err)
		return
	}
	entries, err := s.Entries(ctx, "r1", -1, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range entries {
		fmt.Println(e.Seq, string(e.Body))
	}
	_, err = sqlite.Open(ctx, sqlite.Config{Dir: dir})
	fmt.Println(durable.CodeOf(err))
	// Output:
	// 0 first
	// 1 second
	// conflict
}
