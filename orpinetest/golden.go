package orpinetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store/sqlite"
)

// Golden wants the programs to go through the journals of an export as they did when it was
// written, as they must for runs that are under way when a new build takes them up. With
// Config.Update it writes the export first, of a run and its children, in the format of orpine
// export. Keep one file for each build that was released: Update is for new ones.
func (e *Env) Golden(path string, run durable.RunID) {
	e.t.Helper()
	if e.cfg.Update {
		var file bytes.Buffer
		err := e.do(func(l *life) error {
			file.Reset()
			_, err := l.engine.Journal().Export(context.Background(), &file, journal.ExportConfig{Run: run, Now: time.Now().UTC()})
			return err
		})
		e.must("export run "+string(run), err)
		e.must("write golden journal", os.MkdirAll(filepath.Dir(path), 0o750))
		e.must("write golden journal", os.WriteFile(path, file.Bytes(), 0o600))
	}
	for _, problem := range e.held(path) {
		e.t.Errorf("%s: %s", path, problem)
	}
}

// held holds an export against the programs and says what does not fit.
func (e *Env) held(path string) (problems []string) {
	e.t.Helper()
	data, err := os.ReadFile(path) //nolint:gosec // the test names it
	if err != nil {
		e.t.Fatalf("%v; write it by running the test with Config.Update set", err)
	}
	e.golden++
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: filepath.Join(e.root, fmt.Sprint("golden-", e.golden)), ProcessDurability: true})
	e.must("open a store", err)
	defer func() { e.must("close it", s.Close()) }()
	j, err := journal.New(s)
	e.must("open a journal", err)
	taken, err := j.Import(ctx, bytes.NewReader(data), journal.ImportConfig{Now: time.Now().UTC().Truncate(time.Microsecond)})
	if err != nil {
		return []string{err.Error()}
	}
	for _, id := range taken.Runs {
		r, err := s.Run(ctx, id)
		e.must("read an imported run", err)
		report, err := embedded.Replay(ctx, embedded.Source{Journal: j, Run: r}, e.programs)
		switch block := new(durable.BlockError); {
		case errors.As(err, &block):
			problems = append(problems, fmt.Sprintf("run %s: %v", id, block))
		case err != nil:
			e.must("replay an imported run", err)
		case report.Divergence != nil:
			problems = append(problems, fmt.Sprintf("run %s: %s", id, report.Divergence.Text()))
		}
	}
	return problems
}
