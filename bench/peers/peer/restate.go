package peer

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/bench/peers/proc"
)

const restateVersion = "1.7.12"

// upLimit is how long a server may take to answer.
const upLimit = time.Minute

// restate is the Restate server, one node with all roles.
type restate struct{ server string }

func (r *restate) ready(ctx context.Context, h *Home) (string, int64, error) {
	dir, err := h.once("restate-"+restateVersion, func(dir string) error {
		return h.npm(ctx, dir, "@restatedev/restate-server@"+restateVersion)
	})
	if err != nil {
		return "", 0, err
	}
	found, err := filepath.Glob(filepath.Join(dir, "node_modules/@restatedev/restate-server-*/bin/restate-server"))
	if err != nil || len(found) != 1 {
		return "", 0, fmt.Errorf("the package has no server for this machine (found %v)", found)
	}
	r.server = found[0]
	size, err := proc.Disk(r.server)
	return "server " + restateVersion, size, err
}

func (r *restate) open(ctx context.Context, dir string) (*Site, error) {
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	ingress := "127.0.0.1:" + strconv.Itoa(ports[1])
	admin := "127.0.0.1:" + strconv.Itoa(ports[2])
	spec := proc.Spec{
		Path: r.server,
		Args: []string{
			"--no-logo", "--listen-mode", "tcp", "--bind-ip", "127.0.0.1", "--bind-port", strconv.Itoa(ports[0]),
			"--advertised-host", "127.0.0.1", "--base-dir", filepath.Join(dir, "restate"), "--node-name", "bench", "--log-filter", "error",
		},
		Env: []string{
			"RESTATE_INGRESS__BIND_ADDRESS=" + ingress, "RESTATE_ADMIN__BIND_ADDRESS=" + admin, "RESTATE_DISABLE_TELEMETRY=true",
		},
	}
	return &Site{
		Store: "http://" + ingress + " http://" + admin, Disk: dir,
		Start: func(ctx context.Context) (*proc.Process, error) {
			return up(ctx, spec, func(ctx context.Context) error {
				if err := healthy(ctx, "http://"+admin+"/health"); err != nil {
					return err
				}
				return healthy(ctx, "http://"+ingress+"/restate/health")
			})
		},
	}, nil
}

func healthy(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// up starts a server and waits until it answers; one that does not is ended.
func up(ctx context.Context, spec proc.Spec, ready func(context.Context) error) (*proc.Process, error) {
	p, err := proc.Start(spec)
	if err != nil {
		return nil, err
	}
	if err := p.Until(ctx, upLimit, ready); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}
