package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/demo/cost"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/outfit"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/server/local"
	"github.com/orpine-run/orpine/workflow"
)

type serveCmd struct {
	Addr   string        `help:"Where to listen; port 0 takes a free one. Other than loopback needs a token." default:"127.0.0.1:7420" env:"ORPINE_ADDR"`
	File   string        `help:"YAML file whose agents, workflows, schedules and triggers the server has; read again when it changes." placeholder:"FILE" type:"path"`
	Host   []string      `help:"Name under which the server may be asked for, besides localhost and addresses." placeholder:"NAME"`
	Origin []string      `help:"Origin of web pages that may use the server, such as https://example.com; * = all." placeholder:"ORIGIN"`
	Drain  time.Duration `help:"How long steps under way may take to end after SIGTERM." default:"10s"`
}

// Help implements kong.HelpProvider.
func (serveCmd) Help() string {
	return `Drives the runs of the data directory and serves them over HTTP: /openapi.json says what can be
asked, /docs shows it. Without a token only this machine is served; 'orpine token create' makes one,
and from then on every request needs one. Other commands on the same data directory, and with
--server URL from anywhere, talk to it.

Ctrl-C and SIGTERM end it: streams are closed, steps under way may end, runs go on with the next
process.

Examples:
  orpine serve --file orpine.yaml
  orpine serve --addr 127.0.0.1:0
  orpine token create ci --scope runs:write --scope runs:read && orpine serve --addr 0.0.0.0:7420`
}

// Run serves until it is told to stop.
func (c *serveCmd) Run(ctx context.Context, a *app) (err error) {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(redacted{a.stderr, cfg.Redact}, nil))
	cfg.KeepDeltas, cfg.Log, cfg.OnStatus = true, log, a.hooks.Changed
	if err := c.bounds(a, &cfg); err != nil {
		return err
	}
	rt, err := orpine.Open(ctx, cfg)
	if err != nil {
		return err
	}
	a.opened.Store(rt)
	o := &owned{Runtime: rt, gentle: func() bool { return true }, patience: c.Drain}
	s, err := server.New(ctx, server.Config{
		Runtime: rt, Version: version, Log: log, Hosts: c.Host, Origins: c.Origin, Private: []string{cost.Name}, Tools: toolsOf(cfg), Webhooks: a.hooks,
		Fresh: func() orpine.Config { return cfg }, Peers: a.gear.MCP(), Secret: a.gear.Secret,
	})
	if err != nil {
		return closing(err, o)
	}
	defer func() { err = errors.Join(err, s.Close(), o.Close()) }()
	if err := a.hooks.Start(ctx, rt); err != nil {
		return err
	}
	defer a.hooks.Stop()
	var at fileState
	if c.File != "" {
		if at, err = c.load(ctx, a, s, at); err != nil {
			return err
		}
	}
	ln, err := c.listen(ctx, s)
	if err != nil {
		return err
	}
	if o.door, err = local.Open(ctx, a.flags.Data, func() (local.Handler, error) { return s.Local(), nil }); err != nil {
		return errors.Join(environmentError{err}, ln.Close())
	}
	fmt.Fprintf(a.stdout, "http://%s\n", ln.Addr())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	tick := time.NewTicker(reloadInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			at = c.reload(ctx, a, s, at, log)
		case err := <-served:
			if err != nil {
				err = environmentError{err}
			}
			return err
		}
	}
}

// redacted is a log in which no secrets stand: each write is a whole line.
type redacted struct {
	io.Writer
	redact func(string) string
}

