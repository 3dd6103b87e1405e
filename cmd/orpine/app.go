package main

import (
	"bufio"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"

	"github.com/orpine-run/orpine/demo/cost"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/anthropic"
	"github.com/orpine-run/orpine/model/openai"
	"github.com/orpine-run/orpine/model/outline"
	"github.com/orpine-run/orpine/model/script"
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
	parser *kong.Kong          // knows all verbs and flags
}

func newApp(flags *cli, stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) *app {
	return &app{cost: cost.New(), hooks: webhook.New(webhook.Config{}), flags: flags, stdin: stdin, stdout: stdout, stderr: stderr, env: env}
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
