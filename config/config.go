package config

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
)

// maxBytes is the largest file that is read, 1 MB.
const maxBytes = 1 << 20

// File is a checked orpine file. Its JSON names are those of the YAML.
type File struct {
	Name   string                      `json:"name"` // as given, or the file's base name without extension
	Models map[string]Model            `json:"models,omitempty"`
	Agents map[string]agent.Definition `json:"agents"`
	Tools  map[string]Tool             `json:"tools,omitempty"`
	Limits map[string]Limit            `json:"limits,omitempty"`
	Queues map[string]Queue            `json:"queues,omitempty"`

	agentNames []string
}

// AgentNames returns the names of the agents in the order of the file.
func (f *File) AgentNames() []string { return slices.Clone(f.agentNames) }

// Model is an entry of the models section. It is already applied to the agents
// that name it.
type Model struct {
	Use         string       `json:"use"` // provider/name
	Price       *agent.Price `json:"price,omitempty"`
	MaxTokens   int          `json:"max_tokens,omitempty"`
	Temperature *float64     `json:"temperature,omitempty"`
}

// Limit is an entry of the limits section: a bound of steps that share a name. Zero fields
// take the engine's defaults.
type Limit struct {
	AtOnce int           `json:"at_once,omitempty"`
	Count  int           `json:"count,omitempty"`
	Per    time.Duration `json:"per,omitempty"`
	Burst  int           `json:"burst,omitempty"`
	Depth  int           `json:"depth,omitempty"`
}

// Queue is an entry of the queues section: a bound of the runs that are started in it.
type Queue struct {
	AtOnce int `json:"at_once,omitempty"`
	Depth  int `json:"depth,omitempty"`
}

// Tool is an entry of the tools section: a query over CSV files.
type Tool struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	SQL         string            `json:"sql,omitempty"`   // with :param for each field of Input; empty = the model writes the query
	CSV         map[string]string `json:"csv"`             // table -> path, resolved against the folder of the file
	Input       json.RawMessage   `json:"input,omitempty"` // JSON Schema of the arguments, an object; nil = none, or the query where SQL is empty
	Timeout     time.Duration     `json:"timeout,omitempty"`
	Retry       durable.Retry     `json:"retry,omitzero"`
	Effect      durable.Effect    `json:"effect"` // read unless the file says otherwise: a query changes nothing
}

// Options returns the engine's orders for a call of the tool.
func (t Tool) Options() durable.StepOptions {
	return durable.StepOptions{Effect: t.Effect, Retry: t.Retry, Timeout: t.Timeout}
}

// Builtins returns the names of the tools an agent may name without declaring them.
func Builtins() []string { return []string{"clock"} }

// Load reads and checks the file at path. Relative paths in it are resolved
// against its folder and made absolute, so that a run can be resumed from another
// working directory. env looks up a variable, as os.LookupEnv does; nil means none
// is set. A missing file is a not_found error, faults of the content are an *Error.
func Load(path string, env func(string) (string, bool)) (*File, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	base, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, durable.Errorf(durable.CodeInternal, "find the folder of %s: %w", path, err)
	}
	return parse(path, base, data, env)
}

// Parse checks the content of a file called name; it opens nothing. Relative paths
// are joined to the folder part of name. Faults of the content are an *Error.
func Parse(name string, data []byte, env func(string) (string, bool)) (*File, error) {
	return parse(name, filepath.Dir(name), data, env)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, readError(path, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	// One byte more than allowed tells a file that is too large from one that just fits.
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, readError(path, err)
	}
	return data, nil
}

func readError(path string, err error) error {
	code := durable.CodeInvalid // a folder, a bad name
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code = durable.CodeNotFound
	case errors.Is(err, fs.ErrPermission):
		code = durable.CodeDenied
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err // the path is in our own words already
	}
	return durable.Errorf(code, "read %s: %w", path, err)
}

func parse(name, base string, data []byte, env func(string) (string, bool)) (*File, error) {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	rep := &report{file: name, seen: map[string]bool{}}
	root := readTree(rep, data)
	if root == nil {
		return nil, rep.err()
	}
	c := &checker{report: rep, env: env, base: base, at: map[string]position{}}
	values := c.object(root, field{fields: fileFields()}, "")
	f, err := decode(values)
	if err != nil {
		return nil, err
	}
	for _, e := range root.find("agents").entries {
		f.agentNames = append(f.agentNames, e.name)
	}
	if f.Name == "" {
		f.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	(&refs{checker: c, file: f, root: root}).check()
	if err := rep.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// decode fills the File from what the walker accepted. Names and types agree by
// construction (a test compares them), so an error is a fault of this package.
func decode(values map[string]any) (*File, error) {
	data, err := json.Marshal(values)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInternal, "encode checked file: %w", err)
	}
	f := &File{}
	if err := json.Unmarshal(data, f); err != nil {
		return nil, durable.Errorf(durable.CodeInternal, "decode checked file: %w", err)
	}
	return f, nil
}
