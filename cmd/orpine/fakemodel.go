package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/server/fakemodel"
)

type fakeModelCmd struct {
	File string `arg:"" help:"The script, a YAML file."`
	Addr string `help:"Where to listen; port 0 takes a free one." default:"127.0.0.1:8080"`
}

// Help implements kong.HelpProvider.
func (fakeModelCmd) Help() string {
	return `Plays a language model from a script, to test agents without a key: errors with Retry-After,
streams that are cut, slow pieces and garbage included. It prints its base URL, then serves
POST /v1/chat/completions, POST /v1/messages, GET /v1/models and GET /calls until interrupted.

Examples:
  orpine fake-model replies.yaml --addr 127.0.0.1:8080
  OPENAI_BASE_URL=http://127.0.0.1:8080/v1 orpine run agent.yaml hello`
}

// Run serves a script.
func (c *fakeModelCmd) Run(ctx context.Context, a *app) error {
	s, err := script.Load(c.File)
	if errors.Is(err, fs.ErrNotExist) {
		return durable.Errorf(durable.CodeNotFound, "%w", err)
	}
	if err != nil {
		return durable.Errorf(durable.CodeInvalid, "%w", err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return environmentError{fmt.Errorf("listen on %s: %w; choose another with --addr", c.Addr, err)}
	}
	fmt.Fprintf(a.stdout, "http://%s/v1\n", ln.Addr())
	return fakemodel.Serve(ctx, ln, fakemodel.Handler(s))
}
