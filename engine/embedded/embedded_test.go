package embedded_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/engine/enginetest"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

func openStore(t *testing.T, dir string) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openEngine(t *testing.T, s store.Store, programs ...durable.Program) *embedded.Engine {
	t.Helper()
	e, err := embedded.New(t.Context(), embedded.Config{Store: s, Programs: programs})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func closeEngine(t *testing.T, e *embedded.Engine, s store.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		stacks := make([]byte, 1<<20)
		t.Errorf("%v\n%s", err, stacks[:runtime.Stack(stacks, true)])
	}
	if !t.Failed() {
		whole(t, s)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestEngine(t *testing.T) {
	enginetest.Run(t, func(t *testing.T, programs ...durable.Program) durable.Engine {
		s := openStore(t, t.TempDir())
		e := openEngine(t, s, programs...)
		t.Cleanup(func() { closeEngine(t, e, s) })
		return e
	})
}
