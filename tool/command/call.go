package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/sandbox"
	"github.com/orpine-run/orpine/tool"
)

const (
	keyEnv     = "ORPINE_IDEMPOTENCY_KEY"
	errorTail  = 4 << 10 // bytes of the error output that the model is told
	unlimited  = 1 << 62 // output is capped here, where the end can be kept too
	lineLength = 2 << 10 // bytes of a line that watchers see
	lineCount  = 2000    // lines that watchers see
)

// Call implements tool.Tool. A command that ends with another exit code than 0 is told to the
// model as an error with the end of what it wrote. Errors: those of the sandbox (not_found for
// a command that is not there, denied where the machine has no jail), of Config.Secrets, and
// the cause of ctx, which also ends the process and all it has started.
func (t *commandTool) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	box, err := t.boxes.get(t.declared.Tier)
	if err != nil {
		return tool.Result{}, err
	}
	p := &prepared{tool: t}
	if err := p.prepare(ctx, args); err != nil {
		return tool.Result{}, err
	}
	out, errs := newCapture(t.declared.MaxOutput), newCapture(errorTail)
	var lines *lineWriter
	stdout := io.Writer(out)
	if a := durable.AttemptOf(ctx); a != nil && a.Emit != nil {
		lines = &lineWriter{emit: func(line string) {
			data, err := json.Marshal(map[string]string{"line": line})
			if err == nil {
				a.Emit(tool.Progress, data)
			}
		}}
		stdout = io.MultiWriter(out, lines)
	}
	stdout, endOut := p.filter(stdout)
	stderr, endErr := p.filter(errs)
	exit, err := box.Run(ctx, p.spec, sandbox.Streams{In: bytes.NewReader(p.stdin), Out: stdout, Err: stderr})
	if err != nil {
		return tool.Result{}, coded(err)
	}
	endOut()
	endErr()
	if lines != nil {
		lines.flush()
	}
	content, failed := t.tell(exit, out, errs)
	return tool.Result{Content: content, Error: failed}, nil
}

// prepared is one call: what is executed, and whether it was given secrets.
type prepared struct {
	tool    *commandTool
	spec    sandbox.Spec
	stdin   []byte
	secrets bool
}

func (p *prepared) prepare(ctx context.Context, raw json.RawMessage) error {
	t, d := p.tool, p.tool.declared
	args := map[string]any{}
	if len(bytes.TrimSpace(raw)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&args); err != nil {
			return durable.Errorf(durable.CodeInvalid, "arguments of %s: %w", t.spec.Name, err)
		}
	}
	p.spec = sandbox.Spec{
		Workspace: d.Workspace, Dir: d.Dir, ReadOnly: d.ReadOnly,
		Network: sandbox.Network{Allow: d.Network.Allow, Host: d.Network.Host},
		Limits:  sandbox.Limits{Memory: d.Limits.Memory, CPU: d.Limits.CPU, Processes: d.Limits.Processes, Disk: d.Limits.Disk, Temp: d.Limits.Temp, Output: unlimited},
	}
	if d.Shell {
		script, ok := args["command"].(string)
		if !ok || strings.ContainsRune(script, 0) {
			return durable.Errorf(durable.CodeInvalid, `%s: want {"command": "..."}, a script without zero bytes`, t.spec.Name)
		}
		p.spec.Command = []string{"/bin/sh", "-c", script}
	} else {
		argv, err := t.arguments(args)
		if err != nil {
			return durable.Errorf(durable.CodeInvalid, "%s: %w", t.spec.Name, err)
		}
		p.spec.Command = argv
	}
	for _, name := range slices.Sorted(maps.Keys(d.Env)) {
		value, err := parseTemplate(d.Env[name]) // for $${
		if err != nil {
			return durable.Errorf(durable.CodeInvalid, "%s: env %s: %w", t.spec.Name, name, err)
		}
		text, _, _ := value.fill(nil, nil)
		p.spec.Env = append(p.spec.Env, name+"="+text)
	}
	if a := durable.AttemptOf(ctx); a != nil {
		p.spec.Env = append(p.spec.Env, keyEnv+"="+a.Key)
	}
	secret := func(name string) (string, error) { return p.secret(ctx, name) }
	for i, name := range slices.Sorted(maps.Keys(t.secrets)) {
		text, _, err := t.secrets[name].fill(nil, secret)
		if err != nil {
			return err
		}
		p.spec.Files = append(p.spec.Files, sandbox.File{Name: fmt.Sprintf("secret-%d", i), Env: name, Content: []byte(text)})
	}
	if d.Stdin == "json" {
		p.stdin = raw
		return nil
	}
	text, _, err := t.stdin.fill(args, secret)
	p.stdin = []byte(text)
	return err
}

// secret asks for a secret.
func (p *prepared) secret(ctx context.Context, name string) (string, error) {
	ask := p.tool.boxes.config.Secrets
	if ask == nil || p.tool.boxes.config.Filter == nil {
		return "", durable.Errorf(durable.CodeDenied, "tool %s wants the secret %s, and there are no secrets here", p.tool.spec.Name, name)
	}
	value, err := ask(ctx, name)
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", name, err)
	}
	p.secrets = true
	return value, nil
}

// filter takes secrets out of what is written, before it is cut into lines and shortened: a part of
// a secret is not recognised. end writes what is held back.
func (p *prepared) filter(to io.Writer) (w io.Writer, end func()) {
	if !p.secrets {
		return to, func() {}
	}
	s := &sieve{filter: p.tool.boxes.config.Filter(), to: to}
	return s, func() { _, _ = io.WriteString(to, s.filter.End()) } // writers here never fail
}

type sieve struct {
	filter Filter
	to     io.Writer
}

// Write implements io.Writer.
func (s *sieve) Write(p []byte) (int, error) {
	_, err := io.WriteString(s.to, s.filter.Next(string(p)))
	return len(p), err
}

// tell makes what the model is told.
func (t *commandTool) tell(exit sandbox.Exit, out, errs *capture) (content string, failed bool) {
	var b strings.Builder
	switch {
	case exit.Limit != "":
		fmt.Fprintf(&b, "The command was killed: it went over its limit of %s.\n", exit.Limit)
	case exit.Signal != 0:
		fmt.Fprintf(&b, "The command was ended by a signal: %s.\n", exit.Signal)
	case exit.Code != 0:
		fmt.Fprintf(&b, "The command ended with exit code %d.\n", exit.Code)
	}
	failed = b.Len() > 0
	if (failed || t.declared.Shell) && errs.total > 0 {
		b.WriteString("Error output:\n" + strings.TrimRight(errs.text(), "\n") + "\n")
	}
	switch {
	case b.Len() == 0:
		return out.text(), false
	case out.total > 0:
		b.WriteString("Output:\n" + out.text())
	}
	return strings.TrimRight(b.String(), "\n"), failed
}
