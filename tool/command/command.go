// Package command makes tools of programs: a command line in which the arguments of the model
// have fixed places, or a shell for which the model writes the script.
//
// It may not start a process itself: package sandbox does, in a jail unless a declaration and
// the operator both say otherwise. It never puts what a model wrote through a shell that it did
// not ask for, and never puts a secret where other processes could read it. On the line request
// -> run -> step -> journal -> event -> client it stands inside a step, behind tool.Dispatch.
package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/sandbox"
	"github.com/orpine-run/orpine/tool"
)

// Kind is the kind of the declarations that this package understands.
const Kind = "command"

// Config is what command tools need of the process they are in.
type Config struct {
	// Sandbox makes what processes of a tier are started in; it decides which tiers there
	// are. It is asked when a tool is first called, once for each tier. When nil there is
	// the jail alone, as sandbox.New makes it.
	Sandbox func(tier sandbox.Tier) (*sandbox.Sandbox, error)
	// Secrets returns a secret by its name, for ${secret:NAME}. When nil there are none.
	Secrets func(ctx context.Context, name string) (string, error)
	// Filter makes what takes secrets out of what a command prints that was given some. Without it
	// there are none either.
	Filter func() Filter
}

// Filter takes secrets out of a text that comes in pieces; a secret.Stream is one.
type Filter interface {
	// Next returns what may be shown by now.
	Next(piece string) string
	// End returns the rest.
	End() string
}

// Declared is a command tool as data.
type Declared struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"` // for the model; it should say what is printed
	// Command is the command line, one element for each argument of the process. ${args.NAME}
	// stands for an argument of the call, as the whole of an element or a part of it; an
	// element that is nothing else is left out where the call has no such argument. $${ is ${.
	Command []string `json:"command,omitempty"`
	// Shell lets the model write a script for /bin/sh instead: its one argument is "command".
	Shell bool `json:"shell,omitempty"`
	// Dashes lets an argument of the call begin an element with -, where the program would
	// take it for an option. Behind an element that is -- it may anyway.
	Dashes bool `json:"dashes,omitempty"`
	// Stdin is what the process reads: "json" for all arguments of the call, or a text with
	// ${args.NAME} and ${secret:NAME}. Nothing when empty.
	Stdin string            `json:"stdin,omitempty"`
	Env   map[string]string `json:"env,omitempty"` // the environment; without secrets
	// Secrets are files in the memory of the sandbox: the variable of this name holds the
	// path of a file with this text, in which ${secret:NAME} stands for a secret.
	Secrets   map[string]string `json:"secrets,omitempty"`
	Workspace string            `json:"workspace,omitempty"` // the directory it may write to; in memory when empty
	Dir       string            `json:"dir,omitempty"`       // the working directory; the workspace when empty
	ReadOnly  []string          `json:"read_only,omitempty"` // what else it may read
	Network   Network           `json:"network,omitzero"`
	Limits    Limits            `json:"limits,omitzero"`
	MaxOutput int               `json:"max_output,omitempty"` // bytes of output that the model is told; 32 KB
	Tier      sandbox.Tier      `json:"tier,omitempty"`       // jail when empty
	// Schema is that of the arguments; default: each that Command names, a required string.
	Schema  json.RawMessage     `json:"schema,omitempty"`
	Options durable.StepOptions `json:"options"` // irreversible when no effect is named
	Flow    tool.Flow           `json:"flow,omitzero"`
}

// Network is what a command may reach; see sandbox.Network.
type Network struct {
	Allow []string `json:"allow,omitempty"` // host:port
	Host  bool     `json:"host,omitempty"`  // the network of the machine
}

// Limits are those of sandbox.Limits that a declaration may set; 0 is the default there.
type Limits struct {
	Memory    int64         `json:"memory,omitempty"`    // bytes
	CPU       time.Duration `json:"cpu,omitempty"`       // nanoseconds
	Processes int           `json:"processes,omitempty"` // at once
	Disk      int64         `json:"disk,omitempty"`      // bytes by which the workspace may grow
	Temp      int64         `json:"temp,omitempty"`      // bytes in /tmp
}

