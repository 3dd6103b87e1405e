package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/demo/cost"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/anthropic"
	"github.com/orpine-run/orpine/model/openai"
	"github.com/orpine-run/orpine/model/outline"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/outfit"
	"github.com/orpine-run/orpine/server/webhook"
)

// defaultData is the data directory where nothing else is said.
const defaultData = "./.orpine"

// app is what every verb gets: where to write, what is set, how to open data.
type app struct {
	flags  *cli
	stdin  io.Reader
	lines  *bufio.Reader // of stdin, once a person was asked
	stdout io.Writer
	stderr io.Writer
	env    func(string) (string, bool)
	cost   *cost.Demo
	hooks  *webhook.Dispatcher // started by serve alone; elsewhere its deliveries wait
	args   []string            // as they were typed
	gear   *outfit.Outfit      // nil until tools are needed; see outfit
	opened atomic.Pointer[orpine.Runtime]
	parser *kong.Kong // knows all verbs and flags
}

func newApp(flags *cli, stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) *app {
	return &app{cost: cost.New(), hooks: webhook.New(webhook.Config{}), flags: flags, stdin: stdin, stdout: stdout, stderr: stderr, env: env}
}

// outfit makes the tools of agents, the same for as long as the process lives.
func (a *app) outfit() (*outfit.Outfit, error) {
	if a.gear != nil {
		return a.gear, nil
	}
	list := func(name string) []string {
		return strings.FieldsFunc(a.getenv(name), func(ch rune) bool { return ch == ',' || ch == ' ' })
	}
	gear, err := outfit.New(outfit.Config{
		Data: a.flags.Data, Env: a.env, Version: version, Runtime: a.opened.Load, Allow: list("ORPINE_ALLOW"), Unheld: a.getenv("ORPINE_UNHELD") == "1",
	})
	if err != nil {
		return nil, fmt.Errorf("ORPINE_ALLOW: %w", err)
	}
	a.gear = gear
	return gear, nil
}

// close ends what tools have started.
func (a *app) close() error {
	if a.gear == nil {
		return nil
	}
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return a.gear.Close(ctx)
}

func (a *app) getenv(name string) string {
	v, _ := a.env(name)
	return v
}

// talks reports whether a person sits in front of us: only then we prompt and draw.
func (a *app) talks() bool { return terminal(a.stdin) && a.draws() }

// draws reports whether progress may move the cursor.
func (a *app) draws() bool { return terminal(a.stderr) && a.getenv("TERM") != "dumb" }

// colors reports whether w takes colours; NO_COLOR (no-color.org) turns them off.
func (a *app) colors(w io.Writer) bool {
	_, off := a.env("NO_COLOR")
	return !off && terminal(w) && a.getenv("TERM") != "dumb"
}

func terminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// providers are the models this command knows, configured from the environment.
func (a *app) providers() map[string]model.Provider {
	return map[string]model.Provider{
		"openai":    openai.Provider(openai.Config{BaseURL: a.getenv("OPENAI_BASE_URL"), Key: a.getenv("OPENAI_API_KEY")}),
		"anthropic": anthropic.Provider(anthropic.Config{BaseURL: a.getenv("ANTHROPIC_BASE_URL"), Key: a.getenv("ANTHROPIC_API_KEY")}),
		"script":    script.Provider(),
		"builtin":   outline.Provider(),
	}
}

// checkModel finds out before a run starts whether its model can be had at all.
func (a *app) checkModel(name string) error {
	prefix, rest, _ := strings.Cut(name, "/")
	provider, ok := a.providers()[prefix]
	if !ok {
		return durable.Errorf(durable.CodeInvalid,
			"model %q: no provider %q; there are openai/NAME, anthropic/NAME, script/FILE and builtin/outline", name, prefix)
	}
	if _, err := provider(rest); err != nil {
		return environmentError{durable.Errorf(durable.CodeUnavailable, "%w", err)}
	}
	return nil
}
