package server_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// TestAgents: a change is a version, which can be gone back to.
func TestAgents(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	first, err := s.PutAgent(ctx, "helper", json.RawMessage(`{"model":"script/talk","instructions":"one"}`))
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.PutAgent(ctx, "helper", json.RawMessage(`{"model":"script/talk","instructions":"two"}`))
	if err != nil || second.Hash == first.Hash || len(second.Versions) != 2 {
		t.Fatalf("%+v, error %v", second, err)
	}
	run := s.must(s.Start(ctx, client.StartRun{Agent: "helper", Text: "x"}))
	if run.Definition != second.Hash {
		t.Errorf("it runs %s, not %s", run.Definition, second.Hash)
	}
	if back, err := s.RollbackAgent(ctx, "helper", first.Hash[:12]); err != nil || back.Hash != first.Hash || !strings.Contains(string(back.Definition), "one") {
		t.Errorf("%+v, error %v", back, err)
	}
	if run := s.must(s.Start(ctx, client.StartRun{Agent: "helper", Text: "x"})); run.Definition != first.Hash {
		t.Errorf("it runs %s, not %s", run.Definition, first.Hash)
	}
	if run := s.must(s.Start(ctx, client.StartRun{Agent: "helper", Version: second.Hash, Text: "x"})); run.Definition != second.Hash {
		t.Errorf("it runs %s, not %s", run.Definition, second.Hash)
	}
	status, p, _ := s.raw(http.MethodPut, "/v1/agents/helper", strings.NewReader(`{"model":"script/talk"}`), "If-Match", `"1"`)
	if status != http.StatusPreconditionFailed || p.Code != durable.CodeConflict {
		t.Errorf("with an old ETag: %d %+v", status, p)
	}
	if _, err := s.PutAgent(ctx, "helper", json.RawMessage(`{"models":"script/talk"}`)); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("an unknown field: %v", err)
	}
}