const defaultMaxOutput = 32 << 10

// Maker makes tools of declarations. Error: invalid.
func Maker(c Config) tool.Maker {
	b := &boxes{config: c}
	return func(d tool.Declaration) (tool.Tool, error) {
		var declared Declared
		dec := json.NewDecoder(bytes.NewReader(d.Config))
		dec.DisallowUnknownFields() // a limit with a slip in its name would be none
		if err := dec.Decode(&declared); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "tool %s: %w", d.Name, err)
		}
		declared.Name = d.Name
		return newTool(b, declared)
	}
}

// New makes one command tool. Error: invalid.
func New(c Config, d Declared) (tool.Tool, error) { return newTool(&boxes{config: c}, d) }

// Shell makes the tool shell: the model writes scripts for /bin/sh. d says what they may touch;
// its Name and Description may be empty. What a script does is irreversible, and what it reads
// private, unless the owner of the workspace knows better.
func Shell(c Config, d Declared) (tool.Tool, error) {
	d.Shell = true
	if d.Name == "" {
		d.Name = "shell"
	}
	return New(c, d)
}

// boxes keeps the sandboxes of the process, by tier.
type boxes struct {
	config Config
	mu     sync.Mutex
	open   map[sandbox.Tier]*sandbox.Sandbox
}

func (b *boxes) get(tier sandbox.Tier) (*sandbox.Sandbox, error) {
	if tier == "" {
		tier = sandbox.TierJail
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.open[tier]; s != nil {
		return s, nil
	}
	open := b.config.Sandbox
	if open == nil {
		if tier != sandbox.TierJail {
			return nil, durable.Errorf(durable.CodeDenied, "tier %q is not allowed here; commands run in %q", tier, sandbox.TierJail)
		}
		open = func(t sandbox.Tier) (*sandbox.Sandbox, error) { return sandbox.New(sandbox.Config{Tier: t}) }
	}
	s, err := open(tier)
	if err != nil {
		return nil, coded(err)
	}
	if b.open == nil {
		b.open = map[sandbox.Tier]*sandbox.Sandbox{}
	}
	b.open[tier] = s
	return s, nil
}

// coded gives an error of the sandbox the code that says what to do about it.
func coded(err error) error {
	if _, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		return durable.Errorf(durable.CodeDenied, "%w", err)
	}
	if _, ok := errors.AsType[*sandbox.NotFoundError](err); ok {
		return durable.Errorf(durable.CodeNotFound, "%w", err)
	}
	if errors.Is(err, sandbox.ErrSpec) {
		return durable.Errorf(durable.CodeInvalid, "%w", err)
	}
	return err
}

// commandTool is a declared command.
type commandTool struct {
	declared Declared
	argv     []template
	stdin    template
	secrets  map[string]template // by variable
	spec     tool.Spec
	boxes    *boxes
}

var _ tool.Tool = (*commandTool)(nil)

// Spec implements tool.Tool.
func (t *commandTool) Spec() tool.Spec { return t.spec }

func newTool(b *boxes, d Declared) (*commandTool, error) {
	t := &commandTool{declared: d, boxes: b, secrets: map[string]template{}}
	if err := t.parse(); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "tool %s: %w", d.Name, err)
	}
	t.spec = tool.Spec{Name: d.Name, Description: d.Description, Schema: d.Schema, Options: d.Options, Flow: d.Flow}
	if t.spec.Options.Effect == "" {
		t.spec.Options.Effect = durable.Irreversible
	}
	// What it can reach decides what it may know and tell, whatever the declaration says.
	if d.Workspace != "" || len(d.ReadOnly) > 0 || len(d.Secrets) > 0 || d.Shell {
		t.spec.Flow.Private = true
	}
	if len(d.Network.Allow) > 0 || d.Network.Host || d.Tier == sandbox.TierNone {
		t.spec.Flow.Egress, t.spec.Flow.Untrusted = true, true
	}
	if t.declared.MaxOutput == 0 {
		t.declared.MaxOutput = defaultMaxOutput
	}
	if d.Shell {
		t.spec.Subject = tool.Subject{Arg: "command", Kind: tool.LineSubject}
		t.spec.Schema = json.RawMessage(`{"type":"object","properties":{"command":{"type":"string","description":"a script for /bin/sh"}},"required":["command"],"additionalProperties":false}`)
	} else if len(d.Schema) == 0 {
		t.spec.Schema = stringsSchema(t.argv, t.stdin)
	}
	if d.Description == "" {
		t.spec.Description = t.describe()
	}
	return t, nil
}

