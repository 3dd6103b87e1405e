// Package peer knows the engines that are measured: how each is installed, what server
// it needs, where that keeps its data, and which settings make a step's result durable.
//
// It starts servers and takes no measurements. It stands beside the line request -> run ->
// step -> journal -> event -> client: it puts the stores of all engines in their place.
package peer

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/orpine-run/orpine/bench/peers/proc"
	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

// Peer is one engine with one store.
type Peer struct {
	report.Engine
	// Lacks says which workloads it cannot run, and why.
	Lacks map[workload.Kind]string

	program program
	backend backend
	path    string   // of the worker, once it is ready
	args    []string // before all others
	bytes   int64    // of what is installed
}

// program is what a worker is made of.
type program interface {
	// ready builds or installs it and returns how to run it, and its version.
	ready(ctx context.Context, h *Home) (binary, error)
}

// binary is a program that can be run.
type binary struct {
	path    string
	args    []string
	version string
	bytes   int64
}

// backend is where an engine keeps its runs.
type backend interface {
	// ready installs what is missing and returns its version, empty when there is none,
	// and the size of what must be installed.
	ready(ctx context.Context, h *Home) (version string, bytes int64, err error)
	// open makes a fresh store in an empty directory.
	open(ctx context.Context, dir string) (*Site, error)
}

// Site is a fresh store in a directory of its own.
type Site struct {
	Store string                                           // what the worker is told
	Disk  string                                           // the directory that grows
	Start func(ctx context.Context) (*proc.Process, error) // of the server; nil when there is none
}

// Ready builds and installs what the peer needs. The error says why it cannot be had.
func (p *Peer) Ready(ctx context.Context, h *Home) error {
	server, bytes, err := p.backend.ready(ctx, h)
	if err != nil {
		return err
	}
	b, err := p.program.ready(ctx, h)
	if err != nil {
		return err
	}
	p.path, p.args, p.bytes = b.path, b.args, bytes+b.bytes
	p.Version = b.version
	if server != "" {
		p.Version += ", " + server
	}
	return nil
}

// Open makes a fresh store in an empty directory.
func (p *Peer) Open(ctx context.Context, dir string) (*Site, error) { return p.backend.open(ctx, dir) }

// Worker is the command line of its worker.
func (p *Peer) Worker(args ...string) (path string, all []string) {
	return p.path, append(slices.Clip(p.args), args...)
}

// Bytes is the size of what must be installed to use it: the worker, and the server or
// the packages.
func (p *Peer) Bytes() int64 { return p.bytes }

// goProgram is a worker in Go, cmd/name. Its version is that of the module it is about.
type goProgram struct{ name, module, title string }

func (g goProgram) ready(ctx context.Context, h *Home) (binary, error) {
	path := filepath.Join(h.Bin, g.name)
	if err := h.build(ctx, g.name); err != nil {
		return binary{}, err
	}
	size, err := proc.Disk(path)
	if err != nil {
		return binary{}, err
	}
	b := binary{path: path, bytes: size}
	if g.module == "" {
		return b, nil
	}
	if g.module == orpine {
		b.version = h.revision(ctx)
		return b, nil
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return binary{}, err
	}
	for _, m := range info.Deps {
		if m.Path == g.module {
			b.version = g.title + " " + m.Version
			return b, nil
		}
	}
	return binary{}, fmt.Errorf("%s does not link %s", g.name, g.module)
}
