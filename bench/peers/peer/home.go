package peer

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/orpine-run/orpine/bench/peers/proc"
)

// Home is where things are built and installed.
type Home struct {
	Source string    // the directory of this module
	Bin    string    // for the workers, built afresh for every invocation
	Cache  string    // for what is fetched once
	Log    io.Writer // told of what takes long

	built map[string]bool
}

// build builds cmd/name into Bin, once.
func (h *Home) build(ctx context.Context, name string) error {
	if h.built[name] {
		return nil
	}
	h.say("building the worker %s", name)
	err := proc.Run(ctx, proc.Spec{
		Path: "go", Args: []string{"build", "-o", filepath.Join(h.Bin, name), "./cmd/" + name},
		Dir: h.Source, Env: []string{"CGO_ENABLED=0"},
	})
	if err != nil {
		return fmt.Errorf("build the worker %s: %w", name, err)
	}
	if h.built == nil {
		h.built = map[string]bool{}
	}
	h.built[name] = true
	return nil
}

// Model builds the fake model and returns its path.
func (h *Home) Model(ctx context.Context) (string, error) {
	return filepath.Join(h.Bin, "fakemodel"), h.build(ctx, "fakemodel")
}

// revision is the version of Orpine: the commit of the checkout.
func (h *Home) revision(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty")
	cmd.Dir = h.Source
	out, err := cmd.Output()
	if err != nil {
		return "this checkout" // sources without a repository are no trouble
	}
	return strings.TrimSpace(string(out))
}

func (h *Home) say(format string, args ...any) { fmt.Fprintf(h.Log, format+"\n", args...) }

// once runs install with an empty directory of the cache named so, unless it was
// installed before. What is half installed when it fails is removed.
func (h *Home) once(name string, install func(dir string) error) (string, error) {
	dir := filepath.Join(h.Cache, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	h.say("installing %s into %s", name, h.Cache)
	if err := os.MkdirAll(h.Cache, 0o755); err != nil { //nolint:gosec // Postgres reads it as another user
		return "", err
	}
	fresh, err := os.MkdirTemp(h.Cache, ".new-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(fresh) }() // gone when it went well
	if err := install(fresh); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	return dir, os.Rename(fresh, dir)
}

// npm installs packages of npm, with exact versions.
func (h *Home) npm(ctx context.Context, dir string, packages ...string) error {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is needed, from Node.js: %w", tool, err)
		}
	}
	return proc.Run(ctx, proc.Spec{
		Path: "npm", Dir: dir,
		Args: append([]string{"install", "--prefix", dir, "--no-audit", "--no-fund", "--save-exact"}, packages...),
	})
}

// freePort returns a port of the loopback that nobody listens on now.
func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:errcheck // a TCP listener has such an address
	return port, l.Close()
}

// FreeAddr is an address of the loopback that nobody listens on now.
func FreeAddr(ctx context.Context) (string, error) {
	port, err := freePort(ctx)
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

// files is the backend of engines inside the worker's process: a path.
type files struct{}

func (files) ready(context.Context, *Home) (string, int64, error) { return "", 0, nil }

func (files) open(_ context.Context, dir string) (*Site, error) {
	return &Site{Store: filepath.Join(dir, "store"), Disk: dir}, nil
}
