package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/local"
)

// hands is what can be done to a run from outside: by the runtime itself, or through a
// server.
type hands interface {
	switches
	words
	Fork(ctx context.Context, id durable.RunID, r orpine.ForkRequest) (durable.RunID, error)
	Retry(ctx context.Context, id durable.RunID, r orpine.ForkRequest) (durable.RunID, error)
	// Migrate has a run of a workflow go on by another definition.
	Migrate(ctx context.Context, id durable.RunID, definition json.RawMessage) error
}

// switches stop a run and let it go on.
type switches interface {
	Pause(ctx context.Context, id durable.RunID) error
	Resume(ctx context.Context, id durable.RunID) error
	Cancel(ctx context.Context, id durable.RunID, reason string) error
	Kill(ctx context.Context, id durable.RunID, reason string) error
}

// words are what a run is told.
type words interface {
	Answer(ctx context.Context, id durable.RunID, question string, answer []byte) error
	Approve(ctx context.Context, id durable.RunID, a orpine.Approval) error
	Resolve(ctx context.Context, id durable.RunID, command int, r durable.Resolution) error
	Steer(ctx context.Context, id durable.RunID, text string) error
	Signal(ctx context.Context, id durable.RunID, s durable.Signal) error
}

var (
	_ hands = (*orpine.Runtime)(nil)
	_ hands = remote{}
)

// remote is a server as hands.
type remote struct {
	*client.Client
	door *local.Dialer // of the data directory; nil for a server with a URL
}

// knock reaches the process that owns the data directory.
func (a *app) knock() (remote, error) {
	door, err := local.Dial(a.flags.Data)
	if err != nil {
		return remote{}, err
	}
	c, err := client.New(client.Config{Socket: door.Dial, Retry: -1})
	return remote{c, door}, err
}

// Close lets go of the server.
func (r remote) Close() error {
	err := r.Client.Close()
	if r.door != nil {
		err = errors.Join(err, r.door.Close())
	}
	return err
}

// Answer implements hands.
func (r remote) Answer(ctx context.Context, id durable.RunID, question string, answer []byte) error {
	return r.Client.Answer(ctx, id, client.Answer{Interrupt: question, Value: json.RawMessage(answer)})
}

// Approve implements hands.
func (r remote) Approve(ctx context.Context, id durable.RunID, a orpine.Approval) error {
	return r.Client.Approve(ctx, id, client.Approve{Interrupt: a.Interrupt, Digest: a.Digest, Decision: a.Decision})
}

// Fork implements hands.
func (r remote) Fork(ctx context.Context, id durable.RunID, req orpine.ForkRequest) (durable.RunID, error) {
	run, err := r.Client.Fork(ctx, id, forkOf(req))
	return run.ID, err
}

// Retry implements hands.
func (r remote) Retry(ctx context.Context, id durable.RunID, req orpine.ForkRequest) (durable.RunID, error) {
	f := forkOf(req)
	f.At = ""
	run, err := r.Client.Retry(ctx, id, f)
	return run.ID, err
}

// Migrate implements hands.
func (r remote) Migrate(ctx context.Context, id durable.RunID, definition json.RawMessage) error {
	_, err := r.Client.Migrate(ctx, id, definition)
	return err
}

func forkOf(req orpine.ForkRequest) client.Fork {
	f := client.Fork{ID: req.ID, At: req.At.String(), Name: req.Name, Model: req.Model, Input: req.Input, Definition: req.Definition, From: req.From}
	for _, r := range req.Results {
		f.Results = append(f.Results, client.ForkResult{Step: r.Step.String(), Output: r.Output})
	}
	return f
}
