package temporal

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/orpine-run/orpine/durable"
)

// server is one Temporal dev server for all tests of this process, started by the
// first that wants it and stopped, by its process, when they are over.
var server struct {
	sync.Once
	dir  string
	peer *testsuite.DevServer
	err  error
}

func TestMain(m *testing.M) {
	// Without its cache a worker replays the whole history at every turn, so that each
	// test here is one of replay too.
	worker.SetStickyWorkflowCacheSize(0)
	code := m.Run()
	if server.peer != nil {
		server.peer.Client().Close()
		_ = server.peer.Stop()
	}
	if server.dir != "" {
		_ = os.RemoveAll(server.dir)
	}
	os.Exit(code)
}

// temporalBinary finds the temporal command: ORPINE_TEMPORAL, or on the PATH.
func temporalBinary() string {
	if path := os.Getenv("ORPINE_TEMPORAL"); path != "" {
		return path
	}
	path, err := exec.LookPath("temporal")
	if err != nil {
		return ""
	}
	return path
}

func devClient(t *testing.T) client.Client {
	t.Helper()
	path := temporalBinary()
	if path == "" {
		t.Skip("no Temporal dev server: set ORPINE_TEMPORAL to the temporal binary")
	}
	server.Do(func() {
		if server.dir, server.err = os.MkdirTemp("", "orpine-temporal"); server.err != nil { //nolint:usetesting // it outlives the test that needs it first
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		server.peer, server.err = testsuite.StartDevServer(ctx, testsuite.DevServerOptions{
			ExistingPath: path, DBFilename: filepath.Join(server.dir, "temporal.db"), LogLevel: "error", Stdout: io.Discard, Stderr: io.Discard,
			ClientOptions: &client.Options{Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))},
		})
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.peer.Client()
}

// onServer opens an engine on a queue of its own.
func onServer(t *testing.T, cfg Config) *Engine {
	t.Helper()
	cfg.Client = devClient(t)
	if cfg.Queue == "" {
		cfg.Queue = string(newRunID(time.Now(), randomTail()))
	}
	cfg.Heartbeat = time.Second
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func openOnServer(t *testing.T, programs ...durable.Program) durable.Engine {
	t.Helper()
	e := onServer(t, Config{Programs: programs, Blobs: newMemory()})
	t.Cleanup(e.Close)
	return e
}
