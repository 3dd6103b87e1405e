package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

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
	s.cfg.Fresh = func() orpine.Config { return orpine.Config{Tools: []tool.Tool{hold}} }
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

// TestImportOnce: an import that is sent again under its key makes nothing new, and gets the same
// answer; another file under that key is refused.
func TestImportOnce(t *testing.T) {
	t.Parallel()
	from, to := open(t, server.Config{}), open(t, server.Config{})
	run := from.hello()
	var file bytes.Buffer
	if _, err := from.Export(t.Context(), run.ID, false, &file); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/runs/import", "/v1/runs/import?as_new=true"} {
		var answers []string
		for range 2 {
			status, text, _ := to.text(http.MethodPost, path, bytes.NewReader(file.Bytes()), "Idempotency-Key", "import "+path, "Content-Type", "application/octet-stream")
			if status != http.StatusOK {
				t.Fatalf("%s: %d %s", path, status, text)
			}
			answers = append(answers, string(text))
		}
		if answers[0] != answers[1] {
			t.Errorf("%s: the first answer is %s, the second %s", path, answers[0], answers[1])
		}
	}
	if runs, err := to.List(t.Context(), durable.Filter{}); err != nil || len(runs) != 2 {
		t.Errorf("there are %d runs, %v; want the one with its ID and the one with a new one", len(runs), err)
	}
	var other bytes.Buffer
	if _, err := from.Export(t.Context(), from.hello().ID, false, &other); err != nil {
		t.Fatal(err)
	}
	if status, text, _ := to.text(http.MethodPost, "/v1/runs/import", &other, "Idempotency-Key", "import /v1/runs/import", "Content-Type", "application/octet-stream"); status != http.StatusConflict {
		t.Errorf("another file under the same key: %d %s", status, text)
	}
}

// TestTokenOnce: a token that is asked for again under its key is the same one, and its secret is
// shown once.
func TestTokenOnce(t *testing.T) {
	t.Parallel()
	s := open(t, server.Config{})
	root, err := s.s.CreateToken(t.Context(), client.NewToken{Name: "root", Scopes: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(name string) (int, client.Token) {
		var made client.Token
		status, text, _ := s.text(http.MethodPost, "/v1/tokens", strings.NewReader(`{"name":"`+name+`","scopes":["runs:read"]}`),
			"Idempotency-Key", "k", "Authorization", "Bearer "+root.Secret)
		if err := json.Unmarshal(text, &made); err != nil {
			t.Fatal(err)
		}
		return status, made
	}
	status, first := ask("ci")
	if status != http.StatusCreated || first.Secret == "" {
		t.Fatalf("the first time: %d %+v", status, first)
	}
	if status, again := ask("ci"); status != http.StatusCreated || again.ID != first.ID || again.Secret != "" {
		t.Errorf("again: %d %+v, want %s without its secret", status, again, first.ID)
	}
	if status, _ := ask("other"); status != http.StatusConflict {
		t.Errorf("another request under the key: %d", status)
	}
	if status, text, _ := s.text(http.MethodDelete, "/v1/tokens/"+first.ID, nil, "Authorization", "Bearer "+root.Secret); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, text)
	}
	if status, _ := ask("ci"); status != http.StatusConflict {
		t.Errorf("after it was revoked: %d", status)
	}
}

// TestCheckRuns: the runs of a server that have not ended are held against its programs, here one
// that begins otherwise; of a tenant only its own.
func TestCheckRuns(t *testing.T) {
	t.Parallel()
	s := open(t, server.Config{})
	check := func(c *client.Client) (ids []durable.RunID, err error) {
		for text, err := range c.CheckRuns(t.Context()) {
			var found orpine.Checked
			if err == nil {
				err = json.Unmarshal(text, &found)
			}
			if err != nil {
				return ids, err
			}
			if found.Divergence == nil || found.Divergence.Seq != 1 {
				t.Errorf("run %s fits a program that begins otherwise: %s", found.Run.ID, text)
			}
			ids = append(ids, found.Run.ID)
		}
		return ids, nil
	}
	if _, err := check(s.Client); !errors.Is(err, durable.ErrUnavailable) {
		t.Errorf("without programs: got %v, want unavailable", err)
	}
	s.stop()
	ask := durable.NewProgram("ask", func(ctx durable.Context, _ int) (int, error) { return 0, ctx.Inbox("go").Receive(ctx, nil) })
	s.cfg.Fresh = func() orpine.Config { return orpine.Config{Programs: []durable.Program{ask}} }
	s.start()
	all, acme := s.as("", "*"), s.as("acme", "runs:*")
	mine := s.must(acme.Start(t.Context(), client.StartRun{Program: "ask"}))
	for _, run := range []durable.Run{mine, s.must(all.Start(t.Context(), client.StartRun{Program: "ask"}))} {
		s.must(s.rt.Settle(t.Context(), run.ID, time.Time{}))
	}
	if ids, err := check(acme); err != nil || len(ids) != 1 || ids[0] != mine.ID {
		t.Errorf("the runs of acme: %v, %v", ids, err)
	}
	if ids, err := check(all); err != nil || len(ids) != 2 {
		t.Errorf("all runs: %v, %v", ids, err)
	}
}
