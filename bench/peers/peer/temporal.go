package peer

import (
	"context"
	"net"
	"path/filepath"
	"strconv"

	"github.com/orpine-run/orpine/bench/peers/proc"
)

// temporalVersion is the newest that go install resolves: later ones and "latest" need
// modules that are not published.
const temporalVersion = "v1.5.1"

// temporal is the development server of Temporal's command line, over a file.
type temporal struct{ server string }

func (t *temporal) ready(ctx context.Context, h *Home) (string, int64, error) {
	dir, err := h.once("temporal-"+temporalVersion, func(dir string) error {
		h.say("building the Temporal server takes about three minutes of processor time")
		return proc.Run(ctx, proc.Spec{
			Path: "go", Args: []string{"install", "github.com/temporalio/cli/cmd/temporal@" + temporalVersion},
			Env: []string{"GOBIN=" + dir, "CGO_ENABLED=0"},
		})
	})
	if err != nil {
		return "", 0, err
	}
	t.server = filepath.Join(dir, "temporal")
	size, err := proc.Disk(t.server)
	return "server CLI " + temporalVersion, size, err
}

func (t *temporal) open(ctx context.Context, dir string) (*Site, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	spec := proc.Spec{Path: t.server, Args: []string{
		"server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", strconv.Itoa(port),
		"--db-filename", filepath.Join(dir, "temporal.db"), "--log-level", "never",
	}}
	return &Site{
		Store: addr, Disk: dir,
		Start: func(ctx context.Context) (*proc.Process, error) {
			return up(ctx, spec, func(ctx context.Context) error {
				c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
				if err != nil {
					return err
				}
				return c.Close()
			})
		},
	}, nil
}
