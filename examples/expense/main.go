// Command expense files an expense report, waits for somebody to approve it, however long that
// takes, and pays. While it waits it can be killed; start it again and it goes on with the report under
// way. The answer comes from another process:
//
//	go run ./examples/expense
//	orpine answer @last '{"approve": true}'
//
// The runs are kept in ./.orpine, the books in ./books.jsonl.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/server/local"
)

// data is the directory of the runs.
const data = ".orpine"

func run(ctx context.Context, out io.Writer) (err error) {
	cfg := orpine.Config{Data: data, Owner: "expense", Programs: []durable.Program{newExpense(&books{path: "books.jsonl"})}}
	rt, err := orpine.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close()) }()
	door, err := open(ctx, rt, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, door.Close()) }()
	id, err := begin(ctx, rt, report{Employee: "ann", Amount: 120, Reason: "a train to Rome"})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "approve it with: orpine answer %s '{\"approve\": true}'\n", id)
	r, err := rt.Wait(ctx, id)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, r.Status, string(r.Output))
	return nil
}

// open lets other processes on this machine answer, as orpine answer does.
func open(ctx context.Context, rt *orpine.Runtime, cfg orpine.Config) (*local.Door, error) {
	return local.Open(ctx, data, func() (local.Handler, error) {
		s, err := server.New(ctx, server.Config{Runtime: rt, Version: "example", Fresh: func() orpine.Config { return cfg }})
		if err != nil {
			return nil, err
		}
		return s.Local(), nil
	})
}

// begin starts a report, unless one is under way.
func begin(ctx context.Context, rt *orpine.Runtime, r report) (durable.RunID, error) {
	left, err := rt.List(ctx, durable.Filter{
		Program: "expense", Statuses: []durable.Status{durable.Queued, durable.Running, durable.Waiting}, Limit: 1,
	})
	if err != nil || len(left) > 0 {
		return append(left, durable.Run{})[0].ID, err
	}
	input, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	return rt.Start(ctx, durable.StartRequest{Program: "expense", Input: input})
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "expense:", err)
		os.Exit(1)
	}
}
