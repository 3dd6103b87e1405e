// Command money-transfer moves money between two accounts. Its last step always fails, so what was
// done before is undone, the latest first. Kill it wherever you like and start it again: it goes on with
// the transfer under way. The runs are kept in ./.orpine, the accounts in ./bank.jsonl.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

func run(ctx context.Context, out io.Writer) error {
	b := &bank{path: "bank.jsonl"}
	rt, err := orpine.Open(ctx, orpine.Config{Data: ".orpine", Programs: []durable.Program{newTransfer(b)}})
	if err != nil {
		return err
	}
	defer rt.Close() //nolint:errcheck // what was acknowledged is on the disk
	id, err := begin(ctx, rt, order{From: "ann", To: "bob", Amount: 150})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "transfer", id)
	r, err := rt.Wait(ctx, id)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %v\n", r.Status, r.Error)
	lines, err := b.read()
	for _, l := range lines {
		fmt.Fprintf(out, "%-4s %5d  %s\n", l.Account, l.Amount, l.Text)
	}
	return err
}

// begin starts a transfer, unless one is under way.
func begin(ctx context.Context, rt *orpine.Runtime, o order) (durable.RunID, error) {
	left, err := rt.List(ctx, durable.Filter{
		Program: "transfer", Statuses: []durable.Status{durable.Queued, durable.Running, durable.Waiting}, Limit: 1,
	})
	if err != nil || len(left) > 0 {
		return append(left, durable.Run{})[0].ID, err
	}
	input, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	return rt.Start(ctx, durable.StartRequest{Program: "transfer", Input: input})
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "money-transfer:", err)
		os.Exit(1)
	}
}
