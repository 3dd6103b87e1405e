// Command restate is the worker of Restate: an HTTP endpoint that its server calls, and
// a client of the server's ingress.
//
// On the line request -> run -> step -> journal -> event -> client its invocation is the
// run and its Run block the step.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/server"

	"github.com/orpine-run/orpine/bench/peers/drive"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

func main() { os.Exit(drive.Main(open)) }

// upLimit is how long the server may take to accept the endpoint.
const upLimit = 30 * time.Second

// open serves the programs and registers them. The store is two URLs, of the ingress
// and of the admin API, with a space between.
func open(ctx context.Context, o drive.Options, l *workload.Load) (workload.Engine, error) {
	ingress, admin, ok := strings.Cut(o.Store, " ")
	if !ok {
		return nil, fmt.Errorf("the store is %q, not two URLs", o.Store)
	}
	logs := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})
	endpoint := server.NewRestate().WithLogger(logs, false).
		Bind(restate.Reflect(Bench{load: l})).Bind(restate.Reflect(Gate{load: l}))
	ended := make(chan error, 1)
	go func() { ended <- endpoint.Start(ctx, o.Listen) }()
	e := &engine{ingress: ingress, client: workload.Client()}
	// The endpoint must listen before it is registered: the server, when it cannot reach
	// it, tries again after seconds.
	tries := []func() error{
		func() error { return reach(ctx, o.Listen) },
		func() error {
			return e.post(ctx, admin+"/deployments", map[string]any{"uri": "http://" + o.Listen, "force": true})
		},
	}
	for _, try := range tries {
		if err := insist(ctx, ended, try); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// insist tries until it works, takes too long, or the endpoint has ended.
func insist(ctx context.Context, ended <-chan error, try func() error) error {
	for deadline := time.Now().Add(upLimit); ; {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("register with the Restate server: %w", err)
		}
		select {
		case err := <-ended:
			return fmt.Errorf("serve the endpoint: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func reach(ctx context.Context, addr string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

type engine struct {
	ingress string
	client  *http.Client
}

// Run implements workload.Engine.
func (e *engine) Run(ctx context.Context, kind workload.Kind, id string) error {
	return e.post(ctx, e.ingress+"/Bench/Run", Input{kind, id})
}

// Park implements workload.Engine.
func (e *engine) Park(ctx context.Context, id string) error {
	return e.post(ctx, e.ingress+"/Gate/"+id+"/Run/send", id)
}

// Signal implements workload.Engine.
func (e *engine) Signal(ctx context.Context, id string) error {
	return e.post(ctx, e.ingress+"/Gate/"+id+"/Approve", "ok")
}

func (e *engine) post(ctx context.Context, url string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("restate answered %s: %s", resp.Status, answer)
	}
	return nil
}
