package orpine_test

import (
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	engine "github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// laterGoldens are golden journals of what the first release did not have.
func laterGoldens() []golden {
	base := goldens()[12]
	return []golden{{name: "forked", play: func(ctx context.Context, e *engine.Engine) error {
		if err := base.play(ctx, e); err != nil {
			return err
		}
		if _, err := e.Settle(ctx, "main", time.Time{}); err != nil {
			return err
		}
		if _, err := e.Fork(ctx, "main", engine.ForkRequest{ID: "fork", At: durable.StepID{Segment: 1, Command: 2}}); err != nil {
			return err
		}
		_, err := e.Settle(ctx, "fork", time.Time{})
		return err
	}}}
}

// goldenOutputs are what the runs of each program come to, whichever way they went.
var goldenOutputs = map[string][]string{
	"all":         {`["did one","did two","did three","did four","sent mail","25000","did kid","word","yes"]`},
	"child":       {`"did kid"`},
	"asks":        {`"main: yes"`, `"left: yes"`, `"right: yes"`},
	"parent":      {`["left: yes","right: yes"]`},
	"sleeper":     {`"slept"`},
	agent.Program: {`{"text":"It was sent."`},
}

// TestGoldenJournals opens every golden journal there is, replays all its runs, and goes
// on with those that have not ended.
func TestGoldenJournals(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/journals/*/*.db.gz")
	if err != nil || len(files) < len(goldens()) {
		t.Fatalf("there are %d golden journals, error %v", len(files), err)
	}
	for _, file := range files {
		version := filepath.Base(filepath.Dir(file))
		t.Run(version+"/"+strings.TrimSuffix(filepath.Base(file), ".db.gz"), func(t *testing.T) {
			t.Parallel()
			dir := unpackGolden(t, file)
			old := bareEntries(t, dir)
			if (old > 0) != (version == "v0") {
				t.Errorf("%d entries are bare JSON", old)
			}
			before := replayGolden(t, dir)
			finishGolden(t, dir, before)
			if now := bareEntries(t, dir); now != old {
				t.Errorf("%d entries are bare JSON, there were %d", now, old)
			}
		})
	}
}

func unpackGolden(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, sqlite.File), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// bareEntries counts entries in the form of the first release.
func bareEntries(t *testing.T, dir string) int {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	var n int
	err = db.QueryRowContext(t.Context(), `SELECT count(*) FROM ev WHERE substr(body, 1, 1) = x'7b'`).Scan(&n)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// replayGolden opens for reading only, which brings the tables up to date, and holds
// every run against the programs.
func replayGolden(t *testing.T, dir string) map[durable.RunID]durable.Run {
	t.Helper()
	r, err := orpine.OpenReader(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, r)
	runs, err := r.List(t.Context(), durable.Filter{Limit: 100})
	if err != nil || len(runs) == 0 {
		t.Fatalf("%d runs, error %v", len(runs), err)
	}
	before := map[durable.RunID]durable.Run{}
	for _, run := range runs {
		if before[run.ID], err = r.Get(t.Context(), run.ID); err != nil {
			t.Error(err)
		}
		report, err := r.Replay(t.Context(), goldenPrograms(t), run.ID)
		if err != nil || report.Divergence != nil {
			t.Errorf("replay of %s (%s): %+v, error %v", run.ID, run.Program, report.Divergence, err)
		}
		if _, err := r.Export(t.Context(), io.Discard, orpine.ExportConfig{Run: run.ID}); err != nil {
			t.Error(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return before
}

// sound requires that nothing in a data directory is damaged.
func sound(t *testing.T, r *orpine.Reader) {
	t.Helper()
	h, err := r.Verify(t.Context(), orpine.Verification{Deep: true})
	if err != nil || len(h.Problems) > 0 {
		t.Errorf("damaged: %v, error %v", h.Problems, err)
	}
}

// finishGolden goes on with what has not ended, until all has.
func finishGolden(t *testing.T, dir string, before map[durable.RunID]durable.Run) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(ctx, engine.Config{Store: s, Programs: goldenPrograms(t)})
	if err != nil {
		t.Fatal(err)
	}
	for id, was := range before {
		settleGolden(ctx, t, e, id)
		run, err := e.Get(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if was.Status.Final() {
			if run.Status != was.Status || string(run.Output) != string(was.Output) {
				t.Errorf("run %s was %s with %s, and is %s with %s", id, was.Status, was.Output, run.Status, run.Output)
			}
			continue
		}
		if run.Status != durable.Succeeded || !expected(run) {
			t.Errorf("run %s of %s: got %s (%s) with %s, want one of %v", id, run.Program, run.Status, run.Reason, run.Output, goldenOutputs[run.Program])
		}
	}
	if err := errors.Join(e.Close(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := orpine.OpenReader(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func expected(run durable.Run) bool {
	for _, want := range goldenOutputs[run.Program] {
		if strings.HasPrefix(string(run.Output), want) {
			return true
		}
	}
	return false
}

// settleGolden gives a run what it waits for until it has ended, and its children too.
func settleGolden(ctx context.Context, t *testing.T, e *engine.Engine, id durable.RunID) {
	t.Helper()
	for since := (time.Time{}); ; {
		run, err := e.Settle(ctx, id, since)
		if err != nil {
			t.Fatalf("run %s: %v", id, err)
		}
		if run.Status.Final() {
			return
		}
		if run.Status == durable.Blocked {
			t.Fatalf("run %s is blocked: %s", id, run.Reason)
		}
		since = run.Updated
		for _, w := range run.Waits {
			switch w.Kind {
			case durable.WaitAnswer:
				err = e.Answer(ctx, id, w.Interrupt.ID, json.RawMessage(`"yes"`))
			case durable.WaitSignal:
				err = e.Signal(ctx, id, durable.Signal{Name: w.Name, Data: json.RawMessage(`"` + w.Name + `"`)})
			case durable.WaitInDoubt:
				done := `"sent ` + w.Name + `"`
				if run.Program == agent.Program {
					done = `{"content":"sent"}`
				}
				err = e.Resolve(ctx, id, w.Command, durable.Resolution{Done: json.RawMessage(done)})
			case durable.WaitChild:
				settleGolden(ctx, t, e, w.Child)
			case durable.WaitTimer:
			}
			if err != nil && !errors.Is(err, durable.ErrConflict) {
				t.Fatalf("run %s: %v", id, err)
			}
		}
	}
}

// TestGoldenChain: the first entry that this build writes behind entries of the first
// release closes the chain over all of them: none of those can be changed any more.
func TestGoldenChain(t *testing.T) {
	t.Parallel()
	dir := unpackGolden(t, "testdata/journals/v0/signal.db.gz")
	finishGolden(t, dir, map[durable.RunID]durable.Run{"main": {}})
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `UPDATE ev SET body = CAST(replace(CAST(body AS TEXT), 'did one', 'did two') AS BLOB) WHERE seq = 1 AND substr(body, 1, 1) = x'7b'`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	j, err := journal.New(store.Store(s))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.All(t.Context(), "main", 0); err == nil || !strings.Contains(err.Error(), "is damaged: its checksum does not match") {
		t.Errorf("a changed entry of the first release: got %v", fmt.Sprint(err))
	}
}
