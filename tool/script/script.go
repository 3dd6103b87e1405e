package script

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/wasm"
)

// Kind is the kind of the declarations this package understands.
const Kind = "script"

// The languages.
const (
	Starlark   = "starlark"
	JavaScript = "javascript"
)

// Bounds and defaults.
const (
	defaultMemory  = 64
	minMemory      = 32
	maxMemory      = 1024
	defaultTimeout = 30 * time.Second
	defaultSteps   = 1_000_000
	defaultBytes   = 64 << 10
	maxCode        = 256 << 10
)

// Declared is the Config of a declaration; the package comment says what is what. Zero fields
// take the defaults that stand there.
type Declared struct {
	Language string              `json:"language"`
	MemoryMB int                 `json:"memory_mb,omitempty"` // 32 to 1024
	Timeout  string              `json:"timeout,omitempty"`
	Steps    int64               `json:"steps,omitempty"`
	MaxBytes int                 `json:"max_bytes,omitempty"` // of what is printed, and of the value
	Options  durable.StepOptions `json:"options"`
}

// Tools makes the tools and keeps their interpreters.
type Tools struct {
	wasm     *wasm.Tools
	starlark func() (wasm.Program, error) // unpacked once
	js       *engine
}

// New returns a maker of tools. Nothing is compiled before the first call.
func New() *Tools {
	return &Tools{wasm: wasm.New(), starlark: sync.OnceValues(starlarkProgram), js: newEngine()}
}

// Close lets go of the interpreters. It may be called twice.
func (t *Tools) Close(ctx context.Context) error {
	return errors.Join(t.wasm.Close(ctx), t.js.close(ctx))
}

var _ tool.Maker = (*Tools)(nil).Make

// Make is the tool.Maker of scripts. Error: invalid.
func (t *Tools) Make(d tool.Declaration) (tool.Tool, error) {
	s := &script{tools: t}
	dec := json.NewDecoder(bytes.NewReader(d.Config))
	dec.DisallowUnknownFields()
	err := dec.Decode(&s.declared)
	if err == nil {
		err = s.prepare()
	}
	if err != nil {
		return nil, &durable.Error{Code: durable.CodeInvalid, Op: "tool " + d.Name, Err: err}
	}
	s.spec = tool.Spec{Name: d.Name, Description: describe(s.declared.Language), Schema: schema(), Options: s.declared.Options}
	if s.spec.Options.Effect == "" {
		s.spec.Options.Effect = durable.Read
	}
	if s.spec.Options.Timeout == 0 {
		s.spec.Options.Timeout = s.timeout + time.Minute // for the interpreter to be compiled once
	}
	return s, nil
}

func (s *script) prepare() error {
	c := &s.declared
	if c.MemoryMB == 0 {
		c.MemoryMB = defaultMemory
	}
	if c.Steps == 0 {
		c.Steps = defaultSteps
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultBytes
	}
	s.timeout = defaultTimeout
	if c.Timeout != "" {
		d, err := time.ParseDuration(c.Timeout)
		if err != nil || d <= 0 {
			return durable.Errorf(durable.CodeInvalid, "timeout %q is no duration such as 30s", c.Timeout)
		}
		s.timeout = d
	}
	switch {
	case c.Language != Starlark && c.Language != JavaScript:
		return durable.Errorf(durable.CodeInvalid, "the language %q is not starlark or javascript", c.Language)
	case c.MemoryMB < minMemory || c.MemoryMB > maxMemory:
		return durable.Errorf(durable.CodeInvalid, "memory_mb is %d to %d", minMemory, maxMemory)
	case c.Steps < 0 || c.MaxBytes < 0:
		return durable.Errorf(durable.CodeInvalid, "steps and max_bytes cannot be negative")
	}
	return nil
}

func describe(language string) string {
	if language == Starlark {
		return "Runs a Starlark script (a small Python without imports) and returns what it prints and its value: that of its last expression, " +
			"or of the variable result. The variable input holds the input; there are json.encode, json.decode, math and struct. " +
			"It can compute only: no files, no network, no clock."
	}
	return "Runs a JavaScript script (ES2023, no modules) and returns what it prints with console.log and the value of its last statement, " +
		"for which a promise is awaited. The variable input holds the input. It can compute only: no files, no network, no clock."
}

func schema() json.RawMessage {
	return json.RawMessage(`{"type":"object","properties":{"code":{"type":"string","description":"the script"},` +
		`"input":{"description":"any JSON; the script finds it in the variable input"}},"required":["code"],"additionalProperties":false}`)
}

// script is a tool of one language.
type script struct {
	tools    *Tools
	declared Declared
	spec     tool.Spec
	timeout  time.Duration
}

var _ tool.Tool = (*script)(nil)

// Spec implements tool.Tool.
func (s *script) Spec() tool.Spec { return s.spec }

// answer is what became of a script.
type answer struct {
	Printed string `json:"printed"`
	Value   string `json:"value"`
	Error   string `json:"error"`
}

// Call implements tool.Tool.
func (s *script) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	var in struct {
		Code  string          `json:"code"`
		Input json.RawMessage `json:"input"`
	}
	if err := json.Unmarshal(args, &in); err != nil {
		return tool.Result{}, durable.Errorf(durable.CodeInvalid, "arguments: %w", err)
	}
	if len(in.Code)+len(in.Input) > maxCode {
		return tool.Result{}, durable.Errorf(durable.CodeInvalid, "code and input have more than %d bytes", maxCode)
	}
	run := s.starlark
	if s.declared.Language == JavaScript {
		run = s.javaScript
	}
	a, err := run(ctx, in.Code, in.Input)
	if err != nil {
		return tool.Result{}, err
	}
	text := join(cut(a.Printed, s.declared.MaxBytes), cut(a.Value, s.declared.MaxBytes))
	if a.Error != "" {
		return tool.Result{Content: join(text, cut(strings.TrimSpace(a.Error), 4000)), Error: true}, nil
	}
	return tool.Result{Content: text}, nil
}

func join(a, b string) string {
	if a != "" && b != "" && !strings.HasSuffix(a, "\n") {
		a += "\n"
	}
	return strings.ToValidUTF8(a+b, "\ufffd")
}

// cut keeps the beginning of a long text.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "\n[cut]"
}
