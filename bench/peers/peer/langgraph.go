package peer

import (
	"context"
	"os"
	"path/filepath"

	"github.com/orpine-run/orpine/bench/peers/langgraph"
	"github.com/orpine-run/orpine/bench/peers/proc"
)

const langGraphVersion = "1.7.3"

// langGraph is the worker in JavaScript.
type langGraph struct{}

func (langGraph) ready(ctx context.Context, h *Home) (binary, error) {
	dir, err := h.once("langgraph-"+langGraphVersion, func(dir string) error {
		return h.npm(ctx, dir,
			"@langchain/langgraph@"+langGraphVersion, "@langchain/core@1.4.0",
			"@langchain/langgraph-checkpoint-sqlite@1.0.4", "@langchain/langgraph-checkpoint-postgres@1.0.5")
	})
	if err != nil {
		return binary{}, err
	}
	path := filepath.Join(dir, "worker.mjs") // beside the packages, or Node does not find them
	if err := os.WriteFile(path, langgraph.Worker, 0o600); err != nil {
		return binary{}, err
	}
	size, err := proc.Disk(dir)
	return binary{path: "node", args: []string{"--expose-gc", path}, version: "LangGraph for JavaScript " + langGraphVersion, bytes: size}, err
}
