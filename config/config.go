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
	"github.com/orpine-run/orpine/tool"
)

// maxBytes is the largest file that is read, 1 MB.
const maxBytes = 1 << 20

// File is a checked orpine file. Its JSON names are those of the YAML.
type File struct {
	Name   string                      `json:"name"` // as given, or the file's base name without extension
	Models map[string]Model            `json:"models,omitempty"`
	Agents map[string]agent.Definition `json:"agents,omitempty"`
	Tools  map[string]Tool             `json:"tools,omitempty"`
	Limits map[string]Limit            `json:"limits,omitempty"`
	MCP    map[string]Server           `json:"mcp,omitempty"`
	// MCPFile is a .mcp.json whose servers are taken as well.
	MCPFile     string            `json:"mcp_file,omitempty"`
	Permissions tool.Policy       `json:"permissions,omitzero"` // above those of the agents
	Tenants     map[string]Tenant `json:"tenants,omitempty"`
	Queues      map[string]Queue  `json:"queues,omitempty"`

	Workflows map[string]Workflow `json:"workflows,omitempty"`
	Schedules map[string]Trigger  `json:"schedules,omitempty"`
	Triggers  map[string]Trigger  `json:"triggers,omitempty"`

	agentNames    []string
	workflowNames []string
	triggerNames  []string
	circles       map[string]bool            // workflows that come back to themselves
	runs          map[string]map[string]Tool // see Runs
	planners      map[string]Planner         // of agents that have one, by name

	below  map[string][]string // the agents that an agent may put something to, by its name
	base   string              // its folder, absolute
	report *report
	at     map[string]position
}

// Folder is where the file is; "" when it was parsed without one.
func (f *File) Folder() string { return f.base }

// Below returns the agents that one may put something to.
func (f *File) Below(name string) []string { return f.below[name] }

