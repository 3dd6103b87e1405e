package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Kind is the kind of the declarations this package makes and understands.
const Kind = "wasm"

// Bounds and defaults; see the package comment.
const (
	maxModule       = 64 << 20
	maxMemory       = 4096
	defaultMemory   = 64
	defaultTimeout  = 30 * time.Second
	defaultMaxBytes = 1 << 20
)

// Declared is the Config of a declaration; the package comment says what is what.
type Declared struct {
	Module      string              `json:"module,omitempty"` // path of the file
	SHA256      string              `json:"sha256,omitempty"` // of the module, in hexadecimal
	Blob        *durable.Ref        `json:"blob,omitempty"`   // instead of Module
	Description string              `json:"description,omitempty"`
	Schema      json.RawMessage     `json:"schema,omitempty"` // of the arguments
	Args        []string            `json:"args,omitempty"`   // behind the name of the program
	Mounts      []Mount             `json:"mounts,omitempty"`
	MemoryMB    int                 `json:"memory_mb,omitempty"`
	Timeout     string              `json:"timeout,omitempty"` // such as 30s
	MaxCalls    int64               `json:"max_calls,omitempty"`
	MaxBytes    int                 `json:"max_bytes,omitempty"`
	Pure        bool                `json:"pure,omitempty"`
	Options     durable.StepOptions `json:"options"`
	Flow        tool.Flow           `json:"flow"`
}

// Mount is a directory that a module can read.
type Mount struct {
	Dir string `json:"dir"` // on this machine
	At  string `json:"at"`  // an absolute path in the module
}

// Declare makes a declaration that can be pinned to a run: it reads the module, makes sure
// that it is one, and records its hash. Errors: not_found, invalid.
func Declare(name string, d Declared) (tool.Declaration, error) {
	if d.Module != "" {
		data, err := readModule(d.Module)
		if err != nil {
			return tool.Declaration{}, &durable.Error{Code: durable.CodeOf(err), Op: "tool " + name, Err: err}
		}
		d.SHA256 = sum(data)
	}
	if err := d.check(); err != nil {
		return tool.Declaration{}, &durable.Error{Code: durable.CodeInvalid, Op: "tool " + name, Err: err}
	}
	config, err := json.Marshal(d)
	if err != nil {
		return tool.Declaration{}, err
	}
	return tool.Declaration{Name: name, Kind: Kind, Config: config}, nil
}

func (d *Declared) check() error {
	switch {
	case (d.Module == "") == (d.Blob == nil):
		return durable.Errorf(durable.CodeInvalid, "want either module or blob")
	case d.MemoryMB < 0 || d.MemoryMB > maxMemory:
		return durable.Errorf(durable.CodeInvalid, "memory_mb is 1 to %d", maxMemory)
	case d.MaxBytes < 0 || d.MaxCalls < 0:
		return durable.Errorf(durable.CodeInvalid, "max_bytes and max_calls cannot be negative")
	}
	if _, err := d.timeout(); err != nil {
		return err
	}
	if strings.Contains(strings.Join(d.Args, ""), "\x00") {
		return durable.Errorf(durable.CodeInvalid, "an argument cannot hold a NUL")
	}
	at := map[string]bool{}
	for _, m := range d.Mounts {
		switch clean := path.Clean(m.At); {
		case m.Dir == "":
			return durable.Errorf(durable.CodeInvalid, "a mount has no dir")
		case !path.IsAbs(m.At) || clean != m.At:
			return durable.Errorf(durable.CodeInvalid, "the mount of %s wants an absolute path as at, such as /data", m.Dir)
		case at[clean]:
			return durable.Errorf(durable.CodeInvalid, "two mounts are at %s", m.At)
		default:
			at[clean] = true
		}
	}
	return nil
}

func (d *Declared) timeout() (time.Duration, error) {
	if d.Timeout == "" {
		return defaultTimeout, nil
	}
	t, err := time.ParseDuration(d.Timeout)
	if err != nil || t <= 0 {
		return 0, durable.Errorf(durable.CodeInvalid, "timeout %q is no duration such as 30s", d.Timeout)
	}
	return t, nil
}

