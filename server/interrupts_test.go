package server_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// TestQuorum: two people have to say the same, each under the name of a token.
func TestQuorum(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	run := s.must(s.Start(ctx, client.StartRun{Text: "hold", Definition: json.RawMessage(
		`{"name":"careful","model":"script/talk","tools":["hold"],"permissions":{"ask":["*"]},"approval":{"quorum":2}}`)}))
	if run := s.must(s.Rest(ctx, run.ID)); !run.NeedsPerson() {
		t.Fatalf("it is %s", run.Status)
	}
	ann, bob := s.as("", "approvals:write", "runs:read"), s.as("acme", "runs:read")
	accept := client.Approve{Decision: durable.Decision{Action: durable.Accept}, By: "somebody else"}
	if err := ann.Approve(ctx, run.ID, accept); err != nil {
		t.Fatal(err)
	}
	if err := ann.Approve(ctx, run.ID, accept); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("twice: %v", err)
	}
	if err := bob.Approve(ctx, run.ID, accept); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("without the scope: %v", err)
	}
	s.free <- struct{}{}
	if err := s.rt.Approve(ctx, run.ID, orpine.Approval{Decision: accept.Decision, By: "sue"}); err != nil {
		t.Fatal(err)
	}
	if run, err := s.rt.Wait(ctx, run.ID); err != nil || run.Status != durable.Succeeded {
		t.Errorf("it is %s: %v", run.Status, run.Error)
	}
}
