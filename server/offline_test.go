package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/tool"
)

// hello starts a run that ends, and waits for it.
func (s *site) hello() durable.Run {
	s.t.Helper()
	run := s.must(s.Start(s.t.Context(), client.StartRun{Agent: "chatty", Text: "hello"}))
	return s.must(s.Wait(s.t.Context(), run.ID))
}

// TestPlan: a plan says what a fork would do again, and starts nothing.
func TestPlan(t *testing.T) {
	t.Parallel()
	s := open(t, server.Config{})
	run := s.hello()
	text, err := s.PlanFork(t.Context(), run.ID, client.Fork{At: "0"})
	if err != nil {
		t.Fatal(err)
	}
	var plan orpine.ForkPlan
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Base != run.ID || len(plan.Behind) != 1 || len(plan.Kept) != 0 {
		t.Errorf("got %+v, want one step behind the cut of %s", plan, run.ID)
	}
	if runs, err := s.List(t.Context(), durable.Filter{}); err != nil || len(runs) != 1 {
		t.Errorf("got %d runs, %v: want the one there was", len(runs), err)
	}
	if _, err := s.PlanFork(t.Context(), run.ID, client.Fork{At: "nowhere"}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a step that is none: got %v, want invalid", err)
	}
}

// TestReplay: what the programs of the server do now is held against the journal; without
// programs that is told.
func TestReplay(t *testing.T) {
	t.Parallel()
	s := open(t, server.Config{})
	run := s.hello()
	if _, err := s.Replay(t.Context(), run.ID); !errors.Is(err, durable.ErrUnavailable) {
		t.Errorf("without programs: got %v, want unavailable", err)
	}
	s.stop()
	hold := tool.Func("hold", "Waits", func(context.Context, struct{}) (string, error) { return "", nil }, tool.Read)
	s.cfg.Programs = func() ([]durable.Program, error) { return orpine.Programs(orpine.Config{Tools: []tool.Tool{hold}}) }
	s.start()
	text, err := s.Replay(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	var report orpine.Report
	if err := json.Unmarshal(text, &report); err != nil || report.Steps != 1 || report.Divergence != nil || report.Run != run.ID {
		t.Errorf("got %s, %v: want 1 step and no divergence", text, err)
	}
	if _, err := s.Replay(t.Context(), "nobody"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("no such run: got %v, want not_found", err)
	}
}

// TestExportImport: a run goes from one server to another as a file; a token of a tenant takes
// out what is the tenant's, and brings nothing in.
func TestExportImport(t *testing.T) {
	t.Parallel()
	from, to := open(t, server.Config{}), open(t, server.Config{})
	run := from.hello()
	var file bytes.Buffer
	text, err := from.Export(t.Context(), run.ID, false, &file)
	if err != nil {
		t.Fatal(err)
	}
	var sum orpine.Contents
	if err := json.Unmarshal(text, &sum); err != nil || sum.Runs != 1 {
		t.Errorf("got contents %s, %v: want one run", text, err)
	}
	data := file.Bytes()
	text, err = to.Import(t.Context(), bytes.NewReader(data), false)
	if err != nil {
		t.Fatal(err)
	}
	var got orpine.Imported
	if err := json.Unmarshal(text, &got); err != nil || got.Run != run.ID {
		t.Errorf("got %s, %v: want run %s", text, err, run.ID)
	}
	if there := to.must(to.Get(t.Context(), run.ID)); there.Status != durable.Succeeded || string(there.Output) != string(run.Output) {
		t.Errorf("the run arrived as %+v, want %+v", there, run)
	}
	if _, err := to.Import(t.Context(), bytes.NewReader(data), false); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("once more: got %v, want conflict", err)
	}
	if _, err := to.Import(t.Context(), bytes.NewReader(data), true); err != nil {
		t.Errorf("as a new one: %v", err)
	}
	if _, err := to.Import(t.Context(), strings.NewReader("no export"), false); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("garbage: got %v, want invalid", err)
	}
	if _, err := to.Import(t.Context(), bytes.NewReader(data[:len(data)/2]), true); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("half of it: got %v, want invalid", err)
	}
	mine := to.as("acme", "runs:*")
	if _, err := mine.Import(t.Context(), bytes.NewReader(data), true); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("a token of a tenant: got %v, want denied", err)
	}
	if _, err := mine.Export(t.Context(), run.ID, false, &file); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("a run of somebody else: got %v, want not_found", err)
	}
	own := to.must(mine.Start(t.Context(), client.StartRun{Agent: "chatty", Text: "hello"}))
	to.must(mine.Wait(t.Context(), own.ID))
	if _, err := mine.Export(t.Context(), own.ID, true, &file); err != nil {
		t.Errorf("a run of one's own: %v", err)
	}
}