// Problem is something about the file at a path such as agents.NAME.tools[0].
func (f *File) Problem(path, message, hint string) Problem {
	return f.report.problem(f.at[path], path, message, hint)
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

// Planner is the planner of an agent: how it comes to an answer.
type Planner struct {
	Kind    string   `json:"kind"` // one of the kinds
	Agents  []string `json:"agents,omitempty"`
	Tools   []string `json:"tools,omitempty"`
	Approve bool     `json:"approve,omitempty"`
	To      []string `json:"to,omitempty"`
	Steps   int      `json:"steps,omitempty"`
	Judge   string   `json:"judge,omitempty"`
	Max     int      `json:"max,omitempty"`
}

// The kinds of planners.
const (
	React       = "react"
	PlanExecute = "plan_execute"
	Reflects    = "reflect"
)

// Planner is how an agent of the file comes to an answer.
func (f *File) Planner(name string) Planner {
	if p, ok := f.planners[name]; ok {
		return p
	}
	return Planner{Kind: React}
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

// Tenant is an entry of the tenants section.
type Tenant struct {
	Permissions tool.Policy `json:"permissions"`
}

// Tool is an entry of the tools section: a query over CSV files (CSV), requests to an HTTP API
// (HTTP), a command (Run), a folder (Files) or facts that are kept (Memory).
type Tool struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	SQL         string            `json:"sql,omitempty"`   // with :param for each field of Input; empty = the model writes the query
	CSV         map[string]string `json:"csv,omitempty"`   // table -> path, resolved against the folder of the file
	Input       json.RawMessage   `json:"input,omitempty"` // JSON Schema of the arguments, an object; nil = none, or the query where SQL is empty
	Timeout     time.Duration     `json:"timeout,omitempty"`
	Retry       durable.Retry     `json:"retry,omitzero"`
	Effect      durable.Effect    `json:"effect,omitempty"` // of a query: read unless the file says otherwise; else "" = by its kind

	HTTP *HTTP `json:"http,omitempty"`

	Run       []string          `json:"run,omitempty"`
	Stdin     string            `json:"stdin,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	Secrets   map[string]string `json:"secrets,omitempty"`
	MaxOutput int               `json:"max_output,omitempty"`
	Sandbox   *Sandbox          `json:"sandbox,omitempty"`

	WASM   *WASM  `json:"wasm,omitempty"`
	Files  string `json:"files,omitempty"` // a folder, absolute
	Write  bool   `json:"write,omitempty"`
	Memory string `json:"memory,omitempty"`

	Cache   tool.Cache    `json:"cache,omitzero"`
	Breaker tool.Breaker  `json:"breaker,omitzero"`
	Flow    *tool.Flow    `json:"flow,omitempty"`
	Subject *tool.Subject `json:"subject,omitempty"`
}

// Options returns the engine's orders for a call of the tool.
func (t Tool) Options() durable.StepOptions {
	return durable.StepOptions{Effect: t.Effect, Retry: t.Retry, Timeout: t.Timeout}
}

// WASM is the wasm of a tool; see tool/wasm for what its fields mean. Paths are absolute.
type WASM struct {
	Module   string            `json:"module"`
	Args     []string          `json:"args,omitempty"`
	Mounts   map[string]string `json:"mounts,omitempty"` // path in the module -> folder
	MemoryMB int               `json:"memory_mb,omitempty"`
	MaxCalls int               `json:"max_calls,omitempty"`
	MaxBytes int               `json:"max_bytes,omitempty"`
}

// HTTP is the http of a tool; see tool/http for what its fields mean.
type HTTP struct {
	OpenAPI  string                    `json:"openapi,omitempty"` // a path, or a URL
	Include  []string                  `json:"include,omitempty"`
	BaseURL  string                    `json:"base_url,omitempty"`
	Effects  map[string]durable.Effect `json:"effects,omitempty"`
	Method   string                    `json:"method,omitempty"`
	URL      string                    `json:"url,omitempty"`
	Query    map[string]string         `json:"query,omitempty"`
	Headers  map[string]string         `json:"headers,omitempty"`
	Body     json.RawMessage           `json:"body,omitempty"`
	Form     map[string]string         `json:"form,omitempty"`
	Auth     *Auth                     `json:"auth,omitempty"`
	MaxBytes int                       `json:"max_bytes,omitempty"`
}

// Auth is the auth of an HTTP.
type Auth struct {
	Bearer string            `json:"bearer,omitempty"`
	Basic  *Basic            `json:"basic,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Query  map[string]string `json:"query,omitempty"`
}

// Basic is a user with a password.
type Basic struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Sandbox is what a process may touch; see package sandbox. Paths are absolute.
type Sandbox struct {
	Workspace   string   `json:"workspace,omitempty"`
	FS          string   `json:"fs,omitempty"` // read or write; "" = write
	Dir         string   `json:"dir,omitempty"`
	ReadOnly    []string `json:"read_only,omitempty"`
	Net         []string `json:"net,omitempty"` // host or host:port
	HostNetwork bool     `json:"host_network,omitempty"`
	MemoryMB    int      `json:"memory_mb,omitempty"`
	DiskMB      int      `json:"disk_mb,omitempty"`
	Processes   int      `json:"processes,omitempty"`
	Tier        string   `json:"tier,omitempty"`
}

// Server is an entry of the mcp section; see tool/mcp for what its fields mean.
type Server struct {
	Type      string                    `json:"type,omitempty"`
	Command   string                    `json:"command,omitempty"`
	Args      []string                  `json:"args,omitempty"`
	Env       map[string]string         `json:"env,omitempty"`
	Dir       string                    `json:"cwd,omitempty"` // absolute
	URL       string                    `json:"url,omitempty"`
	Headers   map[string]string         `json:"headers,omitempty"`
	Timeout   time.Duration             `json:"timeout,omitempty"`
	Effects   map[string]durable.Effect `json:"effects,omitempty"`
	Flow      *Flow                     `json:"flow,omitempty"`
	Tools     []string                  `json:"tools,omitempty"`
	Resources *bool                     `json:"resources,omitempty"`
	Prompts   *bool                     `json:"prompts,omitempty"`
	Ask       *bool                     `json:"ask,omitempty"`
	Calls     int                       `json:"calls,omitempty"`
	MaxResult int                       `json:"max_result,omitempty"`
	Sandbox   *Sandbox                  `json:"sandbox,omitempty"`
}

// Flow is what of tool.Flow is said of a server; nil fields stay as they are.
type Flow struct {
	Untrusted *bool `json:"untrusted,omitempty"`
	Private   *bool `json:"private,omitempty"`
	Egress    *bool `json:"egress,omitempty"`
}

// Builtins returns the names of the tools an agent may name without declaring them.
func Builtins() []string {
	return []string{"clock", "ask_human", "todo", "shell", "http_fetch", "starlark", "javascript"}
}

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
	below, planners := takeBelow(values), takePlanners(values)
	f, err := decode(values)
	if err != nil {
		return nil, err
	}
	for _, e := range root.find("agents").entries {
		f.agentNames = append(f.agentNames, e.name)
	}
	for _, e := range root.find("workflows").entries {
		f.workflowNames = append(f.workflowNames, e.name)
	}
	for _, section := range []string{"schedules", "triggers"} {
		for _, e := range root.find(section).entries {
			f.triggerNames = append(f.triggerNames, e.name)
		}
	}
	if f.Name == "" {
		f.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	f.base, f.report, f.at, f.below, f.planners = base, rep, c.at, below, planners
	(&refs{checker: c, file: f, root: root}).check()
	if err := rep.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// takeBelow takes out of the values the names of the agents that agents may put something to: a
// definition holds their definitions.
func takeBelow(values map[string]any) map[string][]string {
	below := map[string][]string{}
	agents, _ := values["agents"].(map[string]any)
	for name, a := range agents {
		fields, _ := a.(map[string]any)
		list, _ := fields["agents"].([]any)
		for _, one := range list {
			if text, ok := one.(string); ok {
				below[name] = append(below[name], text)
			}
		}
		delete(fields, "agents")
	}
	return below
}

// takePlanners takes out of the values how agents come to an answer: a definition knows only one way.
func takePlanners(values map[string]any) map[string]Planner {
	planners := map[string]Planner{}
	agents, _ := values["agents"].(map[string]any)
	for name, a := range agents {
		fields, _ := a.(map[string]any)
		data, err := json.Marshal(fields["planner"])
		var p Planner
		if err == nil && json.Unmarshal(data, &p) == nil && p.Kind != "" {
			planners[name] = p
		}
		delete(fields, "planner")
	}
	return planners
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