// Make is the tool.Maker of modules. Nothing is read before the first call. Error: invalid.
func (t *Tools) Make(d tool.Declaration) (tool.Tool, error) {
	wrong := func(err error) error {
		return &durable.Error{Code: durable.CodeInvalid, Op: "tool " + d.Name, Err: err}
	}
	m := &module{tools: t}
	dec := json.NewDecoder(bytes.NewReader(d.Config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m.declared); err != nil {
		return nil, wrong(err)
	}
	if err := m.prepare(); err != nil {
		return nil, wrong(err)
	}
	c := &m.declared
	m.spec = tool.Spec{Name: d.Name, Description: c.Description, Schema: c.Schema, Options: c.Options, Flow: c.Flow}
	if m.spec.Options.Effect == "" {
		m.spec.Options.Effect = durable.Read // it can change nothing
	}
	if m.spec.Options.Timeout == 0 {
		m.spec.Options.Timeout = m.limit + time.Minute // for the module to be compiled once
	}
	return m, nil
}

var _ tool.Maker = (*Tools)(nil).Make

// prepare checks what was declared and fills in the defaults.
func (m *module) prepare() error {
	c := &m.declared
	if err := c.check(); err != nil {
		return err
	}
	if c.MemoryMB == 0 {
		c.MemoryMB = defaultMemory
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	var err error
	m.limit, err = c.timeout()
	return err
}

// Program is a module that comes with the program, and not from a file.
type Program struct {
	data []byte
	hash string
}

// NewProgram makes a program of a module. Error: invalid.
func NewProgram(module []byte) (Program, error) {
	return Program{module, sum(module)}, checkModule("the program", module)
}

// Run makes one call of a program, with input as its standard input; name is what it is
// called. Of c the bounds count, and not where a module is found. Errors: as for a tool.
func (t *Tools) Run(ctx context.Context, name string, p Program, c Declared, input []byte) (tool.Result, error) {
	c.Module, c.Blob = name, nil
	m := &module{tools: t, declared: c, spec: tool.Spec{Name: name}}
	if err := m.prepare(); err != nil {
		return tool.Result{}, err
	}
	return m.run(ctx, p, input)
}

// module is a tool that runs a module for each call.
type module struct {
	tools    *Tools
	declared Declared
	spec     tool.Spec
	limit    time.Duration
}

var _ tool.Tool = (*module)(nil)

// Spec implements tool.Tool.
func (m *module) Spec() tool.Spec { return m.spec }

// Call implements tool.Tool.
func (m *module) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	p, err := m.load(ctx)
	if err != nil {
		return tool.Result{}, err
	}
	if len(args) == 0 {
		args = json.RawMessage(`{}`)
	}
	return m.run(ctx, p, args)
}

// load reads the module and holds it against its hash.
func (m *module) load(ctx context.Context) (Program, error) {
	if m.declared.Blob == nil {
		data, err := readModule(m.declared.Module)
		if err != nil {
			return Program{}, err
		}
		p := Program{data, sum(data)}
		if want := m.declared.SHA256; want != "" && !strings.EqualFold(want, p.hash) {
			return Program{}, durable.Errorf(durable.CodeDenied, "%s has changed since it was declared: its SHA-256 is %s, not %s", m.declared.Module, p.hash, want)
		}
		return p, nil
	}
	a := durable.AttemptOf(ctx)
	if a == nil || a.Blobs == nil {
		return Program{}, durable.Errorf(durable.CodeInvalid, "a module that is a blob can be called in a step only")
	}
	data, err := a.Blobs.Get(ctx, *m.declared.Blob)
	if err != nil {
		return Program{}, err
	}
	return Program{data, sum(data)}, checkModule("blob "+m.declared.Blob.Hash, data)
}

func readModule(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, durable.Errorf(durable.CodeNotFound, "there is no module %s", name)
	}
	if err != nil {
		return nil, durable.Errorf(durable.CodeUnavailable, "open the module: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxModule+1))
	if err != nil {
		return nil, durable.Errorf(durable.CodeUnavailable, "read the module: %w", err)
	}
	return data, checkModule(name, data)
}

func checkModule(name string, data []byte) error {
	switch {
	case len(data) > maxModule:
		return durable.Errorf(durable.CodeInvalid, "%s has more than %d bytes", name, maxModule)
	case !bytes.HasPrefix(data, []byte("\x00asm\x01\x00\x00\x00")):
		return durable.Errorf(durable.CodeInvalid, "%s is no WebAssembly module; build one with GOOS=wasip1 GOARCH=wasm, or for wasm32-wasip1", name)
	}
	return nil
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}