// Write implements io.Writer.
func (r redacted) Write(line []byte) (int, error) {
	if _, err := io.WriteString(r.Writer, r.redact(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}

// listen opens the port. Who is not on this machine needs a token, so without one nobody else
// is let near.
func (c *serveCmd) listen(ctx context.Context, s *server.Server) (net.Listener, error) {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "--addr %s: write it as HOST:PORT, such as 127.0.0.1:7420", c.Addr)
	}
	if !loopback(host) && !s.Guarded() {
		return nil, durable.Errorf(durable.CodeDenied, "--addr %s can be reached from other machines, and there is no token yet: anybody could do everything. Make one with orpine token create, or listen on 127.0.0.1", c.Addr)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, environmentError{fmt.Errorf("listen on %s: %w; choose another with --addr", c.Addr, err)}
	}
	return ln, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// reloadInterval is how often it is looked whether the file has changed.
const reloadInterval = time.Second

// fileState is how a file looked when it was read.
type fileState struct {
	changed time.Time
	size    int64
}

// reload reads the file again if it has changed. One with a fault changes nothing.
func (c *serveCmd) reload(ctx context.Context, a *app, s *server.Server, at fileState, log *slog.Logger) fileState {
	if c.File == "" {
		return at
	}
	info, err := os.Stat(c.File)
	if err != nil || (info.ModTime().Equal(at.changed) && info.Size() == at.size) {
		return at // a file that is away for a moment is being written
	}
	now, err := c.load(ctx, a, s, at)
	if err != nil {
		log.WarnContext(ctx, "the file is not taken: what was read before stays in force", slog.String("file", c.File), slog.String("fault", strings.TrimSpace(err.Error())))
		return fileState{info.ModTime(), info.Size()}
	}
	log.InfoContext(ctx, "the file was read again", slog.String("file", filepath.Base(c.File)))
	return now
}

// bounds takes the limits and queues of the file, which are those of the whole process.
func (c *serveCmd) bounds(a *app, cfg *orpine.Config) error {
	if c.File == "" {
		return nil
	}
	f, err := config.Load(c.File, a.env)
	if err != nil {
		return err
	}
	cfg.Limits, cfg.Queues = map[string]orpine.Limit{}, map[string]orpine.Queue{}
	for name, l := range f.Limits {
		cfg.Limits[name] = orpine.Limit(l)
	}
	for name, q := range f.Queues {
		cfg.Queues[name] = orpine.Queue(q)
	}
	return nil
}

// load reads the file and makes known what it has.
func (c *serveCmd) load(ctx context.Context, a *app, s *server.Server, at fileState) (fileState, error) {
	info, err := os.Stat(c.File)
	if err != nil {
		return at, durable.Errorf(durable.CodeNotFound, "%w", err)
	}
	f, err := config.Load(c.File, a.env)
	if err != nil {
		return at, err
	}
	gear, err := a.outfit()
	if err != nil {
		return at, err
	}
	known, err := madeOf(f, gear)
	if err != nil {
		return at, err
	}
	return fileState{info.ModTime(), info.Size()}, s.Load(ctx, known)
}

// madeOf makes all that a file has, before any of it is made known: of a file with a fault nothing is.
func madeOf(f *config.File, gear *outfit.Outfit) (server.File, error) {
	known := server.File{
		Agents: map[string]agent.Definition{}, Planned: map[string]*workflow.Definition{}, Workflows: map[string]*workflow.Definition{},
	}
	for _, name := range f.AgentNames() {
		flow, err := gear.Planned(f, name)
		if flow == nil && err == nil {
			known.Agents[name], err = gear.Definition(f, name)
		} else if err == nil {
			known.Planned[name] = flow
		}
		if err != nil {
			return known, err
		}
	}
	for _, name := range f.WorkflowNames() {
		flow, err := gear.Workflow(f, name)
		if err != nil {
			return known, err
		}
		known.Workflows[name] = flow
	}
	for _, name := range f.TriggerNames() {
		d, err := gear.Trigger(f, name)
		if err != nil {
			return known, err
		}
		known.Triggers = append(known.Triggers, d)
	}
	return known, nil
}

// toolsOf lists the tools that agents may name without declaring them.
func toolsOf(cfg orpine.Config) []client.Tool {
	var list []client.Tool
	for _, t := range cfg.Tools {
		spec := t.Spec()
		list = append(list, client.Tool{Name: spec.Name, Description: spec.Description, Schema: spec.Schema, Effect: spec.Options.Effect})
	}
	return list
}
