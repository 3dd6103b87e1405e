package temporal

import (
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/enginetest"
)

func openInEnvironment(t *testing.T, programs ...durable.Program) durable.Engine {
	t.Helper()
	return newEnvironment(t, Config{Programs: programs, Blobs: newMemory()})
}

func TestCore(t *testing.T) {
	t.Run("environment", func(t *testing.T) {
		enginetest.Core(t, openInEnvironment,
			"a kill runs no code",          // the test environment cannot terminate
			"start refuses what cannot be", // a server refuses, not the run
		)
	})
	t.Run("server", func(t *testing.T) { enginetest.Core(t, openOnServer) })
}