// describe says what there is to know where the declaration does not.
func (t *commandTool) describe() string {
	d := t.declared
	if !d.Shell {
		return "Runs: " + strings.Join(d.Command, " ")
	}
	text := "Runs a script with /bin/sh, in a sandbox, and returns what it prints. "
	switch {
	case d.Workspace != "":
		text += "It may write to " + d.Workspace + " and to /tmp, which is empty each time."
	default:
		text += "Nothing it writes stays."
	}
	switch {
	case d.Network.Host:
	case len(d.Network.Allow) > 0:
		text += " It can reach " + strings.Join(d.Network.Allow, ", ") + " through the HTTP proxy in its environment, and no other network."
	default:
		text += " It has no network."
	}
	return text
}

// parse reads the templates and refuses what cannot be meant.
func (t *commandTool) parse() error {
	d := t.declared
	if d.Shell == (len(d.Command) > 0) {
		return errors.New(`give either "command", a list with the program and its arguments, or "shell": true`)
	}
	if d.Shell && (d.Stdin != "" || len(d.Schema) > 0) {
		return errors.New("a shell has one argument, the script, and reads nothing else")
	}
	if d.MaxOutput < 0 {
		return fmt.Errorf("max_output is %d", d.MaxOutput)
	}
	for i, text := range d.Command {
		part, err := parseTemplate(text)
		if err != nil {
			return fmt.Errorf("command[%d]: %w", i, err)
		}
		if part.has(secretPart) {
			return fmt.Errorf("command[%d]: a secret may not stand in the arguments of a process, where others can read it; put it under secrets, or into stdin", i)
		}
		if i == 0 && part.has(argPart) {
			return errors.New("command[0]: what is executed is not for the model to choose; give the program itself")
		}
		t.argv = append(t.argv, part)
	}
	if err := checkEnv(d.Env); err != nil {
		return err
	}
	if d.Stdin != "" && d.Stdin != "json" {
		var err error
		if t.stdin, err = parseTemplate(d.Stdin); err != nil {
			return fmt.Errorf("stdin: %w", err)
		}
	}
	return t.parseSecrets()
}

func checkEnv(env map[string]string) error {
	for name, value := range env {
		part, err := parseTemplate(value)
		if err != nil {
			return fmt.Errorf("env %s: %w", name, err)
		}
		if part.has(secretPart) {
			return fmt.Errorf("env %s: a secret may not stand in the environment of a process, where others can read it; under secrets it becomes a file, and %s its path", name, name)
		}
		if part.has(argPart) {
			return fmt.Errorf("env %s: arguments of the call have their place in command and stdin", name)
		}
	}
	return nil
}

func (t *commandTool) parseSecrets() error {
	d := t.declared
	for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
		part, err := parseTemplate(d.Secrets[name])
		switch {
		case err != nil:
			return fmt.Errorf("secrets %s: %w", name, err)
		case part.has(argPart):
			return fmt.Errorf("secrets %s: arguments of the call have their place in command and stdin", name)
		case !part.has(secretPart):
			return fmt.Errorf("secrets %s: there is no ${secret:NAME} in it", name)
		case d.Env[name] != "":
			return fmt.Errorf("secrets %s: it is under env too", name)
		}
		t.secrets[name] = part
	}
	return nil
}
